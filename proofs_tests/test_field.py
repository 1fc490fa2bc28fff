"""Fields: relabelling is a group action to the bit and commutes with every layer; resampling is close to sampling."""

import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from proofs_tests.comparison import RATIOS, ROUNDING, assert_same_field, same_bits
from scalegroup import (
    CentrePixel,
    Dense,
    DiscreteGaussian,
    FieldType,
    GroupElement,
    ImageType,
    IntegratedGaussian,
    Iso,
    LogSumExp,
    Max,
    Mean,
    Reflect,
    RegularRepresentation,
    Replicate,
    Representation,
    SampledDerivatives,
    ScaleField,
    ScaleGroup,
    ScaleWindow,
    SpatialMax,
    SpatialMean,
    TopK,
    Zero,
    character,
    functional,
    nn,
)
from scalegroup.grid import Grid
from scalegroup.testing import Blobs, ContinuousImage, Sinusoids
from scalegroup.testing.strategies import fields, fields_and_elements

ROOT = ScaleGroup(2**0.5)
every_ratio = pytest.mark.parametrize("ratio", RATIOS.values(), ids=RATIOS)

Act = Callable[[ScaleField, GroupElement], ScaleField]

# -- relabelling is a group action ------------------------------------------------------------------------------------


def assert_action(act: Act, field: ScaleField, g: GroupElement, h: GroupElement) -> None:
    assert_same_field(act(field, g * h), act(act(field, h), g))
    assert_same_field(act(field, field.type.group.identity), field)
    assert_same_field(act(act(field, g), g.inverse()), field)


@pytest.mark.parametrize("over_scale", [True, False])
@pytest.mark.parametrize("over_plane", [True, False])
def test_type_with_no_axes_left_is_that_of_a_vector(over_scale: bool, over_plane: bool) -> None:
    type_ = replace(FieldType.scalars(ScaleGroup(2), 3), over_scale=over_scale, over_plane=over_plane)
    assert type_.is_vector == (not over_scale and not over_plane) == ("no axes left" in repr(type_))
    assert ("scale" in repr(type_), "plane" in repr(type_)) == (over_scale, over_plane)


@given(fields_and_elements(2))
def test_relabelling_is_a_group_action(drawn: tuple) -> None:
    assert_action(ScaleField.transform, *drawn)


@every_ratio
def test_relabelling_is_a_group_action_for_all_small_powers(ratio: float) -> None:
    group = ScaleGroup(ratio)
    gradient = FieldType(Representation(group, (1, -2)))
    field = ScaleField(torch.randn(1, 2, 3, 2, 2), gradient, ScaleWindow(group, 0.9, 3))
    for i in range(-4, 5):
        for j in range(-4, 5):
            assert_action(ScaleField.transform, field, group.element(i), group.element(j))


def test_multiplying_the_values_is_no_action_to_the_bit() -> None:
    group = ScaleGroup(1.3)  # no root of an integer: products of its factors round
    field = ScaleField(torch.randn(1, 1, 1, 3, 3), FieldType(character(group, 1)), ScaleWindow(group, 1.0, 1))

    def multiplied(field: ScaleField, g: GroupElement) -> ScaleField:
        return replace(field, tensor=field.tensor / g.scale_factor)

    with pytest.raises(AssertionError):
        assert_action(multiplied, field, group.element(3), group.element(-5))


@given(fields_and_elements())
def test_relabelling_moves_window_spacing_and_exponents_by_the_power_and_nothing_else(drawn: tuple) -> None:
    field, g = drawn
    moved = field.transform(g)
    assert moved.window == field.window.transform(g)
    assert moved.spacing == field.spacing + g.power
    weights = field.type.fibre.weights
    assert moved.exponents == tuple(e + w * g.power for e, w in zip(field.exponents, weights, strict=True))
    assert moved.tensor is field.tensor
    assert moved.background is field.background
    assert (moved.type, moved.defined, moved.grid) == (field.type, field.defined, field.grid)
    assert moved.grid_sigmas == field.grid_sigmas  # bitwise, and all that a layer sees of scale
    assert (moved.window.sigmas == field.window.sigmas) == (g.power == 0)  # the control: physical σ₀ do change


