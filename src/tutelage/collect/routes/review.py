"""Spot-checks: a blind judgment, then the whole conversation, then a verdict on writing and judging apart."""

import re
from typing import Annotated, NamedTuple, get_args

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import Field

from tutelage.collect.blind import give, judge_blind
from tutelage.collect.deciding import decide
from tutelage.collect.forms import BlindForm, ConversationId, Keyed, Reason, ReportId, Sent, TurnId
from tutelage.collect.gate import GatedRoute, principal_of
from tutelage.collect.pages import go, page
from tutelage.collect.security import safe_path
from tutelage.collect.site import site_of
from tutelage.collect.words import MODES, REPORT_REASONS
from tutelage.feedback.database.others import OthersTurns
from tutelage.feedback.database.refusals import Conflict, NotFound
from tutelage.feedback.database.reviews import Reviews, SubjectKind
from tutelage.feedback.database.tables import CheckReason, Verdict
from tutelage.feedback.database.texts import LONGEST_COMMENT
from tutelage.feedback.database.workers import Workers

router = APIRouter(route_class=GatedRoute)

SHOWN = 30  # reports and exclusions


class Door(NamedTuple):
    name: str
    meaning: str


DOORS: dict[CheckReason, Door] = {
    "random": Door("Any", "Drawn by lot from all finished conversations."),
    "flagged": Door("Reported", "Somebody reported a problem with the conversation."),
    "too_fast": Door("Very fast", "Judged within two seconds of seeing both answers."),
    "new_worker": Door("New workers", "Of workers with fewer than twenty judgments."),
}

Comment = Annotated[str, Field(max_length=LONGEST_COMMENT)]


class NextForm(Sent):
    reason: CheckReason
    conversation: Annotated[str, Field(pattern="^[0-9a-f]{16}$")] | None = None


class VerdictForm(Keyed):
    writing: Verdict
    judging: Verdict
    remark: Comment = ""
    message: Comment = ""


class SampleForm(Keyed):
    passed: bool


class ExclusionForm(Keyed):
    kind: SubjectKind
    subject: Annotated[str, Field(pattern="^[0-9a-f]{1,16}$")]
    reason: Reason
    excluded: bool = True
    back: str = "/review"


@router.get("/review")
def queue(request: Request) -> HTMLResponse:
    """What there is to check."""
    return _queue(request)


@router.post("/review/next")
def next_turn(request: Request, form: Annotated[NextForm, Form()]) -> Response:
    """A turn that was begun on, or another one."""
    turn = give(request, "review", form.reason, conversation=form.conversation)
    if turn is None:
        where = "In this conversation" if form.conversation else DOORS[form.reason].name
        return _queue(request, f"{where}: nothing is left that you may judge.")
    return go("/review/turns/{turn}", turn=turn.turn_id)


@router.get("/review/turns/{turn}")
def show(request: Request, turn: TurnId) -> HTMLResponse:
    """The turn: blind until the reviewer has judged it, open from then on."""
    with site_of(request).database.reading() as session:
        principal = principal_of(request)
        blind = OthersTurns(session, principal, "review").given(turn)
        if blind is not None:
            return page(
                request, "blind_turn.html.j2", heading="Your own judgment first", turn=blind, words=MODES[blind.mode],
                address=f"/review/turns/{turn}", skip=False,
            )  # fmt: skip
        opened = Reviews(session, principal).opened(turn)
    return page(
        request, "review_verdict.html.j2", turn=turn, worker=opened.worker_id, thread=opened.thread,
        agreed=opened.agreed, verdicts=get_args(Verdict),
    )  # fmt: skip


@router.post("/review/turns/{turn}/judgment")
def judge(request: Request, turn: TurnId, form: Annotated[BlindForm, Form()]) -> RedirectResponse:
    """The reviewer's own judgment; one that stands already is shown as it stands."""
    judge_blind(request, "review", turn, form)
    return go("/review/turns/{turn}", turn=turn)


@router.post("/review/turns/{turn}/verdict")
def give_verdict(request: Request, turn: TurnId, form: Annotated[VerdictForm, Form()]) -> Response:
    """Store the verdict, and tell the worker what there is to tell."""
    try:
        with site_of(request).database.writing() as session:
            reviews = Reviews(session, principal_of(request))
            reviews.decide(turn, form.writing, form.judging, form.remark, form.message, key=form.key)
    except Conflict:
        return _queue(request, "You gave your verdict on this turn already; it stands.", 409)
    return go("/review")


@router.get("/review/conversations/{conversation}")
def conversation(request: Request, conversation: ConversationId) -> HTMLResponse:
    """Any conversation; what was chosen in it, to whoever has judged it too."""
    with site_of(request).database.reading() as session:
        reviews = Reviews(session, principal_of(request))
        worker, thread = reviews.thread(conversation)
        left_out, closing = reviews.excluded("conversation", conversation), reviews.closing(conversation)
        flags = reviews.flags_of(conversation)
    return page(
        request, "review_conversation.html.j2", worker=worker, thread=thread, left_out=left_out, closing=closing,
        flags=flags, reasons=REPORT_REASONS,
    )  # fmt: skip


@router.post("/review/samples/{sample}")
def decide_sample(request: Request, sample: TurnId, form: Annotated[SampleForm, Form()]) -> RedirectResponse:
    """Let somebody in, or not yet."""
    decide(request, form, lambda session, me: Workers(session, me).decide(sample, form.passed))
    return go("/review")


@router.post("/review/conversations/{conversation}/reports/{report}")
def close_report(
    request: Request, conversation: ConversationId, report: ReportId, form: Annotated[Keyed, Form()]
) -> RedirectResponse:
    """Close a worker's report."""
    decide(request, form, lambda session, me: Reviews(session, me).close_report(conversation, report))
    return go("/review")


@router.post("/review/exclusions")
def exclude(request: Request, form: Annotated[ExclusionForm, Form()]) -> RedirectResponse:
    """Leave a turn, a conversation or a worker out of later exports, or take it in again."""
    if form.kind == "turn" and not re.fullmatch("[0-9]{1,9}", form.subject):
        raise NotFound(f"no turn {form.subject}")
    revision = (form.kind, form.subject, form.excluded, form.reason)
    decide(request, form, lambda session, me: Reviews(session, me).set_excluded(*revision))
    return RedirectResponse(safe_path(form.back), 303)


def _queue(request: Request, problem: str = "", status: int = 200) -> HTMLResponse:
    with site_of(request).database.reading() as session:
        reviews, workers = Reviews(session, principal_of(request)), Workers(session, principal_of(request))
        return page(
            request, "review.html.j2", status, doors=DOORS, samples=workers.undecided(), flags=reviews.flags(SHOWN),
            exclusions=reviews.exclusions(SHOWN), reasons=REPORT_REASONS, problem=problem,
        )  # fmt: skip
