"""Faults of files and runs: what is read of a damaged file, and what a killed run leaves."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import resource
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from benchmarks.checkpoint import Checkpoint, Position
from benchmarks.data.cache import cached
from benchmarks.kept import Kept
from proofs_tests.fuzz.callables import G, net
from scalegroup import Background, ScaleGroupError, ScaleWindow, models

FLIPS = 500
KILLS = 20

_FORK = multiprocessing.get_context("fork")


def other() -> models.GaussianDerivativeNet:
    """A network like `net`, with other weights."""
    torch.manual_seed(1)
    return models.gaussian_derivative_net(
        widths=(2,), num_classes=3, window=ScaleWindow(G, 1.0, 2), boundary=Background(0.0), extent=4.0
    ).eval()


def cut(content: bytes) -> Iterator[bytes]:
    """At every length."""
    return (content[:length] for length in range(len(content)))


def flipped(content: bytes) -> Iterator[bytes]:
    """One bit of a random byte, so many times."""
    draw = random.Random(0)
    for _ in range(FLIPS):
        place, bit = draw.randrange(len(content)), draw.randrange(8)
        yield content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


def weights() -> tuple[Path, Callable[[], Any]]:
    """A file of weights, and how it is read: all that it says, and the weights."""
    path = models.save_trained(net(), Path(tempfile.mkdtemp()) / "net.safetensors").path

    def read() -> Any:
        found = models.find_trained(path)
        fresh = models.GaussianDerivativeNet(found.architecture)
        found.load_into(fresh)
        return repr(found.architecture), _bits(fresh)

    return path, read


def checkpoint() -> tuple[Path, Callable[[], Any]]:
    """A checkpoint, and how it is read."""
    path, fresh = Path(tempfile.mkdtemp()) / "net.pt", other()
    Checkpoint(path, {"seed": 0}, {"net": net()}).save(Position())

    def read() -> Any:
        return Checkpoint(path, {"seed": 0}, {"net": fresh}).load(), _bits(fresh)

    return path, read


def cache() -> tuple[Path, Callable[[], Any]]:
    """A file of drawn images, and how it is read."""
    folder, wanted = Path(tempfile.mkdtemp()), {"data": "drawn", "part": "test", "size": 1.0}
    images, labels = torch.arange(64).view(2, 1, 4, 8), torch.tensor([0, 1])

    def read() -> Any:
        return [part.tolist() for part in cached(folder, wanted, lambda: (images, labels))]

    read()
    return next(folder.glob("*.h5")), read


def kept_row() -> tuple[Path, Callable[[], Any]]:
    """What a long command keeps of a row: of a file that is damaged the row is made again, which is refusing it."""
    folder = Path(tempfile.mkdtemp())

    def made() -> dict[str, Any]:
        raise ScaleGroupError("nothing that can be read", expected="a row", mend="make it again")

    Kept(folder, resume=True).row("net", {"seed": 0}, lambda: {"accuracy": {"1.0": 0.93, "2.0": 0.91}})
    return folder / "net.json", lambda: Kept(folder, resume=True).row("net", {"seed": 0}, made)


def damaged(of: Callable[[], tuple[Path, Callable[[], Any]]], damage: Callable[[bytes], Iterator[bytes]]) -> Counter:
    """How often a file that was damaged is refused, is read as it was (survived), or is read as another (silent)."""
    path, read = of()
    whole, before, found = path.read_bytes(), read(), Counter[str]()
    for content in damage(whole):
        path.write_bytes(content)
        try:
            found["survived" if read() == before else "silent"] += 1
        except ScaleGroupError:
            found["refused"] += 1
        except Exception:
            found["raw error"] += 1
    return found


def written_and_read_at_once(times: int = 200) -> Counter:
    """One process writes two networks in turns, another one reads: it is always one of the two."""
    path, read = weights()
    pair = {repr(_bits(net())), repr(_bits(other()))}

    def write() -> None:
        for number in range(times):
            models.save_trained((net, other)[number % 2](), path)

    child = _FORK.Process(target=write)
    child.start()
    found = Counter[str]()
    for _ in range(times):
        try:
            found["survived" if repr(read()[1]) in pair else "silent"] += 1
        except Exception:
            found["raw error"] += 1
    child.join()
    return found


def full_disk(times: int = 20) -> Counter:
    """Files that may not grow beyond so many bytes: saving fails, and what was there before stays."""
    path, read = weights()
    before, size, found = read(), path.stat().st_size, Counter[str]()
    for number in range(times):
        child = _FORK.Process(target=_save_within, args=(path, number * size // times))
        child.start()
        child.join()
        found["survived" if child.exitcode == 3 and read() == before else "silent"] += 1
    return found


def _save_within(path: Path, size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    with contextlib.suppress(OSError, ScaleGroupError):
        models.save_trained(other(), path)
        os._exit(0)
    os._exit(3)


def killed_and_resumed() -> Counter:
    """Training that `kill -9` ends at random moments and that goes on: the same bits as of one that nobody killed."""
    from proofs_tests.test_training import trained  # with all that training imports

    folder, draw, found = Path(tempfile.mkdtemp()), random.Random(0), Counter[str]()
    whole = _plain(trained(folder / "whole", checkpoint_every=2))
    start = time.monotonic()
    trained(folder / "again", checkpoint_every=2)
    seconds = time.monotonic() - start
    for number in range(KILLS):
        here = folder / str(number)
        child = _FORK.Process(target=trained, args=(here,), kwargs={"checkpoint_every": 2})
        child.start()
        time.sleep(draw.uniform(0.05, 1.0) * seconds)
        child.kill()
        child.join()
        found["survived" if _plain(trained(here, checkpoint_every=2, resume=True)) == whole else "silent"] += 1
    return found


def threads(count: int = 8, sizes: int = 100) -> Counter:
    """One network in so many threads, with images of a hundred sizes: the same bits as one after the other."""
    images = [torch.rand(1, 1, 5 + n // 10, 5 + n % 10) for n in range(sizes)]

    def run(one: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return net()(one)

    with ThreadPoolExecutor(count) as pool:
        results = list(pool.map(run, images * 2))
    return Counter("survived" if torch.equal(a, run(b)) else "silent" for a, b in zip(results, images * 2, strict=True))


FAULTS: dict[str, Callable[[], Counter]] = {
    "weights cut at every length": lambda: damaged(weights, cut),
    f"weights with one bit flipped, {FLIPS} times": lambda: damaged(weights, flipped),
    "checkpoint cut at every length": lambda: damaged(checkpoint, cut),
    f"checkpoint with one bit flipped, {FLIPS} times": lambda: damaged(checkpoint, flipped),
    "cache of images cut at every length": lambda: damaged(cache, cut),
    f"cache of images with one bit flipped, {FLIPS} times": lambda: damaged(cache, flipped),
    "row of results cut at every length": lambda: damaged(kept_row, cut),
    f"row of results with one bit flipped, {FLIPS} times": lambda: damaged(kept_row, flipped),
    "weights read while another process writes them": written_and_read_at_once,
    "weights written on a full disk": full_disk,
    f"training killed at {KILLS} random moments and resumed": killed_and_resumed,
    "one network in eight threads, images of 100 sizes": threads,
}


def _bits(module: torch.nn.Module) -> Any:
    return _plain(module.state_dict())


def _plain(state: dict[str, torch.Tensor]) -> Any:
    return {name: value.numpy().tobytes() for name, value in state.items()}
