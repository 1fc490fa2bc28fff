"""The laws that every layer inherits: `check_layer` puts any of them, ours or a user's, through all of these.

A layer is wrong when it needs more samples than it says, or fewer; when it looks across scale without saying so; when
it keeps something of an earlier call, or loses a setting when it is copied; when it does not commute with scaling.
"""

import copy
import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck

from scalegroup import functional
from scalegroup.algebra.group import ScaleGroup
from scalegroup.errors import ScaleGroupError, check_instance, refusing
from scalegroup.fields.boundary import Background
from scalegroup.fields.field import ScaleField
from scalegroup.fields.field_type import FieldType
from scalegroup.fields.grid import Grid, Grids
from scalegroup.fields.lifting import SelfSimilar
from scalegroup.fields.window import ScaleWindow, check_scales
from scalegroup.nn.layer import Layer, of_channels
from scalegroup.nn.reweight import Reweight
from scalegroup.testing.closed_form import Blobs, seeded

_ROUNDING = 1e-12  # of float64, for values of about one
_LIFTING = 1e-8  # of the signal, for objects of 1.5 and σ₀ of 2 pixels
_SIZE = 65  # of the images, in pixels
_SPARE = 1  # samples that a layer may ask for in vain, on each side: windows of interpolation end in zeros


@refusing
def check_layer(make: Callable[[FieldType], Layer], in_type: FieldType | None = None, *, ratio: float = 2**0.5) -> None:
    """Put a layer through all laws. Raises `AssertionError` that names the law and says how it is broken.

    Args:
        make: a layer for a field type: a layer class, or `functools.partial` of one with its other arguments.
        in_type: what to make it for; default two scalar features.
        ratio: γ.

    >>> from scalegroup import nn
    >>> check_layer(nn.ReLU)
    """
    for name, law in layer_laws(make, in_type, ratio=ratio).items():
        try:
            law()
        except ScaleGroupError as error:
            raise AssertionError(f"{name}: {error}") from error


def layer_laws(
    make: Callable[[FieldType], Layer], in_type: FieldType | None = None, *, ratio: float = 2**0.5
) -> dict[str, Callable[[], None]]:
    """The laws by name, each to be called by itself; the arguments are those of `check_layer`."""
    type_ = check_instance("in_type", FieldType.scalars(2) if in_type is None else in_type, FieldType, mend="try None")
    bench = _Bench(make, type_, ScaleWindow(ScaleGroup(ratio), sigma0=2.0, channels=4))
    check_scales((_SIZE, _SIZE), bench.window.sigmas)
    laws = [name for name, value in vars(_Bench).items() if callable(value) and not name.startswith("_")]
    return {name.replace("_", " "): getattr(bench, name) for name in laws}


