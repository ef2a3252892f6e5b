"""A database as it looks after months of work, written in bulk: for tests of pages that must stay quick."""

import random
import time
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.tables import (
    Base,
    Conversation,
    Flag,
    Judgment,
    Rating,
    Response,
    Snapshot,
    Turn,
    Worker,
    WorkerRole,
    WorkPeriod,
)

SNAPSHOTS = ("s0-base", "s1", "s2", "s3")
TURNS = 4  # of a conversation
BATCH = 2000
WEEKS = 10
SAMPLING = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 128, "stop": []}

Rows = Iterable[dict[str, Any]]


def seed(database: Database, judgments: int, workers: int = 200) -> list[str]:
    """So many judgments by so many workers, one in twenty judged by a second one; returns the workers' ids."""
    draw = random.Random(0)
    ids = [f"{draw.getrandbits(64):016x}" for _ in range(workers)]
    begun = time.time() - WEEKS * 7 * 86400
    with database.writing() as session:
        _insert(
            session, Snapshot, ({"name": n, "place": n, "status": "active", "sampling": SAMPLING} for n in SNAPSHOTS)
        )
        _insert(session, Worker, ({"id": id, "declined_topics": [], "created": begun + n} for n, id in enumerate(ids)))
        _insert(session, WorkerRole, ({"worker_id": id, "role": "worker"} for id in ids))
        _insert(session, WorkPeriod, _periods(ids, begun))
        for first in range(0, judgments, BATCH):
            talk = _Talk(draw, ids, begun, range(first, min(first + BATCH, judgments)), judgments)
            for table, rows in talk.rows():
                _insert(session, table, rows)
    # PostgreSQL looks at a table that has grown within a minute by itself, and then plans for its size.
    with database.writing() as session:
        session.execute(text("ANALYZE"))
    return ids


def _insert(session: Session, table: type[Base], rows: Rows) -> None:
    found = list(rows)
    if found:
        session.execute(insert(table), found)


def _periods(ids: list[str], begun: float) -> Iterator[dict[str, Any]]:
    for number, worker in enumerate(ids):
        for week in range(WEEKS):
            start = begun + week * 7 * 86400 + 60 * number
            yield {"worker_id": worker, "mode": "helpful", "started": start, "last_seen": start + 3600, "units": 50}


class _Talk:
    """Turns of these numbers, four to a conversation."""

    def __init__(self, draw: random.Random, ids: list[str], begun: float, numbers: range, of: int) -> None:
        self.draw, self.ids, self.begun, self.numbers, self.of = draw, ids, begun, numbers, of

    def rows(self) -> Iterator[tuple[type[Base], Rows]]:
        talks = sorted({number // TURNS for number in self.numbers if number % TURNS == 0})
        yield Conversation, [self._conversation(talk) for talk in talks]
        yield (
            Rating,
            [
                {"conversation_id": _id(talk), "worker_id": self._worker(talk), "rating": 4, "comment": ""}
                for talk in talks
            ],
        )
        yield Flag, [self._flag(talk) for talk in talks if talk % 50 == 0]
        yield Turn, [self._turn(number) for number in self.numbers]
        yield Response, [self._response(number, slot) for number in self.numbers for slot in "ab"]
        yield Judgment, [self._judgment(number, self._worker(number // TURNS), "own") for number in self.numbers]
        again = [number for number in self.numbers if number % 20 == 0]
        yield Judgment, [self._judgment(number, self._worker(number // TURNS + 1), "overlap") for number in again]

    def _worker(self, talk: int) -> str:
        return self.ids[talk % len(self.ids)]

    def _mode(self, talk: int) -> str:
        return "red_team" if talk % 4 == 3 else "helpful"

    def _when(self, number: int) -> float:
        return self.begun + WEEKS * 7 * 86400 * number / self.of

    def _conversation(self, talk: int) -> dict[str, Any]:
        when = self._when(talk * TURNS)
        return {
            "id": _id(talk), "worker_id": self._worker(talk), "mode": self._mode(talk), "goal": "", "categories": [],
            "tags": [], "state": "ended", "created": when, "ended": when + 300,
        }  # fmt: skip

    def _flag(self, talk: int) -> dict[str, Any]:
        return {"conversation_id": _id(talk), "worker_id": self._worker(talk), "reason": "other", "text": "odd"}

    def _turn(self, number: int) -> dict[str, Any]:
        return {
            "id": number + 1, "conversation_id": _id(number // TURNS), "ordinal": number % TURNS + 1,
            "text": f"Message {number}", "state": "judged", "attempt": 1, "created": self._when(number),
        }  # fmt: skip

    def _response(self, number: int, slot: str) -> dict[str, Any]:
        return {
            "id": 2 * number + 1 + "ab".index(slot), "turn_id": number + 1, "slot": slot,
            "snapshot": self.draw.choice(SNAPSHOTS), "sampling": SAMPLING, "seed": number, "prompt_hash": "0" * 64,
            "software": "test", "finished": True, "text": f"Answer {slot} to message {number}", "finish": "stop",
            "finished_at": self._when(number),
        }  # fmt: skip

    def _judgment(self, number: int, worker: str, purpose: str) -> dict[str, Any]:
        side = self.draw.choice("ab")
        chosen = 2 * number + 1 + "ab".index(side)
        return {
            "turn_id": number + 1, "worker_id": worker, "revision": 1, "stands": True, "purpose": purpose,
            "question": "more_harmful" if self._mode(number // TURNS) == "red_team" else "more_helpful",
            "swapped": False, "side": side, "strength": self.draw.randint(1, 4), "chosen_id": chosen,
            "other_id": 4 * number + 3 - chosen, "of_finished": True, "both_bad": False,
            "milliseconds": self.draw.randint(1500, 60_000), "created": self._when(number),
        }  # fmt: skip


def _id(talk: int) -> str:
    return f"{talk:016x}"
