"""People in front of the app, by HTTP alone; and who answers them in tests."""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import event

from tutelage.collect.answers import SIDES, AnswerEvent, AnswerRequest, AnswersLost, Delta, Finished
from tutelage.collect.qualification import QUESTIONS
from tutelage.dialogue import Side
from tutelage.feedback.database.access import Access
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.conversations import Conversations
from tutelage.feedback.database.principal import Principal, principal_of
from tutelage.feedback.database.tables import Mode, Role
from tutelage.feedback.database.thread import Answer

PASSWORD = "correct horse battery staple"
WRITING = "How do I prune an old apple tree? And please write a short poem about rain for my aunt."


@dataclass
class Scripted:
    """An `Answerer` that gives these two texts at once (or after a pause), and remembers what it was asked."""

    texts: tuple[str, str] = ("The first answer.", "The second answer, a little longer.")
    pause: float = 0.0
    broken: bool = False
    asked: list[AnswerRequest] = field(default_factory=list)
    cancelled: list[tuple[int, int]] = field(default_factory=list)

    async def follow(self, request: AnswerRequest) -> AsyncGenerator[AnswerEvent]:
        self.asked.append(request)
        await asyncio.sleep(self.pause)
        if self.broken:
            raise AnswersLost("made to fail")
        for side, text in zip(SIDES, self.texts, strict=True):
            yield Delta(side, text[: len(text) // 2])
        for side, text in zip(SIDES, self.texts, strict=True):
            yield Finished(side, text, "stop")

    async def cancel(self, turn: int, attempt: int) -> None:
        self.cancelled.append((turn, attempt))


class Person:
    """A browser without a screen: keeps its cookie, sends the forms that it was shown."""

    def __init__(self, app: FastAPI, **options: Any) -> None:
        self.client = TestClient(app, **options)
        self.page = ""
        self.path = "/"

    def open(self, path: str) -> Any:
        return self._seen(self.client.get(path))

    def send(self, path: str, **fields: Any) -> Any:
        """Post a form with the token and the key that the last page held."""
        shown = {"csrf": self.csrf} | ({"key": self.key(path)} if self.key(path) else {})
        return self._seen(self.client.post(path, data=shown | fields))

    @property
    def csrf(self) -> str:
        found = re.search(r'<meta name="csrf" content="([^"]*)"', self.page)
        return found[1] if found else ""

    def key(self, action: str) -> str | None:
        form = re.search(rf'<form method="post" action="{re.escape(action)}".*?</form>', self.page, re.S)
        found = re.search(r'name="key" value="([^"]+)"', form[0]) if form else None
        return found[1] if found else None

    def _seen(self, response: Any) -> Any:
        if response.headers.get("content-type", "").startswith("text/html"):
            self.page, self.path = response.text, response.url.path
        return response

    def join(self, database: Database, *roles: Role, login: str = "") -> str:
        """Make an account by an invite; returns the worker's id."""
        invite = f"/join/{new_invite(database, *roles)}"
        self.open(invite)
        response = self.send(invite, login=login or token_hex(4), password=PASSWORD)
        assert response.status_code < 400, response.text
        return self.worker_id

    @property
    def worker_id(self) -> str:
        found = re.search(r'<span class="who">([0-9a-f]+)</span>', self.page)
        assert found, self.page
        return found[1]

    def consent(self) -> None:
        self.open("/consent/helpful")
        version = re.search(r'name="version" value="(\w+)"', self.page)
        assert version
        self.send("/consent/helpful", version=version[1])

    def qualify(self) -> None:
        """Consent and answer the questions rightly."""
        self.consent()
        self.open("/qualification")
        self.send("/qualification", writing=WRITING, **{question.name: question.right for question in QUESTIONS})
        assert self.path == "/home", self.path

    def consent_to_red_team(self, declined: Sequence[str] = ()) -> None:
        self.open("/consent/red_team")
        version = re.search(r'name="version" value="(\w+)"', self.page)
        assert version
        self.send("/consent/red_team", version=version[1], declined=list(declined))

    def begin(self, mode: str = "helpful") -> str:
        """Begin a conversation; returns its id."""
        self.open("/home")
        self.send(f"/talk/{mode}")
        return self.path.removeprefix("/talk/")

    def ask(self, conversation: str, text: str) -> int:
        """Send a message and wait for both answers; returns the turn's id."""
        self.send(f"/talk/{conversation}/message", text=text)
        turn = self.turn
        with self.client.stream("GET", f"/turns/{turn}/answers") as stream:
            self.stream = stream.read().decode()
        self.open(f"/talk/{conversation}")
        return turn

    @property
    def turn(self) -> int:
        found = re.search(r"/turns/(\d+)/", self.page)
        assert found, self.page
        return int(found[1])


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """The statements that are executed within, but for those that only say how a transaction is to be."""
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA", "SET LOCAL")):
            statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def new_invite(database: Database, *roles: Role) -> str:
    with database.writing() as session:
        return Access(session).invite(roles)


def principal(database: Database, worker_id: str) -> Principal:
    with database.reading() as session:
        return principal_of(session, worker_id)


def converse(
    database: Database, who: Principal, text: str, answers: tuple[str, str], side: Side = "a", mode: Mode = "helpful"
) -> tuple[str, int]:
    """A conversation of one judged turn, past all pages; returns the ids of conversation and turn."""
    with database.writing() as session:
        own = Conversations(session, who)
        talk = own.start(mode, "an aim" if mode == "red_team" else "", key=token_hex())
        turn = own.ask(talk, text, key=token_hex())
        plan = own.claim(turn)
        assert plan
        own.answers_finished(turn, plan.attempt, (Answer(answers[0], "stop"), Answer(answers[1], "stop")))
        own.judge(turn, side, 3, key=token_hex(), milliseconds=3000)
    return talk, turn
