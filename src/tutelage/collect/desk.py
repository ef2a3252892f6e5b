"""Answers in the making, by turn and attempt: begun once, followed by as many as ask, kept a while when finished."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from tutelage.collect.answers import (
    SIDES,
    WAITING,
    AnswerEvent,
    AnswerRequest,
    Delta,
    Finished,
    SideRequest,
    event_to_record,
)
from tutelage.collect.engines import Progress
from tutelage.dialogue import Prompt, Side

KEPT_SECONDS = 600.0  # how long the answers of a finished attempt can still be followed
HEARTBEAT = 5.0  # seconds without news after which a follower is told that its texts still wait
WAITED_FOR = 30.0  # seconds that an attempt goes on for nobody: a page that is loaded again joins it

Key = tuple[int, int]


@dataclass
class _Attempt:
    tickets: tuple[int, int]
    records: list[dict[str, Any]] = field(default_factory=list)
    unfinished: set[Side] = field(default_factory=lambda: set(SIDES))
    ended: float | None = None
    followers: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, record: dict[str, Any]) -> None:
        self.records.append(record)
        self.news.set()
        self.news = asyncio.Event()


class Desk:
    """Used by one event loop; what the engine makes comes in through `take` and `fail`.

    `submit` and `cancel` hand a text to the engine and take it back.
    """

    def __init__(self, submit: Callable[[int, Prompt, SideRequest], None], cancel: Callable[[int], None]) -> None:
        self._submit = submit
        self._cancel = cancel
        self._attempts: dict[Key, _Attempt] = {}
        self._by_ticket: dict[int, tuple[Key, Side]] = {}
        self._numbers = itertools.count()

    @property
    def running(self) -> int:
        """How many texts are in the making."""
        return len(self._by_ticket)

    def follow(self, request: AnswerRequest) -> AsyncGenerator[dict[str, Any]]:
        """The records of an attempt from its first on, until it has ended; begins it if it is not known, in the place
        of the turn's attempt before. Where there is no news for long, as before a busy engine, one of them is
        `WAITING`."""
        self._forget_old()
        key = (request.turn, request.attempt)
        return self._followed(key, self._attempts.get(key) or self._begin(request))

    async def _followed(self, key: Key, attempt: _Attempt) -> AsyncGenerator[dict[str, Any]]:
        attempt.followers += 1
        try:
            async for record in self._records(attempt):
                yield record
        finally:
            attempt.followers -= 1
            asyncio.get_running_loop().call_later(WAITED_FOR, self._cancel_if_left, key, attempt)

    async def _records(self, attempt: _Attempt) -> AsyncIterator[dict[str, Any]]:
        sent = 0
        while True:
            news = attempt.news
            for record in attempt.records[sent:]:
                sent += 1
                yield record
            if sent == len(attempt.records):
                if attempt.ended is not None:
                    return
                try:
                    async with asyncio.timeout(HEARTBEAT):
                        await news.wait()
                except TimeoutError:
                    yield WAITING

    def _cancel_if_left(self, key: Key, attempt: _Attempt) -> None:
        """Nobody has come back for it."""
        if attempt.followers == 0 and attempt.ended is None and self._attempts.get(key) is attempt:
            self.cancel(key)

    def cancel(self, key: Key) -> None:
        """Stop an attempt; who follows it hears that it failed. Forgets it, so that it could be begun anew."""
        attempt = self._attempts.get(key)
        if attempt is not None:
            self._end(attempt, "cancelled")
            del self._attempts[key]

    def take(self, progress: Progress) -> None:
        """What the engine made."""
        if progress.ticket not in self._by_ticket:
            return  # cancelled in the meantime
        key, side = self._by_ticket[progress.ticket]
        attempt = self._attempts[key]
        if progress.text:
            self._add(attempt, Delta(side, progress.text))
        if progress.whole is not None and progress.finish is not None:
            del self._by_ticket[progress.ticket]
            attempt.unfinished.remove(side)
            if not attempt.unfinished:
                attempt.ended = time.monotonic()
            self._add(attempt, Finished(side, progress.whole, progress.finish))

    def fail(self, ticket: int, reason: str) -> None:
        """The engine refused a text: its attempt is over, the other side's too. It may be asked again."""
        if ticket in self._by_ticket:
            key, _ = self._by_ticket[ticket]
            self._end(self._attempts.pop(key), reason)

    def _begin(self, request: AnswerRequest) -> _Attempt:
        key = (request.turn, request.attempt)
        self.cancel((request.turn, request.attempt - 1))
        attempt = self._attempts[key] = _Attempt((next(self._numbers), next(self._numbers)))
        for ticket, side in zip(attempt.tickets, SIDES, strict=True):
            self._by_ticket[ticket] = (key, side)
        for ticket, asked in zip(attempt.tickets, (request.a, request.b), strict=True):
            self._submit(ticket, request.prompt, asked)
        return attempt

    def _end(self, attempt: _Attempt, reason: str) -> None:
        for ticket in attempt.tickets:
            if self._by_ticket.pop(ticket, None):
                self._cancel(ticket)
        attempt.ended = time.monotonic()
        attempt.add({"failed": reason})

    def _forget_old(self) -> None:
        limit = time.monotonic() - KEPT_SECONDS
        old = [key for key, attempt in self._attempts.items() if attempt.ended is not None and attempt.ended < limit]
        for key in old:
            del self._attempts[key]

    @staticmethod
    def _add(attempt: _Attempt, event: AnswerEvent) -> None:
        attempt.add(event_to_record(event))
