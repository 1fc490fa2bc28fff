"""Drawn images kept in HDF5 files, each with the parameters it was drawn by and a checksum of what it holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import torch
from torch import Tensor

from benchmarks.results import make_folder
from scalegroup import ScaleGroupError
from scalegroup.whole_file import whole_file

_MEND = "delete the file, it is drawn again; or choose another folder with --cache"


def cached(folder: Path, wanted: dict[str, Any], draw: Callable[[], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """(images, labels) as `wanted` describes them: read where they are kept, else drawn and kept.

    Raises:
        ScaleGroupError: if the folder cannot be written to, or its file is damaged or of something else.
    """
    description = json.dumps(wanted, sort_keys=True)
    # the digest keeps images of other recipes, or of other pictures, under other names
    digest = hashlib.sha256(description.encode()).hexdigest()[:12]
    path = make_folder(folder) / f"{wanted['data']}-{wanted['part']}-size{wanted['size']:.4f}-{digest}.h5"
    if path.exists():
        return _read(path, description)
    images, labels = draw()
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["description"] = description
        file.attrs["sha256"] = checksum(images, labels)
        file.create_dataset("images", data=images.numpy(), chunks=(1, *images.shape[1:]), compression="lzf")
        file.create_dataset("labels", data=labels.numpy())
    return images, labels


def _read(path: Path, description: str) -> tuple[Tensor, Tensor]:
    try:
        with h5py.File(path, "r") as file:
            found, kept = file.attrs["description"], file.attrs["sha256"]
            images, labels = tensors(file, ("images", "labels"))
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ScaleGroupError(f"{path} ({error})", expected="images kept by an earlier run", mend=_MEND) from None
    if found != description:
        raise ScaleGroupError(f"{path}, drawn as {found}", expected=description, mend=_MEND)
    if kept != checksum(images, labels):
        raise ScaleGroupError(f"{path}, which is not what was written", expected=f"sha256 {kept}", mend=_MEND)
    return images, labels


def tensors(file: h5py.File, names: Iterable[str], first: int | None = None) -> list[Tensor]:
    """The arrays of these names, or the first rows of them. Raises `KeyError` for one that is not there."""
    found = [file[name] for name in names]
    return [torch.from_numpy(array[:first]) for array in found if isinstance(array, h5py.Dataset)]


def checksum(images: Tensor, labels: Tensor) -> str:
    """Of values, shapes and types."""
    digest = hashlib.sha256(repr((images.shape, images.dtype, labels.dtype)).encode())
    for tensor in (images, labels):
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
