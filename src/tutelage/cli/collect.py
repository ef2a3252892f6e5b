"""`tutelage collect`: the workers' web app on a model."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from tutelage.cli.options import named_as_options

if TYPE_CHECKING:
    from tutelage.collect.engines import EngineSettings
    from tutelage.collect.settings import Settings
    from tutelage.feedback.database.connection import Database

STUB = "stub"
STUB_WORDS_PER_SECOND = 40.0


@dataclass(frozen=True)
class RedTeam:
    """How long a worker may do red-team work, in minutes."""

    minutes: int = 45
    """Minutes of it after which the pause screen comes."""
    pause_minutes: int = 15
    """Minutes that a pause lasts."""
    daily_minutes: int = 120
    """Minutes of it in 24 hours."""


@dataclass(frozen=True)
class Collect:
    """Open the workers' web app: people talk with the model and choose between two answers at every turn.

    At the first start a one-time link for the first admin is printed. See docs/collecting-feedback.md.
    """

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8000
    """Port to listen on."""
    database: str = ""
    """A file (SQLite) or a URL (PostgreSQL); made at the first start. Empty: feedback.db, or demo.db with --demo."""
    model: str = "smollm2-135m-instruct"
    """The base: the embedded one, a directory, a hub id, or `stub` (made-up words, to try the pages)."""
    system: str = ""
    """Text before every dialogue that the base answers; a snapshot brings the one that it was trained with."""
    snapshots: tuple[Path, ...] = ()
    """Directories of policies on that base, which then answer beside it, each as often as the others."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the model answers."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Numbers that the model answers in."""
    temperature: float = 1.0
    """Temperature of the answers of snapshots that are deployed for the first time."""
    max_tokens: int = 256
    """Longest answer of such snapshots, in tokens."""
    processes: int = 2
    """Web processes; the model has one of its own."""
    behind_tls: bool = False
    """A proxy that speaks HTTPS stands in front; needed to listen beyond this machine."""
    demo: bool = False
    """Fill a new database with simulated workers, who go through the app's own pages."""
    qualification: Literal["questions", "reviewed"] = "questions"
    """What lets a new worker in: right answers to the questions, or also a reviewer who has read their writing."""
    exchanges: int = 4
    """Messages after which a red-team conversation is asked to end."""
    completion_choices: int = 10
    """Choices after which a worker who came from a platform gets the completion code."""
    hourly_pay: float | None = None
    """Pay in an hour, shown to workers; None shows none."""
    currency: str = "$"
    """Shown before sums of money."""
    support: str = ""
    """Where a worker finds help: an e-mail address or a sentence."""
    hotline: str = ""
    """Whom a worker may call when the work was distressing; shown on red-team pages."""
    red_team: RedTeam = field(default_factory=RedTeam)
    """Limits of red-team work."""
    json: bool = False
    """Print one JSON object on standard output when the app has stopped."""

    def run(self) -> dict[str, Any]:
        from tutelage.collect import server
        from tutelage.dialogue import SamplingParameters
        from tutelage.feedback.database.connection import Database
        from tutelage.feedback.database.schema import upgrade
        from tutelage.modeling.hub import require_there
        from tutelage.plumbing.errors import InputError

        server.require_private(self.host, self.behind_tls)
        settings, snapshots = self._settings(), self._snapshots()
        if not 0 < self.port < 2**16:
            raise InputError(f"--port must lie between 1 and {2**16 - 1}, not {self.port}")
        if self.processes < 1:
            raise InputError(f"--processes must be at least 1, not {self.processes}")
        with named_as_options():
            sampling = SamplingParameters(self.temperature, max_tokens=self.max_tokens)
        if self.model != STUB:
            require_there(self.model)
        database = Database(settings.database)
        upgrade(database)
        if self.demo:
            _require_new(database)

        def ready() -> None:
            # Not before: a start that fails must not stop the snapshots of one that runs.
            server.deploy(database, snapshots, sampling, base=self._base_place)
            self._ready(database, settings)

        server.serve(settings, self._engine(snapshots), self.host, self.port, self.processes, ready)
        return {"database": database.name, "snapshots": sorted(snapshots)}

    def show(self, result: dict[str, Any]) -> None:
        Console().print(f"stopped; everything is in {result['database']}", highlight=False)

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def _base_name(self) -> str:
        """A directory's own name; a hub id in full, for its last part is not unique."""
        return Path(self._base_place).name if Path(self.model).is_dir() else self.model

    @property
    def _base_place(self) -> str:
        return str(Path(self.model).resolve()) if Path(self.model).is_dir() else self.model

    def _settings(self) -> "Settings":
        from tutelage.collect.settings import RedTeamCaps, Settings

        with named_as_options():
            caps = RedTeamCaps(self.red_team.minutes, self.red_team.pause_minutes, self.red_team.daily_minutes)
            return Settings(
                database=self.database or ("demo.db" if self.demo else "feedback.db"),
                tls=self.behind_tls, exchanges=self.exchanges, hourly_pay=self.hourly_pay, currency=self.currency,
                support=self.support, hotline=self.hotline, qualification=self.qualification,
                completion_choices=self.completion_choices, red_team=caps,
            )  # fmt: skip

    def _snapshots(self) -> dict[str, str | None]:
        """Name → directory of all that answers; the base itself has none."""
        named: dict[str, str | None] = {self._base_name: None}
        if self.snapshots:
            from tutelage.modeling.snapshot import read_card

            named |= {read_card(place).name: str(place.resolve()) for place in self.snapshots}
        return named

    def _engine(self, snapshots: dict[str, str | None]) -> "EngineSettings":
        from tutelage.collect.engines import EngineSettings

        if self.model == STUB:
            return EngineSettings(stub_words_per_second=STUB_WORDS_PER_SECOND)
        return EngineSettings(
            base=self.model, system=self.system, snapshots=snapshots, dtype=self.dtype, device=self.device
        )

    def _ready(self, database: "Database", settings: "Settings") -> None:
        """Say where the app is; in a demonstration, let the simulated workers in."""
        from tutelage.collect import server

        console = Console(stderr=True, highlight=False)
        console.print(
            f"Tutelage collects at {self.address} (database {database.name}). Ctrl-C stops it.", soft_wrap=True
        )
        if link := server.first_admin(database):
            console.print(f"The first admin signs in once by: {self.address}{link}", soft_wrap=True)
        key = server.platform_key(database)
        console.print(f"Link for Prolific: {self.address}/enter?key={key}&PROLIFIC_PID=…", soft_wrap=True)
        if self.demo:
            _fill(self.address, database)


def _require_new(database: "Database") -> None:
    from tutelage.feedback.database.principal import SYSTEM
    from tutelage.feedback.database.workers import Workers
    from tutelage.plumbing.errors import InputError

    with database.reading() as session:
        if Workers(session, SYSTEM).count():
            raise InputError(f"{database.name}: holds workers already; --demo wants a new database")


def _fill(address: str, database: "Database") -> None:
    """Let simulated workers work, beside the server that is about to start in this thread."""
    from threading import Thread

    from tutelage.collect.demo import DemoSettings, planned, run_demo
    from tutelage.collect.visitor import Unexpected
    from tutelage.plumbing.progress import progress_bar

    def work() -> None:
        settings, console = DemoSettings(), Console(stderr=True)
        try:
            with progress_bar("simulated workers", planned(settings), "conversations") as bar:
                run_demo(address, database, settings, bar.advance)
        except Unexpected as error:
            console.print(f"The simulated workers gave up: {error}", highlight=False)
        else:
            console.print("The simulated workers are done. Look around as admin.")

    Thread(target=work, daemon=True, name="simulated workers").start()
