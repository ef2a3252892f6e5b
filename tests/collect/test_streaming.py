"""Both sides advance together; what a page sees tells nothing of who answers; nothing half is stored."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.collect.answers import AnswerEvent, AnswerRequest, AnswersLost, Delta, Finished, SideRequest
from tutelage.collect.streaming import Lockstep, stream_turn
from tutelage.dialogue import Prompt, SamplingParameters, Side

REQUEST = AnswerRequest(
    1, 0, Prompt.from_turns("Hello?"),
    SideRequest("canary-one", SamplingParameters(), 1), SideRequest("canary-two", SamplingParameters(), 2),
)  # fmt: skip
TICK = 0.001


class Script:
    """An answerer that plays events, then perhaps fails."""

    def __init__(self, events: Sequence[AnswerEvent], lost: str = "", pause: float = 0.0) -> None:
        self.events, self.lost, self.pause = events, lost, pause

    async def follow(self, request: AnswerRequest) -> AsyncGenerator[AnswerEvent]:
        for event in self.events:
            await asyncio.sleep(self.pause)
            yield event
        if self.lost:
            raise AnswersLost(self.lost)


class Keeper:
    """What was stored, and what was given up."""

    def __init__(self) -> None:
        self.stored: list[tuple[Finished, Finished]] = []
        self.lost: list[str] = []

    async def store(self, a: Finished, b: Finished) -> None:
        self.stored.append((a, b))

    async def lose(self, reason: str) -> None:
        self.lost.append(reason)


def events_of(a: str, b: str, cut: int = 5) -> list[AnswerEvent]:
    """Both texts in pieces, side a far ahead of side b."""
    pieces: list[AnswerEvent] = []
    sides: tuple[tuple[Side, str], ...] = (("a", a), ("b", b))
    for side, text in sides:
        pieces += [Delta(side, text[start : start + cut]) for start in range(0, len(text), cut)]
        pieces.append(Finished(side, text, "stop"))
    return pieces


def run(answerer: Any, keeper: Keeper) -> list[tuple[str, Any]]:
    async def collect() -> list[str]:
        return [sent async for sent in stream_turn(answerer.follow(REQUEST), keeper.store, keeper.lose, TICK)]

    sent = asyncio.run(collect())
    lines = [part.split("\n")[:2] for part in sent if not part.startswith(":")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in lines]


def joined(events: list[tuple[str, Any]], side: str) -> str:
    return "".join(data[side] for name, data in events if name == "more")


@given(a=st.text(max_size=60), b=st.text(max_size=60), pace=st.integers(1, 20), order=st.randoms())
def test_sides_advance_by_equal_counts_in_whatever_order_they_come(a: str, b: str, pace: int, order: Any) -> None:
    lockstep, shown = Lockstep(pace), {"a": "", "b": ""}
    queues: dict[Side, list[AnswerEvent]] = {"a": [], "b": []}
    for event in events_of(a, b):
        queues[event.side].append(event)
    while any(queues.values()) or not lockstep.over:
        waiting = [queue for queue in queues.values() if queue]
        if waiting:
            lockstep.take(order.choice(waiting).pop(0))
        if more := lockstep.tick():
            shown["a"] += more["a"]
            shown["b"] += more["b"]
            # A side may be behind the other only where its own text ends.
            for side, text in (("a", a), ("b", b)):
                assert shown[side] == text[: lockstep.shown]
    assert shown == {"a": a, "b": b}


def test_answers_are_stored_before_the_page_hears_of_it() -> None:
    keeper = Keeper()
    events = run(Script(events_of("one two three", "a much longer answer than the other one")), keeper)
    assert joined(events, "a") == "one two three"
    assert joined(events, "b") == "a much longer answer than the other one"
    assert events[-1] == ("answered", {})
    assert [(one.text, other.text) for one, other in keeper.stored] == [
        ("one two three", "a much longer answer than the other one")
    ]
    assert not keeper.lost


def test_what_is_sent_names_no_snapshot_and_does_not_depend_on_which_side_was_first() -> None:
    texts = ("x" * 30, "y" * 50)
    forward = run(Script(events_of(*texts)), Keeper())
    pieces = events_of(*texts)
    backward = run(Script(sorted(pieces, key=lambda event: event.side, reverse=True)), Keeper())
    assert "canary" not in json.dumps(forward)
    assert forward == backward
    assert [name for name, _ in forward if name != "more"] == ["answered"]


@pytest.mark.parametrize("kept", range(5))
def test_an_attempt_that_breaks_off_is_lost_and_never_stored(kept: int) -> None:
    keeper = Keeper()
    events = run(Script(events_of("one two", "three")[:kept], lost="gone"), keeper)
    assert events[-1] == ("lost", {})
    assert keeper.lost == ["gone"]
    assert keeper.stored == []


def test_an_answer_without_words_is_lost() -> None:
    keeper = Keeper()
    assert run(Script(events_of("one two", " ")), keeper)[-1] == ("lost", {})
    assert keeper.stored == []


def test_one_finished_side_says_nothing_until_the_other_is() -> None:
    keeper = Keeper()
    events = run(Script(events_of("short", "a longer one")[:2], lost="gone"), keeper)
    assert [name for name, _ in events] == ["lost"]
