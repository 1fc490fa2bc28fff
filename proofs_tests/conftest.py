"""Reproducible runs: Hypothesis profiles, one seed for torch, one thread per pytest-xdist worker.

`HYPOTHESIS_PROFILE=thorough` looks at many more examples, other ones in every run, for a nightly job; `quick` at few,
where the tests are run once for every mutant.
"""

import gc
import os

import pytest
import torch
from hypothesis import settings

settings.register_profile("default", deadline=None, max_examples=30, derandomize=True)
settings.register_profile("quick", deadline=None, max_examples=10, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start

# torch.manual_seed takes a stack trace for every kind of device, which is most of what a small test takes
torch.manual_seed = torch.default_generator.manual_seed


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def pytest_collection_finish() -> None:
    """What is imported by now stays: the many collections of garbage that benchmarks ask for need not look at it."""
    gc.collect()
    gc.freeze()
