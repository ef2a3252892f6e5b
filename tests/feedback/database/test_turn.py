"""A worker's turn, from message to judgment, undone, edited, skipped; and what the database itself refuses."""

import time
from collections.abc import Callable
from dataclasses import asdict

import pytest
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from tutelage.dialogue import Comparison
from tutelage.feedback.database import others
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.conversations import Conversations
from tutelage.feedback.database.hours import home
from tutelage.feedback.database.others import OthersTurns
from tutelage.feedback.database.planning import Plan
from tutelage.feedback.database.refusals import Conflict, Forbidden, NotFound, Unavailable
from tutelage.feedback.database.source import FeedbackSource
from tutelage.feedback.database.states import ConversationState, TurnState
from tutelage.feedback.database.tables import Judgment, Response, Turn, WorkPeriod
from tutelage.feedback.database.thread import Answer, Choice
from tutelage.feedback.database.verify import faults

from .flow import CANARY, acting, answer, ask, deploy, end, judge, judged, look, new_key, start, thread, worker

BOTH = (Answer("Purse your lips.", "stop"), Answer("You cannot.", "length"))


def test_a_conversation_goes_on_from_the_chosen_answer(database: Database) -> None:
    deploy(database)
    me = worker(database)
    chat = start(database, me)
    judged(database, me, chat, "b", texts=("first", "second"))
    with acting(database, me) as mine:
        turn = mine.ask(chat, "And then?\r\nTell me. ", key=new_key())
        plan = mine.claim(turn)
    assert plan is not None
    assert plan.dialogue == ("How do I whistle?", "second", "And then?\nTell me.")
    assert {planned.slot for planned in plan.answers} == {"a", "b"}
    assert all(str(planned.snapshot).startswith(CANARY) for planned in plan.answers)
    assert [view.state for view in thread(database, me, chat).turns] == [TurnState.JUDGED, TurnState.ANSWERING]
    assert list(faults(database)) == []


def test_what_a_worker_sees_names_no_snapshot(database: Database) -> None:
    deploy(database)
    me = worker(database)
    chat = start(database, me)
    judged(database, me, chat)
    answer(database, me, ask(database, me, chat))
    seen = str(asdict(thread(database, me, chat)))
    assert CANARY not in seen
    assert "seed" not in seen


def test_a_turn_is_judged_once_and_the_stored_choice_is_told(database: Database) -> None:
    deploy(database)
    me = worker(database)
    chat = start(database, me)
    turn = judged(database, me, chat, "a", 4)
    with pytest.raises(Conflict) as refused:
        judge(database, me, turn, "b", 1)
    assert refused.value.stored.choice == Choice("a", 4, False, None)


def test_undo_is_a_new_revision_and_ends_with_the_next_message(database: Database) -> None:
    deploy(database)
    me = worker(database)
    chat = start(database, me)
    turn = judged(database, me, chat, "a")
    with acting(database, me) as mine:
        mine.undo(turn, key=new_key())
    assert thread(database, me, chat).turns[0].state == TurnState.ANSWERED
    judge(database, me, turn, "b")
    with database.reading() as session:
        rows = session.scalars(select(Judgment).order_by(Judgment.revision)).all()
    assert [(row.revision, row.side, row.stands) for row in rows] == [(1, "a", False), (2, None, False), (3, "b", True)]
    ask(database, me, chat, "On we go.")
    with pytest.raises(Conflict), acting(database, me) as mine:
        mine.undo(turn, key=new_key())


def test_an_edit_takes_the_place_of_the_chosen_answer(database: Database) -> None:
    deploy(database)
    me, other = worker(database, may_edit=True), worker(database)
    chat = start(database, me)
    turn = judged(database, me, chat, "a")
    with acting(database, me) as mine:
        mine.edit(turn, "Wet your lips, purse them, blow.", key=new_key())
    view = thread(database, me, chat).turns[0]
    assert view.went_on_with == "Wet your lips, purse them, blow."
    assert view.answers is not None
    assert view.answers[0].text == "Purse your lips."
    with pytest.raises(Forbidden), acting(database, other) as theirs:
        theirs.edit(turn, "x", key=new_key())


def test_an_edit_does_not_come_back_unasked_with_the_same_choice(database: Database) -> None:
    deploy(database)
    me = worker(database, may_edit=True)
    chat = start(database, me)
    turn = judged(database, me, chat, "a")
    with acting(database, me) as mine:
        mine.edit(turn, "Wet your lips, purse them, blow.", key=new_key())
        mine.undo(turn, key=new_key())
    judge(database, me, turn, "a")
    assert thread(database, me, chat).turns[0].went_on_with == "Purse your lips."
    (only,) = FeedbackSource(database).rows()
    assert isinstance(only, Comparison)
    assert only.chosen.text == "Purse your lips."
    with acting(database, me) as mine:
        mine.edit(turn, "Blow.", key=new_key())
    assert thread(database, me, chat).turns[0].went_on_with == "Blow."
    assert len(list(FeedbackSource(database).rows())) == 2


