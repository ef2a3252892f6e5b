"""`tutelage rate`: what snapshots are worth to workers."""

from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from tutelage.dialogue import Kind

if TYPE_CHECKING:
    from tutelage.corpus.duels import DuelColumns


@dataclass(frozen=True)
class Rate:
    """Rate snapshots by workers' judgments: Bradley-Terry on the Elo scale, 95% intervals over workers and prompts.

    Several files are taken together: snapshots, workers and prompts of the same name are the same.
    """

    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE...")]
    """JSONL or JSONL.gz files of judgments or comparisons that name snapshots and workers (tutelage format)."""
    anchor: str | None = None
    """The snapshot at 0 Elo points; None: the one that was compared most often."""
    kind: Kind | None = None
    """Only helpful or only harmless comparisons; None: both."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.corpus.duels import read_duels
        from tutelage.plumbing.errors import CheckFailed, InputError
        from tutelage.statistics.ratings import RatingsRefused, rate

        if not self.files:
            raise InputError("no file named; give one or more files of judgments")
        duels = read_duels(self.files, self.kind)
        if self.anchor and self.anchor not in (names := {*duels.winners, *duels.losers}):
            raise InputError(f"--anchor {self.anchor}: no such snapshot; compared were {', '.join(sorted(names))}")
        try:
            anchor = self.anchor or _most_compared(duels.winners + duels.losers)
            ratings = rate(duels.winners, duels.losers, duels.workers, duels.prompts, anchor=anchor)
        except RatingsRefused as error:
            raise CheckFailed(f"{', '.join(map(str, self.files))}: {error}") from error
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
            "win_rates": _win_rates(duels),
        }

    def show(self, result: dict[str, Any]) -> None:
        console = Console()
        table = Table("snapshot", "Elo", "95% interval")
        for row in sorted(result["ratings"], key=lambda row: -row["elo"]):
            table.add_row(row["snapshot"], f"{row['elo']:+.0f}", f"{row['low']:+.0f} to {row['high']:+.0f}")
        console.print(table)
        for row in result["win_rates"]:
            console.print(
                f"{row['of']} wins {row['value']:.1%} of {row['comparisons']} comparisons with {row['against']} "
                f"(95% interval {row['low']:.1%} to {row['high']:.1%})"
            )
        console.print(
            f"{result['comparisons']} comparisons by {result['workers']} workers on {result['prompts']} prompts; "
            f"0 is {result['anchor']}; dropped: {result['same_snapshot_dropped']} of a snapshot with itself, "
            f"{result['equal_answers_dropped']} of equal or empty answers"
        )


def _win_rates(duels: "DuelColumns") -> list[dict[str, Any]]:
    """Of every two snapshots that met often enough for an interval, the one that won more against the other."""
    from tutelage.statistics.ratings import RatingsRefused, win_rate

    columns = duels.winners, duels.losers, duels.workers, duels.prompts
    rows = []
    for one, other in combinations(sorted({*duels.winners, *duels.losers}), 2):
        with suppress(RatingsRefused):
            rates = (
                (of, against, win_rate(*columns, of=of, against=against))
                for of, against in ((one, other), (other, one))
            )
            of, against, rate = max(rates, key=lambda row: row[2].value)
            rows.append({"of": of, "against": against, **asdict(rate)})
    return rows


def _most_compared(snapshots: list[str]) -> str:
    counts = Counter(snapshots)
    return min(counts, key=lambda name: (-counts[name], name), default="")
