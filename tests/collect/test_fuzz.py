"""Every route before requests that schemathesis makes up: whatever comes, the app answers as it says, never by a fault.

Each route has people of its own who may call it and have something to call it for: a new one whenever the last has
done what the route is for.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from schemathesis import Case
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tutelage.collect import limits
from tutelage.collect.policy import POLICY
from tutelage.feedback.database.connection import Database

from .reaching import REACHED, call, is_refused_at_the_gate, reach

AS_DECLARED = [status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "take_token", lambda *_: True)


def operations(app: FastAPI) -> Iterator[Any]:
    schema = schemathesis.openapi.from_dict(app.openapi())
    schema.app = app
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        yield found.ok()


def route_of(operation: Any) -> str:
    return f"{operation.method.upper()} {operation.path}".replace("{snapshot}", "{snapshot:path}")


def carried_out(app: FastAPI, database: Database, operation: Any) -> None:
    """What the made-up requests vary: somebody is let in, and the route does its work."""
    ready = reach(app, database, route_of(operation))
    path = operation.path.format_map(ready.parts)
    response = call(ready, operation.method.upper(), path, ready.query, ready.form)
    assert response.status_code == ready.status, f"{route_of(operation)}: {response.text}"
    assert not is_refused_at_the_gate(response), route_of(operation)
    operation.validate_response(Response.from_any(response))


def fuzz(app: FastAPI, database: Database, examples: int) -> int:
    """Send a right request to every route, and so many others; returns how many these were.

    They are, by turns: all made up; about what is there; a right form with one of its fields left to chance.
    """
    sent = 0
    for operation in operations(app):
        carried_out(app, database, operation)
        sent += fuzz_one(app, database, operation, examples)
    return sent


def fuzz_one(app: FastAPI, database: Database, operation: Any, examples: int) -> int:
    route = route_of(operation)
    ready, sent = reach(app, database, route), 0

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck), verbosity=Verbosity.quiet,
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def send(case: Case) -> None:
        nonlocal ready, sent
        form = case.body if isinstance(case.body, dict) else {}
        if sent % 3:
            known = ready.parts.keys() & case.path_parameters.keys()
            case.path_parameters.update({name: ready.parts[name] for name in known})
        if sent % 3 == 2:
            left = sorted(ready.form)[sent % len(ready.form)] if ready.form else ""
            form = {**form, **{name: value for name, value in ready.form.items() if name != left}}
        form = {**form, "csrf": ready.person.csrf}
        response = call(ready, case.method, case.formatted_path, case.query, form)
        sent += 1
        said = f"{case.method} {case.formatted_path} {case.query} {form}: {response.status_code}"
        assert response.status_code < 500, said
        assert not is_refused_at_the_gate(response), said
        case.validate_response(response, checks=AS_DECLARED)
        if case.method == "POST" and response.status_code < 400:
            ready = reach(app, database, route)

    send()
    return sent


def test_no_request_is_a_fault(app: FastAPI, database: Database) -> None:
    assert set(REACHED) == set(POLICY)
    assert fuzz(app, database, examples=4) > 150


@pytest.mark.hard
def test_no_request_of_thousands_is_a_fault(app: FastAPI, database: Database) -> None:
    assert fuzz(app, database, examples=150) >= 5000
