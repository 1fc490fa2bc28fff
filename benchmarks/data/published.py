"""The published MNIST Large Scale: its HDF5 files, read as they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import h5py

from benchmarks.data.cache import tensors
from benchmarks.data.place import Place
from benchmarks.data.source import Labelled, Part, Source
from scalegroup import ScaleGroupError

_FILES = "mnist_large_scale_tr…_sctr1p000_scte1p000.h5 and mnist_large_scale_te…_scte2p000.h5"


@dataclass(frozen=True, kw_only=True)
class MnistLargeScale(Source):
    """Files like `mnist_large_scale_tr50000_vl10000_te10000_outsize112-112_sctr1p000_scte1p000.h5`.

    Args:
        root: their folder.
        limits: at most so many images of each part.
    """

    root: Path
    limits: tuple[int | None, int | None] = (None, None)

    def draw(self, part: Part, size: float) -> Labelled:
        """Read, not drawn. Raises `ScaleGroupError` where there is no such file, or it holds something else."""
        path = self._find(part, f"{size:.3f}".replace(".", "p"))
        limit = self.limits[part == "test"]
        try:
            with h5py.File(path, "r") as file:
                images, labels = tensors(file, (f"x_{part}", f"y_{part}"), limit)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ScaleGroupError(
                f"{path} ({error})", expected=f"HDF5 with /x_{part} and /y_{part}", mend="fetch the file again"
            ) from None
        if images.shape[1:] != (self.canvas, self.canvas, 1) or float(images.abs().max()) > 0.77:
            raise ScaleGroupError(
                f"{path} with images of shape {list(images.shape)}, up to {float(images.abs().max()):.3g}",
                expected=f"[n, {self.canvas}, {self.canvas}, 1] within ±0.77",
                mend="use the files as published",
            )
        return Labelled(images.float().movedim(-1, 1), labels.long().flatten()).first(limit, part)

    def first(self, *, train: int | None = None, test: int | None = None) -> MnistLargeScale:
        """See `Source`; numbers larger than a file has are refused when it is read."""
        return replace(self, limits=(train, test))

    def validating(self, count: int) -> NoReturn:
        """They have validation images of the training size only."""
        raise ScaleGroupError(
            f"{count} validation images of the published files",
            expected="a data set whose validation images can be had at every size",
            mend="choose by --data mnist, which is drawn",
        )

    def _find(self, part: Part, tag: str) -> Path:
        # a training file also holds the test images of its own size
        patterns = [f"*_sctr{tag}_*.h5"] if part == "train" else [f"*_te*_scte{tag}.h5"]
        for pattern in patterns:
            if found := sorted(self.root.glob(f"mnist_large_scale{pattern}")):
                return found[0]
        raise ScaleGroupError(
            f"{self.root} without a {part} file of size {tag.replace('p', '.')}",
            expected=f"files named {_FILES}",
            mend="choose sizes that are there, or draw them: --data mnist",
        )


def mnist_large_scale(place: Place) -> MnistLargeScale:
    """The published files in `place.root`."""
    root = place.need_root("mnist-large-scale", _FILES)
    return MnistLargeScale(
        name="MNIST Large Scale", unit=28, canvas=112, recipe="the published files, as they are", root=root
    )
