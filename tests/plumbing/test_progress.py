"""Bars speak on standard error only, and say one line where nobody watches."""

import subprocess
import sys

SCRIPT = """
from tutelage.plumbing.progress import progress_bar
with progress_bar("sampling", 3, "samples") as outer:
    for _ in range(3):
        with progress_bar("inner", 2, "steps") as inner:
            inner.advance(2)
        outer.advance()
        outer.note("reward 0.5")
"""


def test_unwatched_bars_are_one_line_each_on_standard_error() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    lines = [line.split() for line in done.stderr.splitlines() if line.strip()]
    assert [line[0] for line in lines] == ["inner", "inner", "inner", "sampling"]
    assert "3/3" in lines[-1]
    assert "samples/s" in lines[-1]
    assert lines[-1][-2:] == ["reward", "0.5"]
