"""`tutelage data`: what is in files of comparisons, and from one format to another."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Column, Table

from tutelage.dialogue import Kind

Format = Literal["hh", "tutelage", "trl"]


@dataclass(frozen=True)
class DataStats:
    """Count what is in files of comparisons: rows, turns, lengths, length bias, duplicates, dropped rows by reason."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """JSONL or JSONL.gz files (hh, tutelage or trl format), taken together."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.corpus.audit import stats
        from tutelage.plumbing.errors import InputError

        if not self.files:
            raise InputError("no file named; give one or more JSONL files")
        return asdict(stats(self.files))

    def show(self, result: dict[str, Any]) -> None:
        from tutelage.corpus.rules import DropReason

        console = Console()
        console.print(f"{result['rows']} rows, {result['usable']} usable for training")
        _print_counts(console, "dropped", {DropReason[key.upper()].value: n for key, n in result["dropped"].items()})
        _print_counts(console, "turns (the answer included)", result["turns"])
        for unit in ("characters", "words"):
            _print_lengths(console, unit, result[unit])
        bias = result["length_bias"]
        if bias:
            won = bias["longer_won"]
            console.print(
                f"the longer answer won {won['value']:.1%} of {bias['comparisons']} comparisons "
                f"(95% interval {won['low']:.1%} to {won['high']:.1%}; {bias['ties']} of equal length)"
            )
        console.print(
            f"{result['duplicates']} rows repeat an earlier one; {result['prompts']} different prompts, "
            f"{result['prompts_with_several_comparisons']} with several comparisons"
        )


@dataclass(frozen=True)
class DataConvert:
    """Convert a file of comparisons to another format. Rows that the format cannot hold are left out and counted."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN")]
    """A JSONL or JSONL.gz file."""
    destination: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """The file to write, gzipped if its name ends in .gz."""
    to_format: Annotated[Format, tyro.conf.arg(name="to")]
    """hh: the released HH-RLHF files; tutelage: our lossless JSONL; trl: TRL's prompt, chosen, rejected."""
    from_format: Annotated[Format | Literal["auto"], tyro.conf.arg(name="from")] = "auto"
    """The format of IN; auto goes by the keys of its first line."""
    kind: Kind = "helpful"
    """The kind of the comparisons of hh and trl files, which do not say it."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.corpus.convert import convert
        from tutelage.plumbing.errors import InputError

        if self.destination.resolve() == self.source.resolve():
            raise InputError(f"{self.destination}: is the file that is converted; name another")
        counts = convert(self.source, self.destination, self.from_format, self.to_format, self.kind)
        return {
            "rows_in": counts.rows_in,
            "rows_out": counts.rows_out,
            "kept_dirty": {reason.key: count for reason, count in counts.kept_dirty.items()},
            "refused": {reason.key: count for reason, count in counts.refused.items()},
        }

    def show(self, result: dict[str, Any]) -> None:
        from tutelage.corpus.rules import DropReason

        console = Console()
        console.print(f"{result['rows_in']} rows read, {result['rows_out']} written to {self.destination}")
        for name, title in (("kept_dirty", "dirty rows, kept as they are"), ("refused", "left out")):
            _print_counts(console, title, {DropReason[key.upper()].value: n for key, n in result[name].items()})


def _print_counts(console: Console, title: str, counts: dict[Any, int]) -> None:
    if not counts:
        return
    table = Table(title, Column("rows", justify="right"))
    for name, count in counts.items():
        table.add_row(str(name), str(count))
    console.print(table)


def _print_lengths(console: Console, unit: str, lengths: dict[str, dict[str, float]]) -> None:
    if not lengths:
        return
    table = Table(unit, *(Column(name, justify="right") for name in ("median", "mean", "95% below")))
    for part, values in lengths.items():
        table.add_row(part, *(f"{values[name]:.0f}" for name in ("median", "mean", "p95")))
    console.print(table)
