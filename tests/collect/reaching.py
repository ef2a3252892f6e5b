"""Every route with somebody before it who may call it, what must be there for it, and a form that it carries out."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from fastapi import FastAPI

from tutelage.collect.agreements import consent_version
from tutelage.collect.handoff import handoff_key
from tutelage.collect.qualification import QUESTIONS
from tutelage.corpus.records import comparison_to_record, json_line
from tutelage.dialogue import Comparison, Prompt, Response
from tutelage.feedback.database.access import Access, token_hash
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.conversations import Conversations
from tutelage.feedback.database.credentials import reset_token
from tutelage.feedback.database.passwords import hash_password
from tutelage.feedback.database.principal import SYSTEM, Principal, principal_of
from tutelage.feedback.database.tables import Import, ImportedComparison, Role
from tutelage.feedback.database.thread import Answer
from tutelage.feedback.database.workers import Profile, Workers

from .people import PASSWORD, WRITING, Person, new_invite

EVERYTHING: tuple[Role, ...] = ("worker", "red_team_worker", "reviewer", "admin")
_numbers = count(1)


@dataclass
class Ready:
    """Somebody before a route: what stands for the parts of its path, a form that is carried out, and the answer."""

    person: Person
    parts: dict[str, Any]
    form: dict[str, Any] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    status: int = 200


class Stage:
    """A new person who may do everything, and what others have left for them."""

    def __init__(self, app: FastAPI, database: Database) -> None:
        self.database = database
        self.number = next(_numbers)
        self.person = Person(app, raise_server_exceptions=False)
        self.me = self._account(self.person, f"insider {self.number}")
        self.parts: dict[str, Any] = {"interface": "helpful", "name": "app.css", "snapshot": "canary-snapshot-one"}

    def _account(self, person: Person, login: str) -> Principal:
        with self.database.writing() as session:
            access = Access(session)
            who = principal_of(session, access.redeem(access.invite(EVERYTHING)))
            access.set_password(who.worker_id, login, hash_password(PASSWORD))
            profile = Profile(session, who)
            for interface in ("helpful", "red_team"):
                profile.consent(interface, consent_version(interface))
                profile.try_qualification(interface, {}, 1.0, WRITING, passed=True)
            person.client.cookies.set("tutelage", access.open_login(who.worker_id))
        person.open("/messages")
        return who

    def key(self) -> str:
        return f"key {next(_numbers)}"

    def talk(self, who: Principal, upto: str, mode: Any = "helpful") -> tuple[str, int]:
        """A conversation whose one turn was brought so far: asked, answered, judged, or with its conversation ended."""
        with self.database.writing() as session:
            own = Conversations(session, who)
            talk = own.start(mode, "an aim" if mode == "red_team" else "", key=self.key())
            turn = own.ask(talk, "a question", key=self.key())
            if upto != "asked":
                plan = own.claim(turn)
                assert plan
                own.answers_finished(turn, plan.attempt, (Answer("one", "stop"), Answer("two", "stop")))
            if upto in ("judged", "ended"):
                own.judge(turn, "a", 3, key=self.key(), milliseconds=3000)
            if upto == "ended":
                own.end(talk, rating=3, key=self.key())
        return talk, turn

    def mine(self, upto: str) -> None:
        self.parts["conversation"], self.parts["turn"] = self.talk(self.me, upto)

    def others(self, mode: Any = "helpful") -> Principal:
        """An ended conversation of somebody else."""
        other = self._account(Person(self.person.client.app), f"other {self.number}")  # type: ignore[arg-type]
        self.parts["worker"] = other.worker_id
        self.parts["conversation"], self.parts["turn"] = self.talk(other, "ended", mode)
        return other

    def given(self, door: str, form: Mapping[str, Any], judged: bool = False) -> None:
        """A turn of somebody else, given to be judged blind."""
        self.others()
        self.person.send(door, **form)
        self.parts["turn"] = int(self.person.path.rpartition("/")[2])
        if judged:
            self.person.send(f"{self.person.path}/judgment", position=2)

    def unrated(self) -> None:
        self.others()
        found = re.search(r'action="/rate/(\w+)"', self.person.open("/rate").text)
        assert found
        self.parts["conversation"] = found[1]

    def sample(self) -> None:
        """Writing of somebody else that waits for a decision."""
        other = self.others()
        with self.database.writing() as session:
            Profile(session, other).try_qualification("helpful", {}, 1.0, WRITING, passed=None)
        with self.database.reading() as session:
            self.parts["sample"] = Workers(session, self.me).undecided()[-1].id

    def editor(self) -> None:
        self.mine("judged")
        with self.database.writing() as session:
            Workers(session, SYSTEM).set_may_edit(self.me.worker_id, True, "a test")

    def invited(self) -> None:
        self.parts["token"] = new_invite(self.database, "worker")

    def open_invite(self) -> None:
        self.parts["invite"] = token_hash(new_invite(self.database, "worker"))

    def reset(self) -> None:
        """A link by which somebody else may choose another password."""
        other = self.others()
        with self.database.writing() as session:
            self.parts["token"] = reset_token(session, other.worker_id, "a test")

    def reported(self) -> None:
        other = self.others()
        with self.database.writing() as session:
            own = Conversations(session, other)
            self.parts["report"] = own.report(self.parts["conversation"], "other", key=self.key())

    def imported(self) -> None:
        row = comparison_to_record(Comparison(Prompt.from_turns("why?"), Response("so"), Response("no"), "helpful"))
        with self.database.writing() as session:
            file = Import(name="a file", sha256=self.key(), rows=1)
            session.add(file)
            session.flush()
            session.add(ImportedComparison(import_id=file.id, number=1, kind="helpful", record=json_line(row)))
            self.parts["file"] = file.id

    def nobody(self) -> None:
        """Somebody who is not signed in."""
        self.person.client.cookies.clear()
        self.person.open("/login")


Prepare = Callable[[Stage], object]


def _nothing(stage: Stage) -> None: ...


def _mine(upto: str) -> Prepare:
    return lambda stage: stage.mine(upto)


def _second_opinion(stage: Stage) -> None:
    stage.given("/overlap/helpful", {})


def _spot_check(stage: Stage) -> None:
    stage.given("/review/next", {"reason": "random"})


def _checked(stage: Stage) -> None:
    stage.given("/review/next", {"reason": "random"}, judged=True)


_others: Prepare = Stage.others
_keyed: Mapping[str, Any] = {"key": ""}
_why: Mapping[str, Any] = {"key": "", "reason": "a good reason"}

# route → what must be there, a form or a query, the status of the answer
REACHED: dict[str, tuple[Prepare, Mapping[str, Any], int]] = {
    "GET /": (_nothing, {}, 303),
    "GET /health": (_nothing, {}, 200),
    "GET /static/{name}": (_nothing, {}, 200),
    "GET /login": (Stage.nobody, {}, 200),
    "POST /login": (Stage.nobody, {"login": "{login}", "password": PASSWORD}, 303),
    "POST /logout": (_nothing, {}, 303),
    "GET /join/{token}": (Stage.invited, {}, 200),
    "POST /join/{token}": (Stage.invited, {"login": "new {number}", "password": PASSWORD}, 303),
    "GET /enter": (_nothing, {"PROLIFIC_PID": "p{number}", "key": "{link_key}"}, 200),
    "POST /enter": (
        _nothing,
        {"platform": "prolific", "participant": "p{number}", "study": "s", "link_key": "{link_key}"},
        303,
    ),
    "GET /reset/{token}": (Stage.reset, {}, 200),
    "POST /reset/{token}": (Stage.reset, {"better": "another fine phrase"}, 303),
    "GET /account": (_nothing, {}, 200),
    "POST /account/password": (_nothing, {"password": PASSWORD, "better": "another fine phrase"}, 303),
    "POST /account/sign-outs": (_nothing, {}, 303),
    "GET /consent/{interface}": (_nothing, {}, 200),
    "POST /consent/{interface}": (_nothing, {"version": consent_version("helpful")}, 303),
    "GET /guidelines/{interface}": (_nothing, {}, 200),
    "GET /start": (_nothing, {}, 303),
    "GET /qualification": (_nothing, {}, 200),
    "POST /qualification": (
        _nothing,
        {"writing": WRITING} | {question.name: question.right for question in QUESTIONS},
        303,
    ),
    "GET /paused": (_nothing, {}, 200),
    "GET /messages": (_nothing, {}, 200),
    "POST /messages": (_nothing, {}, 303),
    "GET /code": (_nothing, {}, 200),
    "GET /home": (_nothing, {}, 200),
    "GET /red-team": (_nothing, {}, 200),
    "GET /rest": (_nothing, {}, 200),
    "POST /talk/practice": (_nothing, _keyed, 303),
    "POST /talk/helpful": (_nothing, _keyed, 303),
    "POST /talk/compare": (_nothing, _keyed, 303),
    "POST /talk/red-team": (_nothing, {"key": "", "goal": "an aim"}, 303),
    "GET /talk/{conversation}": (_mine("answered"), {}, 200),
    "POST /talk/{conversation}/message": (_mine("judged"), {"key": "", "text": "and then?"}, 303),
    "POST /talk/{conversation}/report": (_mine("answered"), {"key": "", "reason": "other"}, 200),
    "POST /talk/{conversation}/withdraw": (_mine("answered"), _keyed, 303),
    "GET /talk/{conversation}/end": (_mine("judged"), {}, 200),
    "POST /talk/{conversation}/end": (_mine("judged"), {"key": "", "rating": 4}, 303),
    "GET /turns/{turn}/answers": (_mine("asked"), {}, 200),
    "POST /turns/{turn}/judgment": (_mine("answered"), {"key": "", "position": 2}, 303),
    "POST /turns/{turn}/undo": (_mine("judged"), _keyed, 303),
    "POST /turns/{turn}/edit": (Stage.editor, {"key": "", "text": "a better answer"}, 303),
    "POST /turns/{turn}/skip": (_mine("answered"), _keyed, 303),
    "GET /rate": (_others, {}, 200),
    "POST /rate/{conversation}": (Stage.unrated, {"key": "", "rating": 2}, 303),
    "POST /overlap/helpful": (_others, {}, 303),
    "POST /overlap/red-team": (lambda stage: stage.others("red_team"), {}, 303),
    "GET /overlap/turns/{turn}": (_second_opinion, {}, 200),
    "POST /overlap/turns/{turn}/judgment": (_second_opinion, {"key": "", "position": 7}, 303),
    "POST /overlap/turns/{turn}/skip": (_second_opinion, _keyed, 303),
    "GET /review": (Stage.sample, {}, 200),
    "POST /review/next": (_others, {"reason": "random"}, 303),
    "GET /review/turns/{turn}": (_spot_check, {}, 200),
    "POST /review/turns/{turn}/judgment": (_spot_check, {"key": "", "position": 7}, 303),
    "POST /review/turns/{turn}/verdict": (
        _checked, {"key": "", "writing": "good", "judging": "good"}, 303,
    ),
    "GET /review/conversations/{conversation}": (_others, {}, 200),
    "POST /review/samples/{sample}": (Stage.sample, {"key": "", "passed": "true"}, 303),
    "POST /review/conversations/{conversation}/reports/{report}": (Stage.reported, _keyed, 303),
    "POST /review/exclusions": (_others, {**_why, "kind": "conversation", "subject": "{conversation}"}, 303),
    "GET /admin": (_others, {}, 200),
    "GET /admin/agreement": (_others, {}, 200),
    "GET /admin/workers": (_others, {}, 200),
    "GET /admin/workers/{worker}": (_others, {}, 200),
    "POST /admin/workers/{worker}/access": (_others, {**_why, "roles": ["worker"]}, 303),
    "POST /admin/workers/{worker}/status": (_others, {**_why, "status": "paused"}, 303),
    "POST /admin/workers/{worker}/message": (_others, {"key": "", "text": "well done"}, 303),
    "POST /admin/workers/{worker}/exclusion": (_others, {**_why, "excluded": "true"}, 303),
    "POST /admin/workers/{worker}/reset": (_others, {}, 200),
    "GET /admin/deployment": (_nothing, {}, 200),
    "POST /admin/deployment/{snapshot:path}": (_nothing, {**_why, "weight": 2}, 303),
    "GET /admin/invites": (_nothing, {}, 200),
    "POST /admin/invites": (_nothing, {"key": "", "roles": ["worker"]}, 200),
    "POST /admin/invites/closing": (Stage.open_invite, {"key": "", "invite": "{invite}"}, 303),
    "GET /admin/imports": (Stage.imported, {}, 200),
    "GET /admin/imports/{file}": (Stage.imported, {}, 200),
    "GET /admin/exports": (_nothing, {}, 200),
    "POST /admin/exports": (_nothing, {}, 200),
    "GET /admin/audit": (_nothing, {}, 200),
    "POST /admin/audit/verification": (_nothing, {}, 200),
}  # fmt: skip


def reach(app: FastAPI, database: Database, route: str) -> Ready:
    """Somebody new before this route."""
    prepare, sent, status = REACHED[route]
    stage = Stage(app, database)
    prepare(stage)
    with database.writing() as session:
        named = {**stage.parts, "number": stage.number, "login": f"insider {stage.number}",
                 "link_key": handoff_key(session)}  # fmt: skip
    filled = {name: value.format_map(named) if isinstance(value, str) else value for name, value in sent.items()}
    if "key" in sent and not sent["key"]:
        filled["key"] = stage.key()
    if route.startswith("GET"):
        return Ready(stage.person, stage.parts, query=filled, status=status)
    return Ready(stage.person, stage.parts, {**filled, "csrf": stage.person.csrf}, status=status)


def call(ready: Ready, method: str, path: str, query: Mapping[str, Any], form: Mapping[str, Any]) -> Any:
    options = {"data": form} if method == "POST" else {}
    return ready.person.client.request(method, path, params=query, follow_redirects=False, **options)


def is_refused_at_the_gate(response: Any) -> bool:
    """Whether the request was sent on to a step that comes first, and not carried out."""
    return bool(re.search(r"\?(unsent|next=)", response.headers.get("location", "")))
