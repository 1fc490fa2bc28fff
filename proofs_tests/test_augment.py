"""Augmentation: all chance from the generator, and what each changes is what its name says."""

from collections.abc import Callable

import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from benchmarks.augment import (
    AUGMENTS,
    Scene,
    augmentation,
    bordered,
    coloured,
    composed,
    random_colour,
    random_edge,
    random_flip,
    random_shift,
    shifted,
)
from benchmarks.geometry import Augment, random_elastic, random_scaling, warp
from scalegroup import Background, Boundary, Reflect, Replicate, ScaleGroupError, Zero

NATURAL = Scene(Reflect(), (32.0,), (16.0, 32.0, 64.0))
OBJECTS = Scene(Background(-0.75), (32.0,), (16.0, 32.0, 64.0))


def images(count: int = 6, channels: int = 3, *, size: tuple[int, int] = (12, 10)) -> torch.Tensor:
    return torch.rand(count, channels, *size, generator=torch.Generator().manual_seed(1))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -- all of them -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AUGMENTS)
def test_each_is_a_function_of_its_generator_and_leaves_its_input_alone(name: str) -> None:
    augment, x = AUGMENTS[name](NATURAL), images(30, size=(40, 36))
    before = x.clone()
    first, same, other = (augment(x, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(x, before)
    assert (first.shape, first.dtype) == (x.shape, x.dtype)


@pytest.mark.parametrize("name", AUGMENTS)
def test_each_image_has_a_chance_of_its_own(name: str) -> None:
    same = images(1, size=(40, 36)).expand(30, -1, -1, -1)
    changed = AUGMENTS[name](NATURAL)(same, seeded())
    assert any(not torch.equal(changed[0], other) for other in changed[1:])


@pytest.mark.parametrize("name", ["flip", "shift", "colour"])
def test_constant_pictures_stay_constant(name: str) -> None:
    """Whatever is outside goes on as it is within: what comes in is no other."""
    x = torch.full((20, 3, 9, 9), 0.5)
    changed = AUGMENTS[name](NATURAL)(x, seeded())
    assert torch.equal(changed, changed[:, :, :1, :1].expand_as(changed))
    assert torch.equal(changed, x) == (name != "colour")


def test_several_are_one_after_another_from_one_generator() -> None:
    x, generator = images(), seeded(3)
    by_hand = random_shift(4, Reflect())(random_flip(x, generator), generator)
    both = augmentation(["flip", "shift"], NATURAL)
    assert both is not None
    assert torch.equal(both(x, seeded(3)), by_hand)
    assert not torch.equal(composed([random_shift(4, Reflect()), random_flip])(x, seeded(3)), by_hand)  # the control
    assert augmentation([], NATURAL) is None


def test_what_does_not_fit_the_images_is_refused() -> None:
    mixture = Scene(Background(0.0), (16.0, 32.0), (16.0,))
    refusals: list[tuple[Callable[[], Augment | None], str]] = [
        (lambda: augmentation(["scale"], mixture), "scale with a mixture"),
        (lambda: augmentation([], mixture, cut_share=0.5), "--cut-share with a mixture"),
        (lambda: augmentation([], NATURAL, cut_share=0.5), "--cut-share of pictures that fill"),
        (lambda: augmentation(["colour"], OBJECTS), "colour of objects"),
        (lambda: augmentation(["edge"], OBJECTS), "edge of objects"),
        (lambda: augmentation(["edge"], Scene(Reflect(), (16.0, 32.0), (16.0,))), "edge with a mixture"),
    ]
    for call, said in refusals:
        with pytest.raises(ScaleGroupError, match=said):
            call()
    assert augmentation(["flip", "shift"], mixture)
    assert augmentation(["scale"], OBJECTS, cut_share=0.5)


# -- flips, shifts and edges -------------------------------------------------------------------------------------------


def test_half_of_the_images_are_flipped_and_the_others_as_they_were() -> None:
    x = images(400)
    flipped = random_flip(x, seeded())
    same, turned = ((flipped == other).flatten(1).all(1) for other in (x, x.flip(3)))
    assert (same ^ turned).all()
    assert turned.float().mean().item() == pytest.approx(0.5, abs=0.1)


BOUNDARIES = [Reflect(), Replicate(), Zero(), Background(0.25), Background((0.1, 0.2, 0.3))]


def padded(x: torch.Tensor, margin: int, boundary: Boundary) -> torch.Tensor:
    """In torch's own way."""
    modes = {Reflect: "reflect", Replicate: "replicate"}
    constant = boundary.constant(x)
    origin = torch.zeros(3, 1, 1) if constant is None else constant[:, None, None]
    return torch.nn.functional.pad(x - origin, [margin] * 4, mode=modes.get(type(boundary), "constant")) + origin


@pytest.mark.parametrize("boundary", BOUNDARIES, ids=repr)
def test_images_move_by_whole_pixels_over_what_the_boundary_says(boundary: Boundary) -> None:
    """As cut out of the image on a wide border."""
    x, most = images(), 4
    down, right = torch.tensor([0, 4, -4, 1, -3, 2]), torch.tensor([0, -4, 3, 4, -1, -2])
    wide = padded(x, most, boundary)
    moved = shifted(x, down, right, boundary)
    for image, border, dy, dx in zip(moved, wide, down.tolist(), right.tolist(), strict=True):
        y, x_ = most - dy, most - dx
        torch.testing.assert_close(image, border[:, y : y + 12, x_ : x_ + 10])
    assert torch.equal(moved[0], x[0])  # by nothing: to the bit
    assert torch.equal(moved[1, :, 4:, :-4], x[1, :, :-4, 4:])


def test_shifts_go_as_far_as_an_eighth_of_the_object_and_no_further() -> None:
    x = torch.zeros(300, 1, 32, 32)
    x[:, :, 16, 16] = 1
    moved = AUGMENTS["shift"](NATURAL)(x, seeded())
    places = torch.nonzero(moved[:, 0])[:, 1:] - 16
    assert len(places) == 300
    assert places.amin(0).tolist() == [-4, -4]
    assert places.amax(0).tolist() == [4, 4]


@pytest.mark.parametrize("boundary", BOUNDARIES, ids=repr)
def test_a_nearer_edge_is_that_of_the_smaller_image(boundary: Boundary) -> None:
    """As the middle is continued."""
    x, margins = images(4), torch.tensor([0, 1, 2, 3])
    for image, own, m in zip(bordered(x, margins, boundary), x, margins.tolist(), strict=True):
        torch.testing.assert_close(image, padded(own[None, :, m : 12 - m, m : 10 - m], m, boundary)[0])
        assert torch.equal(image, own) == (m == 0)  # the control


def test_edges_come_as_near_as_the_object_and_no_nearer() -> None:
    x = torch.zeros(300, 1, 40, 44)
    x[:, :, :, 6:38] = 1  # 32 pixels across
    near = random_edge(32.0, Zero())(x, seeded())
    assert torch.equal(near[:, :, 4:36], x[:, :, 4:36])
    cut = (near == 0).all(3)[:, 0, :20].sum(1)
    assert (cut.min().item(), cut.max().item()) == (0, 4)
    assert torch.equal(random_edge(50.0, Zero())(x, seeded()), x)  # nothing is left to cut


# -- elastic -----------------------------------------------------------------------------------------------------------


def blob(x: float, y: float, size: int = 41, sigma: float = 3.0) -> torch.Tensor:
    """A round one, away from the centre, on -0.75."""
    places = torch.arange(size) - (size - 1) / 2
    return 2 * torch.exp(-((places - x) ** 2 + (places[:, None] - y) ** 2) / (2 * sigma**2))[None, None] - 0.75


def moments(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mass, centre and covariance of what is on -0.75."""
    weight = images[:, 0] + 0.75
    mass = weight.sum((1, 2))
    y, x = torch.meshgrid(*[torch.arange(n) - (n - 1) / 2 for n in weight.shape[1:]], indexing="ij")
    places = torch.stack([x, y])
    centre = (weight[:, None] * places).sum((2, 3)) / mass[:, None]
    from_it = places - centre[:, :, None, None]
    return mass, centre, torch.einsum("byx,bcyx,bdyx->bcd", weight, from_it, from_it) / mass[:, None, None]


def test_objects_without_ripples_keep_their_centre_and_their_area() -> None:
    x = blob(6.0, -4.0).expand(200, -1, -1, -1)
    mass, centre, spread = moments(x)
    bent_mass, bent_centre, bent_spread = moments(random_elastic(0.25, 0.0, OBJECTS.boundary)(x, seeded()))
    assert (bent_mass / mass - 1).abs().max() < 0.01
    assert (bent_centre - centre).abs().max() < 0.05
    area, bent_area = spread.det(), bent_spread.det()
    assert (bent_area / area - 1).abs().max() < (9.25 / 9) ** 2 - 1  # bilinear: up to ¼ more than the variance of 9
    shapes = bent_spread.diagonal(dim1=1, dim2=2)
    assert ((shapes[:, 0] / shapes[:, 1]).log().abs() > 0.2).float().mean() > 0.5  # the control: they do change
    scaled = moments(AUGMENTS["scale"](OBJECTS)(x, seeded()))[2].det()
    assert (scaled / area - 1).abs().max() > 0.5  # the control


def test_ripples_are_as_large_as_the_object_and_change_no_area_on_average() -> None:
    """An object twice as large, from the same chance, is bent in the same way."""
    small, large = (blob(0.0, 0.0, n * 40 + 1, sigma=n * 3.0).expand(100, -1, -1, -1) for n in (1, 2))
    bent = [AUGMENTS["elastic"](OBJECTS)(x, seeded()) for x in (small, large)]
    there = slice(10, 31)  # beyond, the spline goes on as at its border
    assert (bent[1][..., ::2, ::2] - bent[0])[..., there, there].abs().max() < 0.1  # of 2
    assert (bent[0] - random_elastic(0.25, 0.0, OBJECTS.boundary)(small, seeded())).abs().max() > 0.2  # the control
    before, after = (moments(x)[2].det().sqrt() for x in (small, bent[0]))
    assert (after / before).mean() == pytest.approx(1.0, abs=0.03)


def test_constant_pictures_stay_constant_but_for_the_rounding_of_interpolation() -> None:
    x = torch.full((20, 3, 9, 9), 0.5)
    torch.testing.assert_close(AUGMENTS["elastic"](NATURAL)(x, seeded()), x)


def test_pictures_that_fill_their_images_are_bent_about_the_middle() -> None:
    x = blob(0.0, 0.0).expand(50, -1, -1, -1)
    bent = random_elastic(0.25, 0.0, Reflect())(x, seeded())
    assert (bent[:, 0, 20, 20] == x[:, 0, 20, 20]).all()
    assert not torch.allclose(bent, x)


# -- colour ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_change_as_those_of_torchvision(channels: int) -> None:
    x, one = images(channels=channels), torch.ones(6)
    factors = torch.tensor([0.0, 0.5, 0.8, 1.0, 1.2, 2.0])
    for place, adjust in enumerate(
        (reference.adjust_brightness, reference.adjust_contrast, reference.adjust_saturation)
    ):
        chosen = [factors if number == place else one for number in range(3)]
        ours = coloured(x, *chosen)
        theirs = torch.stack([adjust(image, factor) for image, factor in zip(x, factors.tolist(), strict=True)])
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)  # theirs has constants of fewer digits
    torch.testing.assert_close(coloured(x, one, one, one), x)


def test_factors_of_colour_are_within_their_strength() -> None:
    x = torch.full((500, 3, 1, 1), 0.5)  # of one value: brightness alone is seen
    brightness = random_colour(0.2)(x, seeded())[:, 0, 0, 0] / 0.5
    assert brightness.min() == pytest.approx(0.8, abs=0.01)
    assert brightness.max() == pytest.approx(1.2, abs=0.01)


# -- scale -------------------------------------------------------------------------------------------------------------


def test_pictures_made_smaller_go_on_as_their_mirror() -> None:
    half, x = torch.full((6,), 0.5), images(size=(12, 12))
    small = warp(x, factors=half, angles=0 * half, boundary=Reflect())
    for dim in (2, 3):  # twelve pixels are six now, from 3 to 9
        for edge in (3, 9):
            before, behind = small.narrow(dim, edge - 3, 3), small.narrow(dim, edge, 3)
            torch.testing.assert_close(before, behind.flip(dim))
            assert not torch.allclose(before, behind)  # the control
    assert (warp(x, factors=half, angles=0 * half, boundary=Zero())[..., :3, :] == 0).all()
    border = warp(x, factors=half, angles=0 * half, boundary=Replicate())
    assert torch.equal(border[..., :2, :], border[..., 2:3, :].expand(-1, -1, 2, -1))


def test_scaled_images_span_the_sizes_that_are_tested() -> None:
    """A ramp of slope 1 has the slope 1 / factor."""
    ramp = torch.arange(32.0).expand(400, 1, 32, 32)
    scaled = AUGMENTS["scale"](OBJECTS)(ramp, seeded())
    slopes = scaled[:, 0, 16, 17] - scaled[:, 0, 16, 16]
    assert slopes.min().item() == pytest.approx(0.5, abs=0.02)
    assert slopes.max().item() == pytest.approx(2.0, abs=0.05)
    assert torch.equal(scaled, random_scaling(0.5, 2.0, OBJECTS.boundary)(ramp, seeded()))
