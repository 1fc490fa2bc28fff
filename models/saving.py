"""Trained networks written to disk: one safetensors file each, with its architecture and a checksum in its metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from scalegroup.errors import ScaleGroupError, refusing
from scalegroup.models.architecture import Architecture
from scalegroup.models.gaussian_derivative import GaussianDerivativeNet
from scalegroup.models.weights import METADATA, Trained, checksum
from scalegroup.whole_file import whole_file


@refusing
def save_trained(net: Any, path: str | Path, about: dict[str, Any] | None = None) -> Trained:
    """Write a network with its architecture, whole or not at all: what was there before is replaced at once.

    Args:
        net: with an `architecture`, as `gaussian_derivative_net` gives it.
        path: of the file, `NAME.safetensors`.
        about: whatever else the file is to say, as JSON has it.

    Returns:
        What `find_trained(path)` finds.

    Raises:
        ScaleGroupError: for another suffix, or for what a file cannot hold; nothing is written then.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ScaleGroupError(f"path {path.name!r}", expected="NAME.safetensors", mend="give it that suffix")
    architecture = getattr(net, "architecture", None)
    if not isinstance(architecture, Architecture):
        raise ScaleGroupError(
            f"a {type(net).__name__}", expected="a network with an architecture", mend="use gaussian_derivative_net"
        )
    state = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    network = architecture.tell()
    try:
        text = json.dumps({"network": network, "about": about or {}})
    except (TypeError, ValueError) as error:
        raise ScaleGroupError(f"about ({error})", expected="what JSON can hold", mend="convert it: float(x)") from None
    content = json.loads(text)  # as it will be read
    told, sha256 = Architecture.told(content["network"]), checksum(state, content)
    with torch.random.fork_rng(devices=[]):
        made = GaussianDerivativeNet(told)
    if told != architecture or _differs(net, made):
        raise ScaleGroupError(
            "a network that is not the one of its architecture",
            expected="layers as they were made",
            mend="make it with other parts: gaussian_derivative_net(...), then load_state_dict",
        )
    file = save(state, metadata={METADATA: json.dumps(content | {"sha256": sha256})})
    with whole_file(path) as temporary:
        temporary.write_bytes(file)
    return Trained(path, architecture, content["about"], state, sha256)


def _differs(net: nn.Module, made: nn.Module) -> bool:
    """Whether a layer is of another class, holds other tensors or is set to something else.

    Not in what computes the same in another way.
    """
    parts, others = dict(net.named_modules()), dict(made.named_modules())
    pruned = net.state_dict().keys() != made.state_dict().keys()  # or parametrised
    if pruned or {name: type(part) for name, part in parts.items()} != {name: type(o) for name, o in others.items()}:
        return True
    ignored = {"training", "checkpointing"}
    return any(
        name[0] != "_" and name not in ignored and vars(parts[place]).get(name) != setting
        for place, other in others.items()
        for name, setting in vars(other).items()  # training tools may have set more
    )
