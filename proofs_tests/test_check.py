"""The checks for everybody: what they say of networks of this library and of others, and where an error comes from."""

import dataclasses
import json
import math
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn as torch_nn

from scalegroup import (
    Background,
    Dense,
    FieldType,
    Reflect,
    Representation,
    SampledDerivatives,
    ScaleField,
    ScaleGroup,
    ScaleGroupError,
    ScaleWindow,
    SpatialMax,
    nn,
)
from scalegroup.__main__ import STATUS, main
from scalegroup.models import gaussian_derivative_net
from scalegroup.testing import (
    OUTPUT_TYPES,
    SOURCES,
    check_module,
    checks,
    covariance_bound,
    equivariance_error,
    error_budget,
    layer_laws,
    object_images,
    parametrize_with_checks,
)
from scalegroup.testing.check_module import layers_alone

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
    smaller = SimpleNamespace(net=partial(small_net, ScaleWindow(G, 1.0, 3)), fields=maps_net, relu=torch_nn.ReLU)
    monkeypatch.setitem(sys.modules, "smaller", smaller)


ROOT = ("--powers", "1", "--size", "35")  # √2, for which smaller pictures do


def run(factory, *more):
    name = factory if ":" in factory else f"check_your_module:{factory}"
    return main(["check", name, "--powers", "2", "--size", "49", *more])


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize(
    ("factory", "status"),
    [("ours", 0), ("wrapped", 0), ("relu", 0), ("broken", 1), ("cnn", 1), ("bare_cnn", 1), ("missing", 2), ("dead", 3)],
)
def test_command_tells_equivariant_modules_from_others(factory, status, capsys):
    assert run(factory, "--no-budget") == status
    said = capsys.readouterr()
    verdict = {
        0: "verdict: scale equivariant",
        1: "verdict: NOT scale equivariant",
        3: "verdict: not decided: its output does not depend on the picture",
    }.get(status, "")
    assert verdict in said.out
    assert ("could not be checked" in said.err) == (status == 2)


@pytest.mark.filterwarnings("ignore")  # escnn's own
@pytest.mark.usefixtures("example")
def test_command_finds_an_escnn_network_not_scale_equivariant(capsys):
    pytest.importorskip("escnn", exc_type=ImportError)
    assert run("escnn") == 1
    assert "verdict: NOT scale equivariant" in capsys.readouterr().out


