"""The checks for everybody: what they say of networks of this library and of others, and where an error comes from."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from torch import nn as torch_nn

from scalegroup import Background, DiscreteGaussian, Reflect, ScaleGroup, ScaleGroupError, ScaleWindow
from scalegroup.__main__ import main
from scalegroup.models import gaussian_derivative_net
from scalegroup.testing import (
    OUTPUT_TYPES,
    SOURCES,
    assert_equivariant,
    assert_invariant,
    check_module,
    checks,
    equivariance_error,
    error_budget,
    object_images,
    parametrize_with_checks,
)

EXAMPLES = Path(__file__).parent.parent / "examples"
G = ScaleGroup(2**0.5)
WINDOW = ScaleWindow(G, sigma0=1.0, channels=5)


def small_net(window=WINDOW, boundary=Background(0.0), **options):  # noqa: B008
    torch.manual_seed(0)
    return gaussian_derivative_net(widths=(4, 4), window=window, boundary=boundary, **options).eval()


@pytest.fixture
def example(monkeypatch):
    """`examples/check_your_module.py`, importable as a user would have it: in the current folder."""
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.setattr(sys, "path", [*sys.path])


def run(factory, *more):
    return main(["check", f"check_your_module:{factory}", "--powers", "2", "--size", "97", *more])


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize(
    ("factory", "status"),
    [("ours", 0), ("wrapped", 0), ("relu", 0), ("broken", 1), ("cnn", 1), ("bare_cnn", 1), ("missing", 2)],
)
def test_command_tells_equivariant_modules_from_others(factory, status, capsys):
    assert run(factory, "--no-budget") == status
    said = capsys.readouterr()
    verdict = {0: "verdict: scale equivariant", 1: "verdict: NOT scale equivariant"}.get(status, "")
    assert verdict in said.out
    assert bool(said.err) == (status == 2)


@pytest.mark.filterwarnings("ignore")
def test_command_finds_an_escnn_network_not_scale_equivariant():
    pytest.importorskip("escnn", exc_type=ImportError)
    from escnn import gspaces
    from escnn import nn as enn

    torch.manual_seed(0)
    space = gspaces.rot2dOnR2(N=4)
    image = enn.FieldType(space, [space.trivial_repr])
    regular = enn.FieldType(space, 8 * [space.regular_repr])

    class Rotations(torch_nn.Module):
        def __init__(self):
            super().__init__()
            self.body = enn.SequentialModule(
                enn.R2Conv(image, regular, kernel_size=5, padding=2), enn.ReLU(regular), enn.GroupPooling(regular)
            )
            self.head = torch_nn.Linear(8, 10)

        def forward(self, images):
            return self.head(self.body(enn.GeometricTensor(images, image)).tensor.mean((2, 3)))

    net = Rotations().eval()
    assert equivariance_error(net, G.element(2), size=65).error > 0.3


@pytest.mark.usefixtures("example")
def test_command_writes_its_verdict_as_json(tmp_path):
    assert run("ours", "--powers", "1", "--json", str(tmp_path / "verdict.json")) == 0
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    assert verdict["passed"] is True
    assert {"reports", "channels", "layer", "budget", "tolerance"} <= set(verdict)
    assert [path.name for path in tmp_path.iterdir()] == ["verdict.json"]


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize(
    "more",
    [
        ["--ratio", "0.5"],
        ["--channels", "3"],
        ["--size", "9"],
        ["--in-channels", "3"],
        ["--tolerance", "0"],
        ["--output", "fields"],
        ["--json", "nowhere/verdict.json"],
    ],
    ids=" ".join,
)
def test_command_that_cannot_be_run_has_status_2(more, capsys):
    assert run("ours", "--no-budget", *more) == 2
    assert "could not be checked" in capsys.readouterr().err


@pytest.mark.parametrize("ratio", [2**0.5, 2 ** (1 / 3), 2.0, 1.25])
def test_error_is_measured_for_any_ratio(ratio):
    group = ScaleGroup(ratio)
    report = equivariance_error(torch_nn.ReLU(), group.generator, size=65)
    assert report.error < 1e-12
    assert report.factor == group.ratio
    blur = torch_nn.AvgPool2d(5, stride=1, padding=2)  # the control: a window of fixed width
    assert equivariance_error(blur, group.generator, size=65).error > 0.02


def test_inverse_of_a_scaling_is_measured_alike():
    net = small_net(min_grid_sigma=1.0)
    up, down = (equivariance_error(net, G.element(power), size=65).error for power in (2, -2))
    assert 0.5 < up / down < 2


def test_output_type_is_found_from_the_shape_of_the_output():
    outputs = {
        "scores": lambda x: x.mean((2, 3)),
        "scale_scores": lambda x: x.mean((2, 3))[:, :, None].expand(-1, -1, 4),
        "maps": lambda x: x,
        "fields": lambda x: x[:, :, None].expand(-1, -1, 4, -1, -1),
    }
    for name, module in outputs.items():
        assert equivariance_error(module, G.element(2), size=65).output == OUTPUT_TYPES[name].name
    with pytest.raises(ScaleGroupError, match="two axes"):
        equivariance_error(lambda x: x.sum(), G.element(2), size=65)
    with pytest.raises(ScaleGroupError, match="class scores"):
        equivariance_error(outputs["maps"], G.element(2), size=65, output=OUTPUT_TYPES["scores"])


def test_scale_axis_of_a_plain_tensor_moves_by_the_power():
    net = small_net(min_grid_sigma=1.0).double()
    for power in (1, 2):
        plain = equivariance_error(net.scale_logits, G.element(power), size=129)
        typed = equivariance_error(lambda x: net.field(x, pooled=False), G.element(power), size=129)
        assert plain.errors == typed.errors
        assert plain.channels_compared == (5 - power) / 5
    unshifted = equivariance_error(lambda x: net.scale_logits(x).flip(2), G.element(1), size=129)  # the control
    assert unshifted.error > 10 * plain.error


def test_assertions_judge_what_is_measured():
    net = small_net(min_grid_sigma=1.0)
    error = equivariance_error(net, G.element(2), size=97).error
    assert_invariant(net, G.element(2), size=97, tolerance=error)
    with pytest.raises(AssertionError, match="not scale equivariant"):
        assert_equivariant(net, G.element(2), size=97, tolerance=0.99 * error)
    with pytest.raises(ScaleGroupError):
        assert_invariant(torch_nn.ReLU(), G.element(2), size=97)


def test_nan_is_not_within_tolerance():
    with pytest.raises(AssertionError):
        assert_equivariant(lambda x: x.mean((2, 3)) * math.nan, G.element(2), size=65)


def test_canvas_too_small_for_the_factor_is_refused():
    assert object_images(41, 2.0)
    with pytest.raises(ScaleGroupError, match="size=41 or more"):
        object_images(39, 2.0)


def test_measuring_changes_neither_the_mode_nor_the_state_of_a_module():
    net = small_net(min_grid_sigma=1.0).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    check_module(net, G, powers=[2], size=65, budget=False)
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


# -- the budget -------------------------------------------------------------------------------------------------------


def budget_of(net, power=1, **options):
    return error_budget(net, G.element(power), size=65, **options)


def test_parts_of_the_budget_add_up_to_the_error_of_the_network():
    net = small_net(ScaleWindow(G, sigma0=1.0, channels=3), min_grid_sigma=1.0)
    budget = budget_of(net)
    images = object_images(65, G.ratio, count=4)
    whole = equivariance_error(net, G.element(1), images, size=65)
    assert budget.observed[-1] == pytest.approx(whole.error, rel=1e-6)
    assert len(budget.parts) == 4
    assert all(len(row) == len(SOURCES) + 1 for row in budget.parts)
    assert budget.parts[-1][-1] < 0.1 * budget.observed[-1]  # little is left over


@pytest.mark.filterwarnings("ignore::scalegroup.ScaleGroupWarning")
@pytest.mark.parametrize(
    ("source", "clean", "spoilt"),
    [
        ("truncation", {"kernel_tail": 1e-9}, {"kernel_tail": 0.1}),
        ("resampling", {}, {"min_grid_sigma": 0.5}),
        ("image boundary", {"sigma0": 2.8, "size": 129}, {"sigma0": 2.8, "size": 33}),
        ("scale boundary", {"channels": 7}, {"channels": 2}),
        ("rounding", {"dtype": torch.float64}, {"dtype": torch.float32}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_budget_blames_the_source_that_was_made_worse(source, clean, spoilt):
    def part(sigma0=1.4, channels=3, kernel_tail=1e-9, min_grid_sigma=None, size=65, dtype=torch.float64):
        window = ScaleWindow(G, sigma0=sigma0, channels=channels, first=-(channels // 3))
        kernel = DiscreteGaussian(tail=kernel_tail)
        net = small_net(window, boundary=Reflect(), kernel=kernel, min_grid_sigma=min_grid_sigma).to(dtype)
        images = object_images(41, G.ratio, count=4)
        budget = error_budget(net, G.element(1), images, size=size)
        return abs(budget.parts[-1][budget.sources.index(source)])

    assert part(**spoilt) > 3 * part(**clean)


def test_budget_leaves_a_mistake_over():
    sys.path.insert(0, str(EXAMPLES))
    try:
        from check_your_module import OneChannelOff
    finally:
        sys.path.pop(0)
    window = OneChannelOff(G, sigma0=1.0, channels=4)
    budget = budget_of(small_net(window, min_grid_sigma=1.0))
    assert budget.parts[-1][-1] > 0.2
    assert "look for a mistake" in str(budget)
    assert "look for a mistake" not in str(budget_of(small_net(ScaleWindow(G, 1.0, 4), min_grid_sigma=1.0)))


def test_budget_is_printed_and_drawn():
    from matplotlib.figure import Figure

    budget = budget_of(small_net(ScaleWindow(G, sigma0=1.0, channels=2)))
    lines = str(budget).splitlines()
    assert all(source in lines[1] for source in budget.sources)
    assert [line.split("  ")[0] for line in lines[2:]] == ["layer 1", "layer 2", "layer 3", "pooled"]
    axes = Figure().subplots()
    budget.draw(axes)
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {*budget.sources, "observed"}


def test_budget_needs_a_network_whose_layers_it_can_see():
    with pytest.raises(ScaleGroupError, match="needs to see the layers"):
        error_budget(torch_nn.ReLU(), G.element(1))
    with pytest.raises(ScaleGroupError, match="more scale channels"):
        error_budget(small_net(ScaleWindow(G, 1.0, 1)), G.element(1))


# -- under pytest -----------------------------------------------------------------------------------------------------


@parametrize_with_checks([small_net(min_grid_sigma=1.0), torch_nn.ReLU()], powers=(1,), size=97)
def test_good_modules_pass_every_check(module, check):
    check(module)


class _Mixing(torch_nn.Module):
    def forward(self, images):
        return images - images.amax()


class _Random(torch_nn.Module):
    def forward(self, images):
        return images + torch.rand(())


class _Infinite(torch_nn.Module):
    def forward(self, images):
        return images / 0


class _SteepRoot(torch_nn.Module):
    def forward(self, images):
        return (0 * images).sqrt()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (_Infinite(), "output_is_finite"),
        (_Random(), "output_repeats"),
        (_Mixing(), "images_do_not_mix"),
        (_SteepRoot(), "gradients_are_finite"),
        (torch_nn.AvgPool2d(9, stride=1, padding=4), "equivariant_under_2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_check_fails_a_module_that_breaks_its_law(module, name):
    with pytest.raises(AssertionError):
        checks(powers=(2,), size=65)[name](module)
    checks(powers=(2,), size=65)[name](torch_nn.ReLU())


def test_checks_of_nothing_are_refused():
    with pytest.raises(ScaleGroupError, match="one or more"):
        parametrize_with_checks([])
