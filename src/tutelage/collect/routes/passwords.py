"""One's own password and sign-ins; and the link by which somebody who has forgotten theirs chooses another."""

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.responses import HTMLResponse

from tutelage.collect.forms import Sent
from tutelage.collect.gate import GatedRoute, principal_of, visit_of
from tutelage.collect.limits import ARRIVE, SIGN_IN, take
from tutelage.collect.pages import go, page
from tutelage.collect.routes.arrival import Password
from tutelage.collect.security import set_session_cookie
from tutelage.collect.site import site_of
from tutelage.feedback.database.access import Access, token_hash
from tutelage.feedback.database.credentials import change_password, reset_of, reset_password
from tutelage.feedback.database.passwords import SHORTEST

router = APIRouter(route_class=GatedRoute)

WORTHLESS = "This link is unknown, too old, or was used. Ask for a new one."


class Change(Sent):
    password: Password
    better: Password


class Reset(Sent):
    better: Password


@router.get("/account")
def account(request: Request) -> HTMLResponse:
    return _account(request)


@router.post("/account/password")
def change(request: Request, form: Annotated[Change, Form()]) -> Response:
    me = principal_of(request).worker_id
    take(request, SIGN_IN, me)
    try:
        token = change_password(site_of(request).database, me, form.password, form.better)
    except ValueError as error:
        return _account(request, 422, str(error).capitalize() + ".")
    return _account(request, 403, "The present password is another.") if token is None else _signed_in(request, token)


@router.post("/account/sign-outs")
def sign_out_everywhere(request: Request, form: Annotated[Sent, Form()]) -> Response:
    """Every browser that is signed in, this one too."""
    with site_of(request).database.writing() as session:
        Access(session).close_logins(principal_of(request).worker_id)
    return go("/login")


@router.get("/reset/{token}")
def ask_reset(request: Request, token: str) -> HTMLResponse:
    return _reset_page(request, token)


@router.post("/reset/{token}")
def reset(request: Request, token: str, form: Annotated[Reset, Form()]) -> Response:
    take(request, ARRIVE)
    try:
        opened = reset_password(site_of(request).database, token, form.better)
    except ValueError as error:
        return _reset_page(request, token, 422, str(error).capitalize() + ".")
    if opened is None:
        raise HTTPException(404, WORTHLESS)
    return _signed_in(request, opened)


def _signed_in(request: Request, token: str) -> Response:
    response = go("/")
    set_session_cookie(response, token, site_of(request).settings.tls)
    return response


def _account(request: Request, status: int = 200, problem: str = "") -> HTMLResponse:
    me = principal_of(request).worker_id
    with site_of(request).database.reading() as session:
        login, logins = Access(session).login_name(me), Access(session).logins(me)
    here = token_hash(visit_of(request).token)
    return page(
        request, "account.html.j2", status, login=login, logins=logins, here=here, problem=problem, shortest=SHORTEST
    )


def _reset_page(request: Request, token: str, status: int = 200, problem: str = "") -> HTMLResponse:
    row = reset_of(site_of(request).database, token)
    if row is None:
        raise HTTPException(404, WORTHLESS)
    return page(request, "reset.html.j2", status, token=token, login=row.login, problem=problem, shortest=SHORTEST)
