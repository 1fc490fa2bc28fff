"""Everything that the library refuses, in one table: each refusal says got / expected / mend before any computing."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import torch

from scalegroup import (
    Background,
    CentrePixel,
    DiscreteGaussian,
    FieldType,
    GroupElement,
    IntegratedGaussian,
    Iso,
    LogSumExp,
    Max,
    Mean,
    NormalisedSampledGaussian,
    Reflect,
    RegularRepresentation,
    Representation,
    SampledDerivatives,
    SampledGaussian,
    ScaleField,
    ScaleGroup,
    ScaleGroupError,
    ScaleGroupWarning,
    ScaleWindow,
    SpatialMean,
    TopK,
    Zero,
    character,
    direct_sum,
    directional_derivatives,
    functional,
    nn,
    smoothing,
    steer,
    testing,
    trivial,
)
from scalegroup.field_type import ImageType
from scalegroup.grid import Axis, Grid
from scalegroup.models import gaussian_derivative_net, riesz_net, scale_channel_cnn, steerable_hermite
from scalegroup.resample import subsample

G, OTHER = ScaleGroup(2), ScaleGroup(3)
WINDOW, ELSEWHERE = ScaleWindow(G, 1.0, 3), ScaleWindow(OTHER, 1.0, 3)
ONE, TWO = FieldType.scalars(G, 1), FieldType.scalars(G, 2)
READ, POOLED = replace(TWO, over_plane=False), replace(TWO, over_scale=False)
FIELD = functional.lift(torch.zeros(1, 2, 9, 9), WINDOW)
GOOD = torch.rand(1, 2, 25, 25)
COEFFICIENTS, OFFSET = torch.zeros(4, 2, 5), torch.zeros(4)
SCORES = torch.zeros(2, 5, 3)
NOT_FIELDS = [FIELD.tensor, "field", None]
OTHER_FIELDS = [functional.lift(torch.zeros(1, 3, 9, 9), WINDOW), nn.ScalePool(TWO)(FIELD)]
NOT_POSITIVE = [0, -1, math.nan, math.inf, 10**400, "two", None]
NOT_COUNTS = [0, -1, 1.5, True, "two", None]
NOT_INTEGERS = [0.5, 1.0, True, "two", None, math.nan]
NOT_OURS = [3, "two", None]  # no object of this library; where a message can only repeat them:
REPEATED = "^(3|'two'|None)$"
KERNELS = [
    DiscreteGaussian,
    IntegratedGaussian,
    Iso,
    NormalisedSampledGaussian,
    SampledDerivatives,
    SampledGaussian,
]


@dataclass(frozen=True)
class Refusal:
    """`call` takes `good` and refuses each of `bad`, in a message whose part `got` names the culprit."""

    name: str
    call: Callable[[Any], Any]
    good: Any
    bad: list
    said: str


def jet_conv(**changed: Any) -> Any:
    arguments = {"coefficients": COEFFICIENTS, "offset": OFFSET, "sigma": 1.0} | changed
    return functional.jet_conv(torch.zeros(1, 2, 9, 9), **arguments)


def region_of(held: Grid) -> Any:
    """The centre pixel of a 31×31 image, from the samples held."""
    return functional.jet_conv_region(
        torch.zeros(1, 2, *held.shape),
        COEFFICIENTS,
        OFFSET,
        sigma=1.0,
        filters=DiscreteGaussian().filters(1.0),
        boundary=Background(0.0),
        held=held,
        wanted=Grid.whole(31, 31).around(0.5),
    )


def field(**changed: Any) -> ScaleField:
    return ScaleField(**{"tensor": FIELD.tensor, "type": TWO, "window": WINDOW} | changed)


def part(held: Axis) -> ScaleField:
    """A field of a 9×9 image of which only some samples are held."""
    return field(tensor=torch.zeros(1, 2, 3, held.length, held.length), grid=Grid(held, held))


def sequence(layers: list) -> nn.Sequential:
    return nn.Sequential(nn.Lift(WINDOW), *layers)


JET = partial(nn.JetConv, out_type=2)
NEEDS_A_GROUP = {
    "GroupElement": partial(GroupElement, power=1),
    "Representation": partial(Representation, weights=(1,)),
    "trivial": trivial,
    "character": partial(character, weight=1),
    "RegularRepresentation": RegularRepresentation,
    "FieldType.scalars": partial(FieldType.scalars, size=1),
    "ScaleWindow": partial(ScaleWindow, sigma0=1.0, channels=3),
}
NEEDS_A_KERNEL = {
    "JetConv": lambda kernel: nn.JetConv(TWO, 2, kernel=kernel),
    "jet_conv": lambda kernel: jet_conv(kernel=kernel),
    "jet_maps": lambda kernel: functional.jet_maps(torch.zeros(1, 2, 9, 9), sigma=1.0, kernel=kernel),
}
NEEDS_A_BOUNDARY = {
    "JetConv": lambda boundary: nn.JetConv(TWO, 2, boundary=boundary),
    "jet_conv": lambda boundary: jet_conv(boundary=boundary),
    "jet_maps": lambda boundary: functional.jet_maps(torch.zeros(1, 2, 9, 9), sigma=1.0, boundary=boundary),
}

REFUSALS = [
    # groups, representations, windows
    Refusal("ratio", ScaleGroup, 2.0, [1.0, 0.5, *NOT_POSITIVE], "ratio"),
    Refusal("power", G.element, -2, NOT_INTEGERS, "power"),
    Refusal("exponent", lambda n: G.generator**n, -2, NOT_INTEGERS, "exponent"),
    Refusal("index of a subgroup", G.subgroup, 2, NOT_COUNTS, "index"),
    Refusal("factor beyond floats", G.factor, 1000, [2000, -2000, 10**400, -(10**400)], "power"),
    Refusal("factor of a power", G.power_of, 2.0, ["two", None, [2.0]], "factor"),
    Refusal("product", lambda g: G.generator * g, G.generator, [OTHER.generator], "GroupElement"),
    Refusal("inclusion", G.generator.as_element_of, ScaleGroup(2**0.5), [OTHER, ScaleGroup(4)], "scaling by 2"),
    *(
        Refusal(f"group of {name}", make, G, [2.0, trivial(G), *NOT_OURS], "group")
        for name, make in {**NEEDS_A_GROUP, "an inclusion": G.generator.as_element_of}.items()
    ),
    Refusal("weights", partial(Representation, G), (1, -2), [(), (0.5,), ("w",), (None,), (True,), 5], "weight"),
    Refusal("character", partial(character, G), -1, NOT_INTEGERS, "weight"),
    Refusal("dimension", partial(trivial, G), 2, NOT_COUNTS, "dimension"),
    Refusal(
        "sum of many", direct_sum, [trivial(G)], [[], [3, 4], [trivial(G), trivial(OTHER)]], "summand|epresentation"
    ),
    *(
        Refusal(name, combine, trivial(G), [trivial(OTHER), *NOT_OURS], f"Representation|{REPEATED}")
        for name, combine in {
            "direct sum": lambda rho: trivial(G) + rho,
            "tensor product": lambda rho: trivial(G) @ rho,
            "intertwiners": trivial(G).intertwiners,
        }.items()
    ),
    *(
        Refusal(name, act, G.generator, [OTHER.generator, *NOT_OURS], f"GroupElement|{REPEATED}")
        for name, act in {
            "exponents": trivial(G).exponents,
            "matrix": trivial(G).matrix,
            "action on labels": lambda g: RegularRepresentation(G).act(g, [0]),
            "action on windows": WINDOW.transform,
            "action on fields": FIELD.transform,
        }.items()
    ),
    Refusal("sigma0", lambda sigma0: ScaleWindow(G, sigma0, 3), 0.5, NOT_POSITIVE, "sigma0"),
    Refusal("channels", lambda channels: ScaleWindow(G, 1.0, channels), 1, NOT_COUNTS, "channels"),
    Refusal("label", lambda first: ScaleWindow(G, 1.0, 3, first), -2, NOT_INTEGERS, "first"),
    Refusal("σ₀ beyond floats", lambda first: ScaleWindow(G, 1.0, 3, first).sigmas, -1000, [5000, -5000], "power"),
    Refusal("part of a window", lambda stop: WINDOW.select(1, stop), 2, [1, 0], "channels"),
    *(
        Refusal(
            name, compare, ScaleWindow(G, 4.0, 2), [ELSEWHERE, ScaleWindow(G, 1.1, 3), *NOT_OURS], f"indow|{REPEATED}"
        )
        for name, compare in {
            "overlap": WINDOW.overlap,
            "positions": WINDOW.positions_of,
            "restriction": FIELD.restrict,
        }.items()
    ),
    # types and fields
    Refusal("features", partial(FieldType.scalars, G), 2, NOT_COUNTS, "size"),
    Refusal("fibre", FieldType, trivial(G), [G, *NOT_OURS], "fibre"),
    Refusal("image type", ImageType, 3, NOT_COUNTS, "channels"),
    Refusal(
        "shape of a field",
        lambda shape: field(tensor=torch.zeros(shape)),
        (1, 2, 3, 9, 9),
        [(1, 2, 3, 9), (2, 9, 9), (1, 2, 3, 9, 9, 9), (1, 3, 3, 9, 9), (1, 2, 2, 9, 9)],
        "tensor",
    ),
    *(
        Refusal(f"{name} of a field", lambda value, name=name: field(**{name: value}), good, bad, said)
        for name, good, bad, said in [
            ("tensor", FIELD.tensor, [FIELD.tensor.long(), FIELD.tensor.bool(), FIELD.tensor.numpy(), None], "tensor"),
            ("type", TWO, [ImageType(2), FieldType.scalars(OTHER, 2), *NOT_OURS], "type|ScaleWindow"),
            ("window", WINDOW, [ELSEWHERE, *NOT_OURS], f"ScaleWindow|{REPEATED}"),
            ("spacing", -1, NOT_INTEGERS, "spacing"),
            ("exponents", (1, -2), [(1,), (1, 2, 3), (0.5, 1), ("two", 1), 3], "exponent"),
            ("defined", (True, False, True), [(True,), (True,) * 4, True], "defined"),
            ("background", torch.zeros(2, 3), [torch.zeros(2), torch.zeros(3, 2), 0.5, "two"], "background"),
            ("grid", Grid.whole(9, 9), [Grid.whole(5, 5), Grid.whole(9, 8), (9, 9)], "grid"),
        ]
    ),
    Refusal("late restriction", lambda f: f.restrict(WINDOW), FIELD, [nn.ScalePool(TWO)(FIELD)], "over the plane"),
    Refusal("resampling", FIELD.resample, 1, [60, -60, 5000, *NOT_INTEGERS], "spacing|resampling|power"),
    Refusal("resampled part", lambda held: part(held).resample(1), Axis(9, 0, 9), [Axis(9, 2, 7)], r"holds \(5, 5\)"),
    Refusal(
        "subsampled size",
        lambda shape: subsample(torch.zeros(shape), 2),
        (5, 7),
        [(4, 4), (4, 5), (5, 4), (3,), ()],
        "shape",
    ),
    Refusal("subsampling", partial(subsample, torch.zeros(5, 5)), 2, NOT_COUNTS, "factor"),
    # functions
    *(
        Refusal(
            f"jets of {name}", lambda shape, f=f: f(torch.zeros(shape), 0.5), (2, 5), [(4,), (6,), (5, 1), ()], "jets"
        )
        for name, f in {"steer": steer, "directional_derivatives": directional_derivatives}.items()
    ),
    Refusal(
        "value of a background",
        Background,
        torch.zeros(2),
        [math.nan, math.inf, 1j, "two", None, torch.zeros(1, 2), torch.tensor([0.0, math.nan])],
        "background",
    ),
    Refusal(
        "background",
        lambda value: functional.lift(torch.zeros(1, 2, 9, 9), WINDOW, background=value),
        torch.zeros(2),
        [torch.zeros(3), torch.zeros(2, 1), torch.zeros(0)],
        "background",
    ),
    Refusal(
        "background of a layer",
        lambda value: jet_conv(boundary=Background(value)),
        torch.zeros(2),
        [torch.zeros(3), torch.zeros(1, 2)],
        "background",
    ),
    Refusal(
        "window of lift",
        lambda window: functional.lift(torch.zeros(1, 2, 9, 9), window),
        WINDOW,
        [G, *NOT_OURS],
        "window",
    ),
    Refusal(
        "lifting spacing",
        lambda spacing: functional.lift(torch.zeros(1, 2, 9, 9), WINDOW, spacing=spacing),
        1,
        NOT_INTEGERS,
        "spacing",
    ),
    Refusal(
        "coefficients",
        lambda shape: jet_conv(coefficients=torch.zeros(shape)),
        (4, 2, 5),
        [(4, 2, 6), (4, 3, 5), (4, 5), (4, 2, 5, 1), (0, 2, 5), ()],
        "coefficients",
    ),
    *(
        Refusal(
            f"{name} as they are",
            lambda value, name=name: jet_conv(**{name: value}),
            good,
            [good.double(), good.half(), good.long(), good.numpy(), good.tolist(), None],
            name,
        )
        for name, good in {"coefficients": COEFFICIENTS, "offset": OFFSET}.items()
    ),
    Refusal("offset", lambda shape: jet_conv(offset=torch.zeros(shape)), (4,), [(3,), (4, 1), (), (1,)], "offset"),
    Refusal("sigma", lambda sigma: jet_conv(sigma=sigma), 0.5, NOT_POSITIVE, "sigma"),
    Refusal("sigma of Iso", lambda sigma: jet_conv(sigma=sigma, kernel=Iso()), 0.8, [0.79, 0.5], "σ"),
    Refusal("region", region_of, Grid.whole(31, 31), [Grid.whole(31, 31).around(3)], "region"),
    *(
        Refusal(f"kernel of {name}", make, Iso(), ["T", 3, DiscreteGaussian], "kernel")
        for name, make in NEEDS_A_KERNEL.items()
    ),
    *(
        Refusal(f"boundary of {name}", make, Zero(), ["reflect", 3, Reflect], "boundary")
        for name, make in NEEDS_A_BOUNDARY.items()
    ),
    Refusal(
        "shape of scores",
        lambda shape: functional.select_scale(torch.zeros(shape), WINDOW),
        (2, 5, 3),
        [(2, 5, 4), (2, 3), (3,), (2, 3, 5)],
        "scores",
    ),
    Refusal(
        "scores",
        lambda scores: functional.select_scale(scores, WINDOW),
        SCORES,
        [SCORES.long(), SCORES.numpy(), "two", None],
        "scores",
    ),
    Refusal("window of scores", partial(functional.select_scale, SCORES), WINDOW, NOT_OURS, "window"),
    Refusal(
        "classes",
        lambda classes: functional.select_scale(SCORES, WINDOW, classes=classes),
        torch.tensor([4, 0]),
        [torch.zeros(2), torch.tensor([True, False]), torch.tensor([1]), torch.tensor([[1, 2]]), 1, "two"],
        "classes",
    ),
    *(
        Refusal(f"tail of {k.__name__}", lambda tail, k=k: k(tail=tail), 1e-6, [1, *NOT_POSITIVE], "tail")
        for k in KERNELS
    ),
    *(Refusal(f"sigma of {k.__name__}", k().filters, 0.9, NOT_POSITIVE, "sigma") for k in KERNELS),
    Refusal("temperature", LogSumExp, 0.5, NOT_POSITIVE, "temperature"),
    Refusal("k", TopK, 2, NOT_COUNTS, r"\bk\b"),
    Refusal("top k", lambda k: nn.ScalePool(TWO, TopK(k))(FIELD), 3, [4], "3 scale channels"),
    *(
        Refusal(
            f"nothing for {type(layer).__name__}",
            lambda window, layer=layer: layer(FIELD.restrict(window)),
            WINDOW.transform(G.element(-2)),
            [WINDOW.transform(G.element(5))],
            "without a defined scale channel",
        )
        for layer in (nn.ScalePool(TWO), nn.BatchNorm(TWO))
    ),
    Refusal("frequency", testing.discretisation_constants, math.pi, [3.2, *NOT_POSITIVE], "max_frequency"),
    Refusal("factor", lambda factor: testing.covariance_bound(2.0, factor, 1.0), 2.0, NOT_POSITIVE, "factor"),
    Refusal("sigma of a bound", lambda s: testing.covariance_bound(s, 2.0, 1.0), 2.0, NOT_POSITIVE, "sigma"),
    Refusal("sigma of a check", partial(testing.covariance_check, images=1), 1.0, NOT_POSITIVE, "sigma"),
    # layers
    Refusal("window of Lift", nn.Lift, WINDOW, [G, *NOT_OURS], "window"),
    Refusal("image channels of Lift", partial(nn.Lift, WINDOW), 3, NOT_COUNTS, "channels"),
    Refusal("spacing of Lift", lambda spacing: nn.Lift(WINDOW, spacing=spacing), -1, NOT_INTEGERS, "spacing"),
    Refusal(
        "background of Lift",
        lambda value: nn.Lift(WINDOW, 2, background=value),
        torch.zeros(2),
        [torch.zeros(3), torch.zeros(1, 2), math.nan, "two"],
        "background",
    ),
    Refusal(
        "margin of Lift",
        lambda margin: nn.Lift(WINDOW, background=0.0, margin=margin),
        3,
        [-1, *NOT_INTEGERS],
        "margin",
    ),
    Refusal("margin of nothing known", lambda margin: nn.Lift(WINDOW, margin=margin), 0, [1], "margin"),
    Refusal("function", partial(nn.Pointwise, TWO), torch.square, NOT_OURS, "function"),
    Refusal("pooling", partial(nn.ScalePool, TWO), Mean(), ["max", Max, *NOT_OURS], "pooling"),
    Refusal("read-out", partial(nn.ReadOut, TWO), SpatialMean(), ["centre", CentrePixel, *NOT_OURS], "readout"),
    Refusal("beta", lambda beta: nn.JetConv(TWO, 4, beta=beta), 1.25, NOT_POSITIVE, "beta"),
    Refusal("features out", partial(nn.JetConv, TWO), 4, [0, -1, True, 1.5, "two", None, READ], "size|out_type"),
    Refusal("group out", partial(nn.JetConv, TWO), TWO, [FieldType.scalars(OTHER, 2)], "FieldType"),
    *(
        Refusal(f"type of {name}", make, TWO, [READ, POOLED, FieldType(character(G, 1)), ImageType(2), None], "type")
        for name, make in {"JetConv": JET, "BatchNorm": nn.BatchNorm, "ReLU": nn.ReLU}.items()
    ),
    Refusal("type of a read-out", nn.ReadOut, POOLED, [READ, FieldType(character(G, 1)), ImageType(2)], "read-out"),
    Refusal("type of pooling", nn.ScalePool, READ, [POOLED, FieldType(character(G, 1)), ImageType(2)], "pooling"),
    Refusal(
        "half width", lambda c: nn.BatchNorm(TWO, half_width=c), math.inf, [0, -1, math.nan, "two", None], "half_width"
    ),
    Refusal("eps", lambda eps: nn.BatchNorm(TWO, eps=eps), 1e-3, NOT_POSITIVE, "eps"),
    Refusal("momentum", lambda momentum: nn.BatchNorm(TWO, momentum=momentum), 0.5, [2.0, *NOT_POSITIVE], "momentum"),
    *(
        Refusal(f"input of {type(layer).__name__}", layer, FIELD, [*NOT_FIELDS, *OTHER_FIELDS], "input")
        for layer in (JET(TWO), nn.BatchNorm(TWO), nn.ReLU(TWO), nn.ReadOut(TWO), nn.ScalePool(TWO))
    ),
    # networks
    Refusal("first layer", lambda first: nn.Sequential(*first), [nn.Lift(WINDOW)], [[], [nn.ReLU(ONE)], [3]], "first"),
    Refusal(
        "layer",
        sequence,
        [nn.ReLU],
        [[torch.nn.ReLU()], [torch.nn.ReLU], [torch.relu], [nn.JetConv], [nn.Pointwise], [nn.Layer], [3], ["relu"]],
        "layer 2",
    ),
    Refusal(
        "composition",
        sequence,
        [JET, nn.BatchNorm(TWO), nn.ReLU, JET, nn.ReadOut, nn.ScalePool],
        [
            [nn.ReLU(TWO)],
            [JET, nn.BatchNorm(ONE)],
            [nn.JetConv(FieldType.scalars(OTHER, 1), 2)],
            [nn.Lift(WINDOW)],
            [JET, nn.ReadOut, nn.ReLU(TWO)],
        ],
        r"\(layer \d\) giving",
    ),
    Refusal(
        "order of projections",
        sequence,
        [JET, nn.ScalePool, nn.ReadOut],
        [[JET, nn.ReadOut, JET], [nn.ScalePool, nn.ReLU], [nn.ReadOut, nn.ReadOut], [nn.ScalePool, nn.ScalePool]],
        "type|read-out|pooling",
    ),
    Refusal(
        "min_grid_sigma",
        lambda s: nn.Sequential(nn.Lift(WINDOW), min_grid_sigma=s),
        1.0,
        [0, -1, math.nan, "two"],
        "min_grid",
    ),
    Refusal(
        "Iso in a network",
        lambda sigma0: gaussian_derivative_net(widths=(2,), window=ScaleWindow(G, sigma0, 1), kernel=Iso())(
            GOOD[:, :1]
        ),
        0.8,
        [0.7],
        "σ = 0.7",
    ),
    Refusal(
        "k in a network",
        lambda k: gaussian_derivative_net(widths=(2,), window=ScaleWindow(G, 1.0, 2), pooling=TopK(k))(GOOD[:, :1]),
        2,
        [3, 9],
        "2 scale channels",
    ),
    Refusal("size of a plan", sequence([]).plan, (25, 25), [(0, 5), (5, -1), (1.5, 5), (5, "two")], "size"),
    Refusal("preset", gaussian_derivative_net, "larger", ["huge", "", 3, None, ["larger"]], "preset"),
    Refusal(
        "window and sigma0",
        lambda sigma0: gaussian_derivative_net(window=WINDOW, sigma0=sigma0),
        None,
        [1.0],
        "both window and sigma0",
    ),
    *(
        Refusal(
            f"{name} of a network", lambda value, name=name: gaussian_derivative_net(**{name: value}), good, bad, said
        )
        for name, good, bad, said in [
            ("window", WINDOW, [G, *NOT_OURS[:-1]], "window"),
            ("sigma0", 1.5, NOT_POSITIVE[:-1], "sigma0"),
            ("r", 1.0, NOT_POSITIVE, r"\br\b"),
            ("widths", (3, 4), [(3, 0), (1.5,), (-1, 2), ("two",), 5], "width"),
            ("num_classes", 1, NOT_COUNTS, "num_classes"),
            ("in_channels", 3, NOT_COUNTS, "channels"),
            ("kernel", Iso(), ["T", 3, DiscreteGaussian], "kernel"),
            ("activation", torch.square, NOT_OURS, "function"),
            ("boundary", Zero(), ["zero", 3, Zero], "boundary"),
            ("boundary", Background(torch.zeros(1)), [Background(torch.zeros(2))], "background"),
            ("pooling", Mean(), ["max", 3, Max], "pooling"),
            ("readout", SpatialMean(), ["centre", 3, CentrePixel], "readout"),
            ("min_grid_sigma", None, NOT_POSITIVE[:-1], "min_grid_sigma"),
        ]
    ),
    *(
        Refusal(f"{name} of {build.__name__}", lambda value, b=build, n=name: b(**{n: value}), good, bad, said)
        for build in (riesz_net, scale_channel_cnn, steerable_hermite)
        for name, good, bad, said in [
            ("widths", (3, 4), [(3, 0), (1.5,), (-1, 2), ("two",), 5], "width"),
            ("num_classes", 1, NOT_COUNTS, "num_classes"),
            ("in_channels", 3, NOT_COUNTS, "channels"),
        ]
    ),
    *(
        Refusal(f"{name} of a baseline", lambda value, b=build, n=name: b(**{n: value}), good, bad, said)
        for build, name, good, bad, said in [
            (scale_channel_cnn, "kernel_size", 3, [4, *NOT_COUNTS], "kernel_size"),
            (
                scale_channel_cnn,
                "scale_factors",
                (0.5, 1),
                [(), (1.0, 0.0), ("two",), (math.nan,), 2.0],
                "scale.factor",
            ),
            (scale_channel_cnn, "pooling", Mean(), ["max", 3, Max, None], "pooling"),
            (scale_channel_cnn, "pooling", TopK(17), [TopK(18)], "17 scale channels"),
            (scale_channel_cnn, "view", 9, NOT_COUNTS, "view"),
            (scale_channel_cnn, "background", -0.75, [math.nan, math.inf, "two", None], "background"),
            (steerable_hermite, "window", WINDOW, [G, *NOT_OURS], "window"),
            (steerable_hermite, "kernel_size", 9, [8, *NOT_COUNTS], "kernel_size"),
            (steerable_hermite, "scale_size", 5, [6, *NOT_COUNTS], "scale_size"),
        ]
    ),
]


def cases() -> list:
    return [
        pytest.param(refusal, bad, id=f"{refusal.name}: {bad if isinstance(bad, float | str | tuple) else number}")
        for refusal in REFUSALS
        for number, bad in enumerate(refusal.bad)
    ]


@pytest.fixture
def no_computing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every layer and every filter convolves or smooths: whoever does so here has begun to compute."""

    def computes(*_: Any, **__: Any) -> None:
        pytest.fail("it began to compute")

    monkeypatch.setattr(torch.nn.functional, "conv2d", computes)
    for method in (smoothing.Banded, smoothing.Depthwise):
        monkeypatch.setattr(method, "__call__", computes)


