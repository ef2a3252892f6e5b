"""A turn as a machine: whatever two tabs, a reviewer and a failing model do in whatever order, the database keeps its
word to both people."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tutelage.dialogue import Side
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.others import OthersTurns
from tutelage.feedback.database.planning import Plan
from tutelage.feedback.database.refusals import Conflict
from tutelage.feedback.database.reviews import Reviews
from tutelage.feedback.database.states import ConversationState, TurnState
from tutelage.feedback.database.thread import Answer, Choice, TurnView, dialogue_of
from tutelage.feedback.database.verify import faults

from ...conftest import new_postgresql
from .flow import acting, deploy, judged, new_key, start, thread, worker

SIDES, STRENGTHS = st.sampled_from("ab"), st.integers(1, 4)


class Turns(RuleBasedStateMachine):
    """Two actors. A worker with two tabs: a tab acts on the turn that it saw last, which may be long past (`views`); a
    model that may fail or come too late. And a reviewer, who reads along and judges finished turns blind.

    `expected` is what the worker was told last of each turn: its state and choice; `reviewed` is what the reviewer was.
    """

    opened: ClassVar[Callable[[Path], Database]]
    plans = Bundle("plans")
    views = Bundle("views")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.database = type(self).opened(Path(self.folder))
        self.me, self.reviewer = worker(self.database), worker(self.database, "reviewer")
        self.chat = start(self.database, self.me)
        self.given: int | None = None
        self.reviewed: dict[int, Choice] = {}
        self.expected: list[tuple[TurnState, Choice | None]] = []
        self.over = False
        self.keys: list[tuple[str, int, str, int, int]] = []

    def teardown(self) -> None:
        assert list(faults(self.database)) == []
        self.database.close()
        shutil.rmtree(self.folder)

    @property
    def turns(self) -> tuple[TurnView, ...]:
        return thread(self.database, self.me, self.chat).turns

    def last(self) -> TurnView:
        return self.turns[-1]

    def settled(self) -> bool:
        return all(state in (TurnState.JUDGED, TurnState.SKIPPED) for state, _ in self.expected)

    @rule(text=st.sampled_from(["Hello", "And then?", "\n\nHuman: odd"]))
    def ask(self, text: str) -> None:
        may = self.settled() and not self.over
        try:
            with acting(self.database, self.me) as mine:
                mine.ask(self.chat, text, key=new_key())
            assert may
            self.expected.append((TurnState.ASKED, None))
        except Conflict:
            assert not may

    @precondition(lambda self: self.expected)
    @rule(target=plans, lease=st.sampled_from([-1.0, 60.0]))
    def claim(self, lease: float) -> Plan | None:
        before = self.last()
        with acting(self.database, self.me) as mine:
            plan = mine.claim(before.id, lease)
        if before.state == TurnState.ASKED:
            assert plan is not None
        if plan is not None:
            assert before.state in (TurnState.ASKED, TurnState.ANSWERING)
            assert plan.attempt == before.attempt + 1
            assert plan.dialogue == dialogue_of(thread(self.database, self.me, self.chat))
            self.expected[-1] = (TurnState.ANSWERING, None)
        return plan

    @rule(plan=plans, texts=st.sampled_from([("one", "two"), ("same", "same"), ("nul \x00", "x")]))
    def finish(self, plan: Plan | None, texts: tuple[str, str]) -> None:
        if plan is None:
            return
        current = next(turn for turn in self.turns if turn.id == plan.turn_id)
        with acting(self.database, self.me) as mine:
            stored = mine.answers_finished(
                plan.turn_id, plan.attempt, (Answer(texts[0], "stop"), Answer(texts[1], "length"))
            )
        assert stored == (current.state == TurnState.ANSWERING and current.attempt == plan.attempt)
        if stored:
            self.expected[current.ordinal - 1] = (TurnState.ANSWERED, None)

    @rule(plan=plans)
    def fail(self, plan: Plan | None) -> None:
        if plan is None:
            return
        with acting(self.database, self.me) as mine:
            given_up = mine.answers_failed(plan.turn_id, plan.attempt)
        if given_up:
            ordinal = next(turn.ordinal for turn in self.turns if turn.id == plan.turn_id)
            assert self.expected[ordinal - 1][0] == TurnState.ANSWERING
            self.expected[ordinal - 1] = (TurnState.ASKED, None)

    @precondition(lambda self: self.settled() and not self.over)
    @rule(target=views, side=SIDES, strength=STRENGTHS)
    def go_on(self, side: Side, strength: int) -> int:
        """A whole turn without mishap, so that conversations become long enough to be ended and reviewed."""
        turn = judged(self.database, self.me, self.chat, side, strength)
        self.expected.append((TurnState.JUDGED, Choice(side, strength, False, None)))
        return turn

    @precondition(lambda self: self.expected)
    @rule(target=views)
    def look(self) -> int:
        return self.last().id

    def is_last(self, view: int) -> bool:
        return view == self.last().id

    @rule(view=views, side=SIDES, strength=STRENGTHS)
    def judge(self, view: int, side: str, strength: int) -> None:
        key, current = new_key(), self.is_last(view)
        try:
            with acting(self.database, self.me) as mine:
                number = mine.judge(view, side, strength, key=key)  # type: ignore[arg-type]
            assert current
            assert self.expected[-1][0] == TurnState.ANSWERED
            assert not self.over
            self.expected[-1] = (TurnState.JUDGED, Choice(side, strength, False, None))  # type: ignore[arg-type]
            self.keys.append((key, view, side, strength, number))
        except Conflict:
            assert self.over or not current or self.expected[-1][0] != TurnState.ANSWERED

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def judge_again_with_the_same_key(self, data: st.DataObject) -> None:
        key, turn, side, strength, number = data.draw(st.sampled_from(self.keys))
        with acting(self.database, self.me) as mine:
            assert mine.judge(turn, side, strength, key=key) == number  # type: ignore[arg-type]

    @rule(view=views)
    def undo(self, view: int) -> None:
        may = self.is_last(view) and self.expected[-1][0] == TurnState.JUDGED and not self.over
        try:
            with acting(self.database, self.me) as mine:
                mine.undo(view, key=new_key())
            assert may
            self.expected[-1] = (TurnState.ANSWERED, None)
        except Conflict:
            assert not may

    @rule(view=views)
    def skip(self, view: int) -> None:
        may = self.is_last(view) and self.expected[-1][0] not in (TurnState.JUDGED, TurnState.SKIPPED) and not self.over
        try:
            with acting(self.database, self.me) as mine:
                mine.skip(view, key=new_key())
            assert may
            self.expected[-1] = (TurnState.SKIPPED, None)
        except Conflict:
            assert not may

    @precondition(lambda self: len(self.expected) > 2 and not self.over)
    @rule()
    def end(self) -> None:
        with acting(self.database, self.me) as mine:
            mine.end(self.chat, key=new_key(), rating=3)
        self.over = True
        self.expected = [
            (state, choice) if state in (TurnState.JUDGED, TurnState.SKIPPED) else (TurnState.SKIPPED, None)
            for state, choice in self.expected
        ]

    def left(self) -> set[int]:
        """The turns that the reviewer may be given: a later one has told what those before it went on with."""
        ended = self.turns if self.over else ()
        told = max(self.reviewed, default=0)
        return {turn.id for turn in ended if turn.state == TurnState.JUDGED and turn.id > told}

    @rule()
    def review_next(self) -> None:
        """A turn that was begun on is given again; of one that was judged nothing is left to give."""
        with self.database.writing() as session:
            others = OthersTurns(session, self.reviewer, "review", Random(0))
            turn = others.next(others.candidates(conversation=self.chat), conversation=self.chat)
        assert (turn is None) == (not self.left())
        if turn is not None:
            assert turn.turn_id in self.left()
            assert self.given in (None, turn.turn_id)
            self.given = turn.turn_id

    @precondition(lambda self: self.given or self.reviewed)
    @rule(side=SIDES, strength=STRENGTHS)
    def review(self, side: str, strength: int) -> None:
        """From either of the reviewer's tabs: the first choice stands, another one is refused."""
        turn = self.given or max(self.reviewed)
        try:
            with self.database.writing() as session:
                OthersTurns(session, self.reviewer, "review").judge(turn, side, strength, key=new_key())  # type: ignore[arg-type]
            assert self.given
            self.reviewed[turn], self.given = Choice(side, strength, False, None), None  # type: ignore[arg-type]
        except Conflict:
            assert not self.given

    @invariant()
    def the_reviewer_sees_what_they_have_judged_and_no_other_choice(self) -> None:
        with self.database.reading() as session:
            _, seen = Reviews(session, self.reviewer).thread(self.chat)
        assert {turn.id for turn in seen.turns if turn.choice} == self.reviewed.keys()

    @invariant()
    def what_is_shown_is_what_was_told(self) -> None:
        seen = thread(self.database, self.me, self.chat)
        assert [(turn.state, turn.choice) for turn in seen.turns] == self.expected
        assert (seen.state == ConversationState.ENDED) == self.over
        for turn in seen.turns:
            if turn.state in (TurnState.ANSWERED, TurnState.JUDGED):
                assert turn.answers is not None


def run(runs: int, steps: int) -> None:
    run_state_machine_as_test(
        Turns,
        settings=settings(
            max_examples=runs, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.parametrize(("runs", "steps"), [(8, 20), pytest.param(500, 50, marks=pytest.mark.hard)])
def test_the_turn_keeps_its_word(sqlite_template: str, runs: int, steps: int) -> None:
    def opened(folder: Path) -> Database:
        database = Database(str(shutil.copy(sqlite_template, folder / "feedback.db")))
        deploy(database)
        return database

    Turns.opened = staticmethod(opened)  # type: ignore[assignment]
    run(runs, steps)


@pytest.mark.parametrize(("runs", "steps"), [(3, 20), pytest.param(50, 50, marks=pytest.mark.hard)])
def test_the_turn_keeps_its_word_on_postgresql(
    postgresql: str, postgresql_template: str, runs: int, steps: int
) -> None:
    """All runs in one database, each with people of its own."""
    with new_postgresql(postgresql, postgresql_template) as url:
        first = Database(url)
        deploy(first)
        first.close()
        Turns.opened = staticmethod(lambda _: Database(url))  # type: ignore[assignment]
        run(runs, steps)
