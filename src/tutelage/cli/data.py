"""`tutelage data`: the sources of comparisons, what is in them, and from one format to another."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Column, Table

from tutelage.cli.score import show_drops
from tutelage.corpus.formats import Format, Writable
from tutelage.dialogue import Comparison, Kind
from tutelage.plumbing.errors import InputError

if TYPE_CHECKING:
    from tutelage.corpus.locate import DataFile


@dataclass(frozen=True)
class DataList:
    """List the sources of comparisons that are known by name: licence, format, and where each is looked for."""

    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The data directory; None: that of $TUTELAGE_DATA."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.corpus.locate import data_directory
        from tutelage.corpus.registry import SOURCES

        directory = data_directory(self.data)
        sources = [
            {
                "name": source.name,
                "about": source.about,
                "licence": source.licence,
                "format": source.format,
                "kind": source.kind,
                "file": str(directory / source.file if directory else source.file),
                "present": bool(directory and (directory / source.file).exists()),
                "hub": source.hub.id if source.hub else None,
            }
            for source in SOURCES
        ]
        return {"data": str(directory) if directory else None, "sources": sources}

    def show(self, result: dict[str, Any]) -> None:
        console = Console()
        for source in result["sources"]:
            console.print(f"{source['name']} ({source['licence']}; {source['kind']})", style="bold", highlight=False)
            console.print(f"  {source['about']}\n  {_whereabouts(source)}", markup=False, highlight=False)
        console.print(f"data directory: {result['data'] or 'none; name one with --data or $TUTELAGE_DATA'}")


@dataclass(frozen=True)
class DataStats:
    """Count what is in comparisons: rows, turns, lengths, length bias, duplicates, dropped rows by reason."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE|NAME...")]
    """JSONL or JSONL.gz files, or names of sources (tutelage data list), taken together."""
    format: Format | Literal["auto"] = "auto"
    """The format of the files; auto goes by the keys of the first line of each."""
    columns: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=COLUMN...")] = ()
    """Where the files are tables: what their columns are, for example prompt=question chosen=best rejected=other."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The data directory, where sources are looked for; None: that of $TUTELAGE_DATA."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.corpus.audit import stats

        files = _located(self.files, self.data, self.format, columns=self.columns)
        audit = stats(chain.from_iterable(file.rows() for file in files))
        return asdict(audit) | {"files": [_described(file) for file in files]}

    def show(self, result: dict[str, Any]) -> None:
        console = Console()
        console.print(f"{result['rows']} rows, {result['usable']} usable for training")
        show_drops(console, result["dropped"])
        _print_turns(console, result["turns"])
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
    """A JSONL or JSONL.gz file, or the name of a source (tutelage data list)."""
    destination: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """The file to write, gzipped if its name ends in .gz."""
    to_format: Annotated[Writable, tyro.conf.arg(name="to")]
    """hh: the released HH-RLHF files; tutelage: our lossless JSONL; trl: TRL's prompt, chosen, rejected."""
    from_format: Annotated[Format | Literal["auto"], tyro.conf.arg(name="from")] = "auto"
    """The format of IN; auto goes by the keys of its first line."""
    kind: Kind = "helpful"
    """The kind of the comparisons of hh, trl and table files, which do not say it."""
    columns: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=COLUMN...")] = ()
    """Where IN is a table: what its columns are, for example prompt=question chosen=best rejected=other."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The data directory, where sources are looked for; None: that of $TUTELAGE_DATA."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.corpus.convert import convert

        file, *more = _located((self.source,), self.data, self.from_format, self.kind, self.columns)
        if more:
            raise InputError(f"{self.source}: stands for {len(more) + 1} sources; name one (tutelage data list)")
        if self.destination.resolve() == file.path.resolve():
            raise InputError(f"{self.destination}: is the file that is converted; name another")
        counts = convert(file.path, self.destination, file.format, self.to_format, file.kind, file.columns)
        return {
            **_described(file),
            "rows_in": counts.rows_in,
            "rows_out": counts.rows_out,
            "kept_dirty": {reason.key: count for reason, count in counts.kept_dirty.items()},
            "refused": {reason.key: count for reason, count in counts.refused.items()},
        }

    def show(self, result: dict[str, Any]) -> None:
        console = Console()
        console.print(f"{result['rows_in']} rows read, {result['rows_out']} written to {self.destination}")
        for name, title in (("kept_dirty", "dirty rows, kept as they are"), ("refused", "left out")):
            show_drops(console, result[name], title)


@dataclass(frozen=True)
class DataOverlap:
    """Count the first human turns that material to train on and material to test on have in common."""

    train: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE|NAME...")]
    """What would be trained on: JSONL or JSONL.gz files, or names of sources (tutelage data list)."""
    test: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE|NAME...")]
    """What would be tested on, likewise."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The data directory, where sources are looked for; None: that of $TUTELAGE_DATA."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.corpus.splits import overlap

        return asdict(overlap(_usable(self.train, self.data), _usable(self.test, self.data)))

    def show(self, result: dict[str, Any]) -> None:
        console = Console()
        console.print(
            f"{result['prompts']} first human turns in common: {result['train']} comparisons to train on "
            f"and {result['test']} to test on begin with them"
        )
        for example in result["examples"]:
            console.print(f"  {example}", markup=False, highlight=False)


def _located(
    names: tuple[Path, ...],
    data: Path | None,
    format: Format | Literal["auto"] = "auto",
    kind: Kind = "helpful",
    columns: tuple[str, ...] = (),
) -> list["DataFile"]:
    """The files that the names stand for, and how each is read."""
    from tutelage.corpus.locate import DataFile, data_directory, locate
    from tutelage.corpus.table import columns_from_words

    if not names:
        raise InputError("no file named; give one or more JSONL files, or names of sources (tutelage data list)")
    own = DataFile(Path(), format, kind, columns_from_words(columns) if columns else None)
    return [file for name in names for file in locate(name, data_directory(data), own)]


def _whereabouts(source: dict[str, Any]) -> str:
    if source["present"]:
        return str(source["file"])
    return f"fetched from {source['hub']}" if source["hub"] else f"looked for at {source['file']}"


def _usable(names: tuple[Path, ...], data: Path | None) -> Iterator[Comparison]:
    rows = chain.from_iterable(file.rows() for file in _located(names, data))
    return (row for row in rows if isinstance(row, Comparison))


def _described(file: "DataFile") -> dict[str, Any]:
    return {"file": str(file.path), "source": file.source.name if file.source else None, "licence": file.licence}


def _print_turns(console: Console, counts: dict[int, int]) -> None:
    if not counts:
        return
    table = Table("turns (the answer included)", Column("rows", justify="right"))
    for turns, count in counts.items():
        table.add_row(str(turns), str(count))
    console.print(table)


def _print_lengths(console: Console, unit: str, lengths: dict[str, dict[str, float]]) -> None:
    if not lengths:
        return
    table = Table(unit, *(Column(name, justify="right") for name in ("median", "mean", "95% below")))
    for part, values in lengths.items():
        table.add_row(part, *(f"{values[name]:.0f}" for name in ("median", "mean", "p95")))
    console.print(table)
