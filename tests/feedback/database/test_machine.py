"""A turn as a machine: whatever two tabs and a failing model do in whatever order, the database keeps its word."""

import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.planning import Plan
from tutelage.feedback.database.refusals import Conflict
from tutelage.feedback.database.states import ConversationState, TurnState
from tutelage.feedback.database.thread import Answer, Choice, TurnView, dialogue_of
from tutelage.feedback.database.verify import faults

from .flow import acting, deploy, new_key, start, thread, worker

SIDES, STRENGTHS = st.sampled_from("ab"), st.integers(1, 4)


class Turns(RuleBasedStateMachine):
    """One worker with two tabs: any tab may do anything at any time; a model that may fail or come too late.

    `expected` is what the worker was told last of each turn: its state and choice.
    """

    template: ClassVar[str]
    plans = Bundle("plans")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        shutil.copy(self.template, Path(self.folder) / "feedback.db")
        self.database = Database(str(Path(self.folder) / "feedback.db"))
        deploy(self.database)
        self.me = worker(self.database)
        self.chat = start(self.database, self.me)
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

    @precondition(lambda self: self.expected)
    @rule(side=SIDES, strength=STRENGTHS)
    def judge(self, side: str, strength: int) -> None:
        turn, key = self.last(), new_key()
        try:
            with acting(self.database, self.me) as mine:
                number = mine.judge(turn.id, side, strength, key=key)  # type: ignore[arg-type]
            assert self.expected[-1][0] == TurnState.ANSWERED
            assert not self.over
            self.expected[-1] = (TurnState.JUDGED, Choice(side, strength, False, None))  # type: ignore[arg-type]
            self.keys.append((key, turn.id, side, strength, number))
        except Conflict:
            assert self.over or self.expected[-1][0] != TurnState.ANSWERED

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def judge_again_with_the_same_key(self, data: st.DataObject) -> None:
        key, turn, side, strength, number = data.draw(st.sampled_from(self.keys))
        with acting(self.database, self.me) as mine:
            assert mine.judge(turn, side, strength, key=key) == number  # type: ignore[arg-type]

    @precondition(lambda self: self.expected)
    @rule()
    def undo(self) -> None:
        may = self.expected[-1][0] == TurnState.JUDGED and not self.over
        try:
            with acting(self.database, self.me) as mine:
                mine.undo(self.last().id, key=new_key())
            assert may
            self.expected[-1] = (TurnState.ANSWERED, None)
        except Conflict:
            assert not may

    @precondition(lambda self: self.expected)
    @rule()
    def skip(self) -> None:
        may = self.expected[-1][0] not in (TurnState.JUDGED, TurnState.SKIPPED) and not self.over
        try:
            with acting(self.database, self.me) as mine:
                mine.skip(self.last().id, key=new_key())
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

    @invariant()
    def what_is_shown_is_what_was_told(self) -> None:
        seen = thread(self.database, self.me, self.chat)
        assert [(turn.state, turn.choice) for turn in seen.turns] == self.expected
        assert (seen.state == ConversationState.ENDED) == self.over
        for turn in seen.turns:
            if turn.state in (TurnState.ANSWERED, TurnState.JUDGED):
                assert turn.answers is not None


@pytest.mark.parametrize(("runs", "steps"), [(8, 20), pytest.param(500, 50, marks=pytest.mark.hard)])
def test_the_turn_keeps_its_word(sqlite_template: str, runs: int, steps: int) -> None:
    Turns.template = sqlite_template
    run_state_machine_as_test(
        Turns,
        settings=settings(
            max_examples=runs, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
