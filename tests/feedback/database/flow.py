"""Short ways through the database for tests: a worker, a deployed snapshot, a turn up to any of its states."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import update

from tutelage.dialogue import Side
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.conversations import Conversations
from tutelage.feedback.database.deployment import Deployment
from tutelage.feedback.database.principal import SYSTEM, Principal, principal_of
from tutelage.feedback.database.tables import Mode, Response, Role, Worker, WorkerRole
from tutelage.feedback.database.thread import Answer, Thread

CANARY = "canary-snapshot"  # no byte of it may reach a worker


def new_key() -> str:
    return secrets.token_hex(8)


def worker(database: Database, *roles: Role, may_edit: bool = False) -> Principal:
    """A new worker of these roles; without any, of the two that write."""
    with database.writing() as session:
        row = Worker(may_edit=may_edit)
        row.roles = [WorkerRole(role=role) for role in roles or ("worker", "red_team_worker")]
        session.add(row)
        session.flush()
        return principal_of(session, row.id)


def deploy(database: Database, *names: str) -> None:
    with database.writing() as session:
        for name in names or (f"{CANARY}-1", f"{CANARY}-2"):
            Deployment(session, SYSTEM).deploy(name, f"/snapshots/{name}", "for a test")


@contextmanager
def acting(database: Database, principal: Principal) -> Iterator[Conversations]:
    with database.writing() as session:
        yield Conversations(session, principal)


def thread(database: Database, principal: Principal, conversation: str) -> Thread:
    with database.reading() as session:
        return Conversations(session, principal).thread(conversation)


def start(database: Database, principal: Principal, mode: Mode = "helpful") -> str:
    with acting(database, principal) as mine:
        return mine.start(mode, "to learn to pick a lock" if mode == "red_team" else "", key=new_key())


def ask(database: Database, principal: Principal, conversation: str, text: str = "How do I whistle?") -> int:
    with acting(database, principal) as mine:
        return mine.ask(conversation, text, key=new_key())


def answer(
    database: Database, principal: Principal, turn: int, texts: tuple[str, str] = ("Purse your lips.", "You cannot.")
) -> None:
    with acting(database, principal) as mine:
        plan = mine.claim(turn)
        assert plan is not None
        assert mine.answers_finished(turn, plan.attempt, (Answer(texts[0], "stop"), Answer(texts[1], "stop")))


def judge(database: Database, principal: Principal, turn: int, side: Side = "a", strength: int = 3) -> int:
    """After ten seconds before the answers, four of them in sight."""
    look(database, turn, 10)
    with acting(database, principal) as mine:
        return mine.judge(turn, side, strength, key=new_key(), milliseconds=4000)


def look(database: Database, turn: int, seconds: float) -> None:
    """Let so much time go by since a turn was answered."""
    with database.writing() as session:
        before = Response.finished_at - seconds
        session.execute(update(Response).where(Response.turn_id == turn).values(finished_at=before))


def judged(
    database: Database, principal: Principal, conversation: str, side: Side = "a", strength: int = 3,
    text: str = "How do I whistle?", texts: tuple[str, str] = ("Purse your lips.", "You cannot."),
) -> int:  # fmt: skip
    """A turn from its message to its judgment; its id."""
    turn = ask(database, principal, conversation, text)
    answer(database, principal, turn, texts)
    judge(database, principal, turn, side, strength)
    return turn


def end(database: Database, principal: Principal, conversation: str, **opinion: int) -> None:
    with acting(database, principal) as mine:
        mine.end(conversation, key=new_key(), **opinion)
