"""Turns of other workers, judged blind by a second one: how far people agree is measured on them."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from tutelage.collect.blind import give, judge_blind
from tutelage.collect.caps import must_consent, must_rest, stopped
from tutelage.collect.forms import BlindForm, Keyed, Sent, TurnId
from tutelage.collect.gate import GatedRoute, principal_of
from tutelage.collect.pages import go, page
from tutelage.collect.site import site_of
from tutelage.collect.words import MODES
from tutelage.feedback.database.others import BlindTurn, OthersTurns
from tutelage.feedback.database.refusals import NotFound
from tutelage.feedback.database.tables import Mode

router = APIRouter(route_class=GatedRoute)

HELPFUL: tuple[Mode, ...] = ("helpful", "compare")
RED_TEAM: tuple[Mode, ...] = ("red_team",)
ALIKE: dict[Mode, tuple[Mode, ...]] = {"helpful": HELPFUL, "compare": HELPFUL, "red_team": RED_TEAM}


@router.post("/overlap/helpful")
def next_helpful(request: Request, form: Annotated[Sent, Form()]) -> Response:
    """A turn that was begun on, or another one."""
    return _next(request, HELPFUL)


@router.post("/overlap/red-team")
def next_red_team(request: Request, form: Annotated[Sent, Form()]) -> Response:
    return go("/rest") if must_rest(request) else _next(request, RED_TEAM)


@router.get("/overlap/turns/{turn}")
def show(request: Request, turn: TurnId) -> Response:
    blind = _given(request, turn)
    if blind is None:
        raise NotFound(f"no turn {turn} was given to you")
    if must_consent(request, blind.mode):
        return go("/consent/red_team")
    if blind.mode == "red_team" and must_rest(request):
        return go("/rest")
    return page(
        request, "blind_turn.html.j2", heading="A second opinion", turn=blind, words=MODES[blind.mode],
        address=f"/overlap/turns/{turn}", skip=True,
    )  # fmt: skip


@router.post("/overlap/turns/{turn}/judgment")
def judge(request: Request, turn: TurnId, form: Annotated[BlindForm, Form()]) -> Response:
    blind = _given(request, turn)
    stop = blind and stopped(request, blind.mode)
    if stop:
        return stop
    judge_blind(request, "overlap", turn, form)
    return go("/home")


@router.post("/overlap/turns/{turn}/skip")
def skip(request: Request, turn: TurnId, form: Annotated[Keyed, Form()]) -> Response:
    with site_of(request).database.writing() as session:
        OthersTurns(session, principal_of(request), "overlap").skip(turn, key=form.key)
    return go("/home")


def _given(request: Request, turn: int) -> BlindTurn | None:
    with site_of(request).database.reading() as session:
        return OthersTurns(session, principal_of(request), "overlap").given(turn)


def after(request: Request, mode: Mode) -> Response:
    """Where a conversation that has ended leads: to another's turn of the same kind where one is due, else home."""
    if mode not in ALIKE or (mode == "red_team" and must_rest(request)):
        return go("/")
    with site_of(request).database.reading() as session:
        due = OthersTurns(session, principal_of(request), "overlap").is_due()
    turn = give(request, "overlap", modes=ALIKE[mode]) if due else None
    return go("/") if turn is None else go("/overlap/turns/{turn}", turn=turn.turn_id)


def _next(request: Request, modes: tuple[Mode, ...]) -> Response:
    turn = give(request, "overlap", modes=modes)
    return page(request, "overlap_none.html.j2") if turn is None else go("/overlap/turns/{turn}", turn=turn.turn_id)
