"""A worker's first page, and the rating of finished dialogues."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import Field

from tutelage.collect.forms import ConversationId, Keyed
from tutelage.collect.gate import GatedRoute, principal_of
from tutelage.collect.pages import go, page
from tutelage.collect.site import site_of
from tutelage.collect.words import MODES
from tutelage.feedback.database import hours
from tutelage.feedback.database.conversations import Conversations
from tutelage.feedback.database.planning import may_compare
from tutelage.feedback.database.ratings import Ratings
from tutelage.feedback.database.refusals import Conflict
from tutelage.feedback.database.states import ConversationState
from tutelage.feedback.database.texts import LONGEST_COMMENT

router = APIRouter(route_class=GatedRoute)


class DialogueRating(Keyed):
    rating: Annotated[int, Field(ge=1, le=5)]
    comment: Annotated[str, Field(max_length=LONGEST_COMMENT)] = ""


@router.get("/home")
def home(request: Request) -> HTMLResponse:
    """Four numbers and two doors."""
    principal = principal_of(request)
    with site_of(request).database.reading() as session:
        numbers = hours.home(session, principal)
        recent = Conversations(session, principal).recent()
        comparing = may_compare(session)
    unfinished = [row for row in recent if row.state == ConversationState.OPEN and row.mode != "practice"]
    titles = {mode: words.title for mode, words in MODES.items()}
    return page(request, "home.html.j2", home=numbers, unfinished=unfinished, titles=titles, comparing=comparing)


@router.get("/rate")
def ask_rating(request: Request) -> HTMLResponse:
    return _rate_page(request)


@router.post("/rate/{conversation}")
def rate(request: Request, conversation: ConversationId, form: Annotated[DialogueRating, Form()]) -> Response:
    try:
        with site_of(request).database.writing() as session:
            Ratings(session, principal_of(request)).rate(conversation, form.rating, form.comment, key=form.key)
    except Conflict:
        return _rate_page(request, 409, "You have rated that dialogue already; the first rating stands.")
    return go("/rate")


def _rate_page(request: Request, status: int = 200, problem: str = "") -> HTMLResponse:
    with site_of(request).database.writing() as session:
        thread = Ratings(session, principal_of(request)).next()
    return page(request, "rate.html.j2", status, thread=thread, problem=problem)
