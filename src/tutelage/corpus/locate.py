"""From what a user names (a file, a source, a hub id) to the files that are read."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tutelage.corpus.formats import Format
from tutelage.corpus.hub import fetch
from tutelage.corpus.registry import DataSource, find
from tutelage.corpus.rules import Drop
from tutelage.corpus.sources import read_comparisons
from tutelage.corpus.table import Columns
from tutelage.dialogue import Comparison, Kind
from tutelage.plumbing.errors import InputError

DATA_VARIABLE = "TUTELAGE_DATA"


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file to read and how; `source` is None for a user's own."""

    path: Path
    format: Format | Literal["auto"] = "auto"
    kind: Kind = "helpful"
    columns: Columns | None = None
    source: DataSource | None = None

    @property
    def licence(self) -> str | None:
        """For a model card; None where we do not know it."""
        return self.source.licence if self.source else None

    def rows(self) -> Iterator[Comparison | Drop]:
        """As `sources.read_comparisons`, of this file."""
        return read_comparisons([self.path], self.format, self.kind, self.columns)


def data_directory(given: Path | None) -> Path | None:
    """The folder of data sets: the one that was given, or that of $TUTELAGE_DATA, or none."""
    named = os.environ.get(DATA_VARIABLE)
    return given or (Path(named) if named else None)


def locate(name: Path, data: Path | None, own: DataFile) -> list[DataFile]:
    """The files that a file name, a source's name or a hub id stands for; a source that is not there is fetched.

    Args:
        name: a file that is there is always that file.
        data: the data directory.
        own: how a file of the user's own is read (its path is not used); a source knows how it is read.

    Raises:
        InputError: neither a file nor a known name; or a source that is not there and cannot be fetched.
    """
    if name.exists() and not name.is_dir():
        return [replace(own, path=name)]
    found = find(name.as_posix())
    if not found:
        raise InputError(f"{name}: no such file, nor a source of this name; `tutelage data list` shows the names")
    return [DataFile(_file_of(source, data), source.format, source.kind, source.columns, source) for source in found]


def locate_all(names: Iterable[Path], data: Path | None, own: DataFile) -> list[DataFile]:
    """`locate` of each name; `data` None: the directory of $TUTELAGE_DATA, if one is named."""
    return [file for name in names for file in locate(name, data_directory(data), own)]


def _file_of(source: DataSource, data: Path | None) -> Path:
    place = data / source.file if data else None
    if place and place.exists():
        return place
    if source.hub:
        return fetch(source.hub, place)
    looked = f"{place} is not there" if place else f"no data directory is named (--data DIR or ${DATA_VARIABLE})"
    raise InputError(f"{source.name}: {looked}; it is read from {source.file} below the data directory")
