"""A trained network as the start of another one: other classes, colours, scale channels, grids."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scalegroup.errors import ScaleGroupError, check_instance, refusing
from scalegroup.models.gaussian_derivative import GaussianDerivativeNet


@refusing
def transfer(net: GaussianDerivativeNet, *, freeze: bool = False, **parts: Any) -> GaussianDerivativeNet:
    """A network of the same layers with the weights of `net`, and other parts where given.

    Weights are copied. For other `in_channels` those of the first layer are shared out, from grey to colour, so that a
    grey picture in colour is read as before, or summed up, from colour to grey (with `mean=` and `std=` of as many
    numbers, where there are any); for other `num_classes` the last layer begins anew. Another `window`,
    `samples_per_sigma`, `boundary`, `pooling`, `readout` or `field_of_view` changes no weight.

    Args:
        net: trained.
        freeze: keep all weights that were copied as they are (`requires_grad` is off); train the rest with batch norm
            in evaluation: `net.eval()`.
        **parts: of the `Architecture`, in place of the trained one's.

    Raises:
        ScaleGroupError: for an unknown part, or one that changes layers in between (`widths`, `jet`, …).

    >>> from scalegroup.models import gaussian_derivative_net
    >>> net = gaussian_derivative_net(weights="mnist-large-scale")
    >>> letters = transfer(net, num_classes=26, freeze=True)
    >>> [name for name, value in letters.named_parameters() if value.requires_grad]
    ['layers.16.coefficients', 'layers.16.offset']
    """
    check_instance("net", net, GaussianDerivativeNet, mend="make one with gaussian_derivative_net")
    check_instance("freeze", freeze, bool, mend="pass freeze=True or freeze=False")
    result = GaussianDerivativeNet(net.architecture.changed(**parts), checkpointing=net.checkpointing)
    result = result.to(next(net.parameters()))
    old, own = net.state_dict(), result.state_dict()
    before, after = net.architecture.in_channels, result.architecture.in_channels
    same_classes = net.architecture.num_classes == result.architecture.num_classes
    last = f"layers.{len(result) - 3}."  # the jet layer in front of the two projections
    anew = set() if same_classes else {name for name in own if name.startswith(last)}
    if old.keys() != own.keys():
        raise ScaleGroupError(
            f"other layers: {sorted(old.keys() ^ own.keys())[0]}",
            expected="those that the weights are of",
            mend="change classes, colours, window, grids, boundary, pooling or read-out alone",
        )
    fitted = {name: own[name] if name in anew else _fitted(name, old[name], own[name], before, after) for name in own}
    result.load_state_dict(fitted)
    for name, value in result.named_parameters():
        value.requires_grad_(not freeze or name in anew)
    return result.train(net.training)


def _fitted(name: str, old: Tensor, own: Tensor, before: int, after: int) -> Tensor:
    """Weights for as many image channels as there are now."""
    if old.shape == own.shape:
        return old
    spread = torch.Size((old.shape[0], after, *old.shape[2:])) if old.ndim > 1 and old.shape[1] == before else None
    if own.shape != spread or 1 not in (before, after):
        raise ScaleGroupError(
            f"{name} of shape {list(own.shape)}",
            expected=f"{list(old.shape)}, as the weights are",
            mend="change classes, colours (from or to one channel), window, grids, boundary, pooling or read-out alone",
        )
    return old.expand(spread) / after if before == 1 else old.sum(1, keepdim=True)
