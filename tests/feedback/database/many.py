"""A database filled with many judgments, by whole batches of rows: as the repositories would have left it."""

import random
import time
from dataclasses import asdict
from typing import Any

from sqlalchemy.orm import Session

from tutelage.dialogue import SamplingParameters
from tutelage.feedback.database.audit import Audit, judgment_digest, link_hash
from tutelage.feedback.database.collected import table_of
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.numbering import continue_numbers
from tutelage.feedback.database.tables import AuditEntry, Conversation, Judgment, Response, Turn, new_id

from .flow import CANARY, worker

Rows = dict[Any, list[dict[str, Any]]]

TURNS = 4  # a conversation
AT_ONCE = 2_000 * TURNS
WORDS = ("how", "does", "one", "whistle", "a", "tune", "with", "both", "hands", "full", "of", "bread")


def collect(database: Database, judgments: int, workers: int = 5, seed: int = 0) -> None:
    """So many judgments (in fours, each conversation ended), a third of them by the red team."""
    lots = random.Random(seed)
    people = [worker(database).worker_id for _ in range(workers)]
    for start in range(0, judgments, AT_ONCE):
        with database.writing() as session:
            rows: Rows = {kind: [] for kind in (Conversation, Turn, Response, Judgment)}
            for number in range(start, min(start + AT_ONCE, judgments)):
                if number % TURNS == 0:
                    _conversation(rows, lots, people, number)
                _turn(rows, lots, number)
            for kind, found in rows.items():
                session.execute(table_of(kind).insert(), found)
            continue_numbers(session)
            _chain(session, rows[Judgment])


def _chain(session: Session, judgments: list[dict[str, Any]]) -> None:
    """The audit links of the judgments, one by one, as made before links held a digest of what was judged."""
    audit = Audit(session)
    head = audit._held_head()
    links = []
    for row in judgments:
        link = AuditEntry(
            number=head.number + 1, created=row["created"], actor=row["worker_id"], action="judge",
            subject=f"judgment {row['id']}", details={"digest": judgment_digest(Judgment(**row))}, previous=head.hash,
        )  # fmt: skip
        head.number, head.hash = link.number, link_hash(link)
        link.hash = head.hash
        links.append(link)
    session.add_all(links)
    session.flush()


def _conversation(rows: Rows, lots: random.Random, people: list[str], number: int) -> None:
    mode = "red_team" if number % (3 * TURNS) == 0 else "helpful"
    created = time.time() - 1e6 + number
    rows[Conversation].append(
        {"id": new_id(), "worker_id": lots.choice(people), "mode": mode, "goal": "a lock" if mode == "red_team" else "",
         "categories": [], "tags": [], "state": "ended", "created": created, "ended": created + 1}
    )  # fmt: skip


def _turn(rows: Rows, lots: random.Random, number: int) -> None:
    chat, turn = rows[Conversation][-1], number + 1
    rows[Turn].append(
        {"id": turn, "conversation_id": chat["id"], "ordinal": number % TURNS + 1, "text": _text(lots),
         "state": "judged", "attempt": 1, "lease": 0.0, "created": chat["created"]}
    )  # fmt: skip
    first, second = 2 * number + 1, 2 * number + 2
    for response, slot in ((first, "a"), (second, "b")):
        rows[Response].append(
            {"id": response, "turn_id": turn, "slot": slot, "snapshot": f"{CANARY}-{lots.randint(1, 2)}",
             "sampling": asdict(SamplingParameters()), "seed": lots.getrandbits(31),
             "prompt_hash": "0" * 64, "software": "1", "finished": True, "text": _text(lots), "finish": "stop",
             "finished_at": chat["created"], "edited_from": None}
        )  # fmt: skip
    side = lots.choice("ab")
    rows[Judgment].append(
        {"id": turn, "turn_id": turn, "worker_id": chat["worker_id"], "revision": 1, "stands": True, "purpose": "own",
         "question": "more_harmful" if chat["mode"] == "red_team" else "more_helpful", "swapped": False, "side": side,
         "strength": lots.randint(1, 4), "chosen_id": first if side == "a" else second,
         "other_id": second if side == "a" else first, "of_finished": True, "both_bad": False,
         "milliseconds": lots.randint(500, 30_000), "created": chat["created"]}
    )  # fmt: skip


def _text(lots: random.Random) -> str:
    return " ".join(lots.choices(WORDS, k=lots.randint(20, 60)))
