"""float32 as float32, on CUDA too: rounding to TF32 would be taken for an error of the module."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision() -> Iterator[None]:
    """As long as it lasts CUDA computes convolutions and matrix products of float32 in float32.

    torch's own default for convolutions is TF32, of ten bits: the scores of a trained network were then off by 1e-3 of
    their norm on an H100, and by 1e-6 within this.

    >>> with full_precision():
    ...     scores = torch.nn.Conv2d(1, 1, 3)(torch.zeros(1, 1, 9, 9))
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    by_operation = hasattr(cudnn, "conv")  # torch 2.9 and later, which refuse to tell the older flags of a mixture
    flag, full = ("fp32_precision", "ieee") if by_operation else ("allow_tf32", False)
    places = matmul, cudnn.conv if by_operation else cudnn
    before = [getattr(place, flag) for place in places]
    try:
        for place in places:
            setattr(place, flag, full)
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            setattr(place, flag, value)
