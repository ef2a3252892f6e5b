"""The way from a request to its handler: who is it, may they, and does it come from a page of ours."""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.concurrency import run_in_threadpool

from tutelage.collect import limits
from tutelage.collect.caller import Caller
from tutelage.collect.policy import NOT_THERE, POLICY, WRITE_THOUGH_SAFE, Rule, public
from tutelage.collect.security import SAFE_METHODS, cookie_name, csrf_token, is_foreign, is_ours
from tutelage.collect.site import site_of
from tutelage.feedback.database.access import new_token
from tutelage.feedback.database.principal import Principal
from tutelage.feedback.database.refusals import Unavailable

STALE = "This page is older than your sign-in. Load it again, then send once more."


@dataclass(frozen=True, slots=True)
class Visit:
    """Who sends this request, and the token of their cookie; `fresh` if the browser does not have it yet, `due` if it
    is to be noted that they were here."""

    caller: Caller
    token: str
    fresh: bool
    due: bool

    @property
    def csrf(self) -> str:
        return csrf_token(self.token)


class GatedRoute(APIRoute):
    """A route that is admitted by the policy table before its handler, or the check of its form, sees the request."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        rules = {method: POLICY[f"{method} {self.path}"] for method in self.methods or ()}

        async def admitted(request: Request) -> Response:
            rule = rules[request.method]
            await _admit(request, rule)
            if request.method in SAFE_METHODS and f"{request.method} {self.path}" not in WRITE_THOUGH_SAFE:
                response = await handle(request)
            else:
                async with site_of(request).line.place():
                    await run_in_threadpool(_count, request)
                    response = await handle(request)
            return response if rule is public else _noting(request, response)

        return admitted


def visit_of(request: Request) -> Visit:
    """Who sent a request that was admitted."""
    visit: Visit = request.state.visit
    return visit


def principal_of(request: Request) -> Principal:
    """The principal of a route that only those who are signed in may call."""
    principal = visit_of(request).caller.principal
    if principal is None:
        raise HTTPException(404)
    return principal


async def _admit(request: Request, rule: Rule) -> None:
    if rule is public:
        return
    visit = await run_in_threadpool(_visit, request)
    request.state.visit = visit
    obstacle = rule(visit.caller)
    if obstacle == NOT_THERE:
        raise HTTPException(404)
    if obstacle is not None:
        raise HTTPException(303, headers={"Location": _with_return(request, obstacle)})
    if request.method not in SAFE_METHODS:
        await _refuse_cross_site(request, visit.token)


def _visit(request: Request) -> Visit:
    site = site_of(request)
    sent = request.cookies.get(cookie_name(site.settings.tls))
    caller, due = site.caller(sent)
    return Visit(caller, sent or new_token(), fresh=not sent, due=due)


def _count(request: Request) -> None:
    """Visitors are counted by address where there is something to try."""
    caller = visit_of(request).caller
    if caller.signed_in:
        limits.take(request, limits.WORK, caller.name)


def _noting(request: Request, response: Response) -> Response:
    """Once the response is sent, note that its login is in use: no page waits for that."""
    visit, site = visit_of(request), site_of(request)

    async def note() -> None:
        with suppress(Unavailable):  # the next request will do it
            async with site.line.place():
                await run_in_threadpool(site.note_seen, visit.token)

    if visit.due:
        before = [] if response.background is None else [response.background]
        response.background = BackgroundTasks([*before, BackgroundTask(note)])
    return response


def _with_return(request: Request, obstacle: str) -> str:
    """A sign-in goes back to the page that it interrupted; a form that was sent is told that it was not taken."""
    if request.method not in SAFE_METHODS:
        return f"{obstacle}?unsent"
    back = obstacle == "/login" and request.url.path != "/"
    return f"{obstacle}?next={quote(request.url.path)}" if back else obstacle


async def _refuse_cross_site(request: Request, token: str) -> None:
    if is_foreign(request.headers) or not is_ours(token, (await request.form()).get("csrf")):
        raise HTTPException(403, STALE)
