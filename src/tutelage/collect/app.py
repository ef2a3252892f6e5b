"""The workers' app, put together: routes, guards, pages for errors."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from anyio.to_thread import current_default_thread_limiter
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from tutelage.collect.gate import GatedRoute
from tutelage.collect.model_client import Answerer
from tutelage.collect.pages import error_page
from tutelage.collect.routes import ROUTERS
from tutelage.collect.security import LOG, Shield
from tutelage.collect.settings import Settings
from tutelage.collect.site import Site
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.refusals import Conflict, Forbidden, NotFound, Unavailable

LONGEST_BODY = 256 * 1024  # bytes of a form
THREADS = 24  # of a web process
RETRY_AFTER = {"Retry-After": "2"}  # seconds, where a busy database refuses
TURN_SECONDS = 0.0005  # that a thread may keep the interpreter while others want it

SENTENCES = {
    400: "The request cannot be read.",
    403: "This is not allowed.",
    404: "There is nothing here.",
    405: "This page cannot be used that way.",
    409: "This was already done, perhaps in another tab.",
    413: "That is too long.",
    422: "Something in the form is missing or not possible.",
    429: "That was a little too quick. Wait a moment, then try again.",
    503: "The server is busy or its disk is full. What you wrote is kept on this page; try again in a moment.",
}

# What a route may answer besides its own page: on to another, or a page that says why not.
ANSWERS: dict[int | str, dict[str, Any]] = {
    303: {"description": "On to another page"},
    **{status: {"description": said, "content": {"text/html": {}}} for status, said in SENTENCES.items()},
}

REFUSALS: dict[type[Exception], int] = {NotFound: 404, Forbidden: 403, Conflict: 409, Unavailable: 503}


def make_app(settings: Settings, database: Database, answerer: Answerer) -> FastAPI:
    """The ASGI app of one server process.

    Raises:
        ValueError: a route is not guarded by the policy table.
    """
    # The schema stays readable by `app.openapi()`; no route serves it.
    app = FastAPI(
        title="Tutelage", openapi_url=None, max_body_size=LONGEST_BODY, lifespan=_with_threads,
        default_response_class=HTMLResponse, responses=ANSWERS,
    )  # fmt: skip
    app.state.site = Site(settings, database, answerer)
    for router in ROUTERS:
        _require_gate(router)
        app.include_router(router)
    app.add_middleware(Shield, tls=settings.tls)
    app.add_exception_handler(StarletteHTTPException, _refusal)
    app.add_exception_handler(RequestValidationError, _bad_form)
    for refusal, status in REFUSALS.items():
        app.add_exception_handler(refusal, _answer_with(status))
    return app


@asynccontextmanager
async def _with_threads(app: FastAPI) -> AsyncIterator[None]:
    """Most handlers that are under way wait for the database, and a page is not to wait for a thread behind them. Of
    those that run, whoever holds the database's write lock, and makes all others wait, wants the interpreter back
    between any two statements: at CPython's 5 ms a turn that would take most of its time."""
    current_default_thread_limiter().total_tokens = THREADS
    sys.setswitchinterval(TURN_SECONDS)
    yield


def _require_gate(router: APIRouter) -> None:
    for route in router.routes:
        if not isinstance(route, GatedRoute):
            raise ValueError(f"the route {route} is not guarded: make its router with route_class=GatedRoute")


def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    if error.status_code == HTTPStatus.SEE_OTHER:
        return RedirectResponse((error.headers or {})["Location"], HTTPStatus.SEE_OTHER)
    standard = HTTPStatus(error.status_code).phrase
    given = error.detail if error.detail != standard else None
    return error_page(request, error.status_code, given or SENTENCES.get(error.status_code, standard), error.headers)


def _bad_form(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if any(problem["loc"][0] == "path" for problem in error.errors()):
        return error_page(request, 404, SENTENCES[404])
    fields = sorted({str(problem["loc"][-1]) for problem in error.errors()})
    return error_page(request, 422, f"{SENTENCES[422]} Look at: {', '.join(fields)}.")


def _answer_with(status: int) -> Callable[[Request, Exception], Response]:
    """A page for what the database refuses. It says no more than the status: the reason may name what is not theirs."""

    def answer(request: Request, error: Exception) -> Response:
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            LOG.warning("unavailable: %s", error)
            return error_page(request, status, SENTENCES[status], RETRY_AFTER)
        return error_page(request, status, SENTENCES[status])

    return answer
