"""Nothing that reaches a worker tells which snapshot wrote what."""

import json
import re

from fastapi import FastAPI
from sqlalchemy import select

from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.tables import Response

from .conftest import CANARIES
from .people import Person, Scripted


def test_no_byte_of_a_snapshots_name_or_place_reaches_a_worker(
    worker: Person, app: FastAPI, database: Database, answerer: Scripted
) -> None:
    received: list[str] = []
    keep = worker._seen

    def seen(response):  # type: ignore[no-untyped-def]
        received.append(f"{response.headers} {response.text}")
        return keep(response)

    worker._seen = seen  # type: ignore[method-assign]
    for mode in ("helpful", "compare"):
        conversation = worker.begin(mode)
        for text in ("first", "second"):
            turn = worker.ask(conversation, text)
            received.append(worker.stream)
            worker.send(f"/turns/{turn}/judgment", position=3)
            worker.send(f"/turns/{turn}/undo")
            worker.send(f"/turns/{turn}/judgment", position=6)
        worker.open(f"/talk/{conversation}/end")
        worker.send(f"/talk/{conversation}/end", rating=3)
    for path in ("/home", "/rate", "/messages", "/code"):
        worker.open(path)
    with database.reading() as session:
        made = session.scalars(select(Response)).all()
        assert {row.snapshot for row in made} == set(CANARIES), "both were drawn"
        seeds = {str(row.seed) for row in made}
    everything = "\n".join(received)
    assert "The first answer." in everything
    assert "canary" not in everything
    assert not seeds & set(re.findall(r"\d+", everything))


def test_the_stream_has_equal_amounts_of_both_sides_at_every_moment(worker: Person, answerer: Scripted) -> None:
    answerer.texts = ("word " * 40, "another one " * 25)
    conversation = worker.begin()
    worker.ask(conversation, "hello")
    parts = [json.loads(line[6:]) for line in worker.stream.splitlines() if line.startswith('data: {"a"')]
    assert len(parts) > 5
    shortest = min(len(text) for text in answerer.texts)
    shown = 0
    for part in parts:
        if shown + len(part["a"]) <= shortest and shown + len(part["b"]) <= shortest:
            assert len(part["a"]) == len(part["b"])
        shown += max(len(part["a"]), len(part["b"]))


def test_which_snapshot_is_on_which_side_is_left_to_chance(worker: Person, answerer: Scripted) -> None:
    for _ in range(12):
        worker.ask(worker.begin("compare"), "hello")
    assert {request.a.snapshot for request in answerer.asked} == set(CANARIES)
