"""The admin's pages: what was collected, who works, who answers, who is let in, and what was done."""

from itertools import islice
from typing import Annotated, Literal

from fastapi import APIRouter, Form, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import Field
from sqlalchemy.orm import Session

from tutelage.collect.deciding import decide
from tutelage.collect.forms import Keyed, Reason, Sent, WorkerId
from tutelage.collect.gate import GatedRoute, principal_of
from tutelage.collect.pages import go, page
from tutelage.collect.site import site_of
from tutelage.dialogue import Question
from tutelage.feedback.database import overview
from tutelage.feedback.database.access import Access
from tutelage.feedback.database.agreement import overlap
from tutelage.feedback.database.audit import Audit
from tutelage.feedback.database.credentials import reset_token
from tutelage.feedback.database.deployment import Deployment
from tutelage.feedback.database.overview import Overview
from tutelage.feedback.database.principal import Principal
from tutelage.feedback.database.reviews import Reviews
from tutelage.feedback.database.tables import Role, WorkerStatus
from tutelage.feedback.database.workers import Workers

router = APIRouter(route_class=GatedRoute)

QUESTIONS: dict[Question, str] = {"more_helpful": "more helpful", "more_harmful": "more harmful (red team)"}
ROLES: tuple[Role, ...] = ("worker", "red_team_worker", "reviewer", "admin")
STATUSES: dict[WorkerStatus, str] = {
    "active": "may work",
    "paused": "sees a page that says why, and keeps what is theirs",
    "disabled": "is signed out everywhere and cannot come back",
}
ENTRIES = 100  # of the audit log, a page
FAULTS_SHOWN = 20
DAY = 86400.0
OWN = "You cannot lock yourself out; another admin can."

SnapshotName = Annotated[str, Path(pattern=r"^[^\x00]+$", max_length=200)]
LastWorker = Annotated[str, Query(pattern="^[0-9a-f]{16}$")]
Action = Annotated[str, Query(max_length=50)]
EntryNumber = Annotated[int, Query(ge=1, le=2**31 - 1)]


class AccessForm(Keyed):
    roles: Annotated[list[Role], Field(default_factory=list)]
    may_edit: bool = False
    reason: Reason


class StatusForm(Keyed):
    status: Literal["active", "paused", "disabled"]
    reason: Reason


class MessageForm(Keyed):
    text: Reason


class ExclusionForm(Keyed):
    excluded: bool
    reason: Reason


class SnapshotForm(Keyed):
    weight: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
    reason: Reason
    switch: Literal["active", "stopped", ""] = ""


class ClosingForm(Keyed):
    invite: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class InviteForm(Keyed):
    roles: Annotated[list[Role], Field(min_length=1)]
    uses: Annotated[int, Field(ge=1, le=10_000)] = 1
    days: Annotated[int, Field(ge=1, le=365)] = 7
    note: Annotated[str, Field(max_length=200)] = ""


@router.get("/admin")
def data(request: Request) -> HTMLResponse:
    """What was collected, and what is out of balance."""
    with site_of(request).database.reading() as session:
        numbers = Overview(session, principal_of(request)).data()
    return page(
        request, "admin_data.html.j2", data=numbers, questions=QUESTIONS,
        warnings=overview.warnings(numbers),
        is_connected=overview.connected(numbers.pairs),
        busiest=max((counts.total() for counts in numbers.weeks.values()), default=0),
    )  # fmt: skip


@router.get("/admin/agreement")
def agreement(request: Request) -> HTMLResponse:
    """How far people agree on the turns that several have judged."""
    with site_of(request).database.reading() as session:
        shared = overlap(session)
    return page(request, "admin_agreement.html.j2", agreement=shared)


@router.get("/admin/workers")
def workers(request: Request, after: LastWorker | None = None) -> HTMLResponse:
    """Workers with their numbers, the newest first."""
    with site_of(request).database.reading() as session:
        found = Overview(session, principal_of(request)).workers(after)
    more = found[-1].id if len(found) == overview.PAGE else None
    return page(request, "admin_workers.html.j2", workers=found, after=more)


@router.get("/admin/workers/{worker}")
def worker(request: Request, worker: WorkerId) -> HTMLResponse:
    """One worker, and what can be decided about them."""
    return _worker(request, worker)


@router.post("/admin/workers/{worker}/reset")
def reset(request: Request, worker: WorkerId, form: Annotated[Sent, Form()]) -> HTMLResponse:
    """Make a link by which a worker chooses another password; it is on this page and nowhere else."""
    with site_of(request).database.writing() as session:
        token = reset_token(session, worker, principal_of(request).worker_id)
    return _worker(request, worker, f"{request.base_url}reset/{token}")


def _worker(request: Request, worker: str, reset_link: str = "") -> HTMLResponse:
    with site_of(request).database.reading() as session:
        principal = principal_of(request)
        row = Workers(session, principal).get(worker)
        numbers = Overview(session, principal).worker(worker)
        exclusion = Reviews(session, principal).excluded("worker", worker)
        return page(
            request, "admin_worker.html.j2", worker=numbers, may_edit=row.may_edit, status_reason=row.status_reason,
            exclusion=exclusion, roles=ROLES, statuses=STATUSES, reset_link=reset_link,
        )  # fmt: skip


