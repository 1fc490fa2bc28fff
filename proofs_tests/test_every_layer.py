"""Every public layer keeps every law that `check_layer` knows, and layers that do not are refused, by the right law."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from scalegroup import (
    Attention,
    CentrePixel,
    Dense,
    FieldType,
    IntegratedGaussian,
    Jet,
    LogSumExp,
    Max,
    Mean,
    NormalisedSampledGaussian,
    RotationGroup,
    SampledDerivatives,
    SampledGaussian,
    ScaleField,
    ScaleGroup,
    SpatialMax,
    SpatialMean,
    TopK,
    character,
    nn,
    trivial,
)
from scalegroup.fields.grid import Grids
from scalegroup.testing import check_layer, layer_laws

C4 = RotationGroup(4)
VECTORS = FieldType(trivial(2), over_plane=False)


def residual(type: FieldType) -> nn.Layer:
    body = nn.Sequential(nn.JetConv(type, 3), nn.BatchNorm, nn.ReLU, partial(nn.JetConv, out_type=2, beta=1.25))
    return nn.Residual(body)


def strided(type: FieldType) -> nn.Layer:
    body = nn.Sequential(nn.JetConv(type, 3, stride=2), partial(nn.JetConv, out_type=3, beta=1.25))
    return nn.Residual(body, nn.Sequential(nn.Mix(type, 3), nn.Subsample))


def heads(type: FieldType) -> nn.Layer:
    read = nn.Sequential(nn.JetConv(type, 3), nn.ReadOut)
    return nn.Heads(read=read, maps=nn.Sequential(nn.JetConv(type, 2), nn.ReLU, partial(nn.JetConv, out_type=1)))


def nested(type: FieldType) -> nn.Layer:
    inner = nn.Sequential(nn.JetConv(type, 3), nn.ReLU)
    return nn.Sequential(inner, partial(nn.ScaleConv, out_type=2, group=ScaleGroup(2**0.5)), nn.ReLU)


# name: (how to make it, for which type)
LAYERS: dict[str, tuple[Callable[[FieldType], nn.Layer], FieldType | None]] = {
    "Add": (lambda t: nn.Add(nn.JetConv(t, 3), nn.JetConv(t, 3, beta=1.25)), None),
    "AffineJetConv": (partial(nn.AffineJetConv, out_type=3), None),
    "AffineJetConv behind a lifting": (
        partial(nn.AffineJetConv, out_type=3, orientations=2, elongation=3.0, jet=Jet(1, zero=True)),
        FieldType.scalars(2, smoothed=0.9),
    ),
    "AffineJetConv in groups with stride 2": (
        partial(nn.AffineJetConv, out_type=4, orientations=3, elongation=1.5, jet=Jet(3), groups=2, stride=2),
        None,
    ),
    "BatchNorm": (nn.BatchNorm, None),
    "BatchNorm of rotating fields": (nn.BatchNorm, FieldType.rotating(C4.regular + C4.trivial)),
    "Concat": (lambda t: nn.Concat(nn.JetConv(t, 2), nn.Mix(t, 1)), None),
    "Dropout": (partial(nn.Dropout, p=0.5), None),
    "Dropout of rotating fields": (partial(nn.Dropout, p=0.5), FieldType.rotating(2 * C4.regular)),
    "Dropout behind a read-out": (nn.Dropout, VECTORS),
    "FieldOfView": (partial(nn.FieldOfView, half_width=1.6), None),
    "GroupNorm": (partial(nn.GroupNorm, groups=2), FieldType.scalars(4)),
    "GroupNorm of one group": (partial(nn.GroupNorm, groups=1, half_width=3.0), None),
    "GroupNorm of rotating fields": (partial(nn.GroupNorm, groups=1), FieldType.rotating(C4.regular + C4.trivial)),
    "Heads": (heads, None),
    "Identity": (nn.Identity, None),
    "JetConv": (partial(nn.JetConv, out_type=3), None),
    "JetConv behind a lifting": (partial(nn.JetConv, out_type=3), FieldType.scalars(2, smoothed=0.9)),
    "JetConv with stride 2": (partial(nn.JetConv, out_type=3, stride=2), None),
    "JetConv of sampled Gaussians": (partial(nn.JetConv, out_type=3, kernel=SampledGaussian()), None),
    "JetConv of normalised ones": (partial(nn.JetConv, out_type=3, kernel=NormalisedSampledGaussian()), None),
    "JetConv of integrated ones": (partial(nn.JetConv, out_type=3, kernel=IntegratedGaussian()), None),
    "JetConv of sampled derivatives": (partial(nn.JetConv, out_type=3, kernel=SampledDerivatives(), stride=2), None),
    "JetConv of order 4": (partial(nn.JetConv, out_type=3, jet=Jet(4)), None),
    "JetConv of order 3, sampled": (partial(nn.JetConv, out_type=3, jet=Jet(3), kernel=SampledDerivatives()), None),
    "JetConv with the zero-order term": (partial(nn.JetConv, out_type=3, jet=Jet(2, zero=True), stride=2), None),
    "JetConv in groups": (partial(nn.JetConv, out_type=6, groups=2), FieldType.scalars(4)),
    "JetConv depthwise": (
        partial(nn.JetConv, out_type=2, groups=2, jet=Jet(1), kernel=IntegratedGaussian()),
        FieldType.scalars(2),
    ),
    "Mix": (partial(nn.Mix, out_type=3), None),
    "Mix of weights": (
        lambda t: nn.Mix(t, FieldType(character(1) + character(0) + character(1))),
        FieldType(character(0) + character(1)),
    ),
    "Normalise": (partial(nn.Normalise, mean=(0.5, -1.0), std=(0.25, 2.0)), None),
    "Normalise behind a lifting": (partial(nn.Normalise, mean=0.5, std=2.0), FieldType.scalars(2, smoothed=0.9)),
    "Pointwise": (partial(nn.Pointwise, function=torch.tanh), None),
    "ReLU": (nn.ReLU, None),
    "ReadOut": (partial(nn.ReadOut, readout=CentrePixel()), None),
    "ReadOut of a maximum": (partial(nn.ReadOut, readout=SpatialMax()), None),
    "ReadOut of pixels": (partial(nn.ReadOut, readout=Dense()), None),
    "Residual": (residual, None),
    "Residual with a stride": (strided, None),
    "ResidualBlock": (partial(nn.ResidualBlock, out=2), None),
    "ResidualBlock with strides": (
        partial(nn.ResidualBlock, out=3, betas=(1.2, 1.4), strides=(1, 2), jets=nn.SeparableJetConv),
        None,
    ),
    "ResidualBlock of rotating fields": (
        partial(nn.ResidualBlock, out=C4.regular, jets=nn.SteerableJetConv),
        FieldType.rotating(C4.regular),
    ),
    "Reweight": (nn.Reweight, FieldType(character(1) + character(0))),
    "RotationPool": (nn.RotationPool, FieldType.rotating(2 * C4.regular)),
    "ScaleConv": (partial(nn.ScaleConv, out_type=3, group=ScaleGroup(2**0.5)), None),
    "ScaleDropout": (partial(nn.ScaleDropout, finest=2), None),
    "ScalePool": (partial(nn.ScalePool, pooling=Max()), VECTORS),
    "ScalePool of means": (partial(nn.ScalePool, pooling=Mean()), VECTORS),
    "ScalePool, soft": (partial(nn.ScalePool, pooling=LogSumExp(0.5)), VECTORS),
    "ScalePool of two": (partial(nn.ScalePool, pooling=TopK(2)), VECTORS),
    "SeparableJetConv": (partial(nn.SeparableJetConv, out_type=3, beta=1.25), None),
    "ScalePool by attention": (partial(nn.ScalePool, pooling=Attention()), VECTORS),
    "ScalePool by attention of each": (partial(nn.ScalePool, pooling=Attention(per_feature=True)), VECTORS),
    "Sequential": (nested, None),
    "SqueezeExcite": (partial(nn.SqueezeExcite, reduction=2), FieldType.scalars(4)),
    "SqueezeExcite behind a lifting": (
        partial(nn.SqueezeExcite, reduction=1, kernel=SampledDerivatives()),
        FieldType.scalars(2, smoothed=0.9),
    ),
    "SteerableJetConv": (partial(nn.SteerableJetConv, rotation=C4.regular), FieldType.rotating(C4.regular)),
    "SteerableJetConv of order 3": (
        partial(nn.SteerableJetConv, rotation=C4.regular + C4.frequency(1), jet=Jet(3)),
        FieldType.rotating(C4.regular),
    ),
    "SteerableJetConv with the zero-order term": (
        partial(nn.SteerableJetConv, rotation=C4.regular, jet=Jet(1, zero=True)),
        FieldType.rotating(C4.trivial),
    ),
    "Subsample": (nn.Subsample, None),
}
ABSTRACT_OR_OF_IMAGES = {"Branches", "Layer", "Lift", "PerChannel", "PerSample"}


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_keeps_every_law(name: str) -> None:
    make, in_type = LAYERS[name]
    check_layer(make, in_type)


@pytest.mark.parametrize("ratio", [2.0, 2 ** (1 / 3), 1.1])
def test_laws_hold_for_any_ratio(ratio: float) -> None:
    for make in (residual, partial(nn.ScaleConv, out_type=2, group=ScaleGroup(ratio))):
        laws = layer_laws(make, ratio=ratio)
        del laws["can be exported"]  # which takes most of the time, and asks of no ratio but in constants
        for law in laws.values():
            law()


def test_every_public_layer_is_in_the_list() -> None:
    public = {name: getattr(nn, name) for name in nn.__all__}
    classes = {name for name, of in public.items() if isinstance(of, type) and issubclass(of, nn.Layer)}
    assert classes - ABSTRACT_OR_OF_IMAGES == {name for name in LAYERS if name in classes}


class TooNear(nn.PerChannel):
    """A mean over 5×5 samples that says it reaches one, and pads to hide it."""

    def __init__(self, type: FieldType) -> None:
        super().__init__(type, type)

    def reach(self, samples_per_sigma: float) -> int:
        return 1

    def maps(self, maps: Tensor, samples_per_sigma: float) -> Tensor:
        return F.avg_pool2d(maps, 5, stride=1, padding=1)


class TooFar(TooNear):
    """One of 3×3 that says it reaches three."""

    def reach(self, samples_per_sigma: float) -> int:
        return 3

    def maps(self, maps: Tensor, samples_per_sigma: float) -> Tensor:
        return F.avg_pool2d(maps, 3, stride=1)[..., 2:-2, 2:-2]


class Untruthful(TooNear):
    """One of 5×5 that says it reaches one and gives what it has."""

    def maps(self, maps: Tensor, samples_per_sigma: float) -> Tensor:
        return F.avg_pool2d(maps, 5, stride=1)


class LessMeanOverScale(nn.Layer):
    """It subtracts the mean over scale, and says nothing of it."""

    def __init__(self, type: FieldType) -> None:
        super().__init__(type, type)

    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        return wanted

    def forward(self, field: ScaleField) -> ScaleField:
        mean = torch.stack([field.channel(n).mean((2, 3)) for n in range(len(field.grids.grids))]).mean(0)
        return field.on_runs(lambda run: run.maps - mean.repeat(run.stop - run.start, 1)[..., None, None])


class OwnSizes(TooNear):
    """It remembers the reach that it had in its first call."""

    def __init__(self, type: FieldType) -> None:
        super().__init__(type)
        self.half_width = 2.0
        self._kept: int | None = None

    def reach(self, samples_per_sigma: float) -> int:
        self._kept = self._kept or round(self.half_width * samples_per_sigma)
        return self._kept

    def maps(self, maps: Tensor, samples_per_sigma: float) -> Tensor:
        return F.avg_pool2d(maps, 2 * self.reach(samples_per_sigma) + 1, stride=1)


class Forgetful(nn.Mix):
    """Its copies lose a setting."""

    def __init__(self, type: FieldType) -> None:
        super().__init__(type, type)
        self.gain = 2.0

    def maps(self, maps: Tensor, samples_per_sigma: float) -> Tensor:
        return self.gain * super().maps(maps, samples_per_sigma)

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"gain": 1.0}


class OneScaleOnly(nn.Layer):
    """A box of a fixed number of pixels, whatever the scale channel: not what another channel does."""

    def __init__(self, type: FieldType) -> None:
        super().__init__(type, type)

    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        grids = [grid.dilated(reach) for grid, reach in zip(wanted.grids, self._reaches(canvas), strict=True)]
        return replace(wanted, grids=tuple(grids))

    def forward(self, field: ScaleField) -> ScaleField:
        reaches = self._reaches(field.grids)
        maps = [F.avg_pool2d(field.channel(n), 2 * reach + 1, stride=1) for n, reach in enumerate(reaches)]
        grids = [grid.dilated(-reach) for grid, reach in zip(field.grids.grids, reaches, strict=True)]
        return ScaleField(tuple(maps), self.out_type, field.window, replace(field.grids, grids=tuple(grids)))

    @staticmethod
    def _reaches(grids: Grids) -> list[int]:
        return [max(1, round(3.0 / spacing)) for spacing in grids.spacings]


class PerPlace(nn.Dropout):
    """Another mask at every place."""

    def __init__(self, type: FieldType) -> None:
        super().__init__(type, p=0.5)

    def forward(self, field: ScaleField) -> ScaleField:
        return field.on_runs(lambda run: F.dropout(run.maps, self.p, self.training))


class Relabels(nn.Pointwise):
    """It looks at the label of the finest scale channel."""

    def __init__(self, type: FieldType) -> None:
        super().__init__(type, torch.square)

    def forward(self, field: ScaleField) -> ScaleField:
        return super().forward(field).on_runs(lambda run: run.maps * (1 + field.window.first))


class Stubborn(nn.Mix):
    """It heeds a setting as it was in its first call."""

    def __init__(self, type: FieldType) -> None:
        super().__init__(type, type)
        self.gain = 2.0
        self._kept: float | None = None

    def maps(self, maps: Tensor, samples_per_sigma: float) -> Tensor:
        self._kept = self._kept or self.gain
        return self._kept * super().maps(maps, samples_per_sigma)


class Unmoved(nn.ReLU):
    """It says that its scale channels begin at σ₀ = 1, whatever it was given."""

    def forward(self, field: ScaleField) -> ScaleField:
        return replace(super().forward(field), window=replace(field.window, first=0))


class NearSighted(nn.JetConv):
    """It says that a constant world is seen no further than it reaches less one sample."""

    def __init__(self, type: FieldType) -> None:
        super().__init__(type, type)

    def live(self, live: Grids) -> Grids:
        return super().live(live).map(lambda grid: grid.dilated(-1))


@pytest.mark.parametrize(
    "layer, law",
    [
        (TooNear, "needs what it says"),
        (TooFar, "needs what it says"),
        (Untruthful, "planned is whole"),
        (LessMeanOverScale, "says how far it looks across scale"),
        (OwnSizes, "remembers nothing"),
        (Forgetful, "copies are the same"),
        (OneScaleOnly, "commutes with scaling"),
        (PerPlace, "planned is whole"),
        (Relabels, "relabelling is exact"),
        (Stubborn, "remembers nothing"),
        (Unmoved, "relabelling is exact"),
        (NearSighted, "what it says of a constant world is so"),
    ],
)
def test_wrong_layers_are_refused_by_the_law_they_break(layer: type[nn.Layer], law: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        layer_laws(layer)[law]()
    with pytest.raises(AssertionError):
        check_layer(layer)


def test_a_layer_without_needs_cannot_be_made() -> None:
    class Half(nn.Layer):
        def forward(self, field: ScaleField) -> ScaleField:
            return field

    with pytest.raises(TypeError, match="needs"):
        Half(FieldType.scalars(1), FieldType.scalars(1))  # type: ignore[abstract]


def test_a_mean_over_the_image_is_no_layer_for_scaling() -> None:
    with pytest.raises(AssertionError, match="scaling"):
        layer_laws(partial(nn.ReadOut, readout=SpatialMean()))["commutes with scaling"]()
