"""Backups: of one state under load, into either kind of database, whole or refused."""

import gzip
import threading
from pathlib import Path

import pytest
from sqlalchemy import func, inspect, select

from tutelage.feedback.database.backup import backup, restore
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.export import export
from tutelage.feedback.database.tables import Judgment
from tutelage.feedback.database.verify import faults
from tutelage.plumbing.errors import InputError

from .flow import deploy, judged, start, worker


def test_a_backup_moves_to_either_kind_of_database(database: Database, fresh_url: str, tmp_path: Path) -> None:
    deploy(database)
    me = worker(database)
    judged(database, me, chat := start(database, me))
    rows = backup(database, tmp_path / "backup.gz")
    assert (tmp_path / "backup.gz").stat().st_mode & 0o077 == 0
    copy = Database(fresh_url)
    assert restore(copy, tmp_path / "backup.gz") == rows
    assert list(faults(copy)) == []
    judged(copy, me, chat)  # numbers go on behind those that were restored
    assert list(faults(copy)) == []
    with pytest.raises(InputError, match="not empty"):
        restore(copy, tmp_path / "backup.gz")
    copy.close()


def test_a_torn_or_changed_backup_is_refused(database: Database, tmp_path: Path) -> None:
    deploy(database)
    me = worker(database)
    judged(database, me, start(database, me))
    backup(database, tmp_path / "backup.gz")
    lines = gzip.decompress((tmp_path / "backup.gz").read_bytes()).splitlines(keepends=True)
    for name, kept in (("torn", lines[:-1]), ("short", lines[:5] + lines[6:]), ("strange", lines[1:])):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(b"".join(kept)))
        new = Database(str(tmp_path / f"{name}.db"))
        with pytest.raises(InputError, match=r"torn|not those|no backup"):
            restore(new, tmp_path / f"{name}.gz")
        restore(new, tmp_path / "backup.gz")  # what was refused left nothing behind
        assert list(faults(new)) == []
        new.close()


def test_a_restore_that_is_refused_leaves_either_kind_of_database_empty(
    database: Database, fresh_url: str, tmp_path: Path
) -> None:
    deploy(database)
    me = worker(database)
    judged(database, me, start(database, me))
    rows = backup(database, tmp_path / "backup.gz")
    torn = gzip.decompress((tmp_path / "backup.gz").read_bytes()).splitlines(keepends=True)[:-1]
    (tmp_path / "torn.gz").write_bytes(gzip.compress(b"".join(torn)))
    new = Database(fresh_url)
    with pytest.raises(InputError, match="torn"):
        restore(new, tmp_path / "torn.gz")
    assert inspect(new.engine).get_table_names() == []
    assert restore(new, tmp_path / "backup.gz") == rows
    assert list(faults(new)) == []
    new.close()


def test_a_backup_under_load_is_of_one_state(database: Database, tmp_path: Path) -> None:
    deploy(database)
    people = [worker(database) for _ in range(3)]
    stop = threading.Event()

    def work(index: int) -> None:
        while not stop.is_set():
            judged(database, people[index], start(database, people[index]))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(3):
            backup(database, tmp_path / f"{number}.gz")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for number in range(3):
        copy = Database(str(tmp_path / f"{number}.db"))
        restore(copy, tmp_path / f"{number}.gz")
        assert list(faults(copy)) == []
        with copy.reading() as session:
            count = session.scalar(select(func.count()).select_from(Judgment))
        assert export(copy, tmp_path / f"out{number}")["counts"]["comparisons"] == count
        copy.close()
