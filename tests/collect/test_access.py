"""Signing in and out, invites, platforms, and what belongs to another."""

import logging
import re
import time

import pytest
from fastapi import FastAPI
from sqlalchemy import select, update

from tutelage.collect.app import make_app
from tutelage.collect.server import first_admin, platform_key, require_private
from tutelage.collect.settings import Settings
from tutelage.feedback.database.access import LOGIN_IDLE
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.principal import SYSTEM
from tutelage.feedback.database.tables import Credential, Entry, Invite, Login
from tutelage.feedback.database.workers import Workers
from tutelage.plumbing.errors import InputError

from .conftest import BOTH
from .people import PASSWORD, Person, Scripted, new_invite


@pytest.fixture(params=BOTH)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def signed_in(person: Person) -> bool:
    return person.client.get("/messages", follow_redirects=False).status_code == 200


def test_an_account_is_made_once_by_an_invite(visitor: Person, app: FastAPI, database: Database) -> None:
    invite = f"/join/{new_invite(database, 'worker')}"
    visitor.open(invite)
    visitor.send(invite, login="Ada", password=PASSWORD)
    assert signed_in(visitor)
    second = Person(app)
    assert second.open(invite).status_code == 404
    assert second.client.post(invite, data={"csrf": second.csrf, "login": "b", "password": PASSWORD}).status_code == 404


def test_an_invite_is_not_used_up_by_looking_or_by_a_bad_password(visitor: Person, database: Database) -> None:
    invite = f"/join/{new_invite(database, 'worker')}"
    visitor.open(invite)
    assert visitor.send(invite, login="ada", password="short").status_code == 422
    assert visitor.send(invite, login="ada", password=PASSWORD).status_code == 200
    assert signed_in(visitor)


def test_a_taken_name_is_refused_and_the_invite_stays(worker: Person, app: FastAPI, database: Database) -> None:
    invite = f"/join/{new_invite(database, 'worker')}"
    person = Person(app)
    person.open(invite)
    assert person.send(invite, login="WORKER ", password=PASSWORD).status_code == 409
    assert person.send(invite, login="another", password=PASSWORD).status_code == 200


def test_an_invite_expires(visitor: Person, database: Database) -> None:
    invite = f"/join/{new_invite(database, 'worker')}"
    visitor.open(invite)
    with database.writing() as session:
        session.execute(update(Invite).values(expires=time.time() - 1))
    assert visitor.send(invite, login="late", password=PASSWORD).status_code == 404


def test_signing_in_and_out(worker: Person) -> None:
    before = worker.client.cookies["tutelage"]
    worker.send("/logout")
    assert not signed_in(worker)
    worker.client.cookies.set("tutelage", before)
    assert not signed_in(worker), "the old token still works"
    worker.client.cookies.clear()
    worker.open("/login")
    worker.send("/login", login="worker", password=PASSWORD, next="/start")
    assert signed_in(worker)


def test_the_token_is_new_at_every_sign_in_and_a_planted_one_is_worth_nothing(worker: Person, app: FastAPI) -> None:
    victim = Person(app)
    victim.client.cookies.set("tutelage", "planted-by-another")
    victim.open("/login")
    victim.send("/login", login="worker", password=PASSWORD)
    assert signed_in(victim)
    attacker = Person(app)
    attacker.client.cookies.set("tutelage", "planted-by-another")
    assert not signed_in(attacker)


def test_a_sign_in_leads_nowhere_else(worker: Person, app: FastAPI) -> None:
    for wanted in ("https://evil.example", "//evil.example", "/\\evil.example", "/a\nb", "evil"):
        person = Person(app)
        person.open("/login")
        response = person.client.post(
            "/login", follow_redirects=False,
            data={"csrf": person.csrf, "login": "worker", "password": PASSWORD, "next": wanted},
        )  # fmt: skip
        assert response.headers["location"] == "/", wanted


