"""A demonstration: simulated workers and a reviewer who fill a database through the app itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import numpy as np

from tutelage.collect.simulated import SimulatedWorker, make_account
from tutelage.collect.visitor import Unexpected, Visitor
from tutelage.feedback.crowd import Crowd, make_crowd
from tutelage.feedback.database.access import Access
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.tables import Role

VERDICTS = {"writing": "good", "judging": "good"}


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """How many simulated workers hold how many conversations in all (one each at least), and how many turns are
    spot-checked; equal seeds make equal crowds."""

    workers: int = 10
    conversations: int = 60
    checks: int = 10
    seed: int = 0


def run_demo(address: str, database: Database, settings: DemoSettings, on_conversation: Callable[[], None]) -> None:
    """Fill the database of a running app: `planned(settings)` conversations.

    Args:
        address: of the app, as `http://127.0.0.1:8000`.
        on_conversation: hears of every conversation that has ended.

    Raises:
        Unexpected: the app did not do what its pages promise.
        ValueError: too few workers to be a crowd.
    """
    crowd = make_crowd(settings.workers, settings.seed)
    try:
        asyncio.run(_run(address, database, settings, crowd, on_conversation))
    except ExceptionGroup as group:  # of workers who work at once; one tells enough
        raise Unexpected(str(group.exceptions[0])) from group


def planned(settings: DemoSettings) -> int:
    """How many conversations will be held."""
    return sum(_shares(settings, make_crowd(settings.workers, settings.seed)))


def _shares(settings: DemoSettings, crowd: Crowd) -> list[int]:
    """Each worker's conversations: by diligence, one at least."""
    return [max(1, round(settings.conversations * share)) for share in crowd.diligence]


async def _run(
    address: str, database: Database, settings: DemoSettings, crowd: Crowd, on_conversation: Callable[[], None]
) -> None:
    async with AsyncExitStack() as stack:

        async def visitor() -> Visitor:
            return await stack.enter_async_context(_visitor(address))

        streams = np.random.SeedSequence(settings.seed).spawn(len(crowd.workers))
        people = [
            SimulatedWorker(await visitor(), worker, np.random.default_rng(stream), on_conversation)
            for worker, stream in zip(crowd.workers, streams, strict=True)
        ]
        for person in people:
            await person.join(_invite(database, "worker", "red_team_worker"))
        reviewer = await visitor()
        await make_account(reviewer, _invite(database, "reviewer"), f"reviewer{settings.seed}")
        await let_all_in(reviewer)
        async with asyncio.TaskGroup() as group:
            for person, share in zip(people, _shares(settings, crowd), strict=True):
                group.create_task(person.work(share))
        await check(reviewer, settings.checks, np.random.default_rng(settings.seed))


@asynccontextmanager
async def _visitor(address: str) -> AsyncIterator[Visitor]:
    async with httpx.AsyncClient(base_url=address, follow_redirects=True, timeout=60.0) as http:
        yield Visitor(http)


def _invite(database: Database, *roles: Role) -> str:
    """The path of a new invite's link."""
    with database.writing() as session:
        return f"/join/{Access(session).invite(roles, note='demonstration')}"


async def let_all_in(reviewer: Visitor) -> None:
    """Pass every writing sample that waits."""
    await reviewer.open("/review")
    while form := next((form for form in reviewer.page.forms if form.action.startswith("/review/samples/")), None):
        await reviewer.send(form, {"passed": "true"})


async def check(reviewer: Visitor, turns: int, rng: np.random.Generator) -> None:
    """Judge turns of others blind, then give a verdict, up to as many as there are."""
    for _ in range(turns):
        await reviewer.open("/review")
        await reviewer.send(reviewer.page.form("/review/next", reason="random"))
        blind = reviewer.page.form("/judgment")
        if blind is None:
            return
        await reviewer.send(blind, {"position": str(rng.integers(1, 9))})
        await reviewer.send(reviewer.page.form("/verdict"), VERDICTS)
