"""Tensors made of settings: once for each, kept while remembered, and real whatever mode they are first asked in."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from scalegroup import constants
from scalegroup.constants import constant_tensor, remembered, working_dtype

LIKE = torch.zeros(1)


def counted():
    """A constant, and the arguments that it has been made of."""
    made: list[tuple[int, ...]] = []

    @constant_tensor
    def ramp(first: int, length: int) -> np.ndarray:
        """A ramp."""
        made.append((first, length))
        return np.arange(first, first + length)[::-1]  # strides of any sign

    return ramp, made


def test_constants_are_made_once_for_each_setting() -> None:
    ramp, made = counted()
    asked = [(0, 3), (1, 3), (0, 2), (0, 3), (1, 3), (0, 2)]
    tensors = [ramp(*arguments, like=LIKE) for arguments in asked]
    assert made == asked[:3]
    assert [tensor.tolist() for tensor in tensors[:3]] == [[2.0, 1.0, 0.0], [3.0, 2.0, 1.0], [1.0, 0.0]]
    assert all(a is b for a, b in zip(tensors[:3], tensors[3:], strict=True))
    assert ramp.__doc__ == "A ramp."


def test_what_is_remembered_is_worked_out_once_and_is_what_it_would_be() -> None:
    asked: list[int] = []

    @remembered
    def square(number: int) -> int:
        """A square."""
        asked.append(number)
        return number**2

    assert [square(3), square(number=3), square(3), square(number=3)] == [9] * 4
    assert asked == [3, 3]  # once for each way to say it
    assert square(4) == 16  # the control: another argument, another result
    assert asked == [3, 3, 4]
    assert square.__doc__ == "A square."


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_constants_are_of_the_working_dtype_of_what_they_are_like(dtype: torch.dtype) -> None:
    ramp, _ = counted()
    expected = dtype if dtype.itemsize >= 4 else torch.float32
    assert working_dtype(LIKE.to(dtype)) == expected
    others = [ramp(0, 3, like=LIKE.to(other)) for other in (torch.float64, torch.float32)]
    assert ramp(0, 3, like=LIKE.to(dtype)).dtype == expected
    assert [other.dtype for other in others] == [torch.float64, torch.float32]  # the control: each its own
    assert ramp(0, 3, like=LIKE.to("meta", dtype)).device.type == "meta"


@pytest.mark.parametrize("mode", [torch.inference_mode, FakeTensorMode], ids=["inference", "fake"])
def test_constants_are_real_whatever_mode_they_are_first_asked_in(mode) -> None:
    ramp, _ = counted()
    with mode():
        control = torch.zeros(3)
        ramp(0, 3, like=LIKE)
    tensor = ramp(0, 3, like=LIKE)
    assert type(tensor) is torch.Tensor
    assert not tensor.is_inference()
    assert (tensor * torch.ones(3, requires_grad=True)).sum().requires_grad
    assert control.is_inference() or type(control) is not torch.Tensor


def test_what_is_no_longer_remembered_is_not_kept() -> None:
    ramp, made = counted()
    first = weakref.ref(ramp(0, 3, like=LIKE))
    assert first() is not None  # the control: while it is remembered
    for n in range(constants._MOST):
        assert ramp(n, 1, like=LIKE).tolist() == [n]
    gc.collect()
    assert first() is None
    assert ramp(0, 3, like=LIKE).tolist() == [2.0, 1.0, 0.0]
    assert made.count((0, 3)) == 2


def test_threads_that_ask_at_once_share_one_tensor() -> None:
    together = threading.Barrier(2)

    def makers_at_once(ask) -> int:
        made = []

        def make() -> np.ndarray:
            made.append(1)
            try:
                together.wait(timeout=0.3)  # for another one to be in here as well
            except threading.BrokenBarrierError:
                together.reset()
            return np.zeros(1)

        asked = ask(make)
        with ThreadPoolExecutor(2) as pool:
            tensors = [future.result() for future in [pool.submit(asked) for _ in range(2)]]
        assert tensors[0] is tensors[1] or ask is not locked
        return len(made)

    def locked(make):
        constant = constant_tensor(make)
        return lambda: constant(like=LIKE)

    assert makers_at_once(locked) == 1
    assert makers_at_once(lambda make: make) == 2  # the control


def test_large_constants_are_kept_up_to_so_many_bytes_and_small_ones_up_to_so_many(monkeypatch) -> None:
    monkeypatch.setattr(constants, "_MOST_BYTES", 20_000)

    def kept(length: int, count: int) -> int:
        ramp, _ = counted()
        references = [weakref.ref(ramp(n, length, like=LIKE)) for n in range(count)]
        gc.collect()
        assert references[-1]() is not None
        return sum(reference() is not None for reference in references)

    assert kept(1000, 7) == 5  # of four bytes
    assert kept(20_000, 3) == 1  # the last one, whatever it is
    assert kept(10, constants._MOST + 5) == constants._MOST  # the control


def test_threads_that_ask_for_more_than_is_kept_each_get_their_own(monkeypatch) -> None:
    monkeypatch.setattr(constants, "_MOST", 2)
    ramp, made = counted()

    def ask(seed: int) -> bool:
        lengths = [(seed * 7 + n * 5) % 11 + 1 for n in range(200)]
        return all(ramp(seed, length, like=LIKE).shape == (length,) for length in lengths)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(4)))
    assert len(made) > 44  # the control: they were forgotten and made again
