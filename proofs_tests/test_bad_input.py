"""Everything that the library refuses, in one table: each refusal says got / expected / mend before any computing."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import torch

from benchmarks.baselines import riesz_net, scale_channel_cnn, steerable_hermite
from scalegroup import (
    Attention,
    Background,
    BandLimited,
    CentrePixel,
    Dense,
    DiscreteGaussian,
    FieldType,
    Grid,
    GroupElement,
    ImageGrid,
    ImageType,
    IntegratedGaussian,
    Iso,
    Jet,
    LogSumExp,
    Max,
    Mean,
    NormalisedSampledGaussian,
    Reflect,
    Representation,
    RotationGroup,
    SampledDerivatives,
    SampledGaussian,
    SampledLifting,
    ScaleField,
    ScaleGroup,
    ScaleGroupError,
    ScaleWindow,
    SelfSimilar,
    SpatialMean,
    TopK,
    Zero,
    character,
    directional_derivatives,
    functional,
    nn,
    steer,
    steer_affine,
    testing,
    trivial,
)
from scalegroup.models import gaussian_derivative_net

G, OTHER = ScaleGroup(2), ScaleGroup(3)
WINDOW, ELSEWHERE = ScaleWindow(G, 1.0, 3), ScaleWindow(OTHER, 1.0, 3)
ONE, TWO = FieldType.scalars(1), FieldType.scalars(2)
READ, POOLED = replace(TWO, over_plane=False), replace(TWO, over_scale=False)
IMAGES = torch.zeros(1, 2, 9, 9)
PIXELS = ImageGrid()
FIELD = functional.lift(torch.zeros(1, 2, 41, 41), WINDOW, sampling=PIXELS)
CANVAS = SelfSimilar(1.0).canvas((9, 9), WINDOW.sigmas)
GOOD = torch.rand(1, 2, 25, 25)
COEFFICIENTS, OFFSET = torch.zeros(4, 2, 5), torch.zeros(4)
SCORES = torch.zeros(2, 5, 3)
NOT_FIELDS = [FIELD.tensor, "field", None]
OTHER_FIELDS = [functional.lift(torch.zeros(1, 3, 41, 41), WINDOW, sampling=PIXELS), nn.ScalePool(TWO)(FIELD)]
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


def setting(layer: Callable[[], Any], name: str) -> Callable[[Any], None]:
    """Sets that of a layer which was made before."""
    return lambda value: setattr(layer(), name, value)


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
    return functional.jet_conv(IMAGES, **arguments)


def field(**changed: Any) -> ScaleField:
    return ScaleField(**{"maps": FIELD.maps, "type": TWO, "window": WINDOW, "grids": FIELD.grids} | changed)


def lift(**changed: Any) -> ScaleField:
    return functional.lift(**{"images": IMAGES, "window": WINDOW, "sampling": SelfSimilar(1.0)} | changed)


def sequence(layers: list) -> nn.Sequential:
    return nn.Sequential(nn.Lift(WINDOW), *layers)


def wider(grid: Grid) -> Grid:
    return grid.dilated(2)


def strided(images: Any) -> Any:
    return nn.Sequential(nn.Lift(WINDOW, 2, grid="image"), nn.Subsample)(images)


JET, SCALES = partial(nn.JetConv, out_type=2), partial(nn.ScaleConv, out_type=2, group=G)
C4 = RotationGroup(4)
SMOOTHED = FieldType.scalars(2, smoothed=0.8)
SMALL = ScaleWindow(G, 1.0, 1)
NET = gaussian_derivative_net(widths=(3,), num_classes=4, window=SMALL, in_channels=2)
ON_PIXELS = gaussian_derivative_net(widths=(3,), window=SMALL, in_channels=2, grid="image")
KNOWN = gaussian_derivative_net(widths=(3,), window=SMALL, in_channels=2, boundary=Background(0.5))
NEEDS_A_GROUP = {
    "GroupElement": partial(GroupElement, power=1),
    "ScaleWindow": partial(ScaleWindow, sigma0=1.0, channels=3),
    "an inclusion": G.generator.as_element_of,
}
NEEDS_A_KERNEL = {
    "JetConv": lambda kernel: nn.JetConv(TWO, 2, kernel=kernel),
    "jet_conv": lambda kernel: jet_conv(kernel=kernel),
    "jet_maps": lambda kernel: functional.jet_maps(IMAGES, sigma=1.0, kernel=kernel),
}
NEEDS_A_BOUNDARY = {
    "Lift": lambda boundary: nn.Lift(WINDOW, boundary=boundary),
    "lift": lambda boundary: lift(boundary=boundary),
    "jet_conv": lambda boundary: jet_conv(boundary=boundary),
    "jet_maps": lambda boundary: functional.jet_maps(IMAGES, sigma=1.0, boundary=boundary),
}

REFUSALS = [
    # groups, representations, windows
    Refusal("ratio", ScaleGroup, 2.0, [1.0, 0.5, *NOT_POSITIVE], "ratio"),
    Refusal("power", G.element, -2, NOT_INTEGERS, "power"),
    Refusal("exponent", lambda n: G.generator**n, -2, NOT_INTEGERS, "exponent"),
    Refusal("factor beyond floats", G.factor, 1000, [2000, -2000, 10**400, -(10**400)], "power"),
    Refusal("factor of a power", G.power_of, 2.0, ["two", None, [2.0]], "factor"),
    Refusal("product", lambda g: G.generator * g, G.generator, [OTHER.generator], "GroupElement"),
    Refusal("inclusion", G.generator.as_element_of, ScaleGroup(2**0.5), [OTHER, ScaleGroup(4)], "scaling by 2"),
    *(
        Refusal(f"group of {name}", make, G, [2.0, trivial(), *NOT_OURS], "group")
        for name, make in NEEDS_A_GROUP.items()
    ),
    Refusal("weights", Representation, (1, -2), [(), (0.5,), ("w",), (None,), (True,), 5], "weight"),
    Refusal("character", character, -1, NOT_INTEGERS, "weight"),
    Refusal("dimension", trivial, 2, NOT_COUNTS, "dimension"),
    Refusal("intertwiners", trivial().intertwiners, trivial(), NOT_OURS, "other"),
    *(
        Refusal(name, act, G.generator, [trivial(), *NOT_OURS], "element")
        for name, act in {"exponents": trivial().exponents, "matrix": trivial().matrix}.items()
    ),
    *(
        Refusal(name, act, G.generator, [OTHER.generator, *NOT_OURS], f"GroupElement|{REPEATED}")
        for name, act in {"action on windows": WINDOW.transform, "action on fields": FIELD.transform}.items()
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
            "restriction": FIELD.restrict,
        }.items()
    ),
    Refusal(
        "restriction to nothing", FIELD.restrict, WINDOW.transform(G.element(2)), [WINDOW.transform(G.element(3))], "4"
    ),
    # types and fields
    Refusal("features", FieldType.scalars, 2, NOT_COUNTS, "size"),
    Refusal("fibre", FieldType, trivial(), [G, *NOT_OURS], "fibre"),
    Refusal("smoothed", lambda smoothed: FieldType(trivial(), smoothed=smoothed), 0.8, ["two", None], "smoothed"),
    Refusal("rotating", FieldType.rotating, C4.regular, [C4, *NOT_OURS], "rotation"),
    Refusal(
        "rotations", lambda rho: FieldType(trivial(4), rotation=rho), C4.regular, [2 * C4.regular, 3], "rotation|field"
    ),
    Refusal("image type", ImageType, 3, NOT_COUNTS, "channels"),
    Refusal(
        "tensor of a field",
        lambda tensor: ScaleField.of(tensor, TWO, WINDOW),
        torch.zeros(1, 2, 3, 9, 9),
        [
            *(
                torch.zeros(shape)
                for shape in ((1, 2, 3, 9), (2, 9, 9), (1, 2, 3, 9, 9, 9), (1, 3, 3, 9, 9), (1, 2, 2, 9, 9))
            ),
            *(torch.zeros(shape) for shape in ((0, 2, 3, 9, 9), (1, 2, 3, 0, 9))),
            *(torch.zeros(1, 2, 3, 9, 9).long(), None, "two"),
        ],
        "tensor|maps",
    ),
    *(
        Refusal(f"{name} of a field", lambda value, name=name: field(**{name: value}), good, bad, said)
        for name, good, bad, said in [
            (
                "maps",
                FIELD.maps,
                [
                    *(FIELD.maps[:2], FIELD.maps + FIELD.maps[:1], list(FIELD.maps), FIELD.maps[0], (), None),
                    tuple(maps.long() for maps in FIELD.maps),
                    tuple(maps.numpy() for maps in FIELD.maps),
                    tuple(maps[0] for maps in FIELD.maps),
                    tuple(maps[:0] for maps in FIELD.maps),
                    tuple(maps[..., :-1] for maps in FIELD.maps),
                    tuple(maps[:, :1] for maps in FIELD.maps),
                    tuple(FIELD.maps[0].expand(n, -1, -1, -1) for n in (1, 1, 4)),
                    (torch.cat(FIELD.maps),),  # as if its channels shared a grid
                ],
                "maps",
            ),
            ("type", TWO, [ImageType(2), FieldType.scalars(3), POOLED, *NOT_OURS], "type|maps"),
            ("window", WINDOW, [ScaleWindow(G, 1.0, 2), G, *NOT_OURS], "window|grids"),
            ("grids", FIELD.grids, [FIELD.grids.select(0, 2), CANVAS, FIELD.grids.grids, *NOT_OURS], "grids|maps"),
            ("power", -1, NOT_INTEGERS, "power"),
        ]
    ),
    Refusal("crop", FIELD.crop, FIELD.grids.map(lambda grid: grid.dilated(-3)), [FIELD.grids.map(wider)], "41×41"),
    Refusal("late restriction", lambda f: f.restrict(WINDOW), FIELD, [nn.ScalePool(TWO)(FIELD)], "over the plane"),
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
    *(
        Refusal(f"background of {name}", make, torch.zeros(2), [torch.zeros(3), torch.zeros(1, 2)], "background")
        for name, make in {
            "jet_conv": lambda value: jet_conv(boundary=Background(value)),
            "lift": lambda value: lift(boundary=Background(value)),
            "Lift": lambda value: nn.Lift(WINDOW, 2, boundary=Background(value)),
        }.items()
    ),
    Refusal("window of lift", lambda window: lift(window=window), WINDOW, [G, *NOT_OURS], "window"),
    Refusal("sampling", lambda s: lift(sampling=s), PIXELS, ["image", SelfSimilar, *NOT_OURS], "sampling"),
    Refusal(
        "wanted",
        lambda grids: lift(wanted=grids),
        CANVAS.map(wider),
        [FIELD.grids, CANVAS.select(0, 2), SelfSimilar(1.0).canvas((9, 9), ELSEWHERE.sigmas), 3, "two"],
        "wanted",
    ),
    Refusal("samples per σ₀", SelfSimilar, 0.5, NOT_POSITIVE, "samples_per_sigma"),
    Refusal("κ", lambda kappa: SelfSimilar(1.0, smoothed=kappa), 0.8, [1, 1.5, *NOT_POSITIVE], "smoothed"),
    Refusal(
        "lifting kernel",
        lambda kernel: SelfSimilar(1.0, kernel=kernel),
        SampledLifting(),
        [Iso(), BandLimited, *NOT_OURS],
        "kernel",
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
    Refusal("sigma", lambda sigma: jet_conv(sigma=sigma), 0.5, [*NOT_POSITIVE, [2.0]], "sigma"),
    Refusal(
        "sigma of jets", lambda sigma: functional.jet_maps(IMAGES, sigma=sigma), 0.5, [*NOT_POSITIVE, [2.0]], "sigma"
    ),
    Refusal("order of a jet", Jet, 4, [5, 0, -1, 1.5, True, "two", None], "order"),
    Refusal("zero-order term", lambda zero: Jet(2, zero=zero), True, [0, 1, None, "yes"], "zero"),
    Refusal(
        "order of Iso",
        lambda jet: functional.jet_maps(IMAGES, sigma=1.0, kernel=Iso(), jet=jet),
        Jet(2, zero=True),
        [Jet(3), Jet(4), 2, None],
        "order|jet",
    ),
    Refusal("jet", lambda jet: nn.JetConv(TWO, 2, jet=jet, kernel=Iso()), Jet(1), [Jet(3), *NOT_OURS], "order|jet"),
    Refusal("jet of jet_conv", lambda jet: jet_conv(jet=jet), Jet(2), [Jet(3), *NOT_OURS], "coefficients|jet"),
    Refusal("groups", lambda groups: nn.JetConv(TWO, 4, groups=groups), 2, [3, 4, *NOT_COUNTS], "groups"),
    Refusal(
        "groups of jet_conv",
        lambda groups: jet_conv(groups=groups, coefficients=torch.zeros(4, 1, 5)),
        2,
        [1, 4, *NOT_COUNTS],
        "coefficients|groups",
    ),
    Refusal("sigma of Iso", lambda sigma: jet_conv(sigma=sigma, kernel=Iso()), 0.8, [0.79, 0.5], "σ"),
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
        [
            torch.zeros(2),
            torch.tensor([True, False]),
            torch.tensor([1]),
            torch.tensor([1, 2, 3]),
            torch.tensor([[1, 2]]),
            1,
            "two",
        ],
        "classes",
    ),
    *(
        Refusal(f"tail of {k.__name__}", lambda tail, k=k: k(tail=tail), 1e-6, [1, *NOT_POSITIVE], "tail")
        for k in KERNELS
    ),
    *(Refusal(f"sigma of {k.__name__}", k().taps, 0.9, NOT_POSITIVE, "sigma") for k in KERNELS),
    Refusal(
        "what is smoothed already",
        lambda smoothed: DiscreteGaussian().reach(1.0, smoothed),
        0.9,
        [1.0, 2.0],
        "smoothed",
    ),
    Refusal("temperature", LogSumExp, 0.5, NOT_POSITIVE, "temperature"),
    Refusal("k", TopK, 2, NOT_COUNTS, r"\bk\b"),
    Refusal("top k", lambda k: nn.ScalePool(TWO, TopK(k))(FIELD), 3, [4], "3 scale channels"),
    Refusal("frequency", testing.discretisation_constants, math.pi, [3.2, *NOT_POSITIVE], "max_frequency"),
    Refusal("factor", lambda factor: testing.covariance_bound(2.0, factor, 1.0), 2.0, NOT_POSITIVE, "factor"),
    Refusal("sigma of a bound", lambda s: testing.covariance_bound(s, 2.0, 1.0), 2.0, NOT_POSITIVE, "sigma"),
    Refusal("sigma of a check", partial(testing.covariance_check, images=1), 1.0, NOT_POSITIVE, "sigma"),
    # layers
    Refusal("window of Lift", nn.Lift, WINDOW, [G, *NOT_OURS], "window"),
    Refusal("image channels of Lift", partial(nn.Lift, WINDOW), 3, NOT_COUNTS, "channels"),
    Refusal("grid of Lift", lambda grid: nn.Lift(WINDOW, grid=grid), "image", ["pixels", *NOT_OURS], "grid"),
    Refusal(
        "samples of Lift", lambda g: nn.Lift(WINDOW, samples_per_sigma=g), 0.5, NOT_POSITIVE[:-1], "samples_per_sigma"
    ),
    Refusal(
        "kernel of Lift",
        lambda kernel: nn.Lift(WINDOW, kernel=kernel),
        SampledLifting(),
        [Iso(), BandLimited, 3],
        "kernel",
    ),
    *(
        Refusal(
            f"{name} of pixels",
            lambda value, name=name: nn.Lift(WINDOW, grid="image", **{name: value}),
            None,
            [good],
            name,
        )
        for name, good in {"samples_per_sigma": 1.0, "kernel": BandLimited()}.items()
    ),
    Refusal("function", partial(nn.Pointwise, TWO), torch.square, NOT_OURS, "function"),
    Refusal("pooling", partial(nn.ScalePool, TWO), Mean(), ["max", Max, *NOT_OURS], "pooling"),
    Refusal("read-out", partial(nn.ReadOut, TWO), SpatialMean(), ["centre", CentrePixel, *NOT_OURS], "readout"),
    Refusal("beta", lambda beta: nn.JetConv(TWO, 4, beta=beta), 1.25, NOT_POSITIVE, "beta"),
    Refusal("beta behind a lifting", lambda beta: nn.JetConv(SMOOTHED, 4, beta=beta), 1.0, [0.8, 0.5], "beta"),
    Refusal("elongation", lambda e: nn.AffineJetConv(TWO, 4, elongation=e), 1, [*NOT_POSITIVE, 0.99], "elongation"),
    Refusal("orientations", lambda n: nn.AffineJetConv(TWO, 4, orientations=n), 1, NOT_COUNTS, "orientations"),
    Refusal("tail of an affine jet", lambda tail: nn.AffineJetConv(TWO, 4, tail=tail), 0.1, [*NOT_POSITIVE, 1], "tail"),
    Refusal("affine beta", lambda beta: nn.AffineJetConv(SMOOTHED, 4, beta=beta), 1.0, [0.8, *NOT_POSITIVE], "beta"),
    Refusal("steps", lambda n: steer_affine(torch.zeros(4, 5), n), -3, [0.5, math.nan, None, "one", True], "steps"),
    Refusal(
        "coefficients to steer",
        lambda shape: steer_affine(torch.zeros(shape), 1),
        (2, 4, 5),
        [(), (5,), (4, 6), (0, 5)],
        "coefficients",
    ),
    Refusal("stride", lambda stride: nn.JetConv(TWO, 4, stride=stride), 2, [0, 3, -1, 1.5, "two", None], "stride"),
    Refusal("features out", partial(nn.JetConv, TWO), 4, [0, -1, True, 1.5, "two", None, READ], "size|out_type"),
    *(
        Refusal(f"type of {name}", make, TWO, [READ, POOLED, FieldType(character(1)), ImageType(2), None], "type")
        for name, make in {
            "JetConv": JET,
            "BatchNorm": nn.BatchNorm,
            "GroupNorm": partial(nn.GroupNorm, groups=1),
            "ReLU": nn.ReLU,
            "ScaleConv": SCALES,
            "SqueezeExcite": nn.SqueezeExcite,
        }.items()
    ),
    Refusal("type of a read-out", nn.ReadOut, POOLED, [READ, FieldType(character(1)), ImageType(2)], "read-out"),
    Refusal("type of pooling", nn.ScalePool, READ, [POOLED, FieldType(character(1)), ImageType(2)], "pooling"),
    Refusal(
        "half width", lambda c: nn.BatchNorm(TWO, half_width=c), math.inf, [0, -1, math.nan, "two", None], "half_width"
    ),
    Refusal("eps", lambda eps: nn.BatchNorm(TWO, eps=eps), 1e-3, NOT_POSITIVE, "eps"),
    Refusal("groups of GroupNorm", partial(nn.GroupNorm, TWO), 2, [3, 4, *NOT_COUNTS], "groups"),
    Refusal("orbits of GroupNorm", partial(nn.GroupNorm, FieldType.rotating(C4.regular)), 1, [2, 4], "groups"),
    Refusal("reduction", lambda n: nn.SqueezeExcite(TWO, reduction=n), 16, NOT_COUNTS, "reduction"),
    Refusal("width of a gate", lambda w: nn.SqueezeExcite(TWO, width=w), 1.5, NOT_POSITIVE, "width"),
    Refusal("width behind a lifting", lambda w: nn.SqueezeExcite(SMOOTHED, width=w), 1.0, [0.8, 0.5], "width"),
    Refusal("kernel of a gate", lambda k: nn.SqueezeExcite(TWO, kernel=k), Iso(), [Iso, *NOT_OURS[:-1]], "kernel"),
    Refusal("type of a gate", nn.SqueezeExcite, TWO, [FieldType.rotating(C4.regular)], "rotations|regular"),
    Refusal("scores of attention", Attention, True, [1, *NOT_OURS], "per_feature"),
    Refusal(
        "momentum", lambda momentum: nn.BatchNorm(TWO, momentum=momentum), None, [2.0, *NOT_POSITIVE[:-1]], "momentum"
    ),
    Refusal("p of dropout", lambda p: nn.Dropout(TWO, p), 0, [1, -0.1, math.nan, math.inf, "two", None], r"\bp\b"),
    Refusal(
        "type of dropout", nn.Dropout, POOLED, [ImageType(2), FieldType.rotating(C4.frequency(1)), *NOT_OURS], "type"
    ),
    Refusal("finest channels", partial(nn.ScaleDropout, TWO), 0, [-1, 0.5, True, "two", None], "finest"),
    Refusal("type of scale dropout", nn.ScaleDropout, READ, [POOLED, ImageType(2), *NOT_OURS], "scale-channel dropout"),
    *(
        Refusal(f"input of {type(layer).__name__}", layer, FIELD, [*NOT_FIELDS, *OTHER_FIELDS], "input")
        for layer in (
            *(JET(TWO), SCALES(TWO), nn.BatchNorm(TWO), nn.GroupNorm(TWO, 1), nn.SqueezeExcite(TWO, width=1)),
            *(nn.ReLU(TWO), nn.ReadOut(TWO), nn.ScalePool(TWO)),
        )
    ),
    Refusal(
        "samples of a layer", JET(TWO), FIELD, [FIELD.crop(FIELD.grids.map(lambda grid: grid.around(2)))], "JetConv"
    ),
    Refusal("strided pixels", strided, torch.zeros(1, 2, 41, 41), [torch.zeros(1, 2, 40, 40)], "even size"),
    Refusal("neighbours", lambda n: SCALES(TWO, neighbours=n), 2, NOT_COUNTS, "neighbours"),
    Refusal("group of ScaleConv", lambda group: nn.ScaleConv(TWO, 2, group), G, [WINDOW, *NOT_OURS], "group"),
    Refusal(
        "window of ScaleConv", lambda window: SCALES(TWO)(replace(FIELD, window=window)), WINDOW, [ELSEWHERE], "of 3$"
    ),
    Refusal("body", nn.Residual, JET(TWO), [nn.ReLU, *NOT_OURS], "body"),
    Refusal("shortcut", lambda layer: nn.Residual(JET(TWO), layer), nn.ReLU(TWO), [nn.ReLU(ONE), 3, "two"], "branch"),
    Refusal(
        "sum", lambda layer: nn.Add(JET(TWO), layer), nn.Mix(TWO, 2), [nn.Mix(TWO, 3), nn.ReadOut(TWO), 3], "sum|branch"
    ),
    Refusal(
        "concatenation", lambda layer: nn.Concat(JET(TWO), layer), nn.Mix(TWO, 3), [nn.ReadOut(TWO), 3], "concat|branch"
    ),
    *(
        Refusal(f"no branches of {k.__name__}", lambda layers, k=k: k(*layers), [JET(TWO)], [[]], "branch")
        for k in (nn.Add, nn.Concat)
    ),
    Refusal(
        "heads",
        lambda heads: nn.Heads(**heads),
        {"a": JET(TWO)},
        [{}, {"a": 3}, {"a": JET(TWO), "b": JET(ONE)}],
        "head",
    ),
    Refusal("type of Normalise", lambda type_: nn.Normalise(type_, 0.0, 1.0), TWO, [READ, POOLED, 3], "type"),
    Refusal(
        "turning type of Normalise",
        lambda rotation: nn.Normalise(replace(TWO, rotation=rotation), 0.0, 1.0),
        None,
        [2 * C4.trivial],
        "type",
    ),
    Refusal(
        "mean", lambda mean: nn.Normalise(TWO, mean, 1.0), (0, -1.5), [(0.5,), (1, 2, 3), math.nan, "ab", None], "mean"
    ),
    Refusal("std", lambda std: nn.Normalise(TWO, 0.0, std), (0.5, 2), [(1.0, 0.0), (1.0, -1), *NOT_POSITIVE], "std"),
    *(
        Refusal(f"features of {name}", make, 3, [0, -1, True, 1.5, "two", None], "out_type|size")
        for name, make in {"Mix": partial(nn.Mix, TWO), "ScaleConv": lambda n: nn.ScaleConv(TWO, n, G)}.items()
    ),
    *(
        Refusal(f"{name} of a {layer().__class__.__name__} that was made", setting(layer, name), good, bad, name)
        for layer, name, good, bad in [
            (lambda: JET(TWO), "beta", 2.0, NOT_POSITIVE),
            (lambda: JET(TWO), "kernel", Iso(), [Iso, torch.ones(3), 0, *NOT_OURS]),
            (lambda: JET(TWO), "jet", Jet(2), [Jet(3), *NOT_OURS]),
            (lambda: JET(TWO), "groups", 1, [2, 7, "two"]),
            (lambda: JET(TWO), "stride", 2, [3, 0, "two", None]),
            (lambda: nn.BatchNorm(TWO), "momentum", 0.5, [2.0, *NOT_POSITIVE[:-1]]),
            (lambda: nn.BatchNorm(TWO), "eps", 1e-3, NOT_POSITIVE),
            (lambda: nn.BatchNorm(TWO), "half_width", math.inf, [0, -1, math.nan, "two"]),
            (lambda: nn.ReLU(TWO), "function", torch.tanh, NOT_OURS),
            (lambda: nn.Lift(WINDOW), "window", ELSEWHERE, [0, "", *NOT_OURS]),
            (lambda: nn.Lift(WINDOW), "boundary", Zero(), [0, "", *NOT_OURS]),
            (lambda: nn.Lift(WINDOW), "sampling", PIXELS, NOT_OURS),
            (lambda: nn.ReadOut(TWO), "readout", SpatialMean(), [Dense(), *NOT_OURS]),
            (lambda: nn.ScalePool(READ), "pooling", Max(), [Mean(), *NOT_OURS]),
            (lambda: nn.Dropout(TWO), "p", 0.5, [1, -1, "two"]),
            (lambda: nn.ScaleDropout(TWO), "finest", 1, [-1, 0.5, "two"]),
            (lambda: nn.FieldOfView(TWO, 3.0), "half_width", 4.0, NOT_POSITIVE),
            (lambda: nn.SqueezeExcite(TWO), "kernel", Iso(), NOT_OURS),
        ]
    ),
    # upper ends, and lower ones
    *(
        Refusal(f"{name} for the image", call, good, bad, said)
        for name, call, good, bad, said in [
            ("channels of a window", lambda n: NET(GOOD, window=ScaleWindow(G, 1.0, n)), 8, [30, 200], r"σ₀.*25×25"),
            ("channels of a lifting", lambda n: functional.lift(GOOD, ScaleWindow(G, 1.0, n)), 8, [44, 200], "25×25"),
            ("channels of a plan", lambda n: NET.plan((25, 25), window=ScaleWindow(G, 1.0, n)), 8, [44], "25×25"),
            ("first of a window", lambda n: NET(GOOD, window=ScaleWindow(G, 1.0, 2, first=n)), -3, [-60, 60], "25×25"),
            ("sigma0", lambda s: NET(GOOD, window=ScaleWindow(G, s, 1)), 0.1, [1e-200, 1e-5, 1e6, 1e300], "25×25"),
            ("sigma0 on pixels", lambda s: ON_PIXELS(GOOD, window=ScaleWindow(G, s, 1)), 1.0, [1e-9, 1e6], "25×25"),
            ("ratio", lambda r: NET(GOOD, window=ScaleWindow(ScaleGroup(r), 1.0, 2)), 9.0, [1e30], "25×25"),
            ("g", lambda g: functional.lift(GOOD, WINDOW, sampling=SelfSimilar(g)), 2.0, [1e4], "samples.*25×25"),
        ]
    ),
    Refusal("channels", lambda n: ScaleWindow(G, 1.0, n), 1000, [1001, 10**9], "channels"),
    Refusal("g of nothing", SelfSimilar, 0.1, [1e-6, 0.01], "samples_per_sigma"),
    Refusal("σ of jets", lambda s: functional.jet_maps(GOOD, sigma=s), 20.0, [1e-200, 2e4, 1e12, 1e300], "sigma|σ"),
    Refusal("tail of nothing", lambda tail: DiscreteGaussian(tail=tail), 1e-16, [1e-17, 1e-300], "tail"),
    Refusal("β of nothing", lambda r: gaussian_derivative_net(widths=(2,), r=r)(GOOD[:, :1]), 2.0, [1e6], "sigma"),
    Refusal("far neighbours", lambda n: SCALES(TWO, neighbours=n), 9, [10**6], "neighbours"),
    Refusal("angle", lambda angle: steer(torch.ones(5), angle), 9.0, [math.inf, math.nan, "two", None], "angle"),
    Refusal(
        "angle of a derivative",
        lambda angle: directional_derivatives(torch.ones(5), angle),
        9.0,
        [math.inf, "two"],
        "angle",
    ),
    Refusal("falsy kernel", lambda k: JET(TWO, kernel=k), None, [0, "", False, [], torch.ones(3)], "kernel"),
    Refusal("falsy lifting kernel", lambda k: nn.Lift(WINDOW, kernel=k), None, [0, "", False, []], "kernel"),
    Refusal("falsy window", lambda window: NET(GOOD, window=window), None, [0, "", False, []], "window"),
    # networks
    Refusal(
        "first layer",
        lambda first: nn.Sequential(*first),
        [nn.Lift(WINDOW)],
        [[], [nn.ReLU], [torch.nn.ReLU()], [3]],
        "layer",
    ),
    *(
        Refusal(name, call, WINDOW, [G, 3, "two"], "window")
        for name, call in {
            "window of a network": lambda window: NET(GOOD, window=window),
            "window of a plan": lambda window: NET.plan((25, 25), window=window),
            "window of a prediction": lambda window: NET.predict(GOOD, window=window),
        }.items()
    ),
    Refusal(
        "window of a field", lambda window: nn.Sequential(JET(TWO))(FIELD, window=window), None, [WINDOW], "window"
    ),
    Refusal(
        "network without lifting",
        lambda first: nn.Sequential(first, JET).window,
        nn.Lift(WINDOW),
        [nn.ReLU(TWO)],
        "ReLU",
    ),
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
        "Iso in a network",
        lambda sigma0: gaussian_derivative_net(
            widths=(2,), window=ScaleWindow(G, sigma0, 1), kernel=Iso(), grid="image"
        )(GOOD[:, :1]),
        0.8,
        [0.7],
        "σ = 0.7",
    ),
    Refusal(
        "Iso behind a lifting",
        lambda g: gaussian_derivative_net(widths=(2,), samples_per_sigma=g, min_grid_sigma=None, kernel=Iso())(
            GOOD[:, :1]
        ),
        2.0,
        [1.0],
        "σ = 1 samples",
    ),
    Refusal("part of a network", lambda part: gaussian_derivative_net(**part), {"r": 1.5}, [{"spacing": 1}], "spacing"),
    Refusal(
        "k in a network",
        lambda k: gaussian_derivative_net(widths=(2,), window=ScaleWindow(G, 1.0, 2), pooling=TopK(k))(GOOD[:, :1]),
        2,
        [3, 9],
        "2 scale channels",
    ),
    Refusal(
        "k of what is left in training",
        lambda left_out: gaussian_derivative_net(
            widths=(2,), window=ScaleWindow(G, 1.0, 3), pooling=TopK(2), scale_dropout=left_out
        )(GOOD[:, :1]),
        1,
        [2, 3],
        "1 scale channels",
    ),
    *(
        Refusal(f"{name} of rotating features", make, FieldType.scalars(4), [FieldType.rotating(C4.regular)], "C4")
        for name, make in {
            "jets": partial(nn.JetConv, out_type=4),
            "affine jets": partial(nn.AffineJetConv, out_type=4),
            "separable jets": partial(nn.SeparableJetConv, out_type=4),
            "convolution across scale": partial(nn.ScaleConv, out_type=4, group=G),
            "squeeze and excitation": nn.SqueezeExcite,
            "mixing": partial(nn.Mix, out_type=4),
        }.items()
    ),
    Refusal(
        "size of a plan",
        sequence([]).plan,
        (25, 25),
        [(0, 5), (5, -1), (1.5, 5), (5, "two"), 9, "ab", (9,), (9, 9, 9)],
        "size",
    ),
    Refusal("preset", gaussian_derivative_net, "larger", ["huge", "", 3, ["larger"]], "preset"),
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
            ("jet", Jet(3), [3, "3", Jet], "jet"),
            ("kernel", Iso(), ["T", 3, DiscreteGaussian], "kernel"),
            ("activation", torch.square, NOT_OURS, "function"),
            ("boundary", Zero(), ["zero", 3, Zero], "boundary"),
            ("boundary", Background(torch.zeros(1)), [Background(torch.zeros(2))], "background"),
            ("pooling", Mean(), ["max", 3, Max], "pooling"),
            ("readout", SpatialMean(), ["centre", 3, CentrePixel], "readout"),
            ("min_grid_sigma", None, NOT_POSITIVE[:-1], "min_grid_sigma"),
            ("samples_per_sigma", None, NOT_POSITIVE[:-1], "samples_per_sigma"),
            ("grid", "image", ["pixels", 3, None], "grid"),
            ("lifting", SampledLifting(), ["sampled", Iso()], "kernel"),
            ("rotations", 4, NOT_COUNTS[:-1], "order|width"),
            ("mean", None, [0.5, (0.5,)], "std"),  # the one without the other
            ("std", None, [0.5, (0.5,)], "mean"),
            ("dropout", 0.5, [1, -0.1, math.nan, "two", None], "dropout"),
            ("scale_dropout", 7, [-1, 0.5, True, "two", None], "scale_dropout"),
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
            (steerable_hermite, "kernel_size", 9, [8, 7, 3, *NOT_COUNTS], "kernel_size"),
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
    monkeypatch.setattr(torch.Tensor, "__matmul__", computes)


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

TAKE_IMAGES: dict[str, Callable] = {
    "functional.lift": lambda images: functional.lift(images, WINDOW),
    "functional.jet_maps": lambda images: functional.jet_maps(images, sigma=1.0),
    "functional.jet_conv": lambda images: functional.jet_conv(images, COEFFICIENTS, OFFSET, sigma=1.0),
    "nn.Lift": nn.Lift(WINDOW, 2),
    "network": NET,
    "network on pixels": ON_PIXELS,
    "network with a background": KNOWN,
    "field": NET.field,
    "predict": NET.predict,
    "scale_logits": NET.scale_logits,
    "select_scale": NET.select_scale,
    "riesz_net": riesz_net((3,), in_channels=2).eval(),
    "scale_channel_cnn": scale_channel_cnn((3,), in_channels=2).eval(),
    "steerable_hermite": steerable_hermite((3,), in_channels=2).eval(),
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
    for name in TAKE_IMAGES:
        with pytest.raises(pytest.fail.Exception, match="began to compute"):
            TAKE_IMAGES[name](GOOD)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 2)], ids=str)
@pytest.mark.parametrize("call", TAKE_IMAGES.values(), ids=TAKE_IMAGES)
def test_images_of_any_size_are_accepted(call: Callable, shape: tuple[int, int]) -> None:
    call(torch.rand(1, 2, *shape))
