"""What can be seen of a network of this library, or of one within another module."""

from itertools import takewhile
from typing import Any

import torch

from scalegroup import nn
from scalegroup.errors import ScaleGroupError
from scalegroup.fields.grid import Grid, Grids
from scalegroup.fields.lifting import ImageGrid


def networks_in(module: torch.nn.Module) -> list[Any]:
    """The networks that a module is or holds, none of them within another.

    A network is what has a `window` and gives `field(images, pooled=False)`, as an `nn.Sequential` with an `nn.Lift` in
    front does.
    """
    try:
        if hasattr(module, "field") and hasattr(module, "window"):
            return [module]
    except ScaleGroupError:  # a chain of layers that lifts no images has no window
        pass
    return list(dict.fromkeys(net for part in module.children() for net in networks_in(part)))


def chain_of(layer: Any) -> list[Any]:
    """The layers of a network one by one, those of chains within it as well."""
    return [one for part in layer for one in chain_of(part)] if hasattr(layer, "__iter__") else [layer]


def before_pooling(net: Any) -> list[Any]:
    """Its layers in front of the pooling over scale, one by one."""
    return list(takewhile(lambda layer: getattr(layer, "keeps_scale", False), chain_of(net)))


def background_of(net: Any) -> Any:
    """What a network takes the world around an image for; 0 where that is no constant."""
    return getattr(getattr(chain_of(net)[0], "boundary", None), "value", 0.0)


def on_pixels(net: torch.nn.Module) -> bool:
    """Whether all scale channels have the image's own grid: then each discretises in another way."""
    return any(isinstance(getattr(part, "sampling", None), ImageGrid) for part in net.modules())


def kernel_layers(net: torch.nn.Module) -> list[Any]:
    """All layers with a kernel, wherever in a network."""
    return [part for part in net.modules() if hasattr(part, "kernel")]


def needed_in_the_centre(net: Any, size: tuple[int, int], sigmas: tuple[float, ...]) -> Grids:
    """The lifted samples of images of that size that a network's output in the centre depends on."""
    lift, *layers = chain_of(net)
    canvas = lift.canvas(Grids.of_pixels(size, sigmas))
    if not layers:
        return canvas.map(central)
    rest = nn.Sequential(*layers)
    return rest.needs(rest.canvas(canvas).map(central), canvas)


def central(grid: Grid) -> Grid:
    """The central samples, of those that there are."""
    return grid.around(0.0).intersection(grid)
