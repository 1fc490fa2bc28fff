"""glibc gives every large tensor back to the kernel and pays for the page faults again: switch that off.

And it shall ask for huge pages, where the system grants them: a step of the residual network takes a tenth less. It
reads this when a process starts, so a process that needs it starts itself anew, once. The Makefile sets the same.
"""

from __future__ import annotations

import os
import platform
import sys

NAME = "GLIBC_TUNABLES"
GIVING_BACK = "glibc.malloc.mmap_threshold=1048576"  # set at all, it does not grow with what is freed
_SETTING = "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=8589934592:glibc.malloc.hugetlb=1"


def keep_memory() -> None:
    """Start this command again with the setting, where it matters and the user has not chosen another."""
    if platform.libc_ver()[0] != "glibc" or NAME in os.environ:
        return
    os.environ[NAME] = _SETTING
    print(f"starting again with {NAME}={_SETTING}, the same for everything measured", flush=True)
    os.execv(sys.executable, sys.orig_argv)
