"""What the process takes of the machine."""

import contextlib
import ctypes
import os
import resource
import sys
from pathlib import Path

# glibc's mallopt parameters (malloc.h).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> None:
    """Let the allocator keep what tensors free instead of giving it back to the kernel after every operation.

    Training on CPU allocates and frees hundreds of megabytes a step; faulting them in again costs up to a third of
    the time. Does nothing where the C library is not glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        for parameter, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 2**26)):
            libc.mallopt(parameter, value)


def peak_memory_bytes() -> int:
    """The most resident memory that this process has had since it began, or since `reset_peak_memory`."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def give_back_freed_memory() -> None:
    """Give the kernel what the allocator keeps, between stages whose tensors do not fit into each other's holes.

    It takes some hundredths of a second a gigabyte. Does nothing where the C library is not glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def reset_peak_memory() -> None:
    """Give back what is free and begin to measure the peak anew, where C library and kernel can."""
    give_back_freed_memory()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