@given(fields_and_elements())
def test_values_are_the_tensor_with_its_characters_multiplied_out(drawn: tuple) -> None:
    field, g = drawn
    values, rho = field.transform(g).values, field.type.fibre.matrix(g)
    expected = torch.einsum("fe, besyx -> bfsyx", rho, field.tensor)
    assert torch.equal(values, expected)  # one product each: the zeros of a diagonal matrix add nothing
    assert torch.equal(field.transform(g).transform(g.inverse()).values, field.tensor)
    if any(field.transform(g).exponents):
        assert not torch.equal(values, torch.einsum("fe, besyx -> bfsyx", rho.inverse(), field.tensor))
        assert values.data_ptr() != field.tensor.data_ptr()


@given(fields_and_elements(), st.integers(1, 8))
def test_pixels_grow_with_the_image_and_with_the_stride(drawn: tuple, stride: int) -> None:
    field, g = drawn
    field = replace(field, grid=Grid.whole(*field.held.shape, stride=stride))
    assert field.pixel_spacing == field.type.group.factor(field.spacing) * stride
    grown = field.transform(g).pixel_spacing
    assert math.isclose(grown, field.pixel_spacing * g.scale_factor, rel_tol=1e-14)  # powers to 15: a few roundings
    assert (grown == field.pixel_spacing) == (g.power == 0)


# -- lifting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("background", [None, 0.25, torch.tensor([0.5, -1.0])], ids=str)
def test_every_scale_channel_sees_the_lifted_image(background: float | Tensor | None) -> None:
    images = torch.randn(2, 2, 5, 7)
    field = functional.lift(images, ScaleWindow(ROOT, 1.0, 3), background=background, spacing=2)
    assert field.tensor.shape == (2, 2, 3, 5, 7)
    assert all(same_bits(field.channel(n), images) for n in range(3))
    assert field.tensor.data_ptr() == images.data_ptr()  # seen thrice, copied never
    assert field.pixel_spacing == 2.0
    if background is None:
        assert field.background is None
        assert field.channel_background(0) is None
    else:
        assert same_bits(field.background, torch.as_tensor(background).expand(2)[:, None].expand(2, 3))


# -- layers commute with relabelling ----------------------------------------------------------------------------------

ACTIVATIONS = {"square": torch.square, "SiLU": torch.nn.SiLU()}
POOLINGS = [Max(), Mean(), LogSumExp(0.5), TopK(2)]
READOUTS = [CentrePixel(), SpatialMax(), SpatialMean(), Dense()]
KERNELS = [DiscreteGaussian(tail=1e-3), SampledDerivatives(tail=1e-3), IntegratedGaussian(tail=1e-3), Iso(tail=1e-3)]

Make = Callable[[FieldType], nn.Layer]
LAYERS: dict[str, Make] = {
    **{f"JetConv {k!r}": partial(nn.JetConv, out_type=2, beta=1.25, kernel=k) for k in KERNELS},
    "JetConv Zero()": partial(nn.JetConv, out_type=2, boundary=Zero()),
    "BatchNorm in training": partial(nn.BatchNorm, half_width=1.0),
    "BatchNorm in evaluation": lambda type_: nn.BatchNorm(type_).eval(),
    **{f"Pointwise {name}": partial(nn.Pointwise, function=f) for name, f in ACTIVATIONS.items()},
    "ReLU": nn.ReLU,
    **{f"ReadOut {r!r}": partial(nn.ReadOut, readout=r) for r in READOUTS},
    **{f"ScalePool {p!r}": partial(nn.ScalePool, pooling=p) for p in POOLINGS},
}
ENTRANCES = {  # these take images, on which the group acts by their spacing
    "Lift": partial(nn.Lift, channels=3, background=0.5),
    "Sequential": lambda window, spacing: nn.Sequential(
        nn.Lift(window, 3, background=0.5, spacing=spacing), *seeded_layers()
    ),
}


