"""Files from before self-similar grids: weights with a description beside them, trained on the image's own grid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scalegroup.algebra.group import ScaleGroup
from scalegroup.errors import ScaleGroupError
from scalegroup.fields import boundary, pooling, readout
from scalegroup.fields.window import ScaleWindow
from scalegroup.jets.kernels import DiscreteGaussian
from scalegroup.models.architecture import Architecture

_PARTS: dict[str, Any] = {
    "reflect": boundary.Reflect(),
    "replicate": boundary.Replicate(),
    "zero": boundary.Zero(),
    "max": pooling.Max(),
    "mean": pooling.Mean(),
    "log-sum-exp": pooling.LogSumExp(),
    "centre-pixel": readout.CentrePixel(),
    "spatial-max": readout.SpatialMax(),
    "spatial-mean": readout.SpatialMean(),
    "dense": readout.Dense(),
}
_WIDTHS = {
    "single_scale": (12, 14, 16, 20, 64),
    "multi_scale": (12, 16, 24, 32, 64),
    "larger": (16, 24, 32, 48, 64),
}


def read_before_grids(path: Path, grid: str | None) -> tuple[Architecture, dict[str, Any]]:
    """The architecture and what else is said of it; raises `ScaleGroupError` unless `grid="image"` is asked for."""
    if grid != "image":
        raise ScaleGroupError(
            f"{path}, from before self-similar grids",
            expected="weights that were trained on these",
            mend='pass grid="image", the grid that they were trained on, or train again',
        )
    content = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    told, window = content["network"], content["network"]["window"]
    group = ScaleGroup(window["ratio"])
    outside = told["boundary"]
    architecture = Architecture(
        _WIDTHS[told["preset"]],
        ScaleWindow(group, window["sigma0"], window["channels"], first=window["first"]),
        in_channels=told["in_channels"],
        num_classes=told["num_classes"],
        kernel=DiscreteGaussian(tail=1e-3),
        boundary=boundary.Background(outside["background"]) if isinstance(outside, dict) else _PARTS[outside],
        pooling=_PARTS[told["pooling"]],
        readout=_PARTS[told.get("readout", "centre-pixel")],
        grid="image",
    )
    return architecture, content["about"]