def assert_refused(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(ScaleGroupError) as caught:
        call()
    error = caught.value
    assert isinstance(error, ValueError)
    assert re.search(said, error.got)
    assert error.expected
    assert error.mend
    assert str(error) == f"got {error.got}; expected {error.expected}; mend: {error.mend}"


@pytest.mark.usefixtures("no_computing")
@pytest.mark.parametrize(("refusal", "bad"), cases())
def test_bad_input_is_refused_before_any_computing(refusal: Refusal, bad: Any) -> None:
    assert_refused(lambda: refusal.call(bad), refusal.said)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
def test_its_good_neighbour_is_accepted(refusal: Refusal) -> None:
    refusal.call(refusal.good)


def test_what_is_accepted_or_refused_in_another_way_is_found() -> None:
    for call in (lambda: None, lambda: ScaleGroup(2)):
        with pytest.raises(pytest.fail.Exception):
            assert_refused(call, "")
    with pytest.raises(ValueError, match="invalid literal"):
        assert_refused(lambda: int("two"), "")
    with pytest.raises(AssertionError):
        assert_refused(lambda: ScaleGroup(0), "sigma")


# -- images -----------------------------------------------------------------------------------------------------------

SMALL = ScaleWindow(G, 1.0, 1)
NET = gaussian_derivative_net(widths=(3,), num_classes=4, window=SMALL, in_channels=2)
STRIDED = gaussian_derivative_net(widths=(3,), window=ScaleWindow(G, 2.0, 1), in_channels=2, min_grid_sigma=1.0)
KNOWN = gaussian_derivative_net(widths=(3,), window=SMALL, in_channels=2, boundary=Background(0.5))

TAKE_IMAGES: dict[str, Callable] = {
    "functional.lift": lambda images: functional.lift(images, WINDOW),
    "functional.jet_maps": lambda images: functional.jet_maps(images, sigma=1.0),
    "functional.jet_conv": lambda images: functional.jet_conv(images, COEFFICIENTS, OFFSET, sigma=1.0),
    "nn.Lift": nn.Lift(WINDOW, 2),
    "network": NET,
    "network on strides": STRIDED,
    "network with a background": KNOWN,
    "dense": NET.dense,
    "scale_logits": NET.scale_logits,
    "select_scale": NET.select_scale,
    "riesz_net": riesz_net((3,), in_channels=2),
    "scale_channel_cnn": scale_channel_cnn((3,), in_channels=2),
    "steerable_hermite": steerable_hermite((3,), in_channels=2),
}
BAD_IMAGES = {
    "no tensor": (GOOD.numpy(), "type ndarray"),
    "a list": (GOOD.tolist(), "type list"),
    "one image": (GOOD[0], r"shape \[2, 25, 25\]"),
    "one map": (GOOD[0, 0], r"shape \[25, 25\]"),
    "five axes": (GOOD[None], r"shape \[1, 1, 2, 25, 25\]"),
    "integers": ((255 * GOOD).byte(), "uint8"),
    "booleans": (GOOD > 0.5, "bool"),
    "complex numbers": (GOOD.to(torch.complex64), "complex64"),
    "no image": (GOOD[:0], r"\[0, 2, 25, 25\]"),
    "no rows": (GOOD[:, :, :0], r"\[1, 2, 0, 25\]"),
    "no columns": (GOOD[..., :0], r"\[1, 2, 25, 0\]"),
    "no channels": (GOOD[:, :0], r"\[1, 0, 25, 25\]"),
    "NaN": (GOOD.where(GOOD > 0.01, math.nan), "NaN or infinity"),
    "infinity": (GOOD.where(GOOD > 0.01, -math.inf), "NaN or infinity"),
}
COUNTS_CHANNELS = [name for name in TAKE_IMAGES if name not in ("functional.lift", "functional.jet_maps")]


@pytest.mark.usefixtures("no_computing")
@pytest.mark.parametrize("call", TAKE_IMAGES.values(), ids=TAKE_IMAGES)
@pytest.mark.parametrize(("images", "said"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_images_are_refused_before_any_computing(call: Callable, images: Any, said: str) -> None:
    assert_refused(lambda: call(images), said)


@pytest.mark.usefixtures("no_computing")
@pytest.mark.parametrize("name", COUNTS_CHANNELS)
@pytest.mark.parametrize("channels", [1, 3])
def test_wrong_channel_counts_are_refused_before_any_computing(name: str, channels: int) -> None:
    said = "coefficients" if name == "functional.jet_conv" else f"{channels} channels"
    assert_refused(lambda: TAKE_IMAGES[name](torch.rand(1, channels, 25, 25)), said)


@pytest.mark.usefixtures("no_computing")
@pytest.mark.parametrize("name", [name for name in COUNTS_CHANNELS if name != "nn.Lift"])  # it has no dtype
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16], ids=str)
def test_images_of_another_dtype_than_the_weights_are_refused_before_any_computing(
    name: str, dtype: torch.dtype
) -> None:
    assert_refused(lambda: TAKE_IMAGES[name](GOOD.to(dtype)), f"images of {dtype}")


@pytest.mark.parametrize("call", TAKE_IMAGES.values(), ids=TAKE_IMAGES)
def test_good_images_are_accepted(call: Callable) -> None:
    call(GOOD)


@pytest.mark.usefixtures("no_computing")
def test_computing_is_noticed() -> None:
    for name in set(TAKE_IMAGES) - {"functional.lift", "nn.Lift"}:  # lifting alone computes nothing
        with pytest.raises(pytest.fail.Exception, match="began to compute"):
            TAKE_IMAGES[name](GOOD)


# -- small images -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (9, 9), (17, 33), (33, 17)], ids=str)
@pytest.mark.parametrize("spacing", [0, 1])
def test_images_too_small_for_their_coarsest_channels_warn_and_name_exactly_these(
    size: tuple[int, int], spacing: int
) -> None:
    kernel = DiscreteGaussian(tail=1e-3)
    window = ScaleWindow(G, 1.0, 4)
    net = nn.Sequential(nn.Lift(window, spacing=spacing), partial(nn.JetConv, out_type=2, kernel=kernel), nn.ReadOut)
    leaving = [
        f"{sigma:g}" for sigma in window.sigmas if 2 * kernel.filters(sigma / G.factor(spacing)).radius + 1 > min(size)
    ]
    assert leaving  # the control is below: images that are large enough
    with pytest.warns(ScaleGroupWarning) as caught:
        field = net(torch.rand(1, 1, *size))
    (message,) = (str(warning.message) for warning in caught)
    named = re.search(r"σ₀ = ([^:]+):", message)
    assert named
    assert named[1].split(", ") == leaving
    assert f"{size[0]}×{size[1]}" in message
    assert field.tensor.isfinite().all()


def test_images_large_enough_do_not_warn() -> None:
    kernel = DiscreteGaussian(tail=1e-3)
    net = nn.Sequential(nn.Lift(ScaleWindow(G, 1.0, 4)), partial(nn.JetConv, out_type=2, kernel=kernel), nn.ReadOut)
    enough = 2 * kernel.filters(8.0).radius + 1
    net(torch.rand(1, 1, enough, enough))  # warnings are errors here
    with pytest.warns(ScaleGroupWarning, match="σ₀ = 8:"):
        net(torch.rand(1, 1, enough, enough - 1))
