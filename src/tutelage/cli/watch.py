"""`tutelage runs rl` and `tutelage runs watch`: one training of a policy, as a page and in the terminal."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from tyro.conf import Positional

from tutelage.plumbing.errors import InputError


@dataclass(frozen=True)
class RunsRL:
    """Write the page of one training of a policy, also while it runs: reward against √KL with its line, where the two
    preference models part, what the answers are like, samples, the health of training."""

    directory: Positional[Path]
    """What `tutelage train ppo` (rloo, grpo, best-of-n) writes, or a round's policy in a run of the loop."""
    out: Path | None = None
    """The HTML file to write; None: rl.html in the directory."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.report.rl_page import findings, read_run, said, write_rl_page

        run, out = read_run(self.directory), self.out or self.directory / "rl.html"
        write_rl_page(run, out)
        shows = findings(run["steps"])
        return {"name": run["name"], **shows, "said": said(run, shows), "page": str(out)}

    def show(self, result: dict[str, Any]) -> None:
        console = Console()
        for line in result["said"]:
            console.print(line, highlight=False)
        console.print(f"page: {result['page']}", highlight=False)


@dataclass(frozen=True)
class RunsWatch:
    """Watch a training of a policy in the terminal while it runs; ends with it, or by Ctrl-C (which the training does
    not hear)."""

    directory: Positional[Path]
    """The directory in which the training writes metrics.jsonl."""
    every: float = 2.0
    """Seconds between two looks."""
    once: bool = False
    """Show how it stands now, and end; --json implies it."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.report.rl_page import findings, read_steps

        if self.every <= 0:
            raise InputError(f"--every must be above 0, not {self.every}")
        if not (self.once or self.json):
            self._follow()
        steps = read_steps(self.directory)
        return {"directory": str(self.directory), **findings(steps)}

    def show(self, result: dict[str, Any]) -> None:
        if self.once:
            from tutelage.report.rl_page import read_samples, read_steps
            from tutelage.report.terminal import live_view

            Console().print(live_view(read_steps(self.directory), read_samples(self.directory)))

    def _follow(self) -> None:
        from tutelage.report.rl_page import is_finished, read_samples, read_steps
        from tutelage.report.terminal import live_view

        def view() -> Group:
            return live_view(read_steps(self.directory), read_samples(self.directory))

        with Live(view(), console=Console(), auto_refresh=False) as live:
            try:
                while not is_finished(self.directory):
                    time.sleep(self.every)
                    live.update(view(), refresh=True)
            except KeyboardInterrupt:
                return
