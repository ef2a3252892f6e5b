"""Invites, hand-offs, logins, passwords; consent, decisions about workers, deployment."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event, select, update

from tutelage.dialogue import SamplingParameters
from tutelage.feedback.database import access, once
from tutelage.feedback.database.access import HOUR, LOCK_AFTER, Access, secret, sign_in, take_token, token_hash
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.deployment import Deployment
from tutelage.feedback.database.passwords import hash_password, is_password
from tutelage.feedback.database.planning import meetings
from tutelage.feedback.database.principal import SYSTEM, Principal
from tutelage.feedback.database.refusals import Conflict, Forbidden, NotFound, Unavailable
from tutelage.feedback.database.tables import Answered, AuditEntry, Credential, Invite, Login, Worker
from tutelage.feedback.database.workers import Profile, Workers

from .flow import acting, ask, deploy, judged, start, worker

PASSWORD = "correct horse battery"


def principal(database: Database, token: str) -> Principal | None:
    with database.reading() as session:
        found = Access(session).holder(token, {})
    return found and found.principal


def test_an_invite_makes_workers_until_it_is_used_up(database: Database) -> None:
    with database.writing() as session:
        token = Access(session).invite(["worker", "reviewer"], uses=2)
    for _ in range(2):
        with database.writing() as session:
            made = Access(session).redeem(token)
            roles = {row.role for row in session.get_one(Worker, made).roles}
            assert roles == {"worker", "reviewer"}
    with pytest.raises(NotFound), database.writing() as session:
        Access(session).redeem(token)
    with database.writing() as session:
        late = Access(session).invite(["worker"], lifetime=-1)
        assert token not in str([row.__dict__ for row in session.scalars(select(Invite))])
        with pytest.raises(NotFound):
            Access(session).redeem(late)


def test_who_comes_from_a_platform_is_known_again(database: Database) -> None:
    with database.writing() as session:
        access = Access(session)
        first = access.enter("prolific", "p1", "study", "s1")
        assert access.enter("prolific", "p1", "study", "s1") == first
        again = access.enter("prolific", "p1", "study", "s2")
        assert again[0] == first[0]
        assert access.enter("mturk", "p1")[0] != first[0]
        code = access.completion_code(first[1])
        with pytest.raises(ValueError, match="missing"):
            access.enter("prolific", " ")
    with database.writing() as session:
        assert Access(session).completion_code(first[1]) == code
        assert Access(session).completion_code(again[1]) != code
        assert secret(session, "completion codes") == secret(session, "completion codes") != secret(session, "other")


def test_who_comes_by_two_links_at_once_is_one_worker(database: Database) -> None:
    def enter(submission: str) -> str:
        with database.writing() as session:
            return Access(session).enter("prolific", "p1", "study", submission)[0]

    with ThreadPoolExecutor(6) as threads:
        assert len(set(threads.map(enter, "abcdef"))) == 1


def test_a_login_ends_and_dies_with_its_worker(database: Database) -> None:
    me = worker(database)
    with database.writing() as session:
        token = Access(session).open_login(me.worker_id)
    assert principal(database, token) == me
    with database.reading() as session:
        assert token not in {row.token_hash for row in session.scalars(select(Login))}
    with database.writing() as session:
        assert [row.token_hash for row in Access(session).logins(me.worker_id)] == [token_hash(token)]
        session.execute(update(Login).values(seen=time.time() - 13 * 3600))
        assert Access(session).logins(me.worker_id) == []
        session.execute(update(Login).values(seen=time.time(), expires=time.time() - 1))
        assert Access(session).logins(me.worker_id) == []
        session.execute(update(Login).values(seen=time.time() - 13 * 3600, expires=time.time() + 3600))
    assert principal(database, token) is None
    with database.writing() as session:
        Access(session).seen(token)
    assert principal(database, token) == me
    with database.writing() as session:
        Workers(session, SYSTEM).set_status(me.worker_id, "disabled", "a script")
    assert principal(database, token) is None
    with database.writing() as session, pytest.raises(NotFound):
        Access(session).open_login(me.worker_id)


def test_passwords_are_hashed_and_guessing_is_locked(database: Database) -> None:
    me, other = worker(database), worker(database)
    with database.writing() as session:
        Access(session).set_password(me.worker_id, "Ada ", hash_password(PASSWORD))
        assert PASSWORD not in session.get_one(Credential, me.worker_id).password_hash
        with pytest.raises(Conflict):
            Access(session).set_password(other.worker_id, "ada", hash_password(PASSWORD))
    with pytest.raises(ValueError, match="12 to 128"):
        hash_password("short")
    token = sign_in(database, "ADA", PASSWORD)
    assert token is not None
    assert principal(database, token) == me
    assert sign_in(database, "nobody", PASSWORD) is None
    for _ in range(LOCK_AFTER + 1):
        assert sign_in(database, "ada", "wrong") is None
    with database.writing() as session:
        row = session.get_one(Credential, me.worker_id)
        assert row.locked_until > row.changed
        row.locked_until = time.time() + 60  # longer than a busy machine takes for the next line
    assert sign_in(database, "ada", PASSWORD) is None  # locked, and right
    assert principal(database, token) == me
    with database.writing() as session:
        session.execute(update(Credential).values(locked_until=0.0))
    assert sign_in(database, "ada", PASSWORD) is not None


@pytest.fixture
def refusals(database: Database) -> dict[str, tuple[str, str]]:
    """Names and passwords that do not sign in: of a known name, of nobody's, of one that guessing has locked."""
    for login in ("ada", "bea"):
        someone = worker(database)
        with database.writing() as session:
            Access(session).set_password(someone.worker_id, login, hash_password(PASSWORD))
    with database.writing() as session:
        session.execute(update(Credential).where(Credential.login == "bea").values(locked_until=time.time() + 3600))
    sign_in(database, "nobody", PASSWORD)  # the audit chain begins but once
    return {"known": ("ada", "a wrong password"), "nobody's": ("eve", PASSWORD), "locked": ("bea", PASSWORD)}