def test_a_disabled_worker_is_out_at_once(worker: Person, database: Database) -> None:
    with database.writing() as session:
        Workers(session, SYSTEM).set_status(worker.worker_id, "disabled", "a test")
    assert not signed_in(worker)
    worker.open("/login")
    assert worker.send("/login", login="worker", password=PASSWORD).status_code in (403, 404)
    assert not signed_in(worker)


@pytest.mark.parametrize(("column", "age"), [("seen", LOGIN_IDLE + 1), ("expires", 8 * 86400.0)])
def test_a_login_ends(worker: Person, database: Database, column: str, age: float) -> None:
    with database.writing() as session:
        session.execute(update(Login).values({column: getattr(Login, column) - age}))
    assert not signed_in(worker)


def test_use_keeps_a_login_alive(worker: Person, database: Database) -> None:
    with database.writing() as session:
        session.execute(update(Login).values(seen=Login.seen - 120))
    assert signed_in(worker)
    with database.reading() as session:
        assert all(row.seen > time.time() - 60 for row in session.query(Login) if row.seen)


def test_a_hundred_guesses_are_slowed_and_the_known_session_goes_on(
    worker: Person, app: FastAPI, database: Database
) -> None:
    guesser, elsewhere = Person(app), Person(app, client=("192.0.2.7", 1))
    guesser.open("/login")
    elsewhere.open("/login")
    statuses = [
        guesser.send("/login", login="worker", password=f"wrong password {guess}").status_code for guess in range(100)
    ]
    assert set(statuses) == {403, 429}
    assert statuses[0] == 403
    assert statuses.count(429) > 30, "an address that guesses is slowed"
    with database.writing() as session:
        locked = session.scalars(select(Credential.locked_until)).one()
        assert locked > 0
        session.execute(update(Credential).values(locked_until=time.time() + 60))  # a busy machine takes its time
    assert elsewhere.send("/login", login="worker", password=PASSWORD).status_code == 403, "locked from everywhere"
    assert signed_in(worker)
    with database.writing() as session:
        session.execute(update(Credential).values(locked_until=0))
    assert elsewhere.send("/login", login="worker", password=PASSWORD).status_code == 200
    assert signed_in(elsewhere)