def test_a_skipped_turn_is_left_out_of_the_dialogue(database: Database) -> None:
    deploy(database)
    me = worker(database)
    chat = start(database, me)
    turn = ask(database, me, chat, "An odd question")
    with acting(database, me) as mine:
        mine.skip(turn, key=new_key())
        following = mine.ask(chat, "Another", key=new_key())
        plan = mine.claim(following)
    assert plan is not None
    assert plan.dialogue == ("Another",)
    with pytest.raises(Conflict), acting(database, me) as mine:
        mine.skip(turn, key=new_key())


def test_ending_keeps_the_opinion_and_closes_all(database: Database) -> None:
    deploy(database)
    me = worker(database)
    chat = start(database, me, "red_team")
    judged(database, me, chat)
    pending = ask(database, me, chat)
    end(database, me, chat, rating=2, success=5, harm=1, actionability=3)
    seen = thread(database, me, chat)
    assert (seen.state, seen.rating, seen.turns[1].state) == (ConversationState.ENDED, 2, TurnState.SKIPPED)
    with acting(database, me) as mine:
        assert mine.claim(pending) is None
    with pytest.raises(Conflict):
        ask(database, me, chat)
    with acting(database, me) as mine:
        mine.withdraw(chat, key=new_key())
    assert thread(database, me, chat).state == ConversationState.WITHDRAWN


def test_what_belongs_to_another_is_not_found(database: Database) -> None:
    deploy(database)
    me, other = worker(database), worker(database)
    chat = start(database, me)
    turn = judged(database, me, chat)
    attempts: list[Callable[[Conversations], object]] = [
        lambda theirs: theirs.thread(chat),
        lambda theirs: theirs.ask(chat, "Hello", key=new_key()),
        lambda theirs: theirs.claim(turn),
        lambda theirs: theirs.answers_finished(turn, 1, BOTH),
        lambda theirs: theirs.answers_failed(turn, 1),
        lambda theirs: theirs.judge(turn, "a", 1, key=new_key()),
        lambda theirs: theirs.undo(turn, key=new_key()),
        lambda theirs: theirs.skip(turn, key=new_key()),
        lambda theirs: theirs.report(chat, "broken", key=new_key()),
        lambda theirs: theirs.end(chat, key=new_key()),
        lambda theirs: theirs.withdraw(chat, key=new_key()),
        lambda theirs: theirs.conversation_of(turn),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound), acting(database, other) as theirs:
            attempt(theirs)
    with database.reading() as session:
        assert Conversations(session, other).recent() == []


def test_red_team_needs_its_role_and_a_goal(database: Database) -> None:
    plain, red = worker(database, "worker"), worker(database)
    with pytest.raises(Forbidden):
        start(database, plain, "red_team")
    with pytest.raises(ValueError, match="goal is empty"), acting(database, red) as mine:
        mine.start("red_team", " ", key=new_key())


def test_an_attempt_that_was_given_up_comes_too_late(database: Database) -> None:
    deploy(database)
    me = worker(database)
    turn = ask(database, me, start(database, me))
    first, second = _claim(database, me, turn, 0.0), _claim(database, me, turn, 60.0)
    assert first is not None
    assert second is not None
    assert (first.attempt, second.attempt) == (1, 2)
    assert _claim(database, me, turn, 60.0) is None
    with acting(database, me) as mine:
        assert not mine.answers_finished(turn, first.attempt, BOTH)
        assert not mine.answers_failed(turn, first.attempt)
        assert mine.answers_failed(turn, second.attempt)
    assert thread(database, me, mine_of(database, me, turn)).turns[0].state == TurnState.ASKED


def _claim(database: Database, me, turn: int, lease: float) -> Plan | None:  # type: ignore[no-untyped-def]
    time.sleep(0.001)
    with acting(database, me) as mine:
        return mine.claim(turn, lease)


def mine_of(database: Database, me, turn: int) -> str:  # type: ignore[no-untyped-def]
    with database.reading() as session:
        return Conversations(session, me).conversation_of(turn)


def test_a_turn_is_never_judgeable_with_one_answer(database: Database) -> None:
    deploy(database)
    me = worker(database)
    turn = ask(database, me, start(database, me))
    with acting(database, me) as mine:
        plan = mine.claim(turn)
        assert plan is not None
        with pytest.raises(ValueError, match="empty"):
            mine.answers_finished(turn, plan.attempt, (BOTH[0], Answer(" ", "stop")))
    with pytest.raises(Conflict):
        judge(database, me, turn)


def test_without_a_model_the_message_is_kept(database: Database) -> None:
    me = worker(database)
    chat = start(database, me)
    turn = ask(database, me, chat)
    with pytest.raises(Unavailable, match="no model"), acting(database, me) as mine:
        mine.claim(turn)
    assert thread(database, me, chat).turns[0].state == TurnState.ASKED


