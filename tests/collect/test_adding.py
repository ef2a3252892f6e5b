"""A snapshot that is added while the app runs."""

import asyncio
from pathlib import Path

import pytest

from tutelage.cli.main import main
from tutelage.collect.adding import add
from tutelage.collect.answers import AnswerRequest, AnswersLost, Finished, SideRequest
from tutelage.collect.engines import EngineSettings
from tutelage.collect.model_client import ModelClient
from tutelage.collect.server import deploy
from tutelage.collect.streaming import request_of
from tutelage.collect.supervisor import ModelSupervisor
from tutelage.dialogue import SamplingParameters
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.conversations import Conversations
from tutelage.feedback.database.deployment import Deployment
from tutelage.feedback.database.principal import SYSTEM
from tutelage.feedback.database.tables import Snapshot
from tutelage.modeling.heads import ScoreHead
from tutelage.modeling.hub import TINY
from tutelage.modeling.snapshot import save_snapshot
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError

from . import browsing

SAMPLING = SamplingParameters(temperature=0.9, max_tokens=12)


@pytest.fixture
def policy(tiny: Trunk, tmp_path: Path) -> Path:
    tiny.add_adapter("policy", rank=2, seed=1)
    for parameter in tiny.adapter_parameters("policy").values():
        parameter.data.normal_(0, 0.5)
    save_snapshot(tmp_path / "policy", tiny, "policy", 2, None, {})
    save_snapshot(tmp_path / "judge", tiny, "policy", 2, ScoreHead(tiny.width, "last"), {})
    return tmp_path / "policy"


@pytest.fixture
def answering(database: Database) -> Database:
    """The database of an app in which the small base answers, and nothing else."""
    deploy(database, {TINY: None}, SAMPLING, base=TINY)
    return database


def test_a_snapshot_that_is_added_answers_from_the_next_message_on(answering: Database, policy: Path) -> None:
    name = add(answering, policy, 3.0, "round 2")
    with answering.writing() as session:
        Deployment(session, SYSTEM).set_weight(TINY, 0, "for a test")
    me = browsing.make_account(answering, "worker")
    with answering.writing() as session:
        own = Conversations(session, me)
        plan = own.claim(own.ask(own.start("helpful", key="1"), "What is bread?", key="2"))
    assert plan is not None
    asked = request_of(plan)
    assert (asked.a.snapshot, asked.a.place, asked.a.sampling) == (name, str(policy.resolve()), SAMPLING)
    with ModelSupervisor(EngineSettings(base=TINY, snapshots={TINY: None}, columns=128)) as model:
        model.wait_until_ready()
        client = ModelClient(model.socket, model.secret)

        async def heard(request: AnswerRequest) -> list[str]:
            return [event.text async for event in client.follow(request) if isinstance(event, Finished)]

        assert all(asyncio.run(heard(asked)))
        nowhere = SideRequest("unknown", SAMPLING, 1, str(policy))
        with pytest.raises(AnswersLost, match="neither among those of the start nor at"):
            asyncio.run(heard(AnswerRequest(7, 1, asked.prompt, asked.a, nowhere)))


def test_what_cannot_answer_is_not_added(answering: Database, policy: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="preference model"):
        add(answering, tmp_path / "judge", 1, "r")
    with pytest.raises(InputError, match=r"snapshot\.json"):
        add(answering, tmp_path / "nothing", 1, "r")
    with pytest.raises(InputError, match="--weight"):
        add(answering, policy, -1, "r")
    deploy(answering, {"another": None}, SAMPLING, base="another")
    with pytest.raises(InputError, match="nothing that answers is"):
        add(answering, policy, 1, "r")


def test_one_that_was_made_on_the_same_base_speaks_for_the_next(
    answering: Database, policy: Path, tiny: Trunk, tmp_path: Path
) -> None:
    first = add(answering, policy, 1, "r")
    with answering.writing() as session:
        Deployment(session, SYSTEM).set_status(TINY, "stopped", "for a test")
    tiny.adapter_parameters("policy").popitem()[1].data.zero_()
    save_snapshot(tmp_path / "next", tiny, "policy", 2, None, {})
    assert main(["feedback", "deploy", str(tmp_path / "next"), "--database", answering.name, "--weight", "2"]) == 0
    with answering.reading() as session:
        rows = {row.name: row.weight for row in session.query(Snapshot).where(Snapshot.status == "active")}
    assert rows.pop(first) == 1
    assert list(rows.values()) == [2]
