"""A process that is killed amid an export or a migration leaves nothing half: no folder without its whole content, no
schema between two versions, no row that is gone."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.export import export, faults_of
from tutelage.feedback.database.schema import revision_of, revisions, upgrade
from tutelage.feedback.database.tables import Judgment
from tutelage.feedback.database.verify import faults

from .flow import deploy
from .many import collect

JUDGMENTS = 400
KILLS = [1, pytest.param(10, marks=pytest.mark.hard)]


def kill_amid(what: str, url: str, folder: Path, draw: random.Random) -> None:
    """Start it, and kill it a moment after its second round has begun."""
    command = [sys.executable, Path(__file__).with_name("killed.py"), what, url, folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for number in (0, 1):
            assert process.stdout.readline() == f"{number}\n"
        time.sleep(draw.uniform(0, 0.2))
        process.kill()


@pytest.fixture
def filled(database: Database) -> Database:
    deploy(database)
    collect(database, JUDGMENTS)
    return database


@pytest.mark.parametrize("kills", KILLS)
def test_an_export_is_whole_or_not_there(filled: Database, database_url: str, tmp_path: Path, kills: int) -> None:
    draw, out = random.Random(0), tmp_path / "out"
    for number in range(kills):
        folder = out / str(number)
        folder.mkdir(parents=True)
        kill_amid("export", database_url, folder, draw)
        there = list(folder.glob("export-*"))
        assert there
        for whole in there:
            assert faults_of(whole) == []
        again = export(filled, folder / "again")
        assert again["counts"]["judgments"] == JUDGMENTS
    assert list(faults(filled)) == []


@pytest.mark.parametrize("kills", KILLS)
def test_a_schema_is_of_one_version_and_no_row_is_gone(
    filled: Database, database_url: str, tmp_path: Path, kills: int
) -> None:
    draw = random.Random(0)
    for _ in range(kills):
        kill_amid("migrate", database_url, tmp_path, draw)
        assert revision_of(filled) in ("0002", revisions()[-1])
        upgrade(filled)
        with filled.reading() as session:
            assert session.scalar(select(func.count()).select_from(Judgment)) == JUDGMENTS
        assert list(faults(filled)) == []