@pytest.mark.usefixtures("example")
def test_command_writes_its_verdict_as_json(tmp_path):
    assert run("smaller:net", *ROOT, "--json", str(tmp_path / "verdict.json")) == 0
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    assert verdict["decision"] == "equivariant"
    assert {"curves", "channels", "layers", "budget", "reason"} <= set(verdict)
    assert {"family", "errors", "explained", "slope", "limit", "verdict", "visible"} <= set(verdict["curves"][0])
    assert [path.name for path in tmp_path.iterdir()] == ["verdict.json"]


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize(
    ("ratio", "status"), [("1.4142", 0), ("1.41421356", 0), ("1.189", 0), ("1.41", 2), ("1.4144", 2), ("1.26", 2)]
)
def test_ratio_typed_to_three_decimals_or_more_is_the_root_it_begins(ratio, status):
    """The scaling by √2 is in the network's group, one by 1.41 is not; nor is ∛2, however it is typed."""
    power = "2" if ratio == "1.189" else "1"  # ⁴√2
    assert (
        run("smaller:net", "--no-budget", "--ratio", ratio, "--powers", power, "--size", "35", "--channels", "3")
        == status
    )


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_command_draws_the_budget(ending, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"budget.{ending}"
    assert run("smaller:net", *ROOT, "--figure", str(path)) == 0
    assert path.read_bytes()[:5] == {"png": b"\x89PNG\r", "svg": b"<?xml"}[ending]
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize(
    ("factory", "more", "mend"),
    [
        ("smaller:net", ["--no-budget"], "leave one of them out"),
        ("smaller:relu", [], "leave --figure out"),
        ("smaller:net", ["--powers", "6", "--size", "193"], "leave --figure out"),
    ],
    ids=["none is asked for", "another module", "no channel moved to another"],
)
def test_command_that_has_no_budget_to_draw_has_status_2(factory, more, mend, tmp_path, capsys):
    assert run(factory, "--figure", str(tmp_path / "budget.png"), *more) == 2
    assert mend in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize("name", ["budget.unknown", "nowhere/budget.png"])
def test_command_whose_figure_cannot_be_written_has_status_2(name, tmp_path):
    pytest.importorskip("matplotlib")
    assert run("smaller:net", *ROOT, "--figure", str(tmp_path / name)) == 2
    assert not list(tmp_path.iterdir())


def test_help_and_misspelt_commands_import_no_torch():
    """So they come at once: torch takes seconds. All in one process, and the control last."""
    program = "import sys\nfrom scalegroup.__main__ import main\n"
    for arguments in (["check", "--help"], ["chekc"], ["check"], []):
        program += f"try:\n    main({arguments})\nexcept SystemExit:\n    pass\n"
        program += "assert not {'torch', 'numpy'} & set(sys.modules), sorted(sys.modules)\n"
    program += "import scalegroup.testing\nassert 'torch' in sys.modules\n"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_help_names_every_output_type_and_every_exit_status(capsys):
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(name in said for name in OUTPUT_TYPES)
    assert all(f"{status} {decision}" in said for decision, status in STATUS.items())


@pytest.mark.usefixtures("example")
def test_command_says_what_it_does_once_it_has_taken_a_while(capsys, monkeypatch):
    monkeypatch.setattr("scalegroup.__main__._PATIENCE", 0.0)
    assert run("relu") == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 12
    assert lines[0].endswith(" s: fine blobs, pictures of 49×49")
    assert lines[-1].endswith(" s: groups off centre, pictures of 193×193")
    monkeypatch.setattr("scalegroup.__main__._PATIENCE", math.inf)
    assert run("relu") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("example")
def test_command_says_how_to_mend_a_missing_matplotlib(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert run("smaller:net", "--figure", str(tmp_path / "budget.png")) == 2
    assert "pip install matplotlib" in capsys.readouterr().err
    assert run("smaller:net", *ROOT, "--no-budget") == 0  # nothing else needs it


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize(
    "more",
    [
        ["--ratio", "0.5"],
        ["--channels", "3"],
        ["--size", "9"],
        ["--in-channels", "3"],
        ["--output", "nothing"],
        ["--output", "scores", "--weight", "nan"],
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


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("widest", [1.0, 1.5])
def test_objects_have_no_mass_and_blobs_as_fine_as_is_asked(factor, widest):
    """No network passes by its response to a mean. The narrowest is of one to two units at the smaller size."""
    objects = object_images(97, factor, widest=widest)
    mass = objects.sample(257, 257, factor=factor).sum((1, 2, 3))
    single = (2 * math.pi * objects.amplitudes.abs() * (factor * objects.widths) ** 2).amax(1)
    assert (mass.abs() < 1e-6 * single).all()
    unit = widest * max(1.0, 1 / factor)
    assert unit <= objects.widths.min() < objects.widths.max() <= 2 * unit
    reach = objects.centres.abs().amax()
    assert unit < reach <= 4 * unit
    edges = objects.sample(97, 97, factor=factor)[..., 0, :].abs().max()
    assert edges < 1e-3
    heavier = dataclasses.replace(objects, amplitudes=objects.amplitudes.abs())  # the control
    assert (heavier.sample(257, 257, factor=factor).sum((1, 2, 3)) > single).all()


def test_maps_are_measured_on_blobs_of_one_pixel_and_scores_on_wider_ones():
    for module, widest in ((lambda x: x, 1.0), (lambda x: x.amax((2, 3)), 2.0)):
        seen = []
        equivariance_error(lambda x, module=module, seen=seen: seen.append(x) or module(x), G.element(2), size=97)
        assert torch.equal(seen[1], object_images(97, 2.0, widest=widest).sample(97, 97))


def test_equal_outputs_have_no_error_even_where_nothing_responds():
    report = equivariance_error(torch.zeros_like, G.element(2), size=65)
    assert (report.error, report.maximum) == (0.0, 0.0)
    values = iter((0.0, 1.0, 0.0))  # of the background, the images, the scaled images
    report = equivariance_error(lambda x: torch.full((len(x), 1), next(values)), G.element(2), size=65)
    assert math.isinf(report.error)


@pytest.mark.parametrize("grid", ["self-similar", "image"])
@pytest.mark.parametrize("power", [1, 2], ids=["√2", "2"])
def test_report_is_the_median_over_sixteen_images_of_each_channel(power, grid):
    """From the definition. On self-similar grids all samples of the scaled image's channels are samples of the other's.

    Of 65 pixels on an axis √2 sends the centre to a pixel, 2 the middle 33.
    """
    net, factor = maps_net(window=WINDOW, grid=grid).double(), G.factor(power)
    images = object_images(65, factor)
    views = images.sample(65, 65), images.sample(65, 65, factor=factor), torch.zeros(1, 1, 65, 65).double()
    with torch.no_grad():
        fields = [net(view) for view in views]
    errors, largest, means, compared = [], [], [], []
    for n in range(5 - power):
        one, other, blank = (field.channel(n + moved) for field, moved in zip(fields, (0, power, power), strict=True))
        size = other.shape[-1]
        if grid == "self-similar":
            spare = (one.shape[-1] - size) // 2
            before, after = range(spare, spare + size), range(size)
        else:
            before, after = {1: ([32], [32]), 2: (range(16, 49), range(0, 65, 2))}[power]
        compared.append((len(after) ** 2, size**2))
        one, other, blank = (maps[:, :, at][..., at] for maps, at in ((one, before), (other, after), (blank, after)))
        each = (one - other).flatten(1).norm(dim=1) / (other - blank).flatten(1).norm(dim=1)
        errors.append(statistics.median(each.tolist()))
        means.append(each.mean().item())
        largest.append(((one - other).abs().max() / (other - blank).abs().max()).item())

    report = equivariance_error(net, G.element(power), size=65)
    assert report.images == 16
    assert report.errors == pytest.approx(errors, rel=1e-12)
    assert report.error == max(report.errors)
    assert report.maximum == pytest.approx(max(largest), rel=1e-12)
    assert list(report.channels) == [f"σ₀ {sigma:.3g}" for sigma in WINDOW.sigmas[power:]]
    assert report.channels_compared == (5 - power) / 5
    part, whole = map(sum, zip(*compared, strict=True))
    assert report.pixels_compared == pytest.approx(part / whole, rel=1e-12)
    assert (report.pixels_compared == 1) == (grid == "self-similar")
    assert report.errors != pytest.approx(means, rel=1e-3)  # the control: the mean is another number


@pytest.mark.parametrize("power", [-2, -1, 1, 2])
def test_channels_of_networks_agree_to_the_error_of_the_lifting(power):
    """In float64. Of blobs two pixels wide in channels from σ₀ = 1 on it is exp(-(2² + 0.9²)π²/2) = 5e-11 at the most,
    of an amplitude. The control is the paper's literal implementation.
    """
    net, literal = small_net().double(), small_net(grid="image").double()
    for module in (net.scale_logits, lambda images: net.field(images, pooled=False)):
        assert equivariance_error(module, G.element(power)).error <= 1e-9
    assert equivariance_error(literal.scale_logits, G.element(power)).error > 1e-2


@pytest.mark.parametrize("power", [-1, 1])
def test_features_of_a_weight_are_compared_with_their_factor(power):
    net = maps_net(partial(nn.Reweight, fibre=Representation((0, 1, 2)))).double()
    assert equivariance_error(net, G.element(power)).error < 1e-9
    for wrong in ((0, 0, 0), (0, 1, 1)):  # the controls

        def relabelled(images, weights=wrong):
            field = net(images)
            type = dataclasses.replace(field.type, fibre=Representation(weights))
            return ScaleField(field.maps, type, field.window, field.grids)

        assert equivariance_error(relabelled, G.element(power)).error > 0.1


def test_inverse_of_a_scaling_is_measured_alike():
    net = small_net()
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
    with pytest.raises(ScaleGroupError, match="dict"):
        equivariance_error(lambda x: {"scores": x}, G.element(2), size=65)


def test_scale_axis_of_a_plain_tensor_moves_by_the_power():
    net = small_net().double()
    for power in (1, 2):
        plain = equivariance_error(net.scale_logits, G.element(power), size=129)
        typed = equivariance_error(lambda x: net.field(x, pooled=False), G.element(power), size=129)
        assert plain.errors == typed.errors
        assert plain.channels_compared == (5 - power) / 5
    unshifted = equivariance_error(lambda x: net.scale_logits(x).flip(2), G.element(1), size=129)  # the control
    assert unshifted.error > 10 * plain.error


@pytest.mark.parametrize("measure", [equivariance_error, error_budget])
def test_scalings_and_images_of_another_kind_are_refused(measure):
    net = small_net(ScaleWindow(G, 1.0, 2))
    with pytest.raises(ScaleGroupError, match=r"mend: pass group\.element"):
        measure(net, 2.0, size=65)
    with pytest.raises(ScaleGroupError, match="a ContinuousImage"):
        measure(net, G.element(1), torch.rand(1, 1, 65, 65), size=65)
    with pytest.raises(ScaleGroupError, match="a ScaleGroup"):
        check_module(net, 2.0)


def test_canvas_too_small_for_the_factor_is_refused():
    assert object_images(41, 2.0)
    with pytest.raises(ScaleGroupError, match="size=41 or more"):
        object_images(39, 2.0)


# -- the bounds -------------------------------------------------------------------------------------------------------


def test_every_layer_alone_stands_beside_its_bound():
    layers = layers_alone(small_net(grid="image"), G.element(-1))
    assert list(layers) == ["layer 1", "layer 2", "layer 3"]
    for depth, check in enumerate(layers.values()):
        assert check.sigma == pytest.approx(1.25**depth)
        assert check.factor == pytest.approx(2**0.5)
        assert 0 < check.measured <= check.bound == covariance_bound(check.sigma, check.factor, math.pi / 2)
        verdict = check_module(torch_nn.ReLU(), G, powers=[1])
        assert "bound" not in str(verdict)
        said = str(dataclasses.replace(verdict, layers=layers))
        assert str(check) in said
        assert "no bound for the whole network" in said


def test_no_bound_is_given_where_there_is_none():
    for net in (small_net(grid="image", kernel=SampledDerivatives(tail=1e-3)), small_net()):
        assert layers_alone(net, G.element(1)) == {}


# -- the budget -------------------------------------------------------------------------------------------------------


def budget_of(net, power=1, **options):
    return error_budget(net, G.element(power), size=65, **options)


@pytest.mark.parametrize(("grid", "left"), [("self-similar", 1e-12), ("image", 5e-3)])
def test_parts_of_the_budget_add_up_to_the_error_of_the_network(grid, left):
    """On self-similar grids nothing but rounding is left over; on the image's own the aliasing of ReLU at σ₀ = 3."""
    net = small_net(ScaleWindow(G, sigma0=1.0, channels=3), grid=grid).double()
    budget = budget_of(net)
    images = object_images(65, G.ratio, count=4)
    whole = equivariance_error(net, G.element(1), images, size=65)
    assert budget.observed[-1] == pytest.approx(whole.error, rel=1e-6)
    assert len(budget.parts) == 4
    assert budget.sources == (*(s for s in SOURCES if grid == "image" or s != "discretisation"), "left over")
    assert max(row[-1] for row in budget.parts) < left


@pytest.mark.parametrize(
    ("source", "clean", "spoilt"),
    [
        ("rounding", {"dtype": torch.float64}, {"dtype": torch.float32}),
        ("discretisation", {"grid": "image", "sigma0": 2.8}, {"grid": "image", "sigma0": 0.7}),
        ("sampling", {"sigma0": 1.4}, {"sigma0": 0.35}),
        ("image boundary", {"sigma0": 2.8, "size": 129}, {"sigma0": 2.8, "size": 33}),
        ("scale boundary", {"channels": 7}, {"channels": 2}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_budget_blames_the_source_that_was_made_worse(source, clean, spoilt):
    def part(sigma0=1.4, channels=3, size=65, dtype=torch.float64, grid="self-similar"):
        window = ScaleWindow(G, sigma0=sigma0, channels=channels, first=-(channels // 3))
        net = small_net(window, boundary=Reflect(), grid=grid).to(dtype)
        images = object_images(41, G.ratio, count=4)
        budget = error_budget(net, G.element(1), images, size=size)
        return abs(budget.parts[-1 if source == "scale boundary" else -2][budget.sources.index(source)])

    assert part(**spoilt) > 3 * part(**clean)


def across_scale(window, *ends):
    """A block that looks at neighbouring scale channels, within a chain within a residual block."""
    mixed = partial(nn.ScaleConv, out_type=3, group=window.group)

    def block(before):
        return nn.Residual(nn.Sequential(nn.JetConv(before, 3, beta=1.25), nn.ReLU, mixed))

    return maps_net(block, nn.ReLU, partial(nn.JetConv, out_type=2, beta=1.5), *ends, window=window, jets=1).double()


@pytest.mark.parametrize("ends", [(), (nn.ReadOut, nn.ScalePool)], ids=["fields", "scores"])
def test_budget_sees_into_blocks_and_what_the_ends_of_the_window_cost_layers_that_look_across_scale(ends):
    window = ScaleWindow(G, 1.0, 3)
    budget = budget_of(across_scale(window, *ends))
    assert budget.layers == ("layer 1", "layer 2", "layer 3", "pooled" if ends else "output")
    at_the_ends = [row[budget.sources.index("scale boundary")] for row in budget.parts]
    assert at_the_ends[:2] == pytest.approx([0, 0], abs=1e-12)
    assert min(at_the_ends[2:]) > 1e-3
    assert max(row[-1] for row in budget.parts) < 1e-12
    images = object_images(65, G.ratio, count=4)
    whole = equivariance_error(across_scale(window, nn.ReadOut, nn.ScalePool), G.element(1), images, size=65)
    assert not ends or budget.observed[-1] == pytest.approx(whole.error, rel=1e-6)  # channel by channel, or together


def test_budget_leaves_a_mistake_over():
    sys.path.insert(0, str(EXAMPLES))
    try:
        from check_your_module import OneChannelOff
    finally:
        sys.path.pop(0)
    window = OneChannelOff(G, sigma0=1.0, channels=4)
    budget = budget_of(small_net(window))
    assert budget.parts[-1][-1] > 0.2
    assert "look for a mistake" in str(budget)
    assert "look for a mistake" not in str(budget_of(small_net(ScaleWindow(G, 1.0, 4))))


def test_budget_is_printed_and_drawn():
    from matplotlib.figure import Figure

    budget = budget_of(small_net(ScaleWindow(G, sigma0=1.0, channels=2)))
    lines = str(budget).splitlines()
    assert all(source in lines[1] for source in budget.sources)
    assert [line.split("  ")[0] for line in lines[2:]] == ["layer 1", "layer 2", "layer 3", "pooled"]
    axes = Figure().subplots()
    budget.draw(axes)
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {*budget.sources, "observed"}


def maps_net(*ends, window=ScaleWindow(G, 1.0, 3), jets=2, **options):  # noqa: B008
    """2-jet layers and ReLUs, and what comes behind them: nothing, for fields."""
    torch.manual_seed(0)
    layers = [nn.Lift(window, **{"boundary": Background(0.0), **options})]
    for depth in range(jets):
        layers += [nn.ReLU] * bool(depth) + [partial(nn.JetConv, out_type=3, beta=1.25**depth)]
    return nn.Sequential(*layers, *ends).eval()


ENDS = {
    "fields": (),
    "fields behind a ReLU": (nn.ReLU,),
    "dense": (partial(nn.ReadOut, readout=Dense()),),
    "scale scores": (nn.ReadOut,),
    "largest over the plane": (partial(nn.ReadOut, readout=SpatialMax()), nn.ScalePool),
    "maps pooled over scale": (partial(nn.ReadOut, readout=Dense()), nn.ScalePool),
    "maps pooled, then read out": (partial(nn.ReadOut, readout=Dense()), nn.ScalePool, nn.ReadOut),
    "class scores": (nn.ReadOut, nn.ScalePool),
}


@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
def test_parts_add_up_to_the_error_whatever_the_network_ends_in(ends):
    """The error of the output, which is that at the centre pixel where it is maps."""
    net, images = maps_net(*ends).double(), object_images(65, G.ratio, count=4)
    budget = error_budget(net, G.element(1), images, size=65)
    pooled = nn.ScalePool in ends
    assert budget.layers == ("layer 1", "layer 2", "pooled" if pooled else "output")

    def centre(samples):
        field = net.field(samples)
        return field.crop(field.grids.map(lambda grid: grid.around(0.0))).tensor.mean((-2, -1))

    with torch.no_grad():
        views = images.sample(65, 65), images.sample(65, 65, factor=G.ratio), torch.zeros(1, 1, 65, 65).double()
        one, other, blank = map(centre, views)
    if not pooled:
        one, other, blank = one[..., :-1], other[..., 1:], blank[..., 1:]
    each = (one - other).flatten(1).norm(dim=1) / (other - blank).flatten(1).norm(dim=1)
    assert budget.observed[-1] == pytest.approx(statistics.median(each.nan_to_num().tolist()), rel=1e-6, abs=1e-14)
    scale_boundary = [row[budget.sources.index("scale boundary")] for row in budget.parts]
    assert (scale_boundary[-1] != 0) == pooled
    assert scale_boundary[:-1] == [0, 0]


def test_budget_takes_a_background_per_channel_even_sizes_and_no_layers_at_all():
    plain = budget_of(maps_net())
    grey = budget_of(maps_net(channels=2, boundary=Background((0.5, -0.5))))
    assert grey.observed[-1] < 10 * plain.observed[-1]
    even = error_budget(maps_net(grid="image").double(), G.element(1), size=64)
    assert even.observed[-1] > even.parts[-1][-1] > 0
    nothing = budget_of(maps_net(nn.ReLU, jets=0, grid="image"))
    assert nothing.layers == ("output",)
    assert nothing.observed == (0.0,)


@pytest.mark.usefixtures("example")
def test_command_prints_the_budget_of_networks_that_give_fields(capsys):
    assert run("smaller:fields") == 0
    assert "error budget for scaling by 2" in capsys.readouterr().out


def test_budget_needs_a_network_whose_layers_it_can_see():
    with pytest.raises(ScaleGroupError, match="needs to see the layers"):
        error_budget(torch_nn.ReLU(), G.element(1))
    with pytest.raises(ScaleGroupError, match="more scale channels"):
        error_budget(small_net(ScaleWindow(G, 1.0, 1)), G.element(1))
    heads = maps_net(lambda before: nn.Heads(one=nn.ReadOut(before), other=nn.ReadOut(before)))
    with pytest.raises(ScaleGroupError, match="several heads"):
        error_budget(heads, G.element(1))


# -- under pytest -----------------------------------------------------------------------------------------------------


@parametrize_with_checks([small_net(), maps_net(), torch_nn.ReLU()], powers=(1,), size=35)
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
        checks(powers=(2,))[name](module)
    checks(powers=(2,))[name](torch_nn.ReLU())


class _Sideways(nn.JetConv):
    """A layer that depends on more than it says."""

    def reach(self, samples_per_sigma):
        return super().reach(samples_per_sigma) - 1


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (nn.ReLU, "ReLU"),
        (partial(nn.JetConv, out_type=2), "JetConv"),
        (nn.JetConv(FieldType.scalars(3), 2), "JetConv"),
    ],
    ids=["class", "partial", "layer"],
)
def test_layers_are_put_through_their_laws(layer, name):
    cases = parametrize_with_checks([layer], powers=(1,)).args[1]
    assert [case.id for case in cases] == [f"{name}-{title.replace(' ', '_')}" for title in layer_laws(nn.ReLU)]
    for case in cases:
        module, check = case.values
        check(module)


def test_a_layer_that_breaks_a_law_fails_it_by_name():
    cases = {case.id: case.values for case in parametrize_with_checks([partial(_Sideways, out_type=2)]).args[1]}
    module, check = cases["_Sideways-gradients_are_right"]
    with pytest.raises((AssertionError, RuntimeError, ScaleGroupError)):
        check(module)


def test_checks_of_nothing_are_refused():
    with pytest.raises(ScaleGroupError, match="one or more"):
        parametrize_with_checks([])
    with pytest.raises(ScaleGroupError, match="a module or a layer"):
        parametrize_with_checks(["relu"])
