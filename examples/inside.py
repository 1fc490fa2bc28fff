"""What a trained network makes of a picture, as tensors: `look_inside.py` draws it.

For any `GaussianDerivativeNet` whatever its layers are: they are run as they stand, up to where one wants to look.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from scalegroup import Grids, ScaleField, nn
from scalegroup.jets.gaussian import derivatives
from scalegroup.models import GaussianDerivativeNet

STAGES = 5  # before the last, at most


@dataclass(frozen=True)
class Look:
    """A network, a picture `[1, channel, y, x]` and the names of the classes, with what is asked of them again."""

    net: GaussianDerivativeNet
    image: Tensor
    names: Sequence[Any]

    @cached_property
    def sigmas(self) -> tuple[float, ...]:
        return self.net.window.sigmas

    @cached_property
    def lift(self) -> nn.Lift:
        """What makes a field of the picture."""
        return next(part for part in self.net.modules() if isinstance(part, nn.Lift))

    @cached_property
    def background(self) -> Tensor:
        """A picture of nothing: everywhere what the world outside is; where that is a mirror image, the mean."""
        outside = self.lift.boundary.constant(self.image)
        value = self.image.mean((0, 2, 3)) if outside is None else outside
        return value[:, None, None].expand_as(self.image)

    @cached_property
    def before_reading(self) -> nn.Sequential:
        """The network up to its read-out."""
        return self.net[: next(n for n, layer in enumerate(self.net) if isinstance(layer, nn.ReadOut))]

    @cached_property
    def jets(self) -> dict[str, nn.JetConv]:
        """All layers with jets, those within blocks, too, in their order; the last one gives the "classes"."""
        *hidden, last = jets_in(self.net)
        return {f"layer {k}": layer for k, layer in enumerate(hidden, start=1)} | {"classes": last}

    @cached_property
    def stages(self) -> dict[str, nn.Sequential]:
        """The network up to the end of layers with jets, or blocks of them, by the last one in it, and to the classes.

        Of many a few, from the first to the last.
        """
        ends = [n for n, layer in enumerate(self.before_reading[:-1], start=1) if jets_in(layer)]
        chosen = [self.net[:n] for n in spread(ends, STAGES)]
        return {f"layer {len(jets_in(part))}": part for part in chosen} | {"classes": self.before_reading}

    @cached_property
    @torch.no_grad()
    def scores(self) -> Tensor:
        """`[classes, scale]`."""
        return class_scores(self.net, self.image)[0]

    @cached_property
    @torch.no_grad()
    def ranking(self) -> list[int]:
        """Classes, the predicted one first."""
        return at_centre(self.net, self.net(self.image))[0].argsort(descending=True).tolist()

    @cached_property
    def channel(self) -> int:
        """The selected scale channel: that in which the predicted class scores highest."""
        return int(self.scores[self.ranking[0]].argmax())


def jets_in(layer: nn.Layer) -> list[nn.JetConv]:
    return [part for part in layer.modules() if isinstance(part, nn.JetConv)]


def spread(items: Sequence[Any], most: int) -> list[Any]:
    """So many of them, from the first to the last."""
    return [items[n] for n in np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)]


def at_centre(net: GaussianDerivativeNet, scores: Tensor) -> Tensor:
    """Scores as they are; of a dense read-out, those of the central pixel."""
    return scores[..., scores.shape[-2] // 2, scores.shape[-1] // 2] if net.out_type.over_plane else scores


def class_scores(net: GaussianDerivativeNet, images: Tensor) -> Tensor:
    """`[batch, classes, scale]`."""
    return at_centre(net, net.scale_logits(images))


def features_at_centre(look: Look, layer: nn.JetConv, images: Tensor) -> Tensor:
    """`[batch, feature, scale]`, as the layer gives them, wherever in the network it is."""
    given: list[Tensor] = []

    def keep(_: Any, __: Any, field: ScaleField) -> None:
        given.append(nn.ReadOut(field.type)(field).tensor[..., 0, 0])

    hook = layer.register_forward_hook(keep)
    try:
        nn.Sequential(*look.before_reading, nn.ReadOut).field(images)
    finally:
        hook.remove()
    return given[0]


def effective_filters(look: Look, layer: nn.JetConv, most: int) -> tuple[list[int], Tensor]:
    """The features that the picture moves most in the selected scale channel, and their gradients `[n, channel, y, x]`.

    A gradient is what a point of light at each place adds to the feature at the centre: of the first layer exactly, of
    the others to first order at this picture, whose ReLUs stay as they are.
    """
    with torch.no_grad():
        picture, nothing = features_at_centre(look, layer, torch.cat([look.image, look.background]))[..., look.channel]
    strongest = (picture - nothing).abs().argsort(descending=True)[:most].tolist()
    images = look.image.repeat(len(strongest), 1, 1, 1).requires_grad_()
    values = features_at_centre(look, layer, images)[range(len(strongest)), strongest, look.channel]
    return strongest, torch.autograd.grad(values.sum(), images)[0]


def learnt_jets(look: Look, features: list[int]) -> Tensor | None:
    """The same of the first layer in closed form, Σ C·σⁿ∂ⁿg (eq 6 and 11); None where other layers are in front."""
    layer = jets_in(look.net)[0]
    if layer.in_type != look.lift.out_type or layer.groups > 1:
        return None
    jet, sigma = layer.jet, layer.beta * look.sigmas[look.channel]
    along_y, along_x = (derivatives((n - 1) / 2 - np.arange(n), sigma, jet.order) for n in look.image.shape[2:])
    each = np.stack([np.outer(along_y[y], along_x[x]) for y, x in jet.derivatives])
    terms = torch.as_tensor(jet.normalisation(sigma)[:, None, None] * each).to(look.image)
    std = torch.tensor(look.net.architecture.std or (1.0,)).to(look.image)
    return torch.einsum("fij,jyx->fiyx", layer.coefficients.detach()[features], terms) / std[:, None, None]


def half_width(filters: Tensor, share: float = 0.99) -> float:
    """Of the smallest centred square that holds that share of the squares of all filters, in pixels."""
    energy = filters.square().sum((0, 1))
    along_y, along_x = (abs(torch.arange(n) - (n - 1) / 2) for n in energy.shape)
    distance, order = torch.maximum(along_y[:, None], along_x).flatten().sort()
    inside = energy.flatten()[order].cumsum(0) >= share * energy.sum()
    return distance[inside][0].item() + 0.5


@torch.no_grad()
def responses(look: Look, stage: nn.Sequential) -> tuple[list[Tensor], Grids]:
    """Maps `[feature, y, x]` of each scale channel on its own grid, less what the background alone gives; the grids.

    They are of the whole picture, and one sample more on all sides, or of what the network sees of it.
    """
    rows, columns = look.image.shape[2:]
    pixels = Grids.of_pixels((rows, columns), look.sigmas)
    wanted, view = stage.canvas(pixels).map(lambda grid: grid.dilated(1)), stage.view(pixels)
    wanted = wanted if view is None else wanted.intersection(view)
    field = stage(torch.cat([look.image, look.background]), wanted=wanted)
    return [maps[0] - maps[1] for maps in map(field.channel, range(len(look.sigmas)))], wanted


def gradients(look: Look, images: Tensor, channels: Sequence[int]) -> Tensor:
    """Of the predicted class's score in a scale channel for each image, `[batch, channel, y, x]`."""
    images = images.detach().requires_grad_()
    scores = class_scores(look.net, images)[range(len(images)), look.ranking[0], list(channels)]
    return torch.autograd.grad(scores.sum(), images)[0]


