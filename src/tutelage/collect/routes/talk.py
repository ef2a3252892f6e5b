"""A conversation: how it begins, its turns, its end. Each handler is one step of `Conversations`, then its page."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import Field
from starlette.background import BackgroundTask

from tutelage.collect.caps import day_is_full, must_rest, rest_page, stopped
from tutelage.collect.forms import LARGEST_TURN, ConversationId, Keyed, TurnId
from tutelage.collect.gate import GatedRoute, principal_of
from tutelage.collect.pages import go, page
from tutelage.collect.routes.overlap import after
from tutelage.collect.site import site_of
from tutelage.collect.talk_page import talk_page
from tutelage.collect.words import POSITIONS, TOPICS, choice_of
from tutelage.feedback.database.conversations import Conversations
from tutelage.feedback.database.refusals import Conflict
from tutelage.feedback.database.states import TurnState
from tutelage.feedback.database.tables import FlagReason, Mode
from tutelage.feedback.database.texts import LONGEST_COMMENT, LONGEST_GOAL, LONGEST_TEXT
from tutelage.feedback.database.workers import Profile

router = APIRouter(route_class=GatedRoute)

STANDS = "This was already done, perhaps in another tab. What you see here is what stands."

Score = Annotated[int, Field(ge=1, le=5)]
Step = Callable[[Conversations], object]


class RedTeamBeginning(Keyed):
    goal: Annotated[str, Field(max_length=LONGEST_GOAL)]
    categories: list[str] = Field(default_factory=list)


class Message(Keyed):
    text: Annotated[str, Field(max_length=LONGEST_TEXT)]


class Choice(Keyed):
    position: Annotated[int, Field(ge=1, le=POSITIONS)]
    both_bad: bool = False
    milliseconds: Annotated[int, Field(ge=0, le=10**9)] | None = None


class Report(Keyed):
    reason: FlagReason
    text: Annotated[str, Field(max_length=LONGEST_COMMENT)] = ""
    turn: Annotated[int, Field(ge=1, le=LARGEST_TURN)] | None = None


class Ending(Keyed):
    rating: Score | None = None
    success: Score | None = None
    harm: Score | None = None
    actionability: Score | None = None
    distressing: bool | None = None
    tags: list[str] = Field(default_factory=list)
    comment: Annotated[str, Field(max_length=LONGEST_COMMENT)] = ""


@router.post("/talk/practice")
def begin_practice(request: Request, form: Annotated[Keyed, Form()]) -> RedirectResponse:
    return _begin(request, "practice", form.key)


@router.post("/talk/helpful")
def begin_helpful(request: Request, form: Annotated[Keyed, Form()]) -> RedirectResponse:
    return _begin(request, "helpful", form.key)


@router.post("/talk/compare")
def begin_compare(request: Request, form: Annotated[Keyed, Form()]) -> RedirectResponse:
    return _begin(request, "compare", form.key)


@router.post("/talk/red-team")
def begin_red_team(request: Request, form: Annotated[RedTeamBeginning, Form()]) -> Response:
    if must_rest(request):
        return rest_page(request, 409)
    if not form.goal.strip():
        return _red_team_start(request, 422, "Say in a sentence what you will try to make it do.")
    return _begin(request, "red_team", form.key, form.goal, _offered(request, form.categories))


@router.get("/red-team")
def red_team_start(request: Request) -> Response:
    """What will you try to make it do?"""
    return go("/rest") if must_rest(request) else _red_team_start(request)


@router.get("/rest")
def rest(request: Request) -> HTMLResponse:
    """The pause screen of red-team work."""
    return rest_page(request)


@router.get("/talk/{conversation}")
def show(request: Request, conversation: ConversationId) -> HTMLResponse:
    return talk_page(request, conversation)


@router.post("/talk/{conversation}/message")
def message(request: Request, conversation: ConversationId, form: Annotated[Message, Form()]) -> Response:
    stop = stopped(request, _mode(request, conversation))
    return stop or _step(request, conversation, lambda own: own.ask(conversation, form.text, key=form.key))


@router.post("/turns/{turn}/judgment")
def judgment(request: Request, turn: TurnId, form: Annotated[Choice, Form()]) -> Response:
    side, strength = choice_of(form.position)
    return _judging(
        request,
        turn,
        lambda own: own.judge(
            turn, side, strength, key=form.key, milliseconds=form.milliseconds, both_bad=form.both_bad
        ),
    )


@router.post("/turns/{turn}/undo")
def undo(request: Request, turn: TurnId, form: Annotated[Keyed, Form()]) -> Response:
    return _turn_step(request, turn, lambda own: own.undo(turn, key=form.key))


@router.post("/turns/{turn}/edit")
def edit(request: Request, turn: TurnId, form: Annotated[Message, Form()]) -> Response:
    return _judging(request, turn, lambda own: own.edit(turn, form.text, key=form.key))


@router.post("/turns/{turn}/skip")
def skip(request: Request, turn: TurnId, form: Annotated[Keyed, Form()]) -> Response:
    return _left(request, _of(request, turn), _turn_step(request, turn, lambda own: own.skip(turn, key=form.key)))


@router.post("/talk/{conversation}/report")
def report(request: Request, conversation: ConversationId, form: Annotated[Report, Form()]) -> Response:
    return _step(
        request,
        conversation,
        lambda own: own.report(conversation, form.reason, form.text, form.turn, key=form.key),
        "Thank you. A reviewer will read it.",
    )


@router.post("/talk/{conversation}/withdraw")
def withdraw(request: Request, conversation: ConversationId, form: Annotated[Keyed, Form()]) -> Response:
    gone = _step(request, conversation, lambda own: own.withdraw(conversation, key=form.key))
    return _left(request, conversation, gone)


@router.get("/talk/{conversation}/end")
def ask_end(request: Request, conversation: ConversationId) -> HTMLResponse:
    return _end_page(request, conversation)


@router.post("/talk/{conversation}/end")
def end(request: Request, conversation: ConversationId, form: Annotated[Ending, Form()]) -> Response:
    scores = form.model_dump(include={"rating", "success", "harm", "actionability", "distressing", "comment"})
    tags = _offered(request, form.tags)
    try:
        _write(request, lambda own: own.end(conversation, key=form.key, tags=tags, **scores))
    except Conflict:
        return talk_page(request, conversation, 409, STANDS)
    except ValueError as error:
        return _end_page(request, conversation, 422, str(error))
    return _left(request, conversation, after(request, _mode(request, conversation)))


def _begin(
    request: Request, mode: Mode, key: str, goal: str = "", categories: list[str] | None = None
) -> RedirectResponse:
    site = site_of(request)
    with site.database.writing() as session:
        conversation = Conversations(session, principal_of(request)).start(mode, goal, categories or (), key=key)
    return go("/talk/{conversation}", conversation=conversation)


def _write(request: Request, step: Step) -> None:
    with site_of(request).database.writing() as session:
        step(Conversations(session, principal_of(request)))


def _step(request: Request, conversation: str, step: Step, thanks: str = "") -> Response:
    """One step of a conversation, then its page as it stands; a step that is refused says why on that page.

    A script of ours takes the page at once; a browser that leaves its page for it is sent on, so that it may refresh.
    """
    try:
        _write(request, step)
    except Conflict:
        return talk_page(request, conversation, 409, STANDS)
    except ValueError as error:
        return talk_page(request, conversation, 422, _sentence(error))
    if thanks or request.headers.get("sec-fetch-mode") == "cors":
        return talk_page(request, conversation, notice=thanks)
    return go("/talk/{id}", id=conversation)


def _turn_step(request: Request, turn: int, step: Step) -> Response:
    return _step(request, _of(request, turn), step)


def _judging(request: Request, turn: int, step: Step) -> Response:
    """A step that is work: not without the mode's consent, nor when the day of red-team work is full."""
    with site_of(request).database.reading() as session:
        conversation, mode = Conversations(session, principal_of(request)).whereabouts(turn)
    return stopped(request, mode, day_is_full) or _step(request, conversation, step)


