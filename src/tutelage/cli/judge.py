"""`tutelage judge`: what the simulated crowd thinks of comparisons."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from tutelage.dialogue import Kind


@dataclass(frozen=True)
class Judge:
    """Let the simulated crowd judge comparisons of any model or data set, and show what it goes by.

    The crowd is an instrument, not people: it reads words, not meaning (docs/simulated-crowd.md).
    """

    files: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """JSONL or JSONL.gz files of comparisons (hh, tutelage or trl format)."""
    format: Literal["auto", "hh", "tutelage", "trl"] = "auto"
    """How the files are written; auto goes by the keys of each file's first line."""
    kind: Kind = "helpful"
    """The kind of the comparisons of hh and trl files, which do not say it."""
    workers: int = 24
    """Size of the crowd, in workers."""
    seed: int = 0
    """Makes the crowd, and draws who judges which pair."""
    out: Path | None = None
    """Write the judgments to this JSONL file, one of each pair."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.corpus.records import judgment_to_record
        from tutelage.corpus.rules import DropCounts
        from tutelage.corpus.sources import read_comparisons
        from tutelage.feedback.appraisal import appraise, judge_all
        from tutelage.feedback.crowd import make_crowd
        from tutelage.plumbing.errors import InputError
        from tutelage.plumbing.files import write_jsonl

        counts = DropCounts()
        comparisons = list(counts.sift(read_comparisons(self.files, self.format, self.kind)))
        if not comparisons:
            names = ", ".join(map(str, self.files)) or "no file named"
            raise InputError(f"{names}: expected comparisons, found none that can be judged")
        try:
            crowd = make_crowd(self.workers, self.seed)
        except ValueError as error:
            raise InputError(f"--workers, --seed: {error}") from error
        if self.out and self.out.resolve() in {file.resolve() for file in self.files}:
            raise InputError(f"--out {self.out}: is one of the files that are judged; name another")
        judgments = judge_all(comparisons, crowd, self.seed)
        if self.out:
            write_jsonl(self.out, map(judgment_to_record, judgments))
        kinds = {kind: asdict(appraisal) for kind, appraisal in appraise(comparisons, judgments, crowd).items()}
        out = None if self.out is None else str(self.out)
        return {"out": out, "pairs": len(comparisons), "dropped": counts.by_key(), "kinds": kinds}

    def show(self, result: dict[str, Any]) -> None:
        console = Console()
        console.print(f"{result['pairs']} pairs judged, {sum(result['dropped'].values())} rows dropped")
        for kind, appraisal in result["kinds"].items():
            _show_kind(console, kind, appraisal)
        if result["out"]:
            console.print(f"judgments: {result['out']}", highlight=False)


def _show_kind(console: Console, kind: str, appraisal: dict[str, Any]) -> None:
    preferred = appraisal["preferred"]
    console.print(
        f"\n[bold]{kind}[/bold], {appraisal['pairs']} pairs: a worker prefers the chosen response in "
        f"{preferred['value']:.1%} (95% interval {preferred['low']:.1%} to {preferred['high']:.1%}); "
        f"two workers agree in {appraisal['agreement']:.1%}; no predictor is right in more than "
        f"{appraisal['ceiling']:.1%} of single judgments"
    )
    table = Table("", "weight", "chosen", "rejected", "explains")
    for name, row in appraisal["features"].items():
        explains = f"{appraisal['explained'][name]:.0%}"
        table.add_row(name, f"{row['weight']:.1f}", f"{row['chosen']:.2f}", f"{row['rejected']:.2f}", explains)
    for name, explains in appraisal["explained"].items():
        if name not in appraisal["features"]:
            table.add_row(name, "", "", "", f"{explains:.0%}")
    table.add_section()
    table.add_row("utility", "10", f"{appraisal['utility_chosen']:.2f}", f"{appraisal['utility_rejected']:.2f}", "")
    console.print(table)
