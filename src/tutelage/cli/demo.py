"""`tutelage demo`: the whole loop, from a pretrained model to one that people prefer, with a report."""

import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Demo:
    """Run the whole loop on a recipe, or go on with an interrupted run: comparisons, preference model, PPO, ratings.

    Finished stages are kept; run the same command again after Ctrl-C or a crash. The people are simulated.
    """

    recipe: str = "laptop"
    """a shipped recipe (laptop, smoke) or the path of a TOML file"""
    name: str | None = None
    """name of the run; default: the recipe's name, with -seed-N for another seed"""
    seed: int | None = None
    """seed of everything; default: the recipe's"""
    directory: Path = Path("runs")
    """where runs are kept"""
    json: bool = False
    """Print one JSON object on standard output."""

    when_stopped: ClassVar[str] = "run the same command again to go on from what is finished"

    def run(self) -> dict[str, Any]:
        from tutelage.plumbing.machine import keep_freed_memory

        keep_freed_memory()
        from tutelage.loop.loop import run_loop
        from tutelage.loop.recipe import load_recipe
        from tutelage.plumbing.errors import InputError
        from tutelage.plumbing.files import write_json
        from tutelage.report.page import write_report

        if self.seed is not None and self.seed < 0:
            raise InputError(f"--seed must be at least 0, not {self.seed}")
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        recipe = load_recipe(self.recipe)
        seed = recipe.seed if self.seed is None else self.seed
        named = self.name or (recipe.name if seed == recipe.seed else f"{recipe.name}-seed-{seed}")
        if Path(named).name != named:
            raise InputError(f"--name {named}: a run's name cannot lead elsewhere; say where by --directory")
        recipe, place = replace(recipe, seed=seed), self.directory / named
        summary = run_loop(recipe, place)
        write_report(summary, place / "report.html")
        write_json(place / "summary.json", summary)
        return {**summary, "report": str(place / "report.html")}

    def show(self, result: dict[str, Any]) -> None:
        console = Console()
        table = Table("snapshot", "Elo", "95% interval", title="Ratings by held-out workers on held-out prompts")
        for row in result["ratings"]:
            table.add_row(row["snapshot"], f"{row['elo']:+.0f}", f"{row['low']:+.0f} … {row['high']:+.0f}")
        if result["ratings"]:
            console.print(table)
        else:
            console.print(f"No ratings: {result['rating_refusal']}")
        rate = result["win_rate_final_vs_base"]
        if rate:
            console.print(
                f"The final policy wins {rate['value']:.1%} of {rate['comparisons']} comparisons with the base "
                f"(95% interval {rate['low']:.1%} to {rate['high']:.1%})."
            )
        minutes, memory = result["wall_seconds"] / 60, result["peak_memory_bytes"] / 2**30
        console.print(f"{minutes:.1f} minutes, {memory:.1f} GiB at most. Report: {result['report']}", highlight=False)
