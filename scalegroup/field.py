"""Feature fields on group × plane, and the ways to act on them.

`transform` is the action of scalings: it relabels, touches no pixel, and its laws hold bitwise. `rotate` is that of
quarter turns, which move pixels to pixels. `restrict` keeps a fixed
window and is partial: channels that are not there are undefined. `resample` changes the pixel spacing and is
approximate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from einops import einsum
from torch import Tensor

from scalegroup.boundary import Background, Boundary, Reflect
from scalegroup.errors import ScaleGroupError, check_instance, check_integer
from scalegroup.field_type import FieldType
from scalegroup.grid import Grid
from scalegroup.group import GroupElement
from scalegroup.resample import resample
from scalegroup.rotation import Rotation
from scalegroup.window import ScaleWindow


@dataclass(frozen=True, eq=False, repr=False)
class ScaleField:
    """A feature field: a tensor `[batch, field, scale, y, x]` with its type, scale window and pixel spacing.

    Args:
        tensor: the values; the scale axis has one index per channel of the window (one once pooled over scale).
        type: what the features are.
        window: which scale channels these are, by physical σ₀.
        spacing: the pixel spacing is γ^spacing.
        exponents: per feature, the integer e of a factor γ^(-e) that `transform` has put in front of the values.
        defined: per scale channel, whether it has values; undefined channels hold NaN and take no part in anything.
        background: the value `[field, scale]` of the field far away from the object, or None if that is not known.
        grid: which samples of the image the tensor holds, and the stride at which; by default all of them.

    Raises:
        ScaleGroupError: if the parts do not fit together.
    """

    tensor: Tensor
    type: FieldType
    window: ScaleWindow
    spacing: int = 0
    exponents: tuple[int, ...] = ()
    defined: tuple[bool, ...] = ()
    background: Tensor | None = None
    grid: Grid | None = None

    def __post_init__(self) -> None:
        check_instance("tensor", self.tensor, Tensor, mend="make fields from images with functional.lift")
        check_instance("type", self.type, FieldType, mend="use FieldType.scalars(group, size)")
        self.type.group.check_same(self.window, ScaleWindow)
        shape = list(self.tensor.shape)
        if not self.tensor.is_floating_point():
            raise ScaleGroupError(
                f"a tensor of dtype {self.tensor.dtype}", expected="floating point", mend="convert it: tensor.float()"
            )
        if self.tensor.ndim != 5:
            raise ScaleGroupError(
                f"a tensor of shape {shape}",
                expected="five axes [batch, field, scale, y, x]",
                mend="make fields from images with functional.lift",
            )
        channels = self.window.channels if self.type.over_scale else 1
        if shape[1] != self.type.size or shape[2] != channels:
            raise ScaleGroupError(
                f"a tensor with {shape[1]} features and {shape[2]} scale channels (shape {shape})",
                expected=f"{self.type.size} features and {channels} scale channels",
                mend="give the field type and the window that the tensor was made with",
            )
        object.__setattr__(self, "spacing", check_integer("spacing", self.spacing))
        for name, kind in (("exponents", Sequence), ("defined", Sequence), ("background", Tensor), ("grid", Grid)):
            if (part := getattr(self, name)) is not None:
                check_instance(name, part, kind, mend="leave it out")
        exponents = tuple(check_integer("exponent", exponent) for exponent in self.exponents or ())
        object.__setattr__(self, "exponents", exponents or (0,) * self.type.size)
        object.__setattr__(self, "defined", tuple(self.defined or ()) or (True,) * channels)
        object.__setattr__(self, "grid", self.grid or Grid.whole(shape[3], shape[4]))
        for name, got, expected in (
            ("exponents", [len(self.exponents)], [self.type.size]),
            ("defined", [len(self.defined)], [channels]),
            ("grid", list(self.held.shape), shape[3:]),
            ("background", None if self.background is None else list(self.background.shape), [shape[1], channels]),
        ):
            if got not in (None, expected):
                raise ScaleGroupError(
                    f"{name} of shape {got}",
                    expected=f"{expected}, to fit a tensor of shape {shape}",
                    mend="leave it out",
                )

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def held(self) -> Grid:
        """The grid, never None."""
        assert self.grid is not None  # set in __post_init__
        return self.grid

    @property
    def pixel_spacing(self) -> float:
        """The physical distance between neighbouring samples of the tensor."""
        return self.window.group.factor(self.spacing) * self.held.stride

    @property
    def grid_sigmas(self) -> tuple[float, ...]:
        """σ₀ of each channel in samples of the tensor: all that a layer ever sees of the window."""
        return self.window.sigmas_on(spacing=self.spacing, stride=self.held.stride)

    @property
    def values(self) -> Tensor:
        """The tensor with the factors γ^(-exponent) of its fibre multiplied out."""
        if not any(self.exponents):
            return self.tensor
        factors = [self.type.group.factor(-exponent) for exponent in self.exponents]
        return self.tensor * self.tensor.new_tensor(factors)[:, None, None, None]

    @property
    def mask(self) -> Tensor:
        """`defined` as a boolean tensor that broadcasts over `[batch, field, scale, y, x]`."""
        return torch.tensor(self.defined, device=self.tensor.device)[:, None, None]

    def channel(self, index: int) -> Tensor:
        """The maps `[batch, field, y, x]` of one scale channel (its last axes as the tensor holds them)."""
        return self.tensor.squeeze(2) if self.tensor.shape[2] == 1 else self.tensor[:, :, index]

    def channel_background(self, channel: int) -> Boundary | None:
        """The background of one channel as a boundary, or None where it is not known."""
        return None if self.background is None else Background(self.background[:, channel])

    # -- how it is acted on -------------------------------------------------------------------------------------------

    def transform(self, element: GroupElement) -> ScaleField:
        """The field of the scaled image (eq 2), by relabelling: total, and exact to the bit.

        The window moves by the element's power, the pixels grow with it, and the fibre takes its factor, all of them
        integers; no value is touched.

        >>> from scalegroup import ScaleGroup
        >>> G = ScaleGroup(2)
        >>> field = ScaleField(torch.ones(1, 1, 3, 5, 5), FieldType.scalars(G, 1), ScaleWindow(G, 1.0, 3))
        >>> field.transform(G.element(2)).window
        3 scale channels with σ₀ from 4 to 16 by powers of 2
        """
        added = self.type.fibre.exponents(element)
        return replace(
            self,
            window=self.window.transform(element),
            spacing=self.spacing + element.power,
            exponents=tuple(e + a for e, a in zip(self.exponents, added, strict=True)),
        )

    def rotate(self, rotation: Rotation) -> ScaleField:
        """The field of the image turned by quarter turns: pixels move to pixels and features mix, exactly.

        Raises:
            ScaleGroupError: if the rotation is no quarter turn, or of another group than the features, or only a
                region of the image is held.

        >>> from scalegroup import RotationGroup, ScaleGroup
        >>> G, C4 = ScaleGroup(2), RotationGroup(4)
        >>> ramp = torch.arange(3.).expand(1, 4, 1, 3, 3)
        >>> field = ScaleField(ramp, FieldType.rotating(G, C4.regular), ScaleWindow(G, 1.0, 1))
        >>> field.rotate(C4.element(1)).tensor[0, 0, 0, :, 0].tolist()
        [2.0, 1.0, 0.0]
        """
        check_instance("rotation", rotation, Rotation, mend="use RotationGroup(4).element(1)")
        if rotation.quarter_turns is None or not self.held.is_whole:
            raise ScaleGroupError(
                f"{rotation!r} of {self.held.shape} of {self.held.y.size}×{self.held.x.size} samples",
                expected="quarter turns of a whole image, which move pixels to pixels",
                mend="sample the turned image from its closed form: scalegroup.testing",
            )
        turned = torch.rot90(self.tensor, rotation.quarter_turns, (3, 4))
        background = self.background
        if self.type.rotation is not None:
            matrix = self.type.rotation.matrix(rotation).to(turned)
            turned = einsum(matrix, turned, "o i, b i s y x -> b o s y x")
            background = None if background is None else matrix @ background
        grid = Grid.whole(*turned.shape[-2:], stride=self.held.stride)
        return replace(self, tensor=turned, background=background, grid=grid)

    def restrict(self, window: ScaleWindow) -> ScaleField:
        """The field on another window: channels that this one lacks are undefined (NaN, and marked), never zero.

        Raises:
            ScaleGroupError: if the window is of another group or grid, or scale has been pooled away.
        """
        if not self.type.over_scale:
            raise ScaleGroupError(repr(self), expected="a field over scale", mend="restrict before pooling over scale")
        positions = self.window.positions_of(window)
        index = torch.tensor([p if p is not None else 0 for p in positions], device=self.tensor.device)
        defined = tuple(p is not None and self.defined[p] for p in positions)
        background = None if self.background is None else self.background.index_select(1, index)
        tensor = self.tensor.index_select(2, index)
        kept = replace(self, tensor=tensor, window=window, defined=defined, background=background)
        return replace(kept, tensor=tensor.masked_fill(~kept.mask, math.nan))

    def pointwise(self, function: Callable[[Tensor], Tensor]) -> ScaleField:
        """A map of the values that broadcasts over `[batch, field, scale, y, x]`, applied to the background as well.

        Undefined channels stay undefined, and no NaN of theirs enters a gradient.
        """
        if all(self.defined):
            tensor = function(self.tensor)
        else:
            tensor = function(self.tensor.masked_fill(~self.mask, 0.0)).masked_fill(~self.mask, math.nan)
        background = None
        if self.background is not None:
            background = function(self.background[None, :, :, None, None])[0, :, :, 0, 0]
        return replace(self, tensor=tensor, background=background)

    def resample(self, spacing: int) -> ScaleField:
        """The field on pixels of spacing γ^spacing, with the centre kept: approximate (windowed sinc).

        Raises:
            ScaleGroupError: if only a region of the image is held.
        """
        spacing = check_integer("spacing", spacing)
        tensor = self._interpolated(self.type.group.factor(spacing - self.spacing), None)
        grid = Grid.whole(*tensor.shape[-2:], stride=self.held.stride)
        return replace(self, tensor=tensor, grid=grid, spacing=spacing)

    def unstrided(self, size: tuple[int, int]) -> ScaleField:
        """The field brought back from a strided grid to the `size` (rows, columns) of the original one: approximate."""
        if self.held.stride == 1:
            return self
        return replace(self, tensor=self._interpolated(1 / self.held.stride, size), grid=Grid.whole(*size))

    def _interpolated(self, factor: float, size: tuple[int, int] | None) -> Tensor:
        if not self.held.is_whole:
            raise ScaleGroupError(
                f"a field that holds {self.held.shape} of {self.held.y.size}×{self.held.x.size} samples",
                expected="the whole image",
                mend="compute it with a dense read-out",
            )
        channels = [
            resample(self.channel(channel), factor, self.channel_background(channel) or Reflect(), size)
            for channel in range(self.tensor.shape[2])
        ]
        return torch.stack(channels, dim=2)

    def __repr__(self) -> str:
        missing = self.defined.count(False)
        absent = f", {missing} of them undefined" if missing else ""
        rows, columns = self.held.shape
        spacing = self.type.group.text(self.spacing, unit=float(self.held.stride))
        return (
            f"a batch of {len(self.tensor)} fields of {self.type!r} with {self.window!r}{absent}, "
            f"{rows}×{columns} pixels of spacing {spacing}"
        )


def join(fields: Sequence[ScaleField]) -> ScaleField:
    """Fields of neighbouring scale channels on one grid, finest first, as one field."""
    first = fields[0]
    window = first.window.select(0, sum(field.window.channels for field in fields))
    backgrounds = [field.background for field in fields if field.background is not None]
    return replace(
        first,
        tensor=torch.cat([field.tensor for field in fields], dim=2),
        window=window,
        defined=tuple(flag for field in fields for flag in field.defined),
        background=torch.cat(backgrounds, dim=1) if len(backgrounds) == len(fields) else None,
    )
