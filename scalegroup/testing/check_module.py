"""The whole question about one module, as `python -m scalegroup check` asks it: error curves, verdict, error budget."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from scalegroup.algebra.group import GroupElement, ScaleGroup
from scalegroup.errors import ScaleGroupError, check_instance, check_integer, refusing
from scalegroup.jets.jet import TWO_JET
from scalegroup.jets.kernels import DiscreteGaussian
from scalegroup.nn.layer import EVERY_CHANNEL
from scalegroup.testing.bounds import CovarianceCheck, covariance_check
from scalegroup.testing.budget import ErrorBudget, error_budget, moved_channels
from scalegroup.testing.certificate import explained_by_sampling
from scalegroup.testing.curve import EQUIVARIANT, NOT_DECIDED, NOT_EQUIVARIANT, Curve
from scalegroup.testing.curves import error_curves
from scalegroup.testing.networks import background_of, before_pooling, kernel_layers, networks_in, on_pixels
from scalegroup.testing.outputs import SCORES, OutputType
from scalegroup.testing.pictures import least_size

_LARGEST_FACTOR = 2.0  # checked by default


@dataclass(frozen=True)
class Verdict:
    """What `check_module` found.

    Args:
        module: its class.
        curves: of the module's output, one for each family of pictures and each factor.
        channels: of the scale channels before pooling, where the module holds a network that has them and pools them.
        layers: on the image's own grid every 2-jet layer alone, at its finest σ, against its kernel's derived bound, if
            it has one; on self-similar grids layers have no error of their own.
        budget: where the error comes from, where the layers can be seen.
    """

    module: str
    curves: tuple[Curve, ...]
    channels: tuple[Curve, ...] = ()
    layers: dict[str, CovarianceCheck] = field(default_factory=dict)
    budget: ErrorBudget | None = None

    @property
    def worst(self) -> Curve:
        """The curve that decides."""
        return max(self.curves + self.channels, key=lambda curve: curve.badness)

    @property
    def decision(self) -> str:
        """`"equivariant"`, `"not equivariant"` or `"not decided"`."""
        return self.worst.verdict or NOT_DECIDED

    @property
    def passed(self) -> bool:
        """Whether it is equivariant."""
        return self.decision == EQUIVARIANT

    @property
    def reason(self) -> str:
        """Of the decision, with what would decide it where it is none."""
        worst = self.worst
        if worst.verdict is None:
            return "its output does not depend on the picture; train it, or check what comes before"
        if not all(map(math.isfinite, worst.errors)):
            return f"its output is not finite. {worst}"
        if self.decision == NOT_DECIDED:
            return f"larger pictures (size=) or another factor would decide it. {worst}"
        return str(worst)

    def __str__(self) -> str:
        lines = [f"{self.module}:", *(f"  {curve}" for curve in self.curves)]
        layers = [f"{name}: {check}" for name, check in self.layers.items()]
        for head, rows in (
            ("before pooling over scale, in the worst scale channel:", self.channels),
            ("each layer alone, on sinusoids, at its finest σ (there is no bound for the whole network):", layers),
        ):
            lines += [head, *(f"  {row}" for row in rows)] if rows else []
        none = "without an error budget (of a scalegroup network with scale channels that scaling sends to each other)"
        lines.append(none if self.budget is None else str(self.budget))
        word = {EQUIVARIANT: "scale equivariant", NOT_EQUIVARIANT: "NOT scale equivariant"}
        lines.append(f"verdict: {word.get(self.decision, NOT_DECIDED)}: {self.reason}")
        return "\n".join(lines)


@refusing
def check_module(
    module: torch.nn.Module,
    group: ScaleGroup,
    *,
    powers: Sequence[int] | None = None,
    channels: int | None = None,
    size: int | None = None,
    in_channels: int = 1,
    background: float | tuple[float, ...] | None = None,
    output: OutputType | None = None,
    fixed_size: bool = False,
    budget: bool = True,
    progress: Callable[[str], None] | None = None,
) -> Verdict:
    """Measure a module, in evaluation mode, under every γ^power, and judge it (`error_curves`).

    Where the module is or holds one network with scale channels, these are compared before pooling as well, so that a
    broken one cannot hide behind the others, and the error is split by its sources. A network is what has a `window`
    and gives `field(images, pooled=False)`, as an `nn.Sequential` with an `nn.Lift` in front does.

    Args:
        module: from images to class scores, maps or fields.
        group: γ.
        powers: default: all positive ones up to a factor of 2, at least one.
        channels: how many scale channels the network must have; None: as found.
        size: rows and columns of the coarsest pictures; the finest have four times as many. Default: 65, or what the
            factors need.
        in_channels: image channels.
        background: the value around the objects, one or one for each image channel; None: that of the network, or 0.
        output: what the axes of the output are; None: found from its shape.
        fixed_size: all pictures have this `size`, for modules that take no other.
        budget: whether to split the error.
        progress: told what is being measured.

    Raises:
        ScaleGroupError: if the module cannot be checked.

    >>> check_module(torch.nn.ReLU(), ScaleGroup(2)).decision
    'equivariant'
    """
    module = copy.deepcopy(check_instance("module", module, torch.nn.Module, mend="wrap the function in one")).eval()
    check_instance("group", group, ScaleGroup, mend="build one: ScaleGroup(2 ** 0.5)")
    if channels is not None:
        check_integer("channels", channels, at_least=1)
    if powers is None:
        powers = [power for power in range(1, 13) if group.factor(power) <= _LARGEST_FACTOR * (1 + 1e-9)] or [1]
    elements = [group.element(power) for power in powers]
    if size is None:
        size = max(65, *(least_size(element.scale_factor) for element in elements))
    networks = networks_in(module)
    net = networks[0] if len(networks) == 1 else None
    if background is None:
        background = 0.0 if net is None else background_of(net)
    options = {"size": size, "in_channels": in_channels, "background": background, "fixed_size": fixed_size}
    options |= {"progress": progress}

    def curves(seen: Callable[[Tensor], Any], under: Sequence[GroupElement], **more: Any) -> tuple[Curve, ...]:
        told = options | more
        known = None if fixed_size else explained_by_sampling(seen, size=size, in_channels=told["in_channels"])
        return error_curves(seen, under, **told, explained=known)

    if net is not None and module is net and on_pixels(net):
        module.double()  # σ²δxx rounds as σ² there, in pixels, and these are many; the budget shows rounding by itself
    shown = module is net and getattr(net, "keeps_scale", False)  # the curves of the output are of its channels
    across = 0 if net is None else sum(layer.across_scale for layer in before_pooling(net))
    there = 0 if net is None else net.window.channels
    if channels is not None and channels != there:
        mend = "pass channels as the module has them, or leave them out"
        raise ScaleGroupError(f"a module with {there} scale channels", expected=f"{channels}", mend=mend)
    found = curves(module, elements, output=output, across=across if shown else 0)
    if net is None:
        return Verdict(type(module).__name__, found)
    shared = [element for element in elements if moved_channels(net.window, element)]
    unpooled, within = partial(net.field, pooled=False), dict[str, Any]()
    apart = across < EVERY_CHANNEL  # else no channel is without the ends of the window: the output alone is judged
    if module is not net:  # what is in front of it may mix colours and change the background
        background = background_of(net)
        within = {"in_channels": net.in_type.channels, "background": background}
    before = () if shown or not shared or not apart else curves(unpooled, shared, across=across, **within)
    visible = budget and bool(shared) and hasattr(net, "plan")
    if visible and progress is not None:
        progress("the error budget")
    return Verdict(
        module=type(module).__name__,
        curves=found,
        channels=before,
        layers=layers_alone(net, elements[0]),
        budget=error_budget(net, shared[0], size=size, background=background) if visible else None,
    )


@refusing
def assert_equivariant(module: Callable[[Tensor], Any], element: GroupElement, **options: Any) -> None:
    """Raise `AssertionError`, with the curve that decides, unless `module` is found equivariant under a scaling.

    It is run as it is. The other arguments are those of `error_curves`.

    >>> from scalegroup import ScaleGroup
    >>> assert_equivariant(torch.nn.ReLU(), ScaleGroup(2).element(1))
    """
    verdict = Verdict(type(module).__name__, error_curves(module, [element], **options))
    if not verdict.passed:
        raise AssertionError(f"{verdict.decision}: {verdict.reason}")


@refusing
def assert_invariant(module: Callable[[Tensor], Any], element: GroupElement, **options: Any) -> None:
    """`assert_equivariant` for a module that gives class scores: equal scores for the image and the scaled image.

    Raises:
        ScaleGroupError: if the output has scale or image axes.
    """
    assert_equivariant(module, element, output=SCORES, **options)


def layers_alone(net: Any, element: GroupElement) -> dict[str, CovarianceCheck]:
    """Of the finest scale channel. An element and its inverse compare the same two levels."""
    if not on_pixels(net):
        return {}
    factor = max(element.scale_factor, element.inverse().scale_factor)
    jets = [layer for layer in kernel_layers(net) if hasattr(layer, "beta")]
    return {
        f"layer {number}": covariance_check(layer.beta * net.window.sigmas[0], factor)
        for number, layer in enumerate(jets, start=1)
        if isinstance(layer.kernel, DiscreteGaussian) and layer.jet == TWO_JET
    }
