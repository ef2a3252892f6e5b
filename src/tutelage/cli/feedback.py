"""`tutelage feedback`: the database of what people judged, looked after from the command line."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console

from tutelage.plumbing.errors import CheckFailed, InputError
from tutelage.plumbing.progress import progress_bar

if TYPE_CHECKING:
    from tutelage.feedback.database.connection import Database

DatabaseURL = Annotated[str, tyro.conf.arg(metavar="URL")]


@dataclass(frozen=True)
class FeedbackBackup:
    """Write the whole database to one file while people go on working. The file holds password hashes: keep it safe."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The file to write, gzipped JSON lines; an older one is replaced."""
    database: DatabaseURL = "feedback.db"
    """A file of SQLite, or postgresql://USER@HOST/NAME."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.feedback.database.backup import backup, size_of

        database = known(self.database)
        with progress_bar("backup", size_of(database), "rows") as bar:
            rows = backup(database, self.out, bar.advance)
        return {"out": str(self.out), "rows": rows}

    def show(self, result: dict[str, Any]) -> None:
        Console().print(f"{sum(result['rows'].values())} rows: {result['out']}", highlight=False)


@dataclass(frozen=True)
class FeedbackRestore:
    """Fill a new database from a backup, of SQLite or of PostgreSQL alike: all of it or nothing."""

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """What `tutelage feedback backup` wrote."""
    database: DatabaseURL = "feedback.db"
    """The new database: a file of SQLite that is not there, or an empty postgresql://USER@HOST/NAME."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.feedback.database.backup import restore, size_of_backup
        from tutelage.feedback.database.connection import Database

        database = Database(self.database)
        with progress_bar("restore", size_of_backup(self.file), "rows") as bar:
            return {"database": database.name, "rows": restore(database, self.file, bar.advance)}

    def show(self, result: dict[str, Any]) -> None:
        Console().print(f"{sum(result['rows'].values())} rows: {result['database']}", highlight=False)


@dataclass(frozen=True)
class FeedbackVerify:
    """Check a database (integrity, audit chain, every judgment against its digest) or an exported folder."""

    database: DatabaseURL | None = None
    """A file of SQLite, or postgresql://USER@HOST/NAME. None: feedback.db, or with --export none at all."""
    export: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Check this folder against its manifest instead, and the manifest against the --database where it was frozen."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        result, found = self._of_export(self.export) if self.export else self._of_database()
        if found:
            more = f", and {len(found) - 1} more" if len(found) > 1 else ""
            raise CheckFailed(f"{found[0]}{more}")
        return result | {"faults": 0}

    def _of_export(self, folder: Path) -> tuple[dict[str, Any], list[str]]:
        from tutelage.feedback.database.export import faults_of

        database = known(self.database) if self.database else None
        return {"checked": str(folder), "frozen_in": database and database.name}, faults_of(folder, database)

    def _of_database(self) -> tuple[dict[str, Any], list[str]]:
        from tutelage.feedback.database.verify import faults, size_of

        database = known(self.database or "feedback.db")
        with progress_bar("rows checked", size_of(database), "rows") as bar:
            return {"checked": database.name}, list(faults(database, bar.advance))

    def show(self, result: dict[str, Any]) -> None:
        alone = "" if result.get("frozen_in", True) else (
            " by its own manifest alone; --database URL tells whether that is the one that was frozen"
        )  # fmt: skip
        Console().print(f"{result['checked']}: all holds{alone}", highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class FeedbackErase:
    """Delete all that a worker has told us, at their request. Backups and exported files stay as they are."""

    worker: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="WORKER")]
    """The worker's pseudonym."""
    yes: bool = False
    """Needed: there is no way back."""
    database: DatabaseURL = "feedback.db"
    """A file of SQLite, or postgresql://USER@HOST/NAME."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.feedback.database.erase import erase
        from tutelage.feedback.database.refusals import NotFound

        if not self.yes:
            raise InputError(f"erasing {self.worker} cannot be taken back; say --yes")
        try:
            return {"worker": self.worker, "erased": erase(known(self.database), self.worker)}
        except NotFound as error:
            raise InputError(f"{error}; the pseudonym is the one in exports and on the workers' page") from error

    def show(self, result: dict[str, Any]) -> None:
        console = Console()
        for name, count in result["erased"].items():
            if count and name != "frozen exports":
                console.print(f"{count} {name} deleted", highlight=False)
        if result["erased"]["frozen exports"]:
            console.print(f"{result['erased']['frozen exports']} frozen exports may still hold their texts")


@dataclass(frozen=True)
class FeedbackAdmin:
    """Make a one-time link by which an administrator joins, valid for an hour: `URL/join/TOKEN`."""

    database: DatabaseURL = "feedback.db"
    """A file of SQLite, or postgresql://USER@HOST/NAME; it is made if it is not there."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.feedback.database.access import HOUR, Access
        from tutelage.feedback.database.connection import Database
        from tutelage.feedback.database.schema import upgrade

        database = Database(self.database)
        upgrade(database)
        with database.writing() as session:
            token = Access(session).invite(["admin", "reviewer", "worker"], lifetime=HOUR, note="administrator")
        return {"path": f"/join/{token}"}

    def show(self, result: dict[str, Any]) -> None:
        Console().print(f"open this within an hour, once: {result['path']}", highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class FeedbackDeploy:
    """Let one more policy answer in a running `tutelage collect`, from the next message on. Its next start wants it
    among --snapshots."""

    snapshot: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """The policy's directory, readable by whom the app runs as; it must stay there."""
    weight: float = 1.0
    """How often it is drawn, against the weights of the others."""
    reason: str = "deployed from the command line"
    """Kept in the audit log."""
    database: DatabaseURL = "feedback.db"
    """A file of SQLite, or postgresql://USER@HOST/NAME."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.collect.adding import add

        database = known(self.database)
        return {"snapshot": add(database, self.snapshot, self.weight, self.reason), "weight": self.weight}

    def show(self, result: dict[str, Any]) -> None:
        Console().print(f"{result['snapshot']} answers from now on, with weight {result['weight']}", highlight=False)


@dataclass(frozen=True)
class FeedbackUpgrade:
    """Bring the schema of a database up to date. Make a backup first."""

    database: DatabaseURL = "feedback.db"
    """A file of SQLite, or postgresql://USER@HOST/NAME."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.feedback.database.connection import Database
        from tutelage.feedback.database.schema import revision_of, upgrade

        database = Database(self.database)
        before = revision_of(database)
        if before is None:
            raise InputError(f"{database.name}: no feedback database; `tutelage collect` makes one")
        upgrade(database)
        return {"before": before, "after": revision_of(database)}

    def show(self, result: dict[str, Any]) -> None:
        Console().print(f"schema {result['before']} -> {result['after']}", highlight=False)


def known(url: str) -> "Database":
    """The database of this URL, which is there and up to date.

    Raises:
        InputError: it is not.
    """
    from tutelage.feedback.database.connection import Database
    from tutelage.feedback.database.schema import require_schema

    database = Database(url)
    if database.is_sqlite and not Path(database.url.database or "").exists():
        raise InputError(f"{database.name}: no such database; name a file that is there, or postgresql://…")
    require_schema(database)
    return database
