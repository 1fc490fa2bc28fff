"""The whole question about one module, as `python -m scalegroup check` asks it: reports, verdict and error budget."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from scalegroup.algebra.group import GroupElement, ScaleGroup
from scalegroup.errors import ScaleGroupError, check_instance
from scalegroup.jets.kernels import DiscreteGaussian
from scalegroup.testing.bounds import CovarianceCheck, covariance_check
from scalegroup.testing.budget import ErrorBudget, error_budget, kernel_layers, moved_channels, on_pixels
from scalegroup.testing.equivariance import TOLERANCE, EquivarianceReport, equivariance_error
from scalegroup.testing.outputs import OutputType

_LARGEST_FACTOR = 2.0  # checked by default


@dataclass(frozen=True)
class Verdict:
    """What `check_module` found.

    Args:
        module: its class.
        tolerance: a convention where no bound exists.
        reports: of the module's output, one for each factor.
        channels: of the scale channels before pooling, where the module holds a network that has them and pools them.
        layers: on the image's own grid every 2-jet layer alone, at its finest σ, against its kernel's derived bound, if
            it has one; on self-similar grids layers have no error of their own.
        budget: where the error comes from, where the layers can be seen.
    """

    module: str
    tolerance: float
    reports: tuple[EquivarianceReport, ...]
    channels: tuple[EquivarianceReport, ...]
    layers: dict[str, CovarianceCheck]
    budget: ErrorBudget | None

    @property
    def worst(self) -> EquivarianceReport:
        """The report with the largest error."""
        return max(self.reports + self.channels, key=lambda report: report.error)

    @property
    def passed(self) -> bool:
        """Whether every error is within the tolerance (NaN is not)."""
        return all(report.error <= self.tolerance for report in self.reports + self.channels)

    def __str__(self) -> str:
        layers = [f"{name}: {check}" for name, check in self.layers.items()]
        lines = []
        for head, rows in (
            (f"{self.module}, output: {self.reports[0].output}", self.reports),
            ("before pooling over scale, channel by channel:", self.channels),
            ("each layer alone, on sinusoids, at its finest σ (there is no bound for the whole network):", layers),
        ):
            lines += [head, *(f"  {row}" for row in rows)] if rows else []
        none = "without an error budget (of a scalegroup network with scale channels that scaling sends to each other)"
        lines.append(none if self.budget is None else str(self.budget))
        word = "scale equivariant" if self.passed else "NOT scale equivariant"
        lines.append(
            f"verdict: {word}: worst error {self.worst.error:.2e} of the signal (scaling by {self.worst.factor:.4g}), "
            f"tolerance {self.tolerance:g}, a convention"
        )
        return "\n".join(lines)


def check_module(
    module: torch.nn.Module,
    group: ScaleGroup,
    *,
    powers: Sequence[int] | None = None,
    channels: int | None = None,
    size: int = 129,
    in_channels: int = 1,
    background: float = 0.0,
    output: OutputType | None = None,
    tolerance: float = TOLERANCE,
    budget: bool = True,
) -> Verdict:
    """Measure a module, in evaluation mode, under every γ^power, and judge it.

    Where the module is or holds one network with scale channels, these are compared before pooling as well, so that a
    broken one cannot hide behind the others, and the error is split by its sources. A network is what has a `window`
    and gives `field(images, pooled=False)`, as an `nn.Sequential` with an `nn.Lift` in front does.

    Args:
        module: from images to class scores, maps or fields.
        group: γ.
        powers: default: all positive ones up to a factor of 2, at least one.
        channels: how many scale channels the network must have; None: as found.
        size: rows and columns of the images.
        in_channels: image channels.
        background: the value around the objects.
        output: what the axes of the output are; None: found from its shape.
        tolerance: on the worst channel's error.
        budget: whether to split the error.

    Raises:
        ScaleGroupError: if the module cannot be checked.

    >>> check_module(torch.nn.ReLU(), ScaleGroup(2)).passed
    True
    """
    module = copy.deepcopy(check_instance("module", module, torch.nn.Module, mend="wrap the function in one")).eval()
    check_instance("group", group, ScaleGroup, mend="build one: ScaleGroup(2 ** 0.5)")
    if powers is None:
        powers = [power for power in range(1, 13) if group.factor(power) <= _LARGEST_FACTOR * (1 + 1e-9)] or [1]
    elements = [group.element(power) for power in powers]
    options = {"size": size, "in_channels": in_channels, "background": background}
    reports = tuple(equivariance_error(module, element, output=output, **options) for element in elements)
    networks = _networks(module)
    if len(networks) != 1:
        return Verdict(type(module).__name__, tolerance, reports, (), {}, None)
    (net,) = networks
    if channels is not None and channels != net.window.channels:
        mend = "pass --channels as the module has them"
        raise ScaleGroupError(f"a module with {net.window.channels} scale channels", expected=f"{channels}", mend=mend)
    shared = [element for element in elements if moved_channels(net.window, element)]
    before_pooling = partial(net.field, pooled=False)
    shown = module is net and getattr(net, "keeps_scale", False)  # the reports of the output are of its channels
    visible = budget and bool(shared) and hasattr(net, "plan")
    return Verdict(
        module=type(module).__name__,
        tolerance=tolerance,
        reports=reports,
        channels=() if shown else tuple(equivariance_error(before_pooling, element, **options) for element in shared),
        layers=_layers_alone(net, elements[0]),
        budget=error_budget(net, shared[0], size=size, background=background) if visible else None,
    )


def _networks(module: torch.nn.Module) -> list[Any]:
    """The networks that the module is or holds, none of them within another."""
    try:
        if hasattr(module, "field") and hasattr(module, "window"):
            return [module]
    except ScaleGroupError:  # a chain of layers that lifts no images has no window
        pass
    return list(dict.fromkeys(net for part in module.children() for net in _networks(part)))


def _layers_alone(net: Any, element: GroupElement) -> dict[str, CovarianceCheck]:
    """Of the finest scale channel. An element and its inverse compare the same two levels."""
    if not on_pixels(net):
        return {}
    factor = max(element.scale_factor, element.inverse().scale_factor)
    jets = [layer for layer in kernel_layers(net) if hasattr(layer, "beta")]
    return {
        f"layer {number}": covariance_check(layer.beta * net.window.sigmas[0], factor)
        for number, layer in enumerate(jets, start=1)
        if isinstance(layer.kernel, DiscreteGaussian)
    }
