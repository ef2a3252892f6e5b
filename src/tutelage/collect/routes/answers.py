"""The stream of a turn's two answers. No connection to the database is held while it runs."""

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from tutelage.collect.answers import Finished
from tutelage.collect.gate import GatedRoute, me
from tutelage.collect.practice import practice_answers
from tutelage.collect.site import Site, site_of
from tutelage.collect.streaming import already_there, is_practice, request_of, stream_turn
from tutelage.feedback.database.conversations import Conversations
from tutelage.feedback.database.planning import Plan
from tutelage.feedback.database.principal import Principal
from tutelage.feedback.database.thread import Answer

router = APIRouter(route_class=GatedRoute)

HEADERS = {"X-Accel-Buffering": "no"}  # nginx passes it on as it comes


@router.get("/turns/{turn}/answers")
async def answers(request: Request, turn: int) -> StreamingResponse:
    """Claim the turn, or follow the attempt that runs, and stream both answers in lockstep."""
    site, principal = site_of(request), me(request)
    plan = await run_in_threadpool(_plan, site, principal, turn)
    if plan is None:
        return StreamingResponse(already_there(), media_type="text/event-stream", headers=HEADERS)

    async def store(a: Finished, b: Finished) -> None:
        await run_in_threadpool(_store, site, principal, plan, (Answer(a.text, a.finish), Answer(b.text, b.finish)))

    async def lose(_reason: str) -> None:
        await run_in_threadpool(_lose, site, principal, plan)

    events = practice_answers(plan.dialogue) if is_practice(plan) else site.answerer.follow(request_of(plan))
    return StreamingResponse(stream_turn(events, store, lose), media_type="text/event-stream", headers=HEADERS)


def _plan(site: Site, principal: Principal, turn: int) -> Plan | None:
    with site.database.writing() as session:
        own = Conversations(session, principal)
        return own.claim(turn) or own.plan(turn)


def _store(site: Site, principal: Principal, plan: Plan, made: tuple[Answer, Answer]) -> None:
    # Where the attempt was given up meanwhile nothing is stored; the page, which looks again, shows what stands.
    with site.database.writing() as session:
        Conversations(session, principal).answers_finished(plan.turn_id, plan.attempt, made)


def _lose(site: Site, principal: Principal, plan: Plan) -> None:
    with site.database.writing() as session:
        Conversations(session, principal).answers_failed(plan.turn_id, plan.attempt)