def test_text_that_no_database_holds_is_replaced(database: Database) -> None:
    deploy(database)
    me = worker(database)
    chat = start(database, me)
    turn = ask(database, me, chat, "nul \x00 half \ud800 rtl \u202e")
    answer(database, me, turn, ("a\x00b", "\udfff"))
    view = thread(database, me, chat).turns[0]
    assert view.text == "nul \ufffd half \ufffd rtl \u202e"
    assert view.answers is not None
    assert [one.text for one in view.answers] == ["a\ufffdb", "\ufffd"]


def test_home_counts_what_was_done(database: Database) -> None:
    deploy(database)
    me = worker(database)
    judged(database, me, start(database, me, "practice"))
    chat = start(database, me)
    turn = judged(database, me, chat)
    with acting(database, me) as mine:
        mine.undo(turn, key=new_key())
    judge(database, me, turn, "b")
    with database.writing() as session:
        session.execute(update(WorkPeriod).values(started=WorkPeriod.started - 1800))
        seen = home(session, me)
    assert (seen.judgments_today, seen.units_this_week, seen.unread_notes) == (1, 1, 0)  # practice is no work
    assert seen.hours_this_week == pytest.approx(1.0, abs=0.01)


def _refused(database: Database, statement: object) -> None:
    with pytest.raises(IntegrityError), database.engine.execution_options(writing=True).begin() as connection:
        connection.execute(statement)  # type: ignore[call-overload]


def test_the_database_itself_refuses_what_cannot_be(database: Database) -> None:
    deploy(database)
    me = worker(database)
    chat = start(database, me)
    done, pending = judged(database, me, chat), ask(database, me, chat)
    with acting(database, me) as mine:
        mine.claim(pending)
    with database.reading() as session:
        ids = {(row.turn_id, row.slot): row.id for row in session.scalars(select(Response))}
    whole = {
        "turn_id": done, "worker_id": me.worker_id, "revision": 2, "stands": False, "question": "more_helpful",
        "side": "a", "strength": 1, "chosen_id": ids[done, "a"], "other_id": ids[done, "b"],
    }  # fmt: skip
    unfinished = {"turn_id": pending, "chosen_id": ids[pending, "a"], "other_id": ids[pending, "b"]}
    bad = [
        unfinished,
        {"chosen_id": ids[pending, "a"]},
        {"stands": True},
        {"revision": 1},
        {"strength": 5},
        {"other_id": ids[done, "a"]},
        {"side": None},
        {"of_finished": False},
        {"milliseconds": -1},
    ]
    for change in bad:
        _refused(database, insert(Judgment).values(**{**whole, **change}))
    _refused(database, insert(Turn).values(conversation_id=chat, ordinal=1, text="again", state=TurnState.ASKED))
    _refused(database, update(Response).where(Response.id == ids[pending, "a"]).values(text="half", finished=True))
    _refused(database, delete(Response).where(Response.id == ids[done, "a"]))
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Judgment)) == 1


@pytest.mark.parametrize(
    ("passed", "claimed", "stored"),
    [(0, None, (0, 30)), (0, 60_000, (0, 30)), (9, None, (9, 39)), (9, 3000, (3, 3)), (3e6, None, (1e6, 1e6))],
)
def test_how_long_a_choice_took_is_what_passed_here_or_less(
    database: Database, passed: float, claimed: int | None, stored: tuple[float, float]
) -> None:
    deploy(database)
    me = worker(database)
    chat = start(database, me)
    turn = ask(database, me, chat)
    answer(database, me, turn)
    look(database, turn, passed)
    with acting(database, me) as mine:
        ids = {mine.judge(turn, "a", 2, key="click", milliseconds=claimed) for _ in range(2)}
    with database.reading() as session:
        (took,) = session.scalars(select(Judgment.milliseconds).where(Judgment.id.in_(ids)))
    assert took is not None
    assert stored[0] * 1000 <= took <= stored[1] * 1000


def test_a_choice_that_says_nothing_of_its_time_or_too_much_is_found_as_too_fast(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(others, "TOO_FAST", 30_000)  # milliseconds: a busy machine takes some to click
    deploy(database)
    me, reviewer = worker(database), worker(database, "reviewer")
    turns = {}
    for name, claimed in (("silent", None), ("boasting", 60_000)):
        chat = start(database, me)
        turns[name] = ask(database, me, chat)
        answer(database, me, turns[name])
        with acting(database, me) as mine:
            mine.judge(turns[name], "a", 2, key=name, milliseconds=claimed)
        end(database, me, chat)
    with database.writing() as session:
        given = OthersTurns(session, reviewer, "review")
        first = given.next(given.candidates("too_fast"), "too_fast")
        assert first is not None
        given.skip(first.turn_id, key="skip")
        then = given.next(given.candidates("too_fast"), "too_fast")
    assert {first.turn_id, then and then.turn_id} == set(turns.values())
