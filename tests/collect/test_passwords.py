"""Another password: by the present one, or by a link that an admin makes; and which passwords are taken."""

import re
import time

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from tutelage.feedback.database import credentials
from tutelage.feedback.database.audit import Audit
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.passwords import is_common
from tutelage.feedback.database.tables import AuditEntry

from .conftest import BOTH
from .people import PASSWORD, Person

BETTER = "staple battery horse correct"


@pytest.fixture(params=BOTH)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def sign_in(app: FastAPI, login: str, password: str) -> Person:
    person = Person(app)
    person.open("/login")
    person.send("/login", login=login, password=password)
    return person


def is_in(person: Person) -> bool:
    return bool(person.open("/account").url.path == "/account")


def test_a_password_is_changed_by_who_knows_it_and_all_others_are_signed_out(app: FastAPI, worker: Person) -> None:
    other, me = sign_in(app, "worker", PASSWORD), worker.worker_id
    worker.open("/account")
    assert worker.send("/account/password", password="not the password", better=BETTER).status_code == 403
    assert worker.send("/account/password", password=PASSWORD, better="password1234").status_code == 422
    assert is_in(other)
    worker.open("/account")
    assert worker.send("/account/password", password=PASSWORD, better=BETTER).status_code == 200
    assert (is_in(worker), is_in(other), worker.worker_id) == (True, False, me)
    assert not is_in(sign_in(app, "worker", PASSWORD))
    assert is_in(sign_in(app, "worker", BETTER))


def test_sign_out_everywhere(app: FastAPI, worker: Person) -> None:
    other = sign_in(app, "worker", PASSWORD)
    sign_ins = re.findall(r"<li>(Signed in .*)</li>", worker.open("/account").text)
    assert sorted("this browser" in line for line in sign_ins) == [False, True]
    worker.send("/account/sign-outs")
    assert (is_in(worker), is_in(other)) == (False, False)


def test_a_forgotten_password_is_replaced_by_a_link_once_and_the_worker_stays(
    app: FastAPI, worker: Person, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    me, boss = worker.worker_id, Person(app)
    boss.join(database, "admin")
    boss.open(f"/admin/workers/{me}")
    boss.send(f"/admin/workers/{me}/reset")
    found = re.search(r"/reset/[0-9a-f]+-[0-9]+-[0-9a-f]{64}", boss.page)
    assert found
    link, comer = found[0], Person(app)
    for wrong in (link[:-1] + ("0" if link[-1] != "0" else "1"), link.replace(me, boss.worker_id), "/reset/nothing"):
        assert comer.open(wrong).status_code == 404
    assert "You sign in as" in comer.open(link).text
    assert comer.send(link, better="short").status_code == 422
    assert comer.send(link, better=BETTER).status_code == 200
    assert (comer.worker_id, is_in(worker)) == (me, False)
    for again in (comer.open(link), comer.client.post(link, data={"csrf": comer.csrf, "better": PASSWORD})):
        assert again.status_code == 404
    assert is_in(sign_in(app, "worker", BETTER))
    with database.reading() as session:
        done = session.scalars(select(AuditEntry.action).where(AuditEntry.subject == f"worker {me}")).all()
        assert list(Audit(session).faults()) == []
    assert done[-2:] == ["reset password", "change password"]


def test_a_link_is_too_old_after_a_day(worker: Person, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.writing() as session:
        token = credentials.reset_token(session, worker.worker_id, "system")
    assert credentials.reset_of(database, token) is not None
    tomorrow = time.time() + credentials.RESET_LIFETIME
    monkeypatch.setattr(credentials.time, "time", lambda: tomorrow)
    assert credentials.reset_of(database, token) is None


@pytest.mark.parametrize(
    "password",
    ["password1234", "P@ssw0rd2024!", "passwordpassword", "qwertyuiop12", "123456789012", "iloveyou1234!",
     "aaaaaaaaaaaaaa", "abcdefghijkl", "0987654321poiuytrewq", "Tutelage2025", "letmein-letmein", "Welcome12345",
     "admin1234567"],
)  # fmt: skip
def test_what_everybody_tries_is_refused(password: str) -> None:
    assert is_common(password)


@pytest.mark.parametrize("password", [PASSWORD, BETTER, "a demonstration only", "xK9#vq-2LmPz7w", "kuh-wiese-mond-tür"])
def test_a_password_of_ones_own_is_taken(password: str) -> None:
    assert not is_common(password)