def _of(request: Request, turn: int) -> str:
    """The conversation of a turn."""
    with site_of(request).database.reading() as session:
        return Conversations(session, principal_of(request)).conversation_of(turn)


def _left(request: Request, conversation: str, response: Response) -> Response:
    """After a step that may have left a turn behind: its answers are made no longer, their place is another's."""
    site = site_of(request)
    with site.database.reading() as session:
        turns = Conversations(session, principal_of(request)).thread(conversation).turns
    if turns and turns[-1].state == TurnState.SKIPPED:
        response.background = BackgroundTask(site.answerer.cancel, turns[-1].id, turns[-1].attempt)
    return response


def _sentence(error: ValueError) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + "."


def _mode(request: Request, conversation: str) -> Mode:
    with site_of(request).database.reading() as session:
        return Conversations(session, principal_of(request)).mode(conversation)


def _red_team_start(request: Request, status: int = 200, problem: str = "") -> HTMLResponse:
    return page(request, "red_team.html.j2", status, topics=_topics(request), problem=problem)


def _topics(request: Request) -> dict[str, str]:
    """The topics that the worker has not declined."""
    with site_of(request).database.reading() as session:
        declined = Profile(session, principal_of(request)).declined_topics()
    return {word: label for word, label in TOPICS.items() if word not in declined}


def _offered(request: Request, words: list[str]) -> list[str]:
    """Those of the words that are topics, and not declined."""
    topics = _topics(request)
    return [word for word in words if word in topics]


def _end_page(request: Request, conversation: str, status: int = 200, problem: str = "") -> HTMLResponse:
    with site_of(request).database.reading() as session:
        thread = Conversations(session, principal_of(request)).thread(conversation)
    return page(request, "end.html.j2", status, thread=thread, topics=_topics(request), problem=problem)
