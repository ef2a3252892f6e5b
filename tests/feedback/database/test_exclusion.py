"""What an excluded worker said of others' conversations is in no file and no number, and is counted."""

from pathlib import Path

import pytest

from tutelage.feedback.database.agreement import overlap
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.export import export
from tutelage.feedback.database.overview import Overview
from tutelage.feedback.database.principal import SYSTEM, Principal
from tutelage.feedback.database.ratings import Ratings
from tutelage.feedback.database.reviews import Reviews
from tutelage.feedback.database.source import FeedbackSource, LeftOut

from .flow import deploy, new_key, worker
from .test_export import lines
from .test_others import given, pick, talk


@pytest.fixture
def people(database: Database) -> tuple[Principal, Principal]:
    """Who wrote two dialogues of a turn, and who judged both again, of the other opinion, and rated one."""
    deploy(database)
    me, other = worker(database), worker(database)
    chats = [talk(database, me)[0] for _ in range(2)]
    for _ in chats:
        turn = given(database, other)
        assert turn is not None
        pick(database, other, turn, "second")
    with database.writing() as session:
        Ratings(session, other).rate(chats[0], 1, key=new_key())
    return me, other


@pytest.fixture
def reviewer(database: Database) -> Principal:
    return worker(database, "reviewer")


def test_no_row_of_an_excluded_worker_is_exported(
    database: Database, people: tuple[Principal, Principal], reviewer: Principal, tmp_path: Path
) -> None:
    me, other = people
    export(database, tmp_path / "before")
    assert other.worker_id in str(lines(tmp_path / "before/conversations.jsonl.gz"))
    with database.writing() as session:
        Reviews(session, reviewer).set_excluded("worker", other.worker_id, True, "clicks at random")
    manifest = export(database, tmp_path / "after")
    records = lines(tmp_path / "after/conversations.jsonl.gz")
    assert len(records) == 2
    assert other.worker_id not in str(records)
    assert {row["worker_id"] for record in records for row in record["ratings"]} == {me.worker_id}
    assert manifest["counts"]["said_left_out"] == {"worker_excluded": 3}
    assert manifest["counts"]["left_out"] == {"worker_excluded": 2}
    assert manifest["counts"]["comparisons"] == 2
    assert "judgments, ratings and reports, from the conversations" in (tmp_path / "after/README.md").read_text()
    source = FeedbackSource(database)
    assert len(list(source.rows())) == 2
    assert source.left_out == {LeftOut.WORKER_EXCLUDED: 2}


def test_agreement_does_not_ask_who_is_excluded(
    database: Database, people: tuple[Principal, Principal], reviewer: Principal
) -> None:
    me, other = people
    with database.reading() as session:
        before, mine = overlap(session), Overview(session, SYSTEM).worker(me.worker_id)
    assert before.raw is not None
    assert (before.turns, before.raw.value) == (2, 0)
    assert mine is not None
    assert mine.agreement is not None
    with database.writing() as session:
        Reviews(session, reviewer).set_excluded("worker", other.worker_id, True, "clicks at random")
    with database.reading() as session:
        after, mine = overlap(session), Overview(session, SYSTEM).worker(me.worker_id)
    assert (after.turns, after.raw, after.alpha) == (0, None, None)
    assert mine is not None
    assert mine.agreement is None
