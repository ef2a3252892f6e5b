"""Every string that the app takes, given text that would change a statement: no fault, no wait, nothing but words."""

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import func, inspect, select

from tutelage.collect import limits
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.tables import Credential, Judgment, Login, Worker, WorkerRole

from .conftest import BOTH_AT_LENGTH
from .injections import INJECTIONS
from .people import Person, converse, principal


@pytest.fixture(params=BOTH_AT_LENGTH)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Place = tuple[str, str, str, dict[str, Any]]  # method, path, the field that is tried, and the form around it
UNTRIED = {"csrf"}


def strings(app: FastAPI) -> list[Place]:
    """Every string in the addresses and forms of all routes."""
    schema = app.openapi()
    found: list[Place] = []
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            form = _form(schema, operation)
            filled = {name: _plausible(one) for name, one in form.items()}
            places = [one["name"] for one in operation.get("parameters", ()) if _is_text(one["schema"])]
            places += [name for name, one in form.items() if _is_text(one) and name not in UNTRIED]
            found += [(method.upper(), path, name, filled) for name in places]
    return sorted(found, key=lambda place: place[1] == "/qualification")  # last: who fails it may do little more


def _form(schema: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    content = operation.get("requestBody", {}).get("content", {})
    for body in content.values():
        name = body["schema"]["$ref"].rpartition("/")[2]
        properties: dict[str, Any] = schema["components"]["schemas"][name]["properties"]
        return properties
    return {}


def _is_text(one: dict[str, Any]) -> bool:
    kinds = [one, *one.get("anyOf", ())]
    return any(kind.get("type") == "string" or kind.get("items", {}).get("type") == "string" for kind in kinds)


def _plausible(one: dict[str, Any]) -> Any:
    one = next((kind for kind in one.get("anyOf", ()) if kind.get("type") != "null"), one)
    if "items" in one:
        return [_plausible(one["items"])]
    if "enum" in one or "const" in one:
        return one.get("const", (one.get("enum") or [""])[0])
    plain = {"integer": one.get("minimum", 1), "number": one.get("minimum", 1), "boolean": "true"}
    return plain.get(one.get("type", ""), "a plausible sentence, long enough for every field of this app")


def state(database: Database) -> dict[str, Any]:
    """What no text may change."""
    with database.reading() as session:
        roles = session.execute(select(WorkerRole.worker_id, WorkerRole.role).order_by(*WorkerRole.__table__.c)).all()
        return {
            "tables": sorted(inspect(database.engine).get_table_names()),
            "workers": session.execute(select(Worker.id, Worker.status).order_by(Worker.id)).all(),
            "passwords": session.execute(select(Credential.login, Credential.password_hash)).all(),
            "roles": [tuple(row) for row in roles],
            "logins": session.scalar(select(func.count()).select_from(Login)),
        }


def attempts(app: FastAPI, each: int) -> Iterator[tuple[Place, str]]:
    """Every place with `each` of the texts, in turn, so that all texts are tried."""
    texts = itertools.cycle(INJECTIONS)
    for place in strings(app):
        for text in itertools.islice(texts, each):
            yield place, text


def try_all(app: FastAPI, database: Database, monkeypatch: pytest.MonkeyPatch, each: int) -> int:
    monkeypatch.setattr(limits, "take_token", lambda *_: True)
    insider, other = Person(app, raise_server_exceptions=False), Person(app)
    other.join(database, "worker", login="other")
    insider.join(database, "worker", "red_team_worker", "reviewer", "admin", login="insider")
    insider.qualify()
    insider.consent_to_red_team()
    conversation, turn = converse(database, principal(database, insider.worker_id), "a question", ("one", "two"))
    ids = {"conversation": conversation, "turn": turn, "worker": insider.worker_id, "interface": "helpful"}
    before, tried, answers = state(database), 0, set()
    for (method, path, name, form), text in attempts(app, each):
        address = path.format_map({part: text if part == name else ids.get(part, "x") for part in _parts(path)})
        fields = {**form, **({name: text} if name in form else {}), "csrf": insider.csrf}
        if "key" in form and name != "key":
            fields["key"] = f"k{tried}"
        begun = time.perf_counter()
        options = {"data": fields} if method == "POST" else {"params": {} if name in _parts(path) else {name: text}}
        response = insider.client.request(method, address, follow_redirects=False, **options)
        assert response.status_code < 500, f"{method} {address} {name}={text}: {response.status_code}"
        assert time.perf_counter() - begun < 8, f"{method} {address} {name}={text}: it waited"
        answers.add(response.status_code)
        tried += 1
    assert {200, 303, 404, 422} <= answers, "some were carried out, and some refused"
    assert state(database) == before
    with database.reading() as session:
        kept = session.scalars(select(Judgment.side).where(Judgment.turn_id == turn, Judgment.revision == 1)).all()
    assert kept == ["a"]
    return tried


def _parts(path: str) -> list[str]:
    return [piece[1:-1] for piece in path.split("/") if piece.startswith("{")]


def test_there_are_sixty_of_them() -> None:
    assert len(set(INJECTIONS)) >= 60


def test_no_text_changes_a_statement(app: FastAPI, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    places = len(strings(app))
    assert places > 40
    assert try_all(app, database, monkeypatch, each=4) > 3 * places


@pytest.mark.hard
def test_none_of_all_the_texts_changes_a_statement(
    app: FastAPI, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = try_all(app, database, monkeypatch, each=len(INJECTIONS))
    print(f"{tried} texts in {len(strings(app))} places")
