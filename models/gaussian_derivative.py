"""The Gaussian derivative networks of the paper (§5 and §6)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from scalegroup import functional, nn
from scalegroup.algebra.group import ScaleGroup
from scalegroup.errors import ScaleGroupError, check_instance, refusing
from scalegroup.fields.field import ScaleField
from scalegroup.fields.window import ScaleWindow
from scalegroup.models.architecture import Architecture
from scalegroup.models.chain import Chain
from scalegroup.models.weights import find_trained

_GROUP = ScaleGroup(2**0.5)
_MULTI = ScaleWindow(_GROUP, sigma0=1.0, channels=8, first=-1)  # σ₀ from 1/√2 to 8 (§6)

PRESETS = {
    "single_scale": Architecture((12, 14, 16, 20, 64), ScaleWindow(_GROUP, sigma0=0.9, channels=1)),  # §5
    "multi_scale": Architecture((12, 16, 24, 32, 64), _MULTI),  # §6, Figure 9 top
    "larger": Architecture((16, 24, 32, 48, 64), _MULTI),  # §6, Figure 9 bottom
}
"""The networks of the paper, for `gaussian_derivative_net`: by name, what each is made of."""


class GaussianDerivativeNet(nn.Sequential):
    """The network of an `Architecture`: jet layers, read out and pooled over scale.

    `scores` below are `[batch, classes]`; a dense read-out keeps its rows and columns behind them. Every method takes
    another scale window, with the same weights.

    Args:
        architecture: what it is.
        checkpointing: as of `nn.Sequential`.
    """

    def __init__(self, architecture: Architecture, *, checkpointing: bool = False) -> None:
        check_instance("architecture", architecture, Architecture, mend="use gaussian_derivative_net")
        super().__init__(*Chain(architecture).layers(), checkpointing=checkpointing)
        if architecture.scale_dropout:  # whatever is left in training has to do
            self[-1].reduction.check(max(1, architecture.window.channels - architecture.scale_dropout))
        self.architecture = architecture

    def forward(self, field: Any, *, window: ScaleWindow | None = None, wanted: Any = None) -> Any:
        """Images `[batch, channel, y, x]` to class scores `[batch, classes]`."""
        result = super().forward(field, window=window, wanted=wanted)
        return result.tensor.squeeze(2) if wanted is None and isinstance(result, ScaleField) else result

    def scale_logits(self, images: Tensor, *, window: ScaleWindow | None = None) -> Tensor:
        """Class scores of every scale channel, `[batch, classes, scale]`."""
        return self._values(self.field(images, window=window, pooled=False))

    def select_scale(self, images: Tensor, *, window: ScaleWindow | None = None) -> Tensor:
        """σ₀ of the scale channel in which the predicted class scores highest, `[batch]` (§6.1, Figure 10)."""
        return self.predict(images, window=window)[1]

    def predict(self, images: Tensor, *, window: ScaleWindow | None = None) -> tuple[Tensor, Tensor]:
        """(class scores, selected σ₀) in one pass."""
        return self.predict_channels(images, window=window)[:2]

    def predict_channels(self, images: Tensor, *, window: ScaleWindow | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """(class scores, selected σ₀, class scores of every scale channel) in one pass."""
        field = self.field(images, window=window, pooled=False)
        scores, each = self._values(self[-1](field)).squeeze(2), self._values(field)
        return scores, functional.select_scale(each, field.window, classes=scores.argmax(dim=1)), each

    def _values(self, field: ScaleField) -> Tensor:
        return field.tensor if self.out_type.over_plane else field.tensor[..., 0, 0]

    @property
    def parameter_count(self) -> int:
        """How many numbers training changes."""
        return sum(parameter.numel() for parameter in self.parameters())

    def extra_repr(self) -> str:
        paper = self.paper_parameter_count
        counts = f"{self.parameter_count} parameters" + (f" ({paper} as the paper counts)" if paper else "")
        return f"{self.architecture!r}, {counts}"


@refusing
def gaussian_derivative_net(
    preset: str | None = None,
    *,
    weights: str | Path | None = None,
    sigma0: float | None = None,
    checkpointing: bool = False,
    **parts: Any,
) -> GaussianDerivativeNet:
    """A Gaussian derivative network of the paper (eq 9 and 10): 2-jet layers with σ_k = r^(k-1)·σ₀ (eq 13).

    | preset | hidden widths | scale channels |
    |---|---|---|
    | `"single_scale"` | 12-14-16-20-64 | one, σ₀ = 0.9 (§5) |
    | `"multi_scale"` (the default) | 12-16-24-32-64 | eight, σ₀ from 1/√2 to 8 by √2 (§6, Figure 9 top) |
    | `"larger"` | 16-24-32-48-64 | the same (§6, Figure 9 bottom) |

    Every layer but the last is followed by batch norm shared over scale and by the activation.

    Args:
        preset: what to start from.
        weights: of a trained network: a name that comes with the package, or the path of a file that `save_trained`
            wrote. The network is the one that was saved, whichever factory made it, in evaluation mode; parts that are
            given replace its own.
            Files from before self-similar grids need `grid="image"`, on which they were trained.
        sigma0: σ₀ of the finest scale channel, in place of the preset's.
        checkpointing: keep fewer maps for the backward pass, and compute the others again there.
        **parts: of the `Architecture`, each in place of the preset's: `widths`, `window`, `in_channels`, `num_classes`,
            `r`, `jet`, `kernel`, `activation`, `boundary`, `grid`, `samples_per_sigma`, `lifting`, `min_grid_sigma`,
            `pooling`, `readout`, `first_offset`, `rotations`, `residual`, `separable`, `neighbours`,
            `field_of_view`, `mean`, `std`, `dropout`, `scale_dropout`,
            `extent`.

    Raises:
        ScaleGroupError: for an unknown preset, part or weights, weights that do not fit or are damaged, or a value
            that cannot be used.

    >>> net = gaussian_derivative_net("larger")
    >>> net(torch.zeros(2, 1, 65, 65)).shape, net.paper_parameter_count
    (torch.Size([2, 10]), 38496)
    """
    return from_preset(PRESETS, "multi_scale", preset, weights, sigma0, checkpointing, parts)


def from_preset(
    presets: Mapping[str, Architecture],
    usual: str,
    preset: str | None,
    weights: str | Path | None,
    sigma0: float | None,
    checkpointing: bool,
    parts: dict[str, Any],
) -> GaussianDerivativeNet:
    """What factories do: the network of a preset, by default the `usual` one, or of a file, with other parts."""
    if preset is not None and (not isinstance(preset, str) or preset not in presets):
        raise ScaleGroupError(f"preset {preset!r}", expected=f"one of {sorted(presets)}", mend="or replace its parts")
    trained = None if weights is None else find_trained(weights, grid=parts.get("grid"))
    start = presets[preset or usual] if trained is None else trained.architecture
    if trained and preset and (named := _shape(presets[preset])) != (saved := _shape(start)):
        raise ScaleGroupError(f"preset {preset!r}, {named}", expected=f"{saved}, as saved", mend="leave the preset out")
    if sigma0 is not None:
        if "window" in parts:
            raise ScaleGroupError("both window and sigma0", expected="one of them", mend="put sigma0 into the window")
        parts = parts | {"window": ScaleWindow(start.window.group, sigma0=sigma0, channels=start.window.channels)}
    if trained and "grid" not in parts:
        parts = {"min_grid_sigma": start.min_grid_sigma} | parts  # weights belong to the grids they were trained on
    net = GaussianDerivativeNet(start.changed(**parts), checkpointing=checkpointing)
    if trained is None:
        return net
    trained.load_into(net)
    return net.eval()


def _shape(of: Architecture) -> str:
    """What tells presets apart."""
    kinds = ["separable"] * of.separable + ["residual" if of.residual else "plain"]
    return f"{', '.join(kinds)}, of widths {of.widths}"
