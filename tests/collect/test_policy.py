"""Every route before every kind of caller, with the handlers taken out: what answers 'admitted' was let in."""

from collections.abc import Callable
from functools import cache

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute

from tutelage.collect.app import make_app
from tutelage.collect.gate import GatedRoute
from tutelage.collect.policy import POLICY
from tutelage.collect.routes import ROUTERS
from tutelage.collect.settings import Settings
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.principal import SYSTEM
from tutelage.feedback.database.workers import Workers

from .conftest import BOTH_AT_LENGTH
from .people import Person, Scripted


@pytest.fixture(params=BOTH_AT_LENGTH)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


ROUTES = sorted(f"{method} {route.path}" for router in ROUTERS for route in router.routes for method in route.methods)  # type: ignore[attr-defined]
IDS = {"conversation": "0" * 16, "turn": "1", "interface": "helpful", "token": "t", "name": "app.css", "file": "1"}

PUBLIC = {"GET /", "GET /health", "GET /static/{name}", "GET /login", "POST /login", "POST /logout",
          "GET /join/{token}", "POST /join/{token}", "GET /enter", "POST /enter", "GET /reset/{token}",
          "POST /reset/{token}"}  # fmt: skip
ACCOUNT = {route for route in ROUTES if route.split()[1].startswith("/account")}
NEWCOMER = {"GET /consent/{interface}", "POST /consent/{interface}", "GET /guidelines/{interface}", "GET /paused",
            "GET /messages", "POST /messages", "GET /code", *ACCOUNT}  # fmt: skip
OWN = {"GET /talk/{conversation}", "GET /talk/{conversation}/end", "POST /talk/{conversation}/withdraw",
       "GET /start", "GET /qualification", "POST /qualification"}  # fmt: skip
TALKING = {"POST /talk/practice", "POST /talk/{conversation}/message", "POST /talk/{conversation}/report",
           "POST /talk/{conversation}/end", "GET /turns/{turn}/answers", "POST /turns/{turn}/judgment",
           "POST /turns/{turn}/undo", "POST /turns/{turn}/edit", "POST /turns/{turn}/skip"}  # fmt: skip
PAID = {"GET /home", "POST /talk/helpful", "POST /talk/compare", "GET /rate", "POST /rate/{conversation}",
        "POST /overlap/helpful", "GET /overlap/turns/{turn}", "POST /overlap/turns/{turn}/judgment",
        "POST /overlap/turns/{turn}/skip"}  # fmt: skip
RED_TEAM = {"GET /red-team", "GET /rest", "POST /talk/red-team", "POST /overlap/red-team"}
REVIEW = {route for route in ROUTES if route.split()[1].startswith("/review")}
ADMIN = {route for route in ROUTES if route.split()[1].startswith("/admin")}

MAY = {
    "visitor": PUBLIC,
    "disabled": PUBLIC,
    "newcomer": PUBLIC | NEWCOMER,
    "unqualified": PUBLIC | NEWCOMER | OWN | TALKING,
    "helpful only": PUBLIC | NEWCOMER | OWN | TALKING | PAID,
    "not asked for red team": PUBLIC | NEWCOMER | OWN | TALKING | PAID,
    "red team": PUBLIC | NEWCOMER | OWN | TALKING | PAID | RED_TEAM,
    "paused": PUBLIC | NEWCOMER | OWN,
    "reviewer": PUBLIC | ACCOUNT | REVIEW,
    "admin": PUBLIC | ACCOUNT | ADMIN,
}


@pytest.fixture
def gates(
    app: FastAPI, settings: Settings, database: Database, answerer: Scripted, monkeypatch: pytest.MonkeyPatch
) -> FastAPI:
    """The app with its guards and without its handlers."""
    Person(app).open("/nowhere")  # routes are put together at the first request: with their handlers in the app itself

    async def admitted(request: Request) -> Response:
        return PlainTextResponse("admitted")

    monkeypatch.setattr(APIRoute, "get_route_handler", lambda self: admitted)
    return make_app(settings, database, answerer)


def call(person: Person, route: str, **options: object) -> Response:
    method, path = route.split()
    for name, value in IDS.items():
        path = path.replace("{" + name + "}", value)
    path = path.replace("{", "").replace("}", "")
    options.setdefault("data", {"csrf": person.csrf})
    if method == "GET":
        options.pop("data")
    return person.client.request(method, path, follow_redirects=False, **options)  # type: ignore[arg-type, return-value]


def _visitor(person: Person, database: Database) -> None:
    person.open("/login")


def _newcomer(person: Person, database: Database) -> None:
    person.join(database, "worker", "red_team_worker")


