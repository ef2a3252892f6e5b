"""The two answers of a turn as they come. No database connection is held while they do."""

from collections.abc import AsyncGenerator, AsyncIterator

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from tutelage.collect.answers import AnswerEvent, Finished
from tutelage.collect.caps import must_consent
from tutelage.collect.forms import TurnId
from tutelage.collect.gate import GatedRoute, principal_of
from tutelage.collect.practice import practice_answers
from tutelage.collect.security import LOG
from tutelage.collect.site import Site, site_of
from tutelage.collect.streaming import ANSWERED, request_of, stream_turn
from tutelage.feedback.database.conversations import Conversations
from tutelage.feedback.database.planning import Plan
from tutelage.feedback.database.principal import Principal
from tutelage.feedback.database.thread import Answer

router = APIRouter(route_class=GatedRoute)

# Without the second, a proxy in front would collect the words and send them in lumps.
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@router.get("/turns/{turn}/answers", response_class=StreamingResponse)
async def follow(request: Request, turn: TurnId) -> StreamingResponse:
    """Server-sent events: see `streaming.stream_turn`. Begins the answers, or joins those that are under way."""
    site, principal = site_of(request), principal_of(request)
    plan = await run_in_threadpool(_plan, request, turn)
    events = _already() if plan is None else _stream(site, principal, plan)
    return StreamingResponse(events, media_type="text/event-stream", headers=HEADERS)


def _plan(request: Request, turn: int) -> Plan | None:
    """What answers the turn; None where it has its answers, or wants none any more."""
    with site_of(request).database.writing(lasting=False) as session:
        own = Conversations(session, principal_of(request))
        if must_consent(request, own.whereabouts(turn)[1]):
            raise HTTPException(303, headers={"Location": "/consent/red_team"})
        return own.claim(turn) or own.plan(turn)


async def _already() -> AsyncIterator[str]:
    yield ANSWERED


def _stream(site: Site, principal: Principal, plan: Plan) -> AsyncIterator[str]:
    def stored(a: Finished, b: Finished) -> None:
        with site.database.writing() as session:
            both = (Answer(a.text, a.finish), Answer(b.text, b.finish))
            Conversations(session, principal).answers_finished(plan.turn_id, plan.attempt, both)

    def given_up() -> bool:
        with site.database.writing() as session:
            return Conversations(session, principal).answers_failed(plan.turn_id, plan.attempt)

    async def store(a: Finished, b: Finished) -> None:
        async with site.line.place():
            await run_in_threadpool(stored, a, b)

    async def lose(reason: str) -> None:
        async with site.line.place():
            mine = await run_in_threadpool(given_up)
        if mine:
            LOG.warning("turn %d, attempt %d: no answers (%s)", plan.turn_id, plan.attempt, reason)
            if plan.answers[0].snapshot is not None:
                await site.answerer.cancel(plan.turn_id, plan.attempt)

    return stream_turn(_events(site, plan), store, lose)


def _events(site: Site, plan: Plan) -> AsyncGenerator[AnswerEvent]:
    if plan.answers[0].snapshot is None:
        return practice_answers(plan.dialogue)
    return site.answerer.follow(request_of(plan))