def seeded_layers() -> list[Make]:
    torch.manual_seed(1)
    return [partial(nn.JetConv, out_type=4), nn.BatchNorm, nn.ReLU, partial(nn.JetConv, out_type=2)]


def random_field(group: ScaleGroup, dtype: torch.dtype, *, background: bool = True) -> ScaleField:
    """Three scale channels of σ₀ ≥ 1, each its own random image of 7×8 pixels."""
    known = torch.randn(3, 3, dtype=dtype) if background else None
    window = ScaleWindow(group, 1.0, 3, first=2)
    return ScaleField(
        torch.randn(2, 3, 3, 7, 8, dtype=dtype), FieldType.scalars(group, 3), window, spacing=2, background=known
    )


def assert_commutes_with_relabelling(layer: nn.Layer, field: ScaleField, g: GroupElement) -> None:
    assert_same_field(layer(field.transform(g)), layer(field).transform(g))


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@every_ratio
def test_layers_commute_with_relabelling(make: Make, dtype: torch.dtype, ratio: float) -> None:
    group = ScaleGroup(ratio)
    for field in (random_field(group, dtype), random_field(group, dtype, background=False)):
        layer = make(field.type).to(dtype)
        for power in (-3, -1, 0, 1, 5):
            assert_commutes_with_relabelling(layer, field, group.element(power))


@pytest.mark.parametrize("make", ENTRANCES.values(), ids=ENTRANCES)
@every_ratio
def test_lifting_commutes_with_relabelling(make: Callable, ratio: float) -> None:
    group, images = ScaleGroup(ratio), torch.randn(2, 3, 41, 41)
    window = ScaleWindow(group, 1.0, 2)
    lifted = make(window, spacing=0)(images)
    for power in (-3, 0, 1, 5):
        g = group.element(power)
        assert_same_field(make(window.transform(g), spacing=power)(images), lifted.transform(g))
    with pytest.raises(AssertionError):  # the control: the window moves and the pixels stay
        assert_same_field(make(window.transform(group.generator), spacing=0)(images), lifted.transform(group.generator))


def test_no_public_layer_is_missing_from_the_list() -> None:
    field_type = FieldType.scalars(ROOT, 3)
    listed = {type(make(field_type)).__name__ for make in LAYERS.values()}
    elsewhere = {"RotationPool", "SteerableJetConv"}  # take and give fields that rotations mix: test_rotation.py
    assert listed | set(ENTRANCES) | elsewhere == set(nn.__all__) - {"Layer"}  # the base of all


