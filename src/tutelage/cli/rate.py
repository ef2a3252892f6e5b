"""`tutelage rate`: what snapshots are worth to workers."""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from tutelage.dialogue import Kind


@dataclass(frozen=True)
class Rate:
    """Rate snapshots by workers' judgments: Bradley-Terry on the Elo scale, 95% intervals over workers and prompts."""

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """A JSONL or JSONL.gz file of judgments or comparisons that name snapshots and workers (tutelage format)."""
    anchor: str | None = None
    """The snapshot at 0 Elo points; None: the one that was compared most often."""
    kind: Kind | None = None
    """Only helpful or only harmless comparisons; None: both."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.corpus.duels import read_duels
        from tutelage.plumbing.errors import CheckFailed
        from tutelage.statistics.ratings import RatingsRefused, rate

        duels = read_duels(self.file, self.kind)
        try:
            anchor = self.anchor or _most_compared(duels.winners + duels.losers)
            ratings = rate(duels.winners, duels.losers, duels.workers, duels.prompts, anchor=anchor)
        except RatingsRefused as error:
            raise CheckFailed(f"{self.file}: {error}") from error
        return {
            "anchor": ratings.anchor,
            "comparisons": ratings.comparisons,
            "same_snapshot_dropped": ratings.same_snapshot,
            "equal_answers_dropped": duels.equal_answers,
            "workers": len(set(duels.workers)),
            "prompts": len(set(duels.prompts)),
            "ratings": [
                {"snapshot": name, "elo": interval.value, "low": interval.low, "high": interval.high}
                for name, interval in ((name, ratings.interval(name)) for name in ratings.snapshots)
            ],
            "differences": [
                {"snapshot": one, "other": other, **asdict(ratings.difference(one, other))}
                for index, one in enumerate(ratings.snapshots)
                for other in ratings.snapshots[:index]
            ],
        }

    def show(self, result: dict[str, Any]) -> None:
        console = Console()
        table = Table("snapshot", "Elo", "95% interval")
        for row in sorted(result["ratings"], key=lambda row: -row["elo"]):
            table.add_row(row["snapshot"], f"{row['elo']:+.0f}", f"{row['low']:+.0f} to {row['high']:+.0f}")
        console.print(table)
        console.print(
            f"{result['comparisons']} comparisons by {result['workers']} workers on {result['prompts']} prompts; "
            f"0 is {result['anchor']}; dropped: {result['same_snapshot_dropped']} of a snapshot with itself, "
            f"{result['equal_answers_dropped']} of equal or empty answers"
        )


def _most_compared(snapshots: list[str]) -> str:
    counts = Counter(snapshots)
    return min(counts, key=lambda name: (-counts[name], name), default="")