@router.post("/admin/workers/{worker}/access")
def set_access(request: Request, worker: WorkerId, form: Annotated[AccessForm, Form()]) -> RedirectResponse:
    """What a worker may do."""
    if worker == principal_of(request).worker_id and "admin" not in form.roles:
        raise HTTPException(422, OWN)

    def act(session: Session, principal: Principal) -> None:
        repository = Workers(session, principal)
        repository.set_roles(worker, sorted(set(form.roles)), form.reason)
        if repository.get(worker).may_edit != form.may_edit:
            repository.set_may_edit(worker, form.may_edit, form.reason)

    decide(request, form, act)
    return go("/admin/workers/{worker}", worker=worker)


@router.post("/admin/workers/{worker}/status")
def set_status(request: Request, worker: WorkerId, form: Annotated[StatusForm, Form()]) -> RedirectResponse:
    """Pause, disable or re-activate a worker."""
    if worker == principal_of(request).worker_id:
        raise HTTPException(422, OWN)
    decide(request, form, lambda session, me: Workers(session, me).set_status(worker, form.status, form.reason))
    return go("/admin/workers/{worker}", worker=worker)


@router.post("/admin/workers/{worker}/message")
def send_message(request: Request, worker: WorkerId, form: Annotated[MessageForm, Form()]) -> RedirectResponse:
    """Tell a worker something."""

    def act(session: Session, principal: Principal) -> None:
        Workers(session, principal).note(worker, form.text)

    decide(request, form, act)
    return go("/admin/workers/{worker}", worker=worker)


@router.post("/admin/workers/{worker}/exclusion")
def set_exclusion(request: Request, worker: WorkerId, form: Annotated[ExclusionForm, Form()]) -> RedirectResponse:
    """Leave all that a worker did out of later exports, or take it in again."""
    decide(
        request, form,
        lambda session, me: Reviews(session, me).set_excluded("worker", worker, form.excluded, form.reason),
    )  # fmt: skip
    return go("/admin/workers/{worker}", worker=worker)


@router.get("/admin/deployment")
def deployment(request: Request) -> HTMLResponse:
    """Who answers, with what weight."""
    with site_of(request).database.reading() as session:
        repository = Deployment(session, principal_of(request))
        snapshots, changes = repository.table(), repository.changes()
    total = sum(snapshot.weight for snapshot in snapshots if snapshot.status == "active")
    return page(request, "admin_deployment.html.j2", snapshots=snapshots, changes=changes, total=total)


@router.post("/admin/deployment/{snapshot:path}")
def change_deployment(
    request: Request, snapshot: SnapshotName, form: Annotated[SnapshotForm, Form()]
) -> RedirectResponse:
    """Stop or start a snapshot, or change its weight."""

    def act(session: Session, principal: Principal) -> None:
        repository = Deployment(session, principal)
        if form.switch:
            repository.set_status(snapshot, form.switch, form.reason)
        else:
            repository.set_weight(snapshot, form.weight, form.reason)

    decide(request, form, act)
    return go("/admin/deployment")


@router.get("/admin/invites")
def invites(request: Request) -> HTMLResponse:
    """Open invites, and a form for another."""
    return _invites(request, link=None)


@router.post("/admin/invites")
def invite(request: Request, form: Annotated[InviteForm, Form()]) -> HTMLResponse:
    """Make an invite; its link is on this page and nowhere else. The same form sent again shows the same link."""
    with site_of(request).database.writing() as session:
        by = principal_of(request).worker_id
        token = Access(session).invite(sorted(set(form.roles)), by, form.uses, form.days * DAY, form.note, form.key)
    return _invites(request, link=f"{request.base_url}join/{token}")


@router.post("/admin/invites/closing")
def close_invite(request: Request, form: Annotated[ClosingForm, Form()]) -> RedirectResponse:
    """Nobody comes in by an invite any more; who came by it stays."""
    decide(request, form, lambda session, me: Access(session).close_invite(form.invite, me.worker_id))
    return go("/admin/invites")


def _invites(request: Request, link: str | None) -> HTMLResponse:
    with site_of(request).database.reading() as session:
        found = Overview(session, principal_of(request)).open_invites()
    return page(request, "admin_invites.html.j2", invites=found, link=link, roles=ROLES)


@router.get("/admin/audit")
def audit(request: Request, before: EntryNumber | None = None, action: Action | None = None) -> HTMLResponse:
    """What was done, the newest first; all, or the actions of one name."""
    return _audit(request, before, action, faults=None)


@router.post("/admin/audit/verification")
def verify(request: Request) -> HTMLResponse:
    """Read the whole chain and say whether it holds."""
    with site_of(request).database.reading() as session:
        faults = list(islice(Audit(session).faults(), FAULTS_SHOWN))
    return _audit(request, None, None, faults)


def _audit(request: Request, before: int | None, action: str | None, faults: list[str] | None) -> HTMLResponse:
    with site_of(request).database.reading() as session:
        entries = Audit(session).latest(ENTRIES, before, action)
    more = entries[-1].number if len(entries) == ENTRIES else None
    return page(request, "admin_audit.html.j2", entries=entries, before=more, action=action, faults=faults)
