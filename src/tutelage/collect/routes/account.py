"""A worker's way to the first conversation, and their account: consent, guidelines, qualification, code."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import Field

from tutelage.collect.agreements import consent_version
from tutelage.collect.forms import Sent
from tutelage.collect.gate import GatedRoute, principal_of
from tutelage.collect.pages import go, page
from tutelage.collect.qualification import QUESTIONS, score, wrong_answers
from tutelage.collect.site import site_of
from tutelage.collect.words import TOPICS
from tutelage.feedback.database.access import Access
from tutelage.feedback.database.conversations import Conversations
from tutelage.feedback.database.hours import credited
from tutelage.feedback.database.tables import Interface
from tutelage.feedback.database.texts import LONGEST_COMMENT
from tutelage.feedback.database.workers import Profile

router = APIRouter(route_class=GatedRoute)

Choice = Annotated[int, Field(ge=0, le=9)]


class Agreement(Sent):
    version: str
    declined: list[str] = Field(default_factory=list)


class Qualifying(Sent):
    honest: Choice
    equal: Choice
    pretend: Choice
    private: Choice
    writing: Annotated[str, Field(min_length=40, max_length=LONGEST_COMMENT)]


@router.get("/consent/{interface}")
def ask_consent(request: Request, interface: Interface) -> HTMLResponse:
    with site_of(request).database.reading() as session:
        declined = Profile(session, principal_of(request)).declined_topics()
    version = consent_version(interface)
    return page(request, "consent.html.j2", interface=interface, version=version, topics=TOPICS, declined=declined)


@router.post("/consent/{interface}")
def consent(request: Request, interface: Interface, form: Annotated[Agreement, Form()]) -> Response:
    if form.version != consent_version(interface):
        return go("/consent/{interface}", interface=interface)  # the text has changed while it was read
    with site_of(request).database.writing() as session:
        profile = Profile(session, principal_of(request))
        chosen = [topic for topic in form.declined if topic in TOPICS]
        declined = chosen if interface == "red_team" else profile.declined_topics()
        profile.consent(interface, form.version, declined)
    return go("/guidelines/{interface}", interface=interface)


@router.get("/guidelines/{interface}")
def guidelines(request: Request, interface: Interface) -> HTMLResponse:
    return page(request, "guidelines.html.j2", interface=interface)


@router.get("/start")
def start(request: Request) -> Response:
    """The three steps before paid work."""
    with site_of(request).database.reading() as session:
        tried = Profile(session, principal_of(request)).qualification("helpful")
        practised = any(row.mode == "practice" for row in Conversations(session, principal_of(request)).recent())
    if tried is not None and tried.passed:
        return go("/home")
    return page(request, "start.html.j2", practised=practised, waiting=tried is not None and tried.passed is None)


@router.get("/qualification")
def ask_qualification(request: Request) -> HTMLResponse:
    return page(request, "qualification.html.j2", questions=QUESTIONS, wrong=[], writing="")


@router.post("/qualification")
def qualification(request: Request, form: Annotated[Qualifying, Form()]) -> Response:
    """Let in who knows the guidelines; where the collection asks for it, a reviewer reads the writing first."""
    site = site_of(request)
    answers = {question.name: int(getattr(form, question.name)) for question in QUESTIONS}
    wrong = wrong_answers(answers)
    passed = False if wrong else None if site.settings.qualification == "reviewed" else True
    with site.database.writing() as session:
        Profile(session, principal_of(request)).try_qualification(
            "helpful", answers, score(answers), form.writing, passed
        )
    if wrong:
        return page(request, "qualification.html.j2", 422, questions=QUESTIONS, wrong=wrong, writing=form.writing)
    return go("/start")


@router.get("/paused")
def paused(request: Request) -> HTMLResponse:
    with site_of(request).database.reading() as session:
        reason = Profile(session, principal_of(request)).status_reason()
    return page(request, "paused.html.j2", reason=reason.rstrip("."))


@router.get("/messages")
def messages(request: Request) -> HTMLResponse:
    with site_of(request).database.reading() as session:
        notes = Profile(session, principal_of(request)).notes()
        return page(request, "messages.html.j2", notes=notes, unread=any(note.read is None for note in notes))


@router.post("/messages")
def read_messages(request: Request, form: Annotated[Sent, Form()]) -> Response:
    with site_of(request).database.writing() as session:
        Profile(session, principal_of(request)).read_notes()
    return go("/messages")


@router.get("/code")
def code(request: Request) -> HTMLResponse:
    """Completion codes of the platforms' submissions whose share of work is done."""
    site, principal = site_of(request), principal_of(request)
    needed = site.settings.completion_choices
    with site.database.writing() as session:
        entries = Profile(session, principal).entries()
        made = credited(session, principal, [entry.created for entry in entries], needed)
        codes = [
            {"platform": entry.platform, "study": entry.study, "code": Access(session).completion_code(entry.id)}
            for entry, count in zip(entries, made, strict=True)
            if count >= needed
        ]
    return page(request, "code.html.j2", codes=codes, entries=bool(entries), needed=needed, made=max(made, default=0))