@dataclass(frozen=True)
class _Bench:
    """A layer, and fields for it. Every public method is a law."""

    make: Callable[[FieldType], Layer]
    type: FieldType
    window: ScaleWindow

    def planned_is_whole(self) -> None:
        """A part of the output from what it needs is that part of the output of everything, in training as well."""
        for density, off_centre, mode in ((1.0, 0, False), (1.0, 1, True), (1.3, 0, True), (1.3, 1, False)):
            wanted, needed = self._needed(self._layer().train(mode), density, off_centre=off_centre)
            larger = self._random(needed.map(self._wider), seed=1)
            parts = _maps(self._layer().train(mode).run(larger, wanted))  # each just made, to draw the same at random
            wholes = _maps(_cropped(self._layer().train(mode)(larger), wanted))
            _assert_close(parts, wholes, "a part of the output differs from the same part of the whole")

    def needs_what_it_says(self) -> None:
        """What it says it needs is enough: no gradient reaches further. And not more: every side of it matters."""
        layer = self._layer().train()
        wanted, needed = self._needed(layer)
        larger = self._random(needed.map(self._wider), seed=2, leaf=True)
        _weighted(_maps(_cropped(layer(larger), wanted))).backward()
        for channel, (grid, held) in enumerate(zip(needed.grids, larger.grids.grids, strict=True)):
            gradient = _gradient(larger, channel)
            enough = gradient.count_nonzero() == held.crop(gradient, grid).count_nonzero()
            assert enough, f"channel {channel} depends on more than it says it needs, {grid}"
        field = self._random(needed, seed=2)
        usual = _maps(self._layer().train().run(field, wanted))
        for side, dim, first in (("upper", 2, 0), ("lower", 2, -1 - _SPARE), ("left", 3, 0), ("right", 3, -1 - _SPARE)):
            edges = tuple(maps.clone() for maps in field.maps)
            wide = [maps for maps in edges if maps.shape[dim] > 2 * _SPARE + 1]
            for maps in wide:
                maps.narrow(dim, first % maps.shape[dim], 1 + _SPARE).mul_(100.0)
            changed = _maps(self._layer().train().run(replace(field, maps=edges), wanted))
            useless = bool(wide) and all(map(torch.equal, usual, changed))
            assert not useless, f"the {side} samples of what it says it needs do not matter: {needed.grids[0]}"

    def says_how_far_it_looks_across_scale(self) -> None:
        """A scale channel depends on those within `across_scale` of it, and on no others."""
        layer = self._layer()
        wanted, needed = self._needed(layer)
        for channel in range(self.window.channels):
            field = self._random(needed, seed=3, leaf=True)
            outputs = [output for output in _fields(layer.run(field, wanted)) if output.type.over_scale]
            if not outputs:
                return
            _weighted([output.channel(channel) for output in outputs]).backward()
            for other in range(self.window.channels):
                looks = abs(other - channel) > layer.across_scale and bool(_gradient(field, other).any())
                assert not looks, f"channel {channel} depends on channel {other}: `across_scale` does not say so"

    def relabelling_is_exact(self) -> None:
        """Layer ∘ transform = transform ∘ layer, to the bit, in training and in evaluation."""
        element = self.window.group.element(3)
        for mode in (True, False):
            field = self._random(self._needed(self._layer())[1], seed=4)
            after = _fields(self._layer().train(mode)(field.transform(element)))
            before = [output.transform(element) for output in _fields(self._layer().train(mode)(field))]
            for a, b in zip(after, before, strict=True):
                assert (a.window, a.exponents, a.grids) == (b.window, b.exponents, b.grids), "the labels differ"
                assert all(map(torch.equal, a.maps, b.maps)), (
                    "values differ: a layer may look at samples per σ₀ and σ₀ in pixels, not at the window"
                )

    def what_it_says_of_a_constant_world_is_so(self) -> None:
        """Of an input that is constant beyond some samples the output is so beyond those that `live` says."""
        layer = self._layer()
        near = self._needed(layer)[1].map(lambda grid: grid.around(3.0))
        if self.type.over_plane and (seen := layer.live(near)) is not None:
            wide = layer.needs(seen.map(lambda grid: grid.dilated(6)), near.canvas())
            world = replace(self._random(near, seed=10), live=near).crop(wide)
            whole = layer(replace(world, live=None))
            part = replace(whole.crop(whole.grids.intersection(seen)), live=seen)
            known = part.crop(whole.grids).maps
            _assert_close(known, whole.maps, "beyond what it says is live the output still changes")

    def commutes_with_scaling(self) -> None:
        """What it makes of an image is what it makes, one scale channel further on, of the image scaled by γ."""
        layer, last = self._layer(), self.window.channels
        _, needed = self._needed(layer, half_width=6)
        blobs = [Blobs.random(3, 4, widths=(1.5, 2.0), extent=3.0, generator=seeded(n)) for n in range(self.type.size)]

        def behind(factor: float, start: int, stop: int) -> list[ScaleField]:
            pictures = torch.cat([images.sample(_SIZE, _SIZE, factor=abs(factor)) for images in blobs], dim=1)
            options = {"boundary": Background(0.0), "sampling": SelfSimilar(1.0), "wanted": needed}
            lifted = functional.lift(pictures * (factor > 0), self.window, **options)
            # as a field of the layer's type: of the weight w, its values fall as σ₀^(-w)
            typed = replace(Reweight(lifted.type, self.type.fibre)(lifted), type=self.type)
            return _fields(layer(typed.restrict(self.window.select(start, stop))))

        outputs = behind(1.0, 0, last - 1), behind(self.window.group.ratio, 1, last), behind(-1.0, 1, last)
        for before, after, blank in zip(*outputs, strict=True):
            gains = before.type.fibre.matrix(self.window.group.generator).diagonal()[:, None, None]
            gaps, signals = [], []
            for n, (grid, other) in enumerate(zip(before.grids.grids, after.grids.grids, strict=True)):
                same = grid.samples_per_sigma == other.samples_per_sigma
                part = grid.intersection(other) if same else grid.around(0.0)  # pixels: the centre alone is shared
                b, nothing = (other.crop(field.channel(n), part) for field in (after, blank))
                gaps.append((grid.crop(before.channel(n), part) * gains - b).flatten())
                signals.append((b - nothing).flatten())
            error = torch.cat(gaps).norm() / torch.cat(signals).norm()
            assert error <= _LIFTING, f"scaling changes the output by {error:.1e} of the signal"

    def gradients_are_right(self) -> None:
        """Gradients are those of finite differences, the second ones too."""
        layer = self._layer()
        field = self._random(self._needed(layer, half_width=1)[1], seed=6, leaf=True)
        run = _OnMaps(layer, field)
        assert gradcheck(lambda *maps: run(maps), field.maps, fast_mode=True), "a gradient is wrong"
        assert gradgradcheck(lambda *maps: run(maps), field.maps, fast_mode=True), "a second gradient is wrong"

    def remembers_nothing(self) -> None:
        """After other calls, and with a setting changed in between, it gives what a new one gives."""
        used = self._layer()
        first, second = (self._random(self._needed(used, density)[1], seed=7) for density in (1.0, 1.3))
        used(first)
        assert _same(used, self._layer(), second), "an earlier call changes the output"
        for name, value in vars(used).items():
            if type(value) is float and not name.startswith("_"):
                called, new = self._layer(), self._layer()
                called(second)
                for layer in (called, new):
                    setattr(layer, name, value * 1.1)
                assert _same(called, new, second), f"a changed {name} is not heeded after a call"

    def copies_are_the_same(self) -> None:
        """Deep copies, pickled ones, and others with its `state_dict` give what it gives."""
        layer, loaded = self._layer(seed=1), self._layer(seed=2)
        loaded.load_state_dict(layer.state_dict())
        field = self._random(self._needed(layer)[1], seed=8)
        copies = {"deep": copy.deepcopy(layer), "pickled": pickle.loads(pickle.dumps(layer)), "loaded": loaded}
        for kind, other in copies.items():
            assert _same(other, layer, field), f"a {kind} copy gives something else"

    def can_be_exported(self) -> None:
        """`torch.export` gives a graph that gives the same. Of two scale channels: a graph repeats itself for each."""
        bench, layer = replace(self, window=self.window.select(0, 2)), self._layer()
        field = bench._random(bench._needed(layer)[1], seed=9)
        module = _OnMaps(layer, field)
        exported = torch.export.export(module, (field.maps,)).module()
        _assert_close(exported(field.maps), module(field.maps), "the graph gives other values")

    def _layer(self, seed: int = 0) -> Layer:
        torch.manual_seed(seed)
        mend = "pass a layer class, or functools.partial of one"
        layer = check_instance("what `make` gives", self.make(self.type), Layer, mend=mend).double().eval()
        with torch.no_grad():
            for parameter in layer.parameters():  # an offset that begins at zero hides whether it is there
                parameter.add_(0.1 * torch.randn_like(parameter))
        return layer

    def _needed(
        self, layer: Layer, density: float = 1.0, half_width: int = 2, *, off_centre: int = 0
    ) -> tuple[Any, Grids]:
        """The part of the output about the centre (or off it), at so many samples per σ₀, and what it needs."""
        canvas = SelfSimilar(density).canvas((_SIZE, _SIZE), self.window.sigmas)
        if not self.type.over_plane:
            canvas = canvas.map(lambda grid: grid.around(0.0))

        def part(grid: Grid) -> Grid:
            central = grid.around(half_width).intersection(grid)
            moved = replace(central, y=replace(central.y, first=central.y.first + off_centre))
            return moved if min(central.shape) > 1 else central

        whole: Any = layer.canvas(canvas)
        heads = isinstance(whole, dict)
        wanted: Any = {name: one.map(part) for name, one in whole.items()} if heads else whole.map(part)
        return wanted, layer.needs(wanted, canvas)

    def _wider(self, grid: Grid) -> Grid:
        """With samples that are none of the layer's business."""
        return grid.dilated(5) if self.type.over_plane else grid

    def _random(self, grids: Grids, *, seed: int, leaf: bool = False) -> ScaleField:
        """A field of normal values: a law that holds for these holds for all."""
        shapes = [(2 * (stop - start), self.type.size, *grids.grids[start].shape) for start, stop in grids.runs]
        maps = [torch.randn(shape, dtype=torch.float64, generator=seeded(seed)) for shape in shapes]
        return ScaleField(tuple(part.requires_grad_(leaf) for part in maps), self.type, self.window, grids)


