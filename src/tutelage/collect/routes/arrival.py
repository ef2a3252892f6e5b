"""How a person comes in: the front door, an invite, a hand-off by a platform, a sign-in."""

from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from pydantic import Field
from sqlalchemy import select

from tutelage.collect.forms import Sent
from tutelage.collect.gate import GatedRoute, visit_of
from tutelage.collect.handoff import HANDOFFS, Arrival, arrival_from, is_handoff_key
from tutelage.collect.limits import ARRIVE, SIGN_IN, take
from tutelage.collect.pages import STATIC, go, page, static_file
from tutelage.collect.security import cookie_name, safe_path, set_session_cookie
from tutelage.collect.site import site_of
from tutelage.feedback.database.access import LONGEST_LOGIN, Access, sign_in
from tutelage.feedback.database.passwords import LONGEST, SHORTEST, hash_password
from tutelage.feedback.database.principal import principal_of
from tutelage.feedback.database.refusals import Conflict
from tutelage.feedback.database.tables import Platform, Role

router = APIRouter(route_class=GatedRoute)

LoginName = Annotated[str, Field(max_length=LONGEST_LOGIN)]
Password = Annotated[str, Field(max_length=LONGEST)]
PlatformId = Annotated[str, Field(max_length=LONGEST_LOGIN)]


class SignIn(Sent):
    login: LoginName
    password: Password
    next: str = "/"


class Joining(Sent):
    login: LoginName
    password: Password


class Entering(Sent):
    platform: Platform
    participant: PlatformId
    study: PlatformId = ""
    submission: PlatformId = ""
    link_key: str = ""


@router.get("/")
def front(request: Request) -> RedirectResponse:
    """On to where this person works."""
    caller = visit_of(request).caller
    if not caller.signed_in:
        return go("/login")
    if caller.has("worker"):
        return go("/home")
    return go("/admin" if caller.has("admin") else "/review")


@router.get("/health", response_class=JSONResponse)
async def health(request: Request) -> dict[str, str]:
    """That this process answers, and its database; asked in a thread of its own, however busy all others are."""

    def ask() -> None:
        with site_of(request).database.reading() as session:
            session.execute(select(1))

    await to_thread.run_sync(ask, limiter=CapacityLimiter(1))
    return {"status": "ok"}


@router.get("/static/{name}", response_class=Response)
async def shipped(name: str) -> Response:
    """A stylesheet, script or icon; its address changes with its content."""
    if name not in STATIC:
        raise HTTPException(404)
    lasting = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(static_file(name), media_type=STATIC[name], headers=lasting)


@router.get("/login")
def ask_login(request: Request, next: str = "/") -> Response:
    if visit_of(request).caller.signed_in:
        return go(safe_path(next))
    return page(request, "login.html.j2", next=safe_path(next), login="", problem="")


@router.post("/login")
def login(request: Request, form: Annotated[SignIn, Form()]) -> Response:
    take(request, SIGN_IN)
    token = sign_in(site_of(request).database, form.login, form.password)
    if token is None:
        problem = "The name or the password is wrong. After several tries the name is locked for some minutes."
        return page(request, "login.html.j2", 403, next=safe_path(form.next), login=form.login, problem=problem)
    return _signed_in(request, token, safe_path(form.next))


@router.post("/logout")
def logout(request: Request, form: Annotated[Sent, Form()]) -> Response:
    site, visit = site_of(request), visit_of(request)
    if visit.caller.signed_in:
        with site.database.writing() as session:
            Access(session).close_login(visit.token)
    response = go("/login")
    response.delete_cookie(cookie_name(site.settings.tls), path="/", secure=site.settings.tls, httponly=True)
    return response


@router.get("/join/{token}")
def ask_join(request: Request, token: str) -> HTMLResponse:
    with site_of(request).database.reading() as session:
        if not Access(session).is_open(token):
            raise HTTPException(404, "This invitation is unknown, expired or used up. Ask for a new one.")
    return _join_page(request, token)


@router.post("/join/{token}")
def join(request: Request, token: str, form: Annotated[Joining, Form()]) -> Response:
    take(request, ARRIVE)
    try:
        password_hash = hash_password(form.password)
        with site_of(request).database.writing() as session:
            access = Access(session)
            worker_id = access.redeem(token)
            access.set_password(worker_id, form.login, password_hash)
            opened = access.open_login(worker_id)
    except Conflict:
        return _join_page(request, token, 409, form.login, "This name is taken. Choose another.")
    except ValueError as error:
        return _join_page(request, token, 422, form.login, str(error).capitalize() + ".")
    return _signed_in(request, opened, "/")


@router.get("/enter")
def ask_enter(request: Request) -> HTMLResponse:
    """The door for who comes by a platform's link. It is opened by a click: robots look at links, too."""
    arrival = arrival_from(request.query_params)
    if arrival is None:
        raise HTTPException(404, "This link names nobody. Open the study on the platform again; accept it first.")
    hidden = {name: getattr(arrival, name) for name in Arrival.__slots__}
    hidden["link_key"] = request.query_params.get("key", "")
    platform = HANDOFFS[arrival.platform].name
    return page(request, "enter.html.j2", platform_name=platform, participant=arrival.participant, hidden=hidden)


@router.post("/enter")
def enter(request: Request, form: Annotated[Entering, Form()]) -> Response:
    take(request, ARRIVE)
    site = site_of(request)
    roles: tuple[Role, ...] = ("worker", "red_team_worker") if site.settings.red_team_offered else ("worker",)
    with site.database.writing() as session:
        if form.platform not in HANDOFFS or not is_handoff_key(session, form.link_key):
            raise HTTPException(404, "This link is not complete. Open the study on the platform again.")
        access = Access(session)
        worker_id, _ = access.enter(form.platform, form.participant, form.study, form.submission, roles)
        # An id can be guessed: it opens no account that may see others' work.
        if not principal_of(session, worker_id).roles.isdisjoint({"reviewer", "admin"}):
            raise HTTPException(403, "Sign in by your name and password.")
        opened = access.open_login(worker_id)
    return _signed_in(request, opened, "/")


def _signed_in(request: Request, token: str, path: str) -> RedirectResponse:
    """On to a page, with a new token: one that was planted in the browser before is worth nothing."""
    site = site_of(request)
    with site.database.writing() as session:
        Access(session).close_login(visit_of(request).token)
    response = RedirectResponse(path, 303)
    set_session_cookie(response, token, site.settings.tls)
    return response


def _join_page(request: Request, token: str, status: int = 200, login: str = "", problem: str = "") -> HTMLResponse:
    return page(request, "join.html.j2", status, token=token, login=login, problem=problem, shortest=SHORTEST)
