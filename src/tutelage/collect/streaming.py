"""Two answers shown in lockstep, so that neither timing nor the length of packets tells one side from the other.

At every tick both sides advance by the same number of characters, at a set pace; while one side has not come so far,
both wait. Only a side whose whole text is known may be at its end while the other goes on. That a side is finished is
said when both are, and only after both are stored.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

from tutelage.collect.answers import SIDES, AnswerEvent, AnswerRequest, AnswersLost, Delta, Finished, SideRequest
from tutelage.dialogue import Prompt, Side
from tutelage.feedback.database.planning import Plan

TICK_SECONDS = 0.1
PACE = 12  # characters a tick and side: a quick reader's pace
QUIET_TICKS = 100  # ticks without news after which a comment keeps the connection open
ANSWERED = "event: answered\ndata: {}\n\n"

Store = Callable[[Finished, Finished], Awaitable[None]]
Lose = Callable[[str], Awaitable[None]]


def request_of(plan: Plan) -> AnswerRequest:
    """What to ask of the model process for a turn that was claimed.

    Raises:
        ValueError: a plan of a practice turn, whose answers are given texts.
    """
    sides = []
    for planned in plan.answers:
        if planned.snapshot is None or planned.sampling is None:
            raise ValueError("the answers of a practice turn are given texts")
        sides.append(SideRequest(planned.snapshot, planned.sampling, planned.seed, planned.place))
    return AnswerRequest(plan.turn_id, plan.attempt, Prompt.from_turns(*plan.dialogue), *sides)


@dataclass
class Lockstep:
    """What both sides have and how much of it is shown. Pure: it knows no time."""

    pace: int = PACE
    shown: int = 0
    _texts: dict[Side, str] = field(default_factory=lambda: dict.fromkeys(SIDES, ""))
    _answers: dict[Side, Finished] = field(default_factory=dict)

    def take(self, event: Delta | Finished) -> None:
        if isinstance(event, Delta):
            self._texts[event.side] += event.text
        else:
            self._texts[event.side] = event.text
            self._answers[event.side] = event

    @property
    def answers(self) -> tuple[Finished, Finished] | None:
        """Both answers, once both are whole."""
        return (self._answers["a"], self._answers["b"]) if len(self._answers) == len(SIDES) else None

    @property
    def over(self) -> bool:
        """Whether all is shown."""
        return self.answers is not None and self.shown >= max(map(len, self._texts.values()))

    def tick(self) -> dict[Side, str] | None:
        """The next characters of each side, as many of one as of the other where they are not at their end; None while
        a side is waited for."""
        start, end = self.shown, self.shown + self.pace
        if any(len(self._texts[side]) < end for side in SIDES if side not in self._answers):
            return None
        more = {side: self._texts[side][start:end] for side in SIDES}
        if not any(more.values()):
            return None
        self.shown = end
        return more


async def stream_turn(
    events: AsyncGenerator[AnswerEvent], store: Store, lose: Lose, tick_seconds: float = TICK_SECONDS
) -> AsyncIterator[str]:
    """Server-sent events of a turn being answered, from the events of its answers (`Answerer.follow`).

    `more`: {"a": text, "b": text} to append; `answered`: both are whole and stored (`store` has returned), the page may
    ask the server for the turn; `lost`: `lose` has returned, the turn can be asked again. Nothing else is sent, and
    nothing of who answers.
    """
    lockstep, news = Lockstep(), asyncio.Queue[Delta | Finished | None]()
    reading = asyncio.create_task(_read(events, news))
    try:
        stored, quiet = False, 0
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not (stored and lockstep.over):
            _take_all(lockstep, news)
            if reason := _lost(reading, lockstep):
                await lose(reason)
                yield _event("lost", {})
                return
            if not stored and lockstep.answers is not None:
                await store(*lockstep.answers)
                stored = True
            if more := lockstep.tick():
                yield _event("more", more)
            quiet = 0 if more else quiet + 1
            if quiet == QUIET_TICKS:
                yield ": waiting\n\n"
                quiet = 0
            due = max(due + tick_seconds, loop.time())
            await asyncio.sleep(due - loop.time())
        yield ANSWERED
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError, AnswersLost):
            await reading


async def _read(events: AsyncGenerator[AnswerEvent], news: "asyncio.Queue[Any]") -> None:
    async with aclosing(events):
        async for event in events:
            news.put_nowait(event)


def _lost(reading: "asyncio.Task[None]", lockstep: Lockstep) -> str | None:
    """Why this attempt can never be judged; None while it may."""
    if lockstep.answers is None:
        return str(reading.exception() or "the answers ended early") if reading.done() else None
    return None if all(answer.text.strip() for answer in lockstep.answers) else "an answer has no words"


def _take_all(lockstep: Lockstep, news: "asyncio.Queue[Any]") -> None:
    while not news.empty():
        lockstep.take(news.get_nowait())


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