def test_cookies_are_bound_to_the_host_where_there_is_tls(settings: Settings, database: Database) -> None:
    person = Person(
        make_app(Settings(settings.database, tls=True), database, Scripted()), base_url="https://testserver"
    )
    cookie = person.open("/login").headers["set-cookie"]
    assert cookie.startswith("__Host-tutelage=")
    assert {"Secure", "HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    assert "max-age" in person.open("/login").headers["strict-transport-security"]


def test_without_tls_the_app_is_for_this_machine() -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.3.2.1"):
        require_private(host, tls=False)
    for host in ("0.0.0.0", "10.0.0.1", "example.org", "::"):
        with pytest.raises(InputError, match="--behind-tls"):
            require_private(host, tls=False)
        require_private(host, tls=True)


def test_the_first_admin_comes_by_a_link_and_there_is_no_second_first(visitor: Person, database: Database) -> None:
    link = first_admin(database)
    assert link
    visitor.open(link)
    visitor.send(link, login="boss", password=PASSWORD)
    assert visitor.open("/admin").status_code == 200
    assert first_admin(database) is None


def enter(person: Person, key: str, **parameters: str) -> int:
    person.client.get("/enter", params={"key": key, **parameters})
    person.open("/enter?" + "&".join(f"{name}={value}" for name, value in {"key": key, **parameters}.items()))
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', person.page))
    hidden.pop("csrf", None)
    return person.send("/enter", **hidden).status_code


@pytest.mark.parametrize(
    ("platform", "parameters"),
    [
        ("prolific", {"PROLIFIC_PID": "p1", "STUDY_ID": "s1", "SESSION_ID": "x1"}),
        ("mturk", {"workerId": "w1", "hitId": "h1", "assignmentId": "a1"}),
        ("surge", {"SURGE_WORKER": "u1", "SURGE_TASK": "t1"}),
        ("upwork", {"UPWORK_WORKER": "k1"}),
    ],
)
def test_a_platforms_worker_is_known_again(
    app: FastAPI, database: Database, platform: str, parameters: dict[str, str]
) -> None:
    first, again = Person(app), Person(app)
    key = platform_key(database)
    assert enter(first, key, **parameters) == 200
    assert enter(again, key, **parameters) == 200
    assert signed_in(first)
    assert first.worker_id == again.worker_id
    with database.reading() as session:
        rows = session.query(Entry).all()
        assert [(row.platform, row.participant) for row in rows] == [(platform, next(iter(parameters.values())))]


def test_a_platforms_link_needs_its_key_and_its_worker(app: FastAPI, database: Database) -> None:
    person = Person(app)
    assert enter(person, "wrong", PROLIFIC_PID="p1") == 404
    assert person.open("/enter?key=x").status_code == 404
    preview = "workerId=w1&hitId=h1&assignmentId=ASSIGNMENT_ID_NOT_AVAILABLE"
    assert person.open(f"/enter?key={platform_key(database)}&{preview}").status_code == 404
    assert not signed_in(person)


def test_an_id_that_was_guessed_opens_no_reviewers_account(app: FastAPI, database: Database) -> None:
    person = Person(app)
    key = platform_key(database)
    enter(person, key, PROLIFIC_PID="p1")
    with database.writing() as session:
        Workers(session, SYSTEM).set_roles(person.worker_id, ["worker", "reviewer"], "a test")
    assert enter(Person(app), key, PROLIFIC_PID="p1") == 403


def test_the_completion_code_comes_with_the_work_and_stays_the_same(
    app: FastAPI, database: Database, settings: Settings
) -> None:
    person = Person(make_app(Settings(settings.database, completion_choices=1), database, Scripted()))
    enter(person, platform_key(database), PROLIFIC_PID="p1")
    person.qualify()
    person.open("/code")
    assert "you have made 0" in person.page
    conversation = person.begin()
    person.send(f"/turns/{person.ask(conversation, 'hello')}/judgment", position=2)
    person.open("/code")
    code = re.search(r'<p class="code">([0-9A-F]{12})</p>', person.page)
    assert code
    person.open("/code")
    assert code[1] in person.page


def test_what_belongs_to_another_is_not_there(worker: Person, app: FastAPI, database: Database) -> None:
    conversation = worker.begin()
    turn = worker.ask(conversation, "a secret of mine")
    other = Person(app)
    other.join(database, "worker", "reviewer", "admin")
    other.qualify()
    for path in (f"/talk/{conversation}", f"/talk/{conversation}/end", f"/turns/{turn}/answers"):
        assert other.open(path).status_code == 404, path
    posts = {
        f"/talk/{conversation}/message": {"text": "mine now"},
        f"/talk/{conversation}/report": {"reason": "other"},
        f"/talk/{conversation}/withdraw": {},
        f"/talk/{conversation}/end": {"rating": 1},
        f"/turns/{turn}/judgment": {"position": 1},
        f"/turns/{turn}/undo": {},
        f"/turns/{turn}/edit": {"text": "mine now"},
        f"/turns/{turn}/skip": {},
    }
    for path, fields in posts.items():
        response = other.send(path, key="k", **fields)
        assert response.status_code == 404, path
        assert "a secret" not in response.text
    assert worker.open(f"/talk/{conversation}").text.count("a secret of mine") == 1


def test_no_secret_is_logged(
    worker: Person, app: FastAPI, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = new_invite(database, "worker")
    person = Person(app)
    person.open(f"/join/{token}")
    person.send(f"/join/{token}", login="canary-login", password=PASSWORD)
    person.open("/enter?PROLIFIC_PID=canary-participant&key=canary-key")
    person.open("/login")
    person.send("/login", login="canary-login", password="canary-wrong-password")
    person.client.get("/talk/canary-path")
    logged = " ".join(
        f"{record.getMessage()} {record.exc_text}" for record in caplog.records if not record.name.startswith("httpx")
    )
    secrets = [token, PASSWORD, person.csrf, person.client.cookies["tutelage"], "canary"]
    assert "POST /join/{token} 303" in logged
    assert not [secret for secret in secrets if secret in logged]