class _OnMaps(nn.Module):
    """A layer as a module on tensors, which is what can be exported."""

    def __init__(self, layer: Layer, field: ScaleField) -> None:
        super().__init__()
        self.layer, self.field = layer, field

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return _maps(self.layer(replace(self.field, maps=maps)))


def _assert_close(one: tuple[Tensor, ...], other: tuple[Tensor, ...], said: str) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=_ROUNDING, msg=said)


def _fields(result: Any) -> list[ScaleField]:
    """The fields that a layer gives: one, or several by name."""
    return list(result.values()) if isinstance(result, dict) else [result]


def _maps(result: Any) -> tuple[Tensor, ...]:
    return tuple(maps for field in _fields(result) for maps in field.maps)


def _cropped(result: Any, wanted: Any) -> Any:
    if isinstance(result, dict):
        return {name: _cropped(part, wanted[name]) for name, part in result.items()}
    return result.crop(of_channels(wanted, result))


def _weighted(maps: Iterable[Tensor]) -> Tensor:
    """A sum with random weights, which no symmetry makes zero."""
    weighted = [part * torch.randn(part.shape, dtype=part.dtype, generator=seeded(n)) for n, part in enumerate(maps)]
    return torch.cat([part.flatten() for part in weighted]).sum()


def _gradient(field: ScaleField, channel: int) -> Tensor:
    """Of one scale channel of a field of leaves, which are its runs."""
    grads = [torch.zeros_like(maps) if maps.grad is None else maps.grad for maps in field.maps]
    return replace(field, maps=tuple(grads)).channel(channel)


def _same(one: Layer, other: Layer, field: ScaleField) -> bool:
    """Whether both give the same, or raise the same error: a changed setting may leave too few samples."""
    (a, said), (b, also_said) = (_output(layer, field) for layer in (one, other))
    return said == also_said and len(a) == len(b) and all(map(torch.equal, a, b))


def _output(layer: Layer, field: ScaleField) -> tuple[tuple[Tensor, ...], str]:
    try:
        return _maps(layer(field)), ""
    except ScaleGroupError as error:
        return (), str(error)
