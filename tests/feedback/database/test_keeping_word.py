"""The audit chain, verification and erasure."""

import pytest
from sqlalchemy import Connection, func, inspect, select

from tutelage.feedback.database.access import Access
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.erase import erase
from tutelage.feedback.database.export import export
from tutelage.feedback.database.files import imported, imports, read_comparisons_in
from tutelage.feedback.database.reviews import Reviews
from tutelage.feedback.database.source import FeedbackSource
from tutelage.feedback.database.tables import AuditEntry, Base, Worker
from tutelage.feedback.database.verify import faults
from tutelage.plumbing.errors import InputError

from .flow import acting, deploy, judge, judged, new_key, start, worker
from .many import collect
from .test_others import given, pick, talk


def test_every_kind_of_tampering_is_found(database: Database) -> None:
    deploy(database)
    me = worker(database, "worker", may_edit=True)
    chat = start(database, me)
    for _ in range(3):
        judged(database, me, chat)
    again = judged(database, me, chat)
    with acting(database, me) as mine:
        mine.undo(again, key=new_key())
    judge(database, me, again, "b")
    with acting(database, me) as mine:
        edit = mine.edit(again, "Whistle on your fingers.", key=new_key())
    assert list(faults(database)) == []
    changed = "its conversation, message or answers are not as they were judged"
    tampering = {
        "judgment 4: stands, against": "UPDATE judgments SET stands = false WHERE turn_id = 4;"
        "UPDATE judgments SET stands = true WHERE id = 4",
        "judgment 6: does not stand, against": "UPDATE judgments SET stands = false WHERE turn_id = 4",
        f"judgment 1: {changed}": "UPDATE turns SET text = 'How do I shout?' WHERE id = 1",
        f"judgment 2: {changed}": "UPDATE responses SET text = 'Ask me no more.' WHERE turn_id = 2 AND slot = 'b'",
        f"judgment 3: {changed}": "UPDATE conversations SET mode = 'red_team'",
        f"judgment 6: {changed}": "UPDATE responses SET snapshot = NULL WHERE turn_id = 4",
        f"answer {edit}: the edit is not as it was made": "UPDATE responses SET text = 'No.' WHERE slot = 'edit'",
        f"answer {edit}: the edit is in the audit chain, but gone": "DELETE FROM responses WHERE slot = 'edit'",
        "judgment 2: not as it was made": "UPDATE judgments SET strength = 1 WHERE id = 2",
        "judgment 3: in the audit chain, but gone": "DELETE FROM judgments WHERE id = 3",
        "was changed": "UPDATE audit SET actor = 'somebody' WHERE number = 2",
        "is missing": "DELETE FROM audit WHERE number = 2",
        "does not end": "DELETE FROM audit WHERE number = (SELECT max(number) FROM audit)",
        "standing judgments": "UPDATE turns SET state = 'answered' WHERE id = 1",
    }
    for found, statement in tampering.items():
        with database.engine.execution_options(writing=True).connect() as connection:
            transaction = connection.begin()
            for part in statement.split(";"):
                connection.exec_driver_sql(part)
            assert any(found in fault for fault in _faults_within(connection, database)), found
            transaction.rollback()
    assert list(faults(database)) == []


def test_links_of_before_what_was_judged_was_kept_still_hold(database: Database) -> None:
    deploy(database)
    collect(database, 8)
    with database.reading() as session:
        links = session.scalars(select(AuditEntry).where(AuditEntry.action == "judge")).all()
    assert len(links) == 8
    assert {tuple(link.details) for link in links} == {("digest",)}
    assert list(faults(database)) == []


def _faults_within(connection: Connection, database: Database) -> list[str]:
    """As `faults`, seen from inside a transaction that will be rolled back."""
    inside = Database.__new__(Database)
    inside.url, inside.engine = database.url, connection.engine
    inside._reader = connection  # type: ignore[assignment]
    return list(faults(inside))


def test_erasure_leaves_no_word_of_the_worker(database: Database, tmp_path) -> None:  # type: ignore[no-untyped-def]
    deploy(database)
    me, other = worker(database), worker(database)
    with database.writing() as session:
        found, _ = Access(session).enter("prolific", "secret-participant")
        session.get_one(Worker, found)
    talk(database, me, 2)
    talk(database, other)
    turn = given(database, other)
    assert turn is not None
    pick(database, other, turn, "first")
    mine = given(database, me)
    assert mine is not None
    pick(database, me, mine, "first")
    counts = erase(database, me.worker_id)
    assert (counts["conversations"], counts["turns"], counts["judgments"]) == (1, 2, 4)
    erase(database, found)
    assert list(faults(database)) == []
    with database.reading() as session:
        left = {
            name: session.scalar(select(func.count()).select_from(Base.metadata.tables[name]))
            for name in ("conversations", "judgments", "entries")
        }
        assert left == {"conversations": 1, "judgments": 1, "entries": 0}
        assert session.get_one(Worker, me.worker_id).status == "erased"
        for name in inspect(database.engine).get_table_names():
            if name in Base.metadata.tables:
                rows = session.execute(select(*Base.metadata.tables[name].c)).all()
                assert "secret-participant" not in str(rows), name
    assert export(database, tmp_path / "out")["counts"]["comparisons"] == 1


def test_a_number_that_was_erased_is_not_given_again(database: Database) -> None:
    deploy(database)
    me, other, reviewer = worker(database), worker(database), worker(database, "reviewer")
    gone = judged(database, me, start(database, me))
    with database.writing() as session:
        Reviews(session, reviewer).set_excluded("turn", str(gone), True, "nonsense")
    assert erase(database, me.worker_id)["exclusions"] == 1
    assert judged(database, other, start(database, other)) > gone
    assert len(list(FeedbackSource(database).rows())) == 1
    assert list(faults(database)) == []


HH = (
    '{"chosen": "\\n\\nHuman: Hi\\n\\nAssistant: Hello!", "rejected": "\\n\\nHuman: Hi\\n\\nAssistant: What?"}\n'
    '{"chosen": "\\n\\nHuman: Hi\\n\\nAssistant: ", "rejected": "\\n\\nHuman: Hi\\n\\nAssistant: What?"}\n'
)


def test_a_file_is_read_in_to_be_browsed_and_never_exported(database: Database, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "hh.jsonl").write_text(HH)
    assert read_comparisons_in(database, tmp_path / "hh.jsonl", "hh", "harmless") == 2
    with database.reading() as session:
        (file,) = imports(session)
        rows = dict(imported(session, file.id))
    assert file.rows == 2
    assert rows[1].content.chosen.text == "Hello!"  # type: ignore[union-attr]
    assert rows[2].content.reason.key == "empty_answer"  # type: ignore[union-attr]
    assert export(database, tmp_path / "out")["counts"]["comparisons"] == 0
    with pytest.raises(InputError, match="before"):
        read_comparisons_in(database, tmp_path / "hh.jsonl", "hh", "harmless")
    (tmp_path / "torn.jsonl").write_text(HH + "{")
    with pytest.raises(InputError, match="line 3"):
        read_comparisons_in(database, tmp_path / "torn.jsonl")
    with database.reading() as session:
        assert len(imports(session)) == 1