def _unqualified(person: Person, database: Database) -> None:
    _newcomer(person, database)
    person.consent()


def _helpful_only(person: Person, database: Database) -> None:
    person.join(database, "worker")
    person.qualify()


def _not_asked(person: Person, database: Database) -> None:
    _newcomer(person, database)
    person.qualify()


def _red_team(person: Person, database: Database) -> None:
    _not_asked(person, database)
    person.consent_to_red_team()


def _with_status(status: str) -> Callable[[Person, Database], None]:
    def make(person: Person, database: Database) -> None:
        _red_team(person, database)
        with database.writing() as session:
            Workers(session, SYSTEM).set_status(person.worker_id, status, "a test")  # type: ignore[arg-type]

    return make


def _reviewer(person: Person, database: Database) -> None:
    person.join(database, "reviewer")


def _admin(person: Person, database: Database) -> None:
    person.join(database, "admin")


MAKE: dict[str, Callable[[Person, Database], None]] = {
    "visitor": _visitor,
    "newcomer": _newcomer,
    "unqualified": _unqualified,
    "helpful only": _helpful_only,
    "not asked for red team": _not_asked,
    "red team": _red_team,
    "paused": _with_status("paused"),
    "disabled": _with_status("disabled"),
    "reviewer": _reviewer,
    "admin": _admin,
}


@pytest.fixture
def as_caller(app: FastAPI, database: Database, gates: FastAPI) -> Callable[[str], Person]:
    def make(kind: str) -> Person:
        person = Person(app)
        MAKE[kind](person, database)
        probing = Person(gates)
        probing.page = person.page
        probing.client.cookies = person.client.cookies
        return probing

    return make


def test_every_route_is_guarded_and_the_table_names_no_other() -> None:
    assert all(isinstance(route, GatedRoute) for router in ROUTERS for route in router.routes)
    assert set(POLICY) == set(ROUTES)
    assert set(ROUTES) == PUBLIC | NEWCOMER | OWN | TALKING | PAID | RED_TEAM | REVIEW | ADMIN


@pytest.mark.parametrize("kind", MAY)
def test_every_route_lets_in_whom_it_should_and_nobody_else(kind: str, as_caller: Callable[[str], Person]) -> None:
    person = as_caller(kind)
    admitted = {route for route in ROUTES if call(person, route).status_code == 200}
    assert admitted == MAY[kind]


def test_a_refusal_leads_to_the_next_step_or_says_that_nothing_is_there(as_caller: Callable[[str], Person]) -> None:
    person = cache(as_caller)

    def answer(kind: str, route: str) -> str:
        response = call(person(kind), route)
        return response.headers.get("location", str(response.status_code))

    assert answer("visitor", "GET /home") == "/login?next=/home"
    assert answer("visitor", "POST /talk/helpful") == "/login?unsent"
    assert answer("newcomer", "POST /talk/{conversation}/message") == "/consent/helpful?unsent"
    assert answer("newcomer", "GET /home") == "/consent/helpful"
    assert answer("unqualified", "GET /home") == "/start"
    assert answer("paused", "GET /home") == "/paused"
    assert answer("not asked for red team", "GET /red-team") == "/consent/red_team"
    assert answer("helpful only", "GET /red-team") == "404"
    assert answer("red team", "GET /admin") == "404"
    assert answer("admin", "GET /review") == "404"


UNSAFE = [route for route in ROUTES if route.startswith("POST")]


@pytest.mark.parametrize("kind", ["visitor", "red team", "reviewer", "admin"])
def test_every_unsafe_route_refuses_what_comes_from_elsewhere(kind: str, as_caller: Callable[[str], Person]) -> None:
    person = as_caller(kind)
    mine = [route for route in UNSAFE if route in MAY[kind]]
    assert mine
    for route in mine:
        right = {"data": {"csrf": person.csrf}}
        assert call(person, route, **right).status_code == 200
        assert call(person, route, data={}).status_code == 403, route
        assert call(person, route, data={"csrf": "0" * 64}).status_code == 403, route
        assert call(person, route, data={"csrf": "é"}).status_code == 403, route
        assert call(person, route, **right, headers={"Origin": "https://evil.example"}).status_code == 403, route
        assert call(person, route, **right, headers={"Origin": "null"}).status_code == 403, route
        assert call(person, route, **right, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403, route
        assert call(person, route, **right, headers={"Sec-Fetch-Site": "same-site"}).status_code == 403, route


def test_another_workers_token_is_worth_nothing(as_caller: Callable[[str], Person]) -> None:
    mine, other = as_caller("helpful only"), as_caller("red team")
    assert call(mine, "POST /talk/helpful", data={"csrf": other.csrf}).status_code == 403