def test_a_refusal_takes_the_same_steps_whoever_it_is_about(
    database: Database, refusals: dict[str, tuple[str, str]]
) -> None:
    steps: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        steps.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    taken = {}
    for case, given in refusals.items():
        steps.clear()
        assert sign_in(database, *given) is None
        taken[case] = list(steps)
    assert any(step.startswith("UPDATE credentials") for step in taken["known"])
    assert taken["known"] == taken["nobody's"] == taken["locked"]
    with database.reading() as session:  # a right password, too, is refused while its name is locked
        noted = session.scalars(select(AuditEntry).order_by(AuditEntry.number.desc()).limit(3)).all()
    assert [entry.action for entry in noted] == ["refused sign-in"] * 3


def test_a_password_that_is_changed_while_it_is_looked_at_lets_nobody_in(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    someone = worker(database)
    with database.writing() as session:
        Access(session).set_password(someone.worker_id, "ada", hash_password(PASSWORD))

    def slowly(password: str, stored: str | None) -> bool:
        with database.writing() as session:
            Access(session).set_password(someone.worker_id, "ada", hash_password("another horse battery"))
        return is_password(password, stored)

    monkeypatch.setattr(access, "is_password", slowly)
    assert sign_in(database, "ada", PASSWORD) is None


@pytest.mark.hard
def test_a_refusal_takes_the_same_time_whoever_it_is_about(
    database: Database, refusals: dict[str, tuple[str, str]]
) -> None:
    times: dict[str, list[float]] = {case: [] for case in refusals}
    for number in range(100):
        for case, given in refusals.items():
            begun = time.perf_counter()
            assert sign_in(database, *given) is None
            times[case].append(1000 * (time.perf_counter() - begun))
            with database.writing() as session:
                session.execute(update(Credential).where(Credential.login == "ada").values(failures=number % 3))
    medians = {case: statistics.median(taken) for case, taken in times.items()}
    print({case: f"{median:.1f} ms" for case, median in medians.items()})
    assert max(medians.values()) - min(medians.values()) < 10


def test_consent_is_versioned(database: Database) -> None:
    me = worker(database)
    with database.writing() as session:
        mine = Profile(session, me)
        mine.consent("red_team", "1", ["violence"])
        mine.consent("red_team", "1", ["violence", "self-harm"])
        access = Access(session)
        token = access.open_login(me.worker_id)
        for versions, agreed in (({"helpful": "1", "red_team": "1"}, {"red_team"}), ({"red_team": "2"}, set())):
            found = access.holder(token, versions)
            assert found is not None
            assert found.consents == agreed
        assert mine.declined_topics() == ["violence", "self-harm"]


def test_a_reviewer_decides_on_writing_and_writes_notes(database: Database) -> None:
    me, reviewer = worker(database), worker(database, "reviewer")
    with database.writing() as session:
        Profile(session, me).try_qualification("helpful", {"1": "b"}, 1.0, "I like long walks.", None)
        theirs = Workers(session, reviewer)
        (waiting,) = theirs.undecided()
        theirs.decide(waiting.id, True)
        theirs.note(me.worker_id, "Well written.")
    with database.writing() as session:
        mine = Profile(session, me)
        tried = mine.qualification("helpful")
        assert tried is not None
        assert tried.passed
        assert [note.text for note in mine.notes()] == ["Well written."]
        mine.read_notes()
        assert mine.notes()[0].read is not None


def test_only_administrators_decide_and_every_decision_is_told(database: Database) -> None:
    me, reviewer, admin = worker(database), worker(database, "reviewer"), worker(database, "admin")
    with database.writing() as session:
        with pytest.raises(Forbidden):
            Workers(session, me)
        with pytest.raises(Forbidden):
            Workers(session, reviewer).set_roles(me.worker_id, ["admin"], "why not")
        with pytest.raises(Forbidden):
            Deployment(session, reviewer)
        decide = Workers(session, admin)
        decide.set_roles(me.worker_id, ["worker"], "no red team for now")
        decide.set_may_edit(me.worker_id, True, "writes well")
        decide.set_status(me.worker_id, "paused", "asked for a pause")
        with pytest.raises(ValueError, match="erase"):
            decide.set_status(me.worker_id, "erased", "x")
        with pytest.raises(ValueError, match="reason is empty"):
            decide.set_status(me.worker_id, "active", " ")
    with database.reading() as session:
        row = Workers(session, admin).get(me.worker_id)
        assert ([role.role for role in row.roles], row.may_edit) == (["worker"], True)
        told = session.scalars(select(AuditEntry.action).where(AuditEntry.actor == admin.worker_id)).all()
    assert told == ["roles", "may edit", "status"]


def test_who_is_paused_starts_nothing(database: Database) -> None:
    me = worker(database)
    with database.writing() as session:
        Workers(session, SYSTEM).set_status(me.worker_id, "paused", "a pause")
    paused = Principal(me.worker_id, me.roles, "paused")
    with pytest.raises(Forbidden):
        start(database, paused)


def test_snapshots_are_drawn_by_weight_and_stopped_at_once(database: Database) -> None:
    deploy(database, "old", "new")
    me = worker(database)
    with database.writing() as session:
        deployment = Deployment(session, SYSTEM)
        deployment.set_weight("old", 0.0, "a new one is there")
        deployment.deploy("new", "/snapshots/new", "cooler", sampling=SamplingParameters(temperature=0.5))
        with pytest.raises(Conflict):
            deployment.deploy("new", "/elsewhere", "x")
        with pytest.raises(ValueError, match="0 or more"):
            deployment.set_weight("new", float("nan"), "x")
    turn = ask(database, me, start(database, me))
    with acting(database, me) as mine:
        plan = mine.claim(turn, lease=-1)
    assert plan is not None
    assert [planned.snapshot for planned in plan.answers] == ["new", "new"]
    assert plan.answers[0].sampling == SamplingParameters(temperature=0.5)
    assert plan.answers[0].seed != plan.answers[1].seed
    with database.writing() as session:
        Deployment(session, SYSTEM).set_status("new", "stopped", "it swears")
    with pytest.raises(Unavailable), acting(database, me) as mine:
        mine.claim(turn)
    with database.reading() as session:
        latest = Deployment(session, SYSTEM).changes()[0]
        assert (latest.reason, latest.after["status"]) == ("it swears", "stopped")


def test_one_snapshot_is_not_compared_with_itself(database: Database) -> None:
    deploy(database, "alone")
    with pytest.raises(Unavailable, match="nothing to compare"):
        start(database, worker(database), "compare")


def test_who_has_lost_the_role_goes_on_no_longer(database: Database) -> None:
    deploy(database)
    me = worker(database)
    chat = start(database, me, "red_team")
    with pytest.raises(Forbidden):
        ask(database, Principal(me.worker_id, frozenset({"worker"})), chat)


def test_comparing_takes_the_pair_that_met_least(database: Database) -> None:
    deploy(database, "s1", "s2", "s3")
    me = worker(database)
    for _ in range(3):
        judged(database, me, start(database, me, "compare"))
    with database.reading() as session:
        assert meetings(session) == {("s1", "s2"): 1, ("s1", "s3"): 1, ("s2", "s3"): 1}


def test_what_was_answered_long_ago_is_forgotten_when_somebody_comes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "FORGOTTEN_AT_ONCE", 2)
    with database.writing() as session:
        for number, weeks in enumerate((1, 5, 7, 8, 9)):
            created = time.time() - weeks * 7 * 24 * HOUR
            session.add(Answered(principal="w", key=f"{number}", fingerprint="", answer=number, created=created))
    left = []
    for comer in ("one", "two", "three"):
        with database.writing() as session:
            assert take_token(session, comer, 1, 1)
        with database.reading() as session:
            left.append(sorted(session.scalars(select(Answered.key).where(Answered.principal == "w"))))
    assert [len(keys) for keys in left] == [3, 2, 2]
    assert left[-1] == ["0", "1"]
