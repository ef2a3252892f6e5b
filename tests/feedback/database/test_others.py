"""Blind judgments of others' turns, spot-checks, exclusions, ratings; and the numbers that come of them."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tutelage.feedback.database import hours, others
from tutelage.feedback.database.agreement import overlap
from tutelage.feedback.database.audit import Audit
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.hours import credited, home
from tutelage.feedback.database.others import BlindTurn, OthersTurns
from tutelage.feedback.database.overview import Overview
from tutelage.feedback.database.principal import SYSTEM, Principal
from tutelage.feedback.database.ratings import Ratings
from tutelage.feedback.database.refusals import Conflict, Forbidden, NotFound
from tutelage.feedback.database.reviews import Reviews
from tutelage.feedback.database.source import FeedbackSource, LeftOut
from tutelage.feedback.database.tables import CheckReason, Purpose
from tutelage.feedback.database.verify import faults
from tutelage.feedback.database.workers import Profile

from .flow import CANARY, acting, answer, ask, deploy, end, judged, new_key, start, worker


def talk(database: Database, me: Principal, turns: int = 1, mode: str = "helpful") -> tuple[str, list[int]]:
    chat = start(database, me, mode)  # type: ignore[arg-type]
    made = [judged(database, me, chat, "a", 4, f"Message {n}", ("first", "second")) for n in range(turns)]
    end(database, me, chat, rating=4)
    return chat, made


def given(
    database: Database,
    me: Principal,
    purpose: Purpose = "overlap",
    reason: CheckReason = "random",
    seed: int = 0,
    chat: str | None = None,
) -> BlindTurn | None:
    with database.writing() as session:
        turns = OthersTurns(session, me, purpose, random.Random(seed))
        return turns.next(turns.candidates(reason, conversation=chat), reason, conversation=chat)


def pick(database: Database, me: Principal, turn: BlindTurn, text: str, purpose: Purpose = "overlap") -> None:
    side = "ab"[[answer.text for answer in turn.answers].index(text)]
    with database.writing() as session:
        OthersTurns(session, me, purpose).judge(turn.turn_id, side, 4, key=new_key())  # type: ignore[arg-type]


def test_a_turn_is_judged_blind_by_another_and_not_given_twice(database: Database) -> None:
    deploy(database)
    me, other, third = worker(database), worker(database), worker(database)
    _, (first, _) = talk(database, me, 2)
    assert given(database, me) is None
    one = given(database, other)
    assert one is not None
    assert given(database, other) == one  # what was begun on is shown again
    two = given(database, third)
    assert two is not None
    assert {one.turn_id, two.turn_id} >= {first}
    assert one.turn_id != two.turn_id
    assert one.dialogue[-1].startswith("Message")
    assert {answer.text for answer in one.answers} == {"first", "second"}
    assert CANARY not in str(one)
    pick(database, other, one, "second")
    with pytest.raises(Conflict):
        pick(database, other, one, "first")
    with pytest.raises(NotFound):
        pick(database, me, one, "first")
    assert list(faults(database)) == []


def test_of_two_who_look_at_once_one_is_given_the_turn(database: Database) -> None:
    deploy(database)
    talk(database, worker(database))
    several = [worker(database) for _ in range(6)]
    with ThreadPoolExecutor(6) as threads:
        taken = list(threads.map(lambda other: given(database, other), several))
    assert sum(turn is not None for turn in taken) == 1


def test_sides_are_drawn_by_lot_and_stored(database: Database) -> None:
    deploy(database)
    me = worker(database)
    for _ in range(6):
        talk(database, me)
    orders = set()
    for seed in range(6):
        other = worker(database)
        turn = given(database, other, seed=seed)
        assert turn is not None
        orders.add(turn.answers[0].text)
        pick(database, other, turn, "second")
    assert orders == {"first", "second"}
    with database.reading() as session:
        assert overlap(session).raw is not None
        shares = {one.left for one in Overview(session, SYSTEM).workers() if one.id != me.worker_id}
    assert shares == {0.0, 1.0}
    source = FeedbackSource(database)
    assert len(list(source.rows())) == 6
    assert source.left_out == {LeftOut.FOR_AGREEMENT: 6}


def test_nobody_is_shown_red_team_answers_unasked(database: Database) -> None:
    deploy(database)
    me, plain, red = worker(database), worker(database, "worker"), worker(database)
    talk(database, me, mode="red_team")
    assert given(database, plain) is None
    turn = given(database, red)
    assert turn is not None
    assert turn.question == "more_harmful"


def test_a_review_is_blind_first(database: Database) -> None:
    deploy(database)
    me, reviewer = worker(database), worker(database, "reviewer")
    chat, (turn_id,) = talk(database, me)
    with pytest.raises(Forbidden):
        given(database, me, "review")
    with database.reading() as session, pytest.raises(NotFound):
        Reviews(session, reviewer).opened(turn_id)
    turn = given(database, reviewer, "review")
    assert turn is not None
    pick(database, reviewer, turn, "second", "review")
    with database.writing() as session:
        reviews = Reviews(session, reviewer)
        opened = reviews.opened(turn_id)
        assert (opened.agreed, opened.worker_id, opened.thread.id) == (False, me.worker_id, chat)
        for _ in ("lost", "again"):
            reviews.decide(turn_id, "good", "poor", "dashed off", "Take your time.", key="verdict")
        assert [note.text for note in Profile(session, me).notes()] == ["Take your time."]
        with pytest.raises(Conflict):
            reviews.decide(turn_id, "good", "good", key=new_key())


def test_a_conversation_is_read_before_it_is_judged_without_what_was_chosen(database: Database) -> None:
    deploy(database)
    me, reviewer, second = worker(database), worker(database, "reviewer"), worker(database, "reviewer")
    chat, turns = talk(database, me, 3)
    with acting(database, me) as mine:
        mine.report(chat, "broken", key=new_key())

    def read() -> list[str | None]:
        with database.reading() as session:
            _, thread = Reviews(session, reviewer).thread(chat)
        assert [turn.answers is not None for turn in thread.turns] == [True] * 3
        return [turn.went_on_with if turn.choice else None for turn in thread.turns]

    assert read() == [None, None, None]
    assert given(database, reviewer, "review", chat="0" * 16) is None
    turn = given(database, reviewer, "review", chat=chat)
    assert turn is not None
    pick(database, reviewer, turn, "first", "review")
    seen = ["first" if one == turn.turn_id else None for one in turns]
    assert read() == seen
    with database.reading() as session:
        opened = Reviews(session, reviewer).opened(turn.turn_id)
    assert [one.choice is not None for one in opened.thread.turns] == [bool(one) for one in seen]
    # A second reviewer may judge the very turns that the first has judged.
    found = [given(database, second, "review", chat=chat) for _ in range(2)]
    assert found[0] is not None
    assert found[0] == found[1]


def test_a_turn_whose_choice_was_read_is_not_given(database: Database) -> None:
    deploy(database)
    me, other, third = worker(database), worker(database), worker(database)
    _, turns = talk(database, me, 3)
    count = 0
    while turn := given(database, other, seed=2):
        count += 1
        assert turn.turn_id in turns
        turns = [later for later in turns if later > turn.turn_id]  # they hold what the earlier ones went on with
        pick(database, other, turn, "first")
    assert count
    with database.writing() as session:
        assert Ratings(session, third).next() is not None  # read, and not rated
    assert given(database, third) is None


def test_what_waits_for_a_judgment_is_not_given_away_by_a_later_turn_or_the_whole_dialogue(database: Database) -> None:
    deploy(database)
    me, reviewer, other = worker(database), worker(database, "reviewer"), worker(database)
    chat = start(database, me)
    hasty = ask(database, me, chat)
    answer(database, me, hasty)
    with acting(database, me) as mine:
        mine.judge(hasty, "a", 1, key=new_key(), milliseconds=300)
    judged(database, me, chat)
    end(database, me, chat)
    first = given(database, reviewer, "review", "too_fast")
    assert first is not None
    assert first.turn_id == hasty
    assert given(database, reviewer, "review", "new_worker") is None  # the second turn's dialogue has the choice
    assert given(database, reviewer, "review", chat=chat) == first
    pick(database, reviewer, first, first.answers[0].text, "review")
    later = given(database, reviewer, "review", "new_worker")
    assert later is not None
    assert later.turn_id > hasty
    turn = given(database, other)
    assert turn is not None
    with database.writing() as session:
        assert Ratings(session, other).next() is None
    pick(database, other, turn, turn.answers[0].text)
    with database.writing() as session:
        assert Ratings(session, other).next() is not None


def test_what_is_taken_back_is_shown_and_judged_no_longer(database: Database) -> None:
    deploy(database)
    me, other = worker(database), worker(database)
    chat, _ = talk(database, me, 1)
    turn = given(database, other)
    assert turn is not None
    with acting(database, me) as mine:
        mine.withdraw(chat, key=new_key())
    assert given(database, other) is None
    with database.writing() as session:
        theirs = OthersTurns(session, other, "overlap")
        assert theirs.given(turn.turn_id) is None
        with pytest.raises(NotFound):
            theirs.judge(turn.turn_id, "a", 4, key=new_key())


def test_who_does_red_team_work_no_longer_is_not_shown_the_turn_that_they_began_on(database: Database) -> None:
    deploy(database)
    me, red = worker(database), worker(database)
    talk(database, me, mode="red_team")
    turn = given(database, red)
    assert turn is not None
    former = replace(red, roles=frozenset({"worker"}))
    assert given(database, former) is None
    with database.reading() as session:
        assert OthersTurns(session, former, "overlap").given(turn.turn_id) is None
        assert OthersTurns(session, red, "overlap").given(turn.turn_id) == turn


def test_a_second_opinion_is_due_after_twenty_choices(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "OVERLAP_EVERY", 2)
    deploy(database)
    me, other = worker(database), worker(database)
    talk(database, other, 1)

    def due() -> bool:
        with database.reading() as session:
            return OthersTurns(session, me, "overlap").is_due()

    talk(database, me, 3, "practice")
    talk(database, me)
    assert not due()
    talk(database, me)
    assert due()
    turn = given(database, me)
    assert turn is not None
    with database.writing() as session:
        for _ in ("lost", "again"):
            OthersTurns(session, me, "overlap").skip(turn.turn_id, key="skip")
    assert not due()
    assert given(database, me) is None
    with pytest.raises(NotFound), database.writing() as session:
        OthersTurns(session, me, "overlap").skip(turn.turn_id, key=new_key())


def test_nobody_is_given_a_topic_that_they_have_declined(database: Database) -> None:
    deploy(database)
    me, other = worker(database), worker(database)
    with acting(database, me) as mine:
        chat = mine.start("red_team", "to make it swear", ["insults"], key=new_key())
    judged(database, me, chat)
    end(database, me, chat)
    with database.writing() as session:
        Profile(session, other).consent("red_team", "1", ["insults"])
    assert given(database, other) is None
    with database.writing() as session:
        Profile(session, other).consent("red_team", "1", ["weapons"])
    assert given(database, other) is not None


def test_the_queue_finds_what_is_worth_a_check(database: Database) -> None:
    deploy(database)
    me = worker(database)
    chat = start(database, me)
    slow = judged(database, me, chat)
    hasty = ask(database, me, chat)
    answer(database, me, hasty)
    with acting(database, me) as mine:
        mine.judge(hasty, "a", 1, key=new_key(), milliseconds=300)
        mine.report(chat, "broken", "odd letters", slow, key=new_key())
    end(database, me, chat)
    # A reviewer each: to who has the first turn to judge, the second would tell what was chosen there.
    found = {
        reason: given(database, worker(database, "reviewer"), "review", reason) for reason in ("flagged", "too_fast")
    }
    assert {reason: turn and turn.turn_id for reason, turn in found.items()} == {"flagged": slow, "too_fast": hasty}
    assert given(database, worker(database, "reviewer"), "review", "new_worker") is None  # both are being checked


def test_a_report_that_is_dealt_with_waits_no_more(database: Database) -> None:
    deploy(database)
    me, reviewer = worker(database), worker(database, "reviewer")
    chat = start(database, me)
    judged(database, me, chat)
    with acting(database, me) as mine:
        first, second = (mine.report(chat, "other", words, key=new_key()) for words in ("odd", "still odd"))
    end(database, me, chat)
    with database.writing() as session:
        reviews = Reviews(session, reviewer)
        for _ in ("closed", "and once more"):
            reviews.close_report(chat, first)
        assert [flag.id for flag in reviews.flags()] == [second]
        assert [entry.details for entry in Audit(session).latest(action="close report")] == [{"report": first}]
        assert [closed_by for _, closed_by in reviews.flags_of(chat)] == [reviewer.worker_id, None]
        for talk, flag in ((chat, 1000), ("another", second)):
            with pytest.raises(NotFound, match="no report"):
                reviews.close_report(talk, flag)
        assert OthersTurns(session, reviewer, "review").candidates("flagged") != []
        reviews.close_report(chat, second)
        assert OthersTurns(session, reviewer, "review").candidates("flagged") == []


def test_who_was_distressed_is_heard(database: Database) -> None:
    deploy(database)
    me, reviewer = worker(database), worker(database, "reviewer")
    chat = start(database, me, "red_team")
    turn = judged(database, me, chat)
    with acting(database, me) as mine:
        for _ in ("lost", "again"):
            mine.end(chat, key="end", distressing=True)
    with database.reading() as session:
        (flag,) = Reviews(session, reviewer).flags()
    assert (flag.conversation_id, flag.reason) == (chat, "upsetting")
    found = given(database, reviewer, "review", "flagged")
    assert found is not None
    assert found.turn_id == turn


def test_practice_is_neither_data_nor_pay_and_a_choice_pays_once(database: Database) -> None:
    deploy(database)
    me = worker(database)
    before = time.time()
    talk(database, me, 3, "practice")
    talk(database, me, 3)
    with database.reading() as session:
        assert credited(session, me, [before, before], needed=2) == [2, 1]
        assert credited(session, me, [time.time()], needed=2) == [0]
        assert home(session, me).judgments_today == 3
        overview = Overview(session, SYSTEM)
        assert overview.data().total == 3
        numbers = overview.worker(me.worker_id)
    assert numbers is not None
    assert (numbers.conversations, numbers.judgments) == (1, 3)


def test_work_in_two_modes_by_turns_is_counted(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    me, now = worker(database), time.time()
    for minute in range(10):
        monkeypatch.setattr(hours.time, "time", lambda minute=minute: now + 60 * minute)
        start(database, me, "red_team" if minute % 2 else "helpful")
    with database.reading() as session:
        assert hours.seconds_worked(session, me.worker_id, now) == pytest.approx(540)


def test_an_exclusion_can_be_taken_back_and_both_stay(database: Database) -> None:
    deploy(database)
    me, reviewer = worker(database), worker(database, "reviewer")
    talk(database, me, 2)
    with database.writing() as session:
        Reviews(session, reviewer).set_excluded("worker", me.worker_id, True, "a script")
        with pytest.raises(NotFound):
            Reviews(session, reviewer).set_excluded("turn", "999", True, "no such turn")
    source = FeedbackSource(database)
    assert list(source.rows()) == []
    assert source.left_out == {LeftOut.WORKER_EXCLUDED: 2}
    with database.writing() as session:
        Reviews(session, reviewer).set_excluded("worker", me.worker_id, False, "it was a mistake")
        assert Reviews(session, reviewer).exclusions() == []
    assert len(list(FeedbackSource(database).rows())) == 2


def test_a_finished_dialogue_is_rated_once_by_others(database: Database) -> None:
    deploy(database)
    me, other = worker(database), worker(database)
    chat, _ = talk(database, me)
    with database.writing() as session:
        assert Ratings(session, me).next() is None
        shown = Ratings(session, other).next()
        assert shown is not None
        assert (shown.id, shown.turns[0].answers, shown.turns[0].went_on_with) == (chat, None, "first")
        assert Ratings(session, other).next() == shown
        Ratings(session, other).rate(chat, 5, "helpful indeed", key=new_key())
        assert Ratings(session, other).next() is None
        with pytest.raises(Conflict):
            Ratings(session, other).rate(chat, 1, key=new_key())
        with pytest.raises(NotFound):
            Ratings(session, me).rate(chat, 5, key=new_key())
        with pytest.raises(ValueError, match="1 to 5"):
            Ratings(session, other).rate(chat, 6, key=new_key())


def test_agreement_is_that_of_the_same_two_answers(database: Database) -> None:
    deploy(database)
    me, other = worker(database), worker(database)
    for _ in range(4):
        talk(database, me)
    for number in range(4):
        turn = given(database, other, seed=number)
        assert turn is not None
        pick(database, other, turn, "first" if number else "second")  # `me` has picked the first four times
    with database.reading() as session:
        found = overlap(session)
        assert found.turns == 4
        assert found.raw is not None
        assert found.raw.value == 0.75
        assert found.alpha == pytest.approx(1 - (8 - 1) * 2 / (2 * 7 * 1))
