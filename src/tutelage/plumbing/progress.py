"""Progress bars with rate and time to go, on standard error, so that standard output stays machine-readable."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

console = Console(stderr=True)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} {task.fields['unit']}/s")


class Bar:
    """A running bar: `advance` it, and `note` the figure that matters now."""

    def __init__(self, progress: Progress, description: str, total: int, unit: str) -> None:
        self._progress = progress
        self._task = progress.add_task(description, total=total, unit=unit, note="")

    def advance(self, by: int = 1) -> None:
        self._progress.advance(self._task, by)

    def note(self, text: str) -> None:
        self._progress.update(self._task, note=text)


@contextmanager
def progress_bar(description: str, total: int, unit: str) -> Iterator[Bar]:
    """A bar for `total` units of work; where nobody watches (no terminal), one line when the work is done."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        yield Bar(progress, description, total, unit)


Advance = Callable[[int], object]
"""What work tells of its progress: so many more units are done (`Bar.advance`)."""


def unwatched(units: int) -> None:
    """The `Advance` of work that nobody watches."""