def attributions(look: Look, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Each pixel's share of what the picture changes in the score of the predicted class.

    Returns:
        Gradient × (picture - background), `[scale, y, x]`. Of a linear network it would sum to the change. It misses
        what ReLUs change that are on for the one and off for the other; ink that is not there has no share.
        Integrated gradients of the selected scale channel, `[y, x]`: the mean gradient over the way from the background
        in its place. They sum to the change but for the number of steps.
        The change, `[scale]`.
    """
    departure, every = look.image - look.background, range(len(look.sigmas))
    here = gradients(look, look.image.repeat(len(every), 1, 1, 1), every)
    way = (torch.arange(steps).to(departure).view(-1, 1, 1, 1) + 0.5) / steps
    on_the_way = gradients(look, look.background + way * departure, [look.channel] * steps).mean(0)
    with torch.no_grad():
        change = (look.scores - class_scores(look.net, look.background)[0])[look.ranking[0]]
    return (here * departure).sum(1), (on_the_way * departure[0]).sum(0), change


def resized(image: Tensor, factor: float) -> tuple[Tensor, float]:
    """The picture scaled about its centre, to a size that is odd where it was odd, and by how much it then is."""
    size = [length + 2 * round(length * (factor - 1) / 2) for length in image.shape[2:]]
    return F.interpolate(image, size=size, mode="bicubic", antialias=factor < 1), size[0] / image.shape[2]
