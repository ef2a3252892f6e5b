"""Every route before requests that schemathesis makes up: whatever comes, the app answers, and never by a fault."""

from collections.abc import Iterator

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from schemathesis import Case
from schemathesis.core.result import Ok

from tutelage.feedback.database.connection import Database

from .people import Person, converse, principal

EVERYTHING = ("worker", "red_team_worker", "reviewer", "admin")


@pytest.fixture
def insider(app: FastAPI, database: Database) -> Person:
    """Somebody who may do everything."""
    person = Person(app, raise_server_exceptions=False)
    person.join(database, *EVERYTHING)
    person.qualify()
    person.consent_to_red_team()
    return person


def operations(app: FastAPI) -> Iterator[object]:
    schema = schemathesis.openapi.from_dict(app.openapi())
    schema.app = app
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        yield found.ok()


def fuzz(app: FastAPI, insider: Person, database: Database, examples: int) -> int:
    """Send so many requests to every route; returns how many were sent."""
    sent = 0
    conversation, turn = converse(database, principal(database, insider.worker_id), "a question", ("one", "two"))
    for operation in operations(app):

        @settings(
            max_examples=examples, deadline=None, database=None, derandomize=True, phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck), verbosity=Verbosity.quiet,
        )  # fmt: skip
        @given(case=operation.as_strategy())  # type: ignore[attr-defined]
        def send(case: Case) -> None:
            nonlocal sent
            known = {"conversation": conversation, "turn": turn, "worker": insider.worker_id}
            if sent % 2:  # every other request is about something that is there
                case.path_parameters.update({name: known[name] for name in case.path_parameters.keys() & known})
            form = case.body if isinstance(case.body, dict) else {}
            path = case.formatted_path
            if (case.method, path) == ("POST", "/logout"):
                return
            options = {"data": {**form, "csrf": insider.csrf}} if case.method == "POST" else {}
            response = insider.client.request(case.method, path, params=case.query, follow_redirects=False, **options)
            sent += 1
            assert response.status_code < 500, f"{case.method} {path} {case.query} {form}: {response.status_code}"

        send()
    return sent


def test_no_request_is_a_fault(app: FastAPI, insider: Person, database: Database) -> None:
    assert fuzz(app, insider, database, examples=4) > 150


@pytest.mark.hard
def test_no_request_of_thousands_is_a_fault(app: FastAPI, insider: Person, database: Database) -> None:
    assert fuzz(app, insider, database, examples=150) >= 5000
