"""What the process takes of the machine."""

import subprocess
import sys

import pytest

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
KEEPS_AND_GIVES_BACK = """
import torch
from pathlib import Path
from tutelage.plumbing.machine import give_back_freed_memory, keep_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

keep_freed_memory()
before = resident()
pieces = [torch.ones(2**18) for _ in range(200)]  # of a megabyte each
last = torch.ones(2**18)  # the heap cannot shrink below it: what is given back is a hole
del pieces
kept = resident() - before
give_back_freed_memory()
print(kept, resident() - before)
"""


@LINUX
def test_freed_memory_is_kept_until_it_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", KEEPS_AND_GIVES_BACK], capture_output=True, text=True, check=True)
    kept, left = map(int, done.stdout.split())
    assert kept >= 190
    assert left <= 30
