"""The page of a conversation, from nothing but what is stored: a refresh shows the same."""

import time

from fastapi import HTTPException, Request
from fastapi.responses import HTMLResponse

from tutelage.collect.caps import MINUTE, must_consent
from tutelage.collect.gate import principal_of
from tutelage.collect.pages import page
from tutelage.collect.site import site_of
from tutelage.collect.words import MODES, REPORT_REASONS
from tutelage.feedback.database.conversations import Conversations
from tutelage.feedback.database.hours import DAY, seconds_worked
from tutelage.feedback.database.own import UNJUDGED
from tutelage.feedback.database.states import ConversationState
from tutelage.feedback.database.thread import Thread, TurnView


def unsettled(thread: Thread) -> TurnView | None:
    """The turn that waits for its answers or its judgment."""
    last = thread.turns[-1] if thread.turns else None
    return last if last is not None and last.state in UNJUDGED else None


def talk_page(
    request: Request, conversation: str, status: int = 200, problem: str = "", notice: str = ""
) -> HTMLResponse:
    """A conversation of the caller as it stands.

    Raises:
        NotFound: it is not theirs.
        HTTPException: 303, where it cannot go on without a consent.
    """
    site, principal = site_of(request), principal_of(request)
    with site.database.reading() as session:
        thread = Conversations(session, principal).thread(conversation)
        minutes = seconds_worked(session, principal.worker_id, time.time() - DAY, thread.mode) / MINUTE
    if thread.state == ConversationState.OPEN and must_consent(request, thread.mode):
        raise HTTPException(303, headers={"Location": "/consent/red_team"})
    red_team = thread.mode == "red_team"
    return page(
        request,
        "talk.html.j2",
        status,
        thread=thread,
        turn=unsettled(thread),
        words=MODES[thread.mode],
        reasons=REPORT_REASONS,
        minutes=round(minutes),
        cap=site.settings.red_team.daily_minutes if red_team else None,
        enough=red_team and len(thread.turns) >= site.settings.exchanges,
        problem=problem,
        notice=notice,
    )
