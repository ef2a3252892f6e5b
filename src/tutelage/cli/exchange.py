"""`tutelage data export` and `tutelage data import`: between the feedback database and files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

from tutelage.cli.feedback import DatabaseURL, known
from tutelage.corpus.formats import Format
from tutelage.dialogue import Kind
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.progress import progress_bar


@dataclass(frozen=True)
class DataExport:
    """Write all that people judged to a folder: HH-RLHF files, red-team attempts, our lossless files, a manifest.

    The folder is ready for `datasets.load_dataset`. Workers stand under pseudonyms.
    """

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The folder to write; it must not be there."""
    database: DatabaseURL = "feedback.db"
    """A file of SQLite, or postgresql://USER@HOST/NAME."""
    test_share: float = 0.05
    """Share of first human turns whose comparisons make the test split, 0 to 1."""
    freeze: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Keep the export's hashes in the database under this name, and make its files read-only."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.feedback.database.collected import conversations_in
        from tutelage.feedback.database.export import export

        if not 0 <= self.test_share <= 1:
            raise InputError(f"--test-share must lie between 0 and 1, not {self.test_share}")
        if self.out.exists():
            raise InputError(f"--out {self.out}: is there already; name a new folder")
        database = known(self.database)
        with progress_bar("export", conversations_in(database), "conversations") as bar:
            return export(database, self.out, self.test_share, self.freeze, bar.advance)

    def show(self, result: dict[str, Any]) -> None:
        from tutelage.feedback.database.export import told

        console, counts = Console(), result["counts"]
        console.print(
            f"{counts['conversations']} conversations, {counts['comparisons']} comparisons and {counts['attempts']} "
            f"red-team attempts: {self.out}",
            highlight=False,
        )
        for line in told(result):
            console.print(f"left out {line}", highlight=False)


@dataclass(frozen=True)
class DataImport:
    """Read a file into the feedback database.

    Files of comparisons (HH-RLHF, say) are kept apart to be browsed, their labels as they are. The conversations of an
    export (conversations.jsonl.gz) become conversations again, in a new database only.
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """JSONL or JSONL.gz."""
    database: DatabaseURL = "feedback.db"
    """A file of SQLite, or postgresql://USER@HOST/NAME; it is made if it is not there."""
    format: Format | Literal["auto"] = "auto"
    """The format of a file of comparisons; auto goes by the keys of its first line."""
    kind: Kind = "helpful"
    """The kind of the comparisons of hh and trl files, which do not say it."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.feedback.database.connection import Database
        from tutelage.feedback.database.files import holds_conversations, read_comparisons_in
        from tutelage.feedback.database.lossless import read_conversations
        from tutelage.feedback.database.schema import upgrade
        from tutelage.plumbing.files import read_jsonl

        conversations = holds_conversations(self.file)
        database = Database(self.database)
        upgrade(database)
        with progress_bar("import", sum(1 for _ in read_jsonl(self.file)), "lines") as bar:
            if conversations:
                return {"conversations": read_conversations(database, self.file, bar.advance)}
            return {"comparisons": read_comparisons_in(database, self.file, self.format, self.kind, bar.advance)}

    def show(self, result: dict[str, Any]) -> None:
        (what, count), *_ = result.items()
        Console().print(f"{count} {what} read from {self.file}", highlight=False)