@pytest.mark.parametrize("name", [name for name in LAYERS if name.startswith("JetConv") or name.endswith("training")])
def test_layer_that_sees_physical_sigma_does_not_commute(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    field = random_field(ROOT, torch.float64)
    layer = LAYERS[name](field.type).double()
    monkeypatch.setattr(ScaleField, "grid_sigmas", property(lambda field: field.window.sigmas))
    assert_commutes_with_relabelling(layer, field, ROOT.identity)
    with pytest.raises(AssertionError):
        assert_commutes_with_relabelling(layer, field, ROOT.element(2))


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_layer_that_sees_labels_does_not_commute(make: Make) -> None:
    field = random_field(ROOT, torch.float64)
    inner = make(field.type).double()

    def layer(field: ScaleField) -> ScaleField:
        result = inner(field)
        return replace(result, tensor=result.tensor * (1 + field.window.first))

    with pytest.raises(AssertionError):
        assert_commutes_with_relabelling(layer, field, ROOT.generator)  # type: ignore[arg-type]


# -- resampling is approximate ----------------------------------------------------------------------------------------

# `resample` interpolates by a sinc of 8 lobes under a Kaiser window with β = 8. Kaiser's design formulas give the
# attenuation A = β/0.1102 + 8.7 = 81 dB, the ripple δ = 10^(-A/20) and the width (A - 8)/(2.285·16) of the transition
# about π. Up to half of that below π (of the coarser grid) an axis errs by at most δ in the passband and δ through the
# mirrored spectra; two axes of an image of amplitude one by at most 4δ. Observed: 1.1δ.
_ATTENUATION = 8 / 0.1102 + 8.7
RIPPLE = 10 ** (-_ATTENUATION / 20)
HIGHEST = math.pi - (_ATTENUATION - 8) / (2.285 * 16) / 2
RESAMPLING = 4 * RIPPLE
REACH = 9  # lobes and one sample, of the coarser grid

WINDOW = ScaleWindow(ROOT, 1.0, 1)
Resample = Callable[[ScaleField, int], ScaleField]
SPACINGS = [-2, -1, 1, 2, 3]


def resampling_error(resample: Resample, image: ContinuousImage, size: int, spacing: int, inside: bool) -> float:
    """The largest difference from sampling the continuous image at the new spacing, away from the border if `inside`.

    A compact image needs no margin: its background is known to be zero.
    """
    resampled = resample(functional.lift(image.sample(size, size), WINDOW, background=0.0), spacing)
    rows, columns = resampled.held.shape
    direct = image.sample(rows, columns, factor=1 / ROOT.factor(spacing))
    margin = math.ceil(REACH * max(1.0, ROOT.factor(-spacing))) if inside else 0
    part = slice(margin, rows - margin), slice(margin, columns - margin)
    return (resampled.channel(0) - direct)[..., part[0], part[1]].abs().max().item()


def waves(spacing: int) -> Sinusoids:
    return Sinusoids.random(4, 3, HIGHEST / max(1.0, ROOT.factor(spacing)), torch.Generator().manual_seed(0))


def blobs(seed: int = 0) -> Blobs:
    """Compact on 64 pixels (below exp(-(29/6)²/2) < 1e-5 outside), spectrum below exp(-(5·HIGHEST/2)²/2) < 1e-6."""
    return Blobs.random(4, 1, widths=(5.0, 6.0), extent=3.0, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [96, 97])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_resampling_is_close_to_sampling_at_the_new_spacing(spacing: int, size: int) -> None:
    assert resampling_error(ScaleField.resample, waves(spacing), size, spacing, inside=True) <= RESAMPLING


@pytest.mark.parametrize("size", [64, 65])
@pytest.mark.parametrize("spacing", [-2, -1, 1, 2])
def test_resampling_compact_images_is_close_up_to_the_border(spacing: int, size: int) -> None:
    assert resampling_error(ScaleField.resample, blobs(), size, spacing, inside=False) <= RESAMPLING


def to_the_wrong_spacing(field: ScaleField, spacing: int) -> ScaleField:
    return field.resample(spacing + 1)


def from_the_corner(field: ScaleField, spacing: int) -> ScaleField:
    """Every γ^spacing-th sample counted from the corner: exact values of these images, half a pixel off the centre."""
    step = round(ROOT.factor(spacing))
    return replace(field, tensor=field.tensor[..., ::step, ::step], spacing=spacing, grid=None)


@pytest.mark.parametrize("wrong", [to_the_wrong_spacing, from_the_corner])
def test_resampling_to_a_wrong_spacing_or_centre_is_not_close(wrong: Resample) -> None:
    assert resampling_error(wrong, waves(2), 96, 2, inside=True) > 100 * RESAMPLING
    assert resampling_error(wrong, blobs(), 64, 2, inside=False) > 100 * RESAMPLING


@pytest.mark.parametrize("size", [64, 65])
@pytest.mark.parametrize(("first", "then"), [(1, 2), (-1, 1), (2, -1), (-2, 0), (1, 0)])
def test_resampling_composes_approximately(first: int, then: int, size: int) -> None:
    def twice(field: ScaleField, spacing: int) -> ScaleField:
        return field.resample(first).resample(spacing)

    # two steps, each of which errs by at most RESAMPLING and carries an error on with a gain near one
    assert resampling_error(twice, blobs(), size, then, inside=False) <= 2 * RESAMPLING


def assert_centred(resample: Resample, field: ScaleField, spacing: int) -> None:
    """Turning the image by 180° about its centre commutes with resampling."""
    turned = replace(field, tensor=field.tensor.flip(3, 4))
    expected = resample(field, spacing).tensor.flip(3, 4)
    torch.testing.assert_close(resample(turned, spacing).tensor, expected, rtol=0, atol=ROUNDING[torch.float64])


@pytest.mark.parametrize("shape", [(16, 16), (17, 17), (16, 11)], ids=str)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_resampling_keeps_the_centre(spacing: int, shape: tuple[int, int]) -> None:
    field = functional.lift(torch.randn(1, 1, *shape, dtype=torch.float64), WINDOW)
    assert_centred(ScaleField.resample, field, spacing)
    assert [n % 2 for n in field.resample(spacing).held.shape] == [n % 2 for n in shape]


def test_sampling_from_the_corner_does_not_keep_the_centre() -> None:
    field = functional.lift(torch.randn(1, 1, 16, 16, dtype=torch.float64), WINDOW)
    with pytest.raises(AssertionError):
        assert_centred(from_the_corner, field, 2)


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("background", [None, 3.0], ids=str)
@pytest.mark.parametrize("size", [8, 9])
def test_resampling_keeps_constants(size: int, background: float | None, dtype: torch.dtype) -> None:
    field = functional.lift(torch.full((1, 1, size, size), 3.0, dtype=dtype), WINDOW, background=background)
    for spacing in SPACINGS:
        constant = field.resample(spacing).tensor
        torch.testing.assert_close(constant, torch.full_like(constant, 3.0), rtol=0, atol=ROUNDING[dtype])
    darkened = replace(field, background=torch.zeros(1, 1, dtype=dtype)).resample(1).tensor
    assert (darkened - 3).abs().max() > 0.1  # the control: a constant in a world that is another is no constant


@given(fields_and_elements(), st.integers(-2, 2))
def test_resampling_commutes_with_relabelling(drawn: tuple, steps: int) -> None:
    field, g = drawn
    there = field.spacing + steps
    assert field.transform(g).spacing == field.spacing + g.power  # or else the images below would be huge
    assert_same_field(field.resample(there).transform(g), field.transform(g).resample(there + g.power))


@given(fields())
def test_resampling_to_the_same_spacing_is_the_identity(field: ScaleField) -> None:
    same = field.resample(field.spacing)
    torch.testing.assert_close(same.tensor, field.tensor, rtol=0, atol=ROUNDING[torch.float64])
    assert_same_field(replace(same, tensor=field.tensor), field)


@pytest.mark.parametrize(("size", "coarse"), [(64, 32), (65, 33), (64, 33)], ids=["64", "65", "any size"])
def test_field_brought_back_from_a_strided_grid_is_close_to_sampling_without_the_stride(size: int, coarse: int) -> None:
    def strided(stride: int) -> ScaleField:
        samples = blobs().sample(coarse, coarse, factor=1 / stride)
        return replace(functional.lift(samples, WINDOW, background=0.0), grid=Grid.whole(coarse, coarse, stride))

    direct = blobs().sample(size, size)
    back = strided(2).unstrided((size, size))
    assert (back.held, back.pixel_spacing) == (Grid.whole(size, size), 1.0)
    assert (back.channel(0) - direct).abs().max() <= RESAMPLING
    unstrided = strided(1)
    assert unstrided.unstrided((size, size)) is unstrided
    # the control: the samples taken for those of another stride
    wrong = replace(strided(2), grid=Grid.whole(coarse, coarse, 3)).unstrided((size, size))
    assert (wrong.channel(0) - direct).abs().max() > 100 * RESAMPLING


# -- what the objects are ---------------------------------------------------------------------------------------------


def values_of(group: ScaleGroup, size: int) -> list[Any]:
    """One of each value object, different in `group` or in `size`."""
    return [
        group,
        group.element(size),
        ScaleWindow(group, 1.0, size),
        Representation(group, (size,)),
        RegularRepresentation(group),
        FieldType.scalars(group, size),
        ImageType(size),
        TopK(size),
        LogSumExp(size),
        *(type(kernel)(tail=0.1**size) for kernel in KERNELS),
    ]


def kind(value: Any) -> str:
    return type(value).__name__


def test_values_are_equal_and_hashable_by_what_they_say() -> None:
    ours, twins = values_of(ROOT, 2), values_of(ScaleGroup(math.sqrt(2)), 2)
    assert ours == twins
    assert list(map(hash, ours)) == list(map(hash, twins))
    others = values_of(ScaleGroup(3), 3)
    assert all(one != other for one, other in zip(ours, others, strict=True))
    assert len({*ours, *twins, *others}) == 2 * len(ours)


STRATEGIES = (CentrePixel, SpatialMax, SpatialMean, Dense, Reflect, Replicate, Zero)  # without parameters


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.__name__)
def test_strategies_without_parameters_are_all_alike(strategy: type) -> None:
    assert strategy() == strategy()
    assert hash(strategy()) == hash(strategy())
    assert all(strategy() != other() for other in STRATEGIES if other is not strategy)


VALUES = [*values_of(ROOT, 2), *(strategy() for strategy in STRATEGIES), random_field(ROOT, torch.float32)]


@pytest.mark.parametrize("value", VALUES, ids=kind)
def test_values_and_fields_are_immutable(value: Any) -> None:
    for name in [*vars(value), "novelty"]:
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, 3)
        with pytest.raises(FrozenInstanceError):
            delattr(value, name)


def test_fields_are_equal_to_themselves_only() -> None:
    field, twin = (functional.lift(torch.zeros(1, 1, 3, 3), WINDOW) for _ in range(2))
    assert field == field
    assert field != twin  # tensors have no one equality, so fields have none
    assert len({field, twin}) == 2


def test_repr_reads_as_a_sentence() -> None:
    group = ScaleGroup(2)
    field = functional.lift(torch.zeros(4, 3, 5, 7), ScaleWindow(group, 1.0, 2), spacing=1)
    whole = (
        "a batch of 4 fields of 3 scalar feature(s) over scale and plane of the group of all powers of 2 with "
        "2 scale channels with σ₀ from 1 to 2 by powers of 2{}, 5×7 pixels of spacing 2"
    )
    assert repr(field) == whole.format("")
    assert repr(field.restrict(ScaleWindow(group, 1.0, 2, first=-1))) == whole.replace("1 to 2", "0.5 to 1").format(
        ", 1 of them undefined"
    )
    assert repr(ImageType(3)) == "images with 3 channel(s)"
    assert repr(FieldType(character(group, 1))).startswith("1 weight-(1,) feature(s) over scale and plane of the group")
    axes = (True, False), (False, True), (False, False)
    projected = [replace(field.type, over_scale=scale, over_plane=plane) for scale, plane in axes]
    where = [repr(type_)[20:].split(" of ")[0] for type_ in projected]
    assert where == ["over scale", "over the plane", "with no axes left"]


@pytest.mark.parametrize("power", [5000, -5000])
def test_repr_never_raises(power: int) -> None:
    field = functional.lift(torch.zeros(1, 1, 3, 3), WINDOW).transform(ROOT.element(power))
    assert f"σ₀ = 1·γ^{power} by" in repr(field)
    assert repr(field).endswith(f"3×3 pixels of spacing 1·γ^{power}")
