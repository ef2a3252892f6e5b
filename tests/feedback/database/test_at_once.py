"""Many at once, lost acknowledgements, full disks and killed processes: what was acknowledged is there, once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import event, func, select, text

from tutelage.feedback.database import connection
from tutelage.feedback.database.access import take_token
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.conversations import Conversations
from tutelage.feedback.database.refusals import Conflict, Unavailable
from tutelage.feedback.database.schema import upgrade
from tutelage.feedback.database.tables import Judgment, Snapshot, Turn
from tutelage.feedback.database.thread import Answer
from tutelage.feedback.database.verify import faults

from ...conftest import Cluster, lacks
from .flow import acting, answer, ask, deploy, judge, judged, new_key, start, thread, worker

T = TypeVar("T")


def at_once(count: int, act: Callable[[int], T]) -> list[T]:
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(act, range(count)))


def count(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(Judgment)) or 0


@pytest.mark.parametrize("clients", [20, pytest.param(200, marks=pytest.mark.hard)])
def test_the_same_key_at_once_is_one_judgment(database: Database, clients: int) -> None:
    deploy(database)
    me = worker(database)
    chat = start(database, me)
    turn = ask(database, me, chat)
    answer(database, me, turn)

    def post(_: int) -> int:
        with acting(database, me) as mine:
            return mine.judge(turn, "b", 2, key="one click")

    assert len(set(at_once(clients, post))) == 1
    assert count(database) == 1
    assert list(faults(database)) == []


@pytest.mark.parametrize("rounds", [5, pytest.param(100, marks=pytest.mark.hard)])
def test_of_opposite_choices_in_two_tabs_one_stands(database: Database, rounds: int) -> None:
    deploy(database)
    me = worker(database)
    chat = start(database, me)
    for number in range(rounds):
        turn = ask(database, me, chat, f"Message {number}")
        answer(database, me, turn)

        def click(tab: int, turn: int = turn) -> str:
            side = "ab"[tab]
            try:
                judge(database, me, turn, side)  # type: ignore[arg-type]
                return f"stored {side}"
            except Conflict as conflict:
                return f"told {conflict.stored.choice.side}"

        told = sorted(at_once(2, click))
        assert told in (["stored a", "told a"], ["stored b", "told b"])
    assert count(database) == rounds


@pytest.mark.parametrize("times", [10, pytest.param(200, marks=pytest.mark.hard)])
def test_after_a_lost_acknowledgement_the_same_request_is_answered_again(database: Database, times: int) -> None:
    deploy(database)
    me = worker(database)
    chat = start(database, me)
    for number in range(times):
        turn = ask(database, me, chat, f"Message {number}")
        answer(database, me, turn)
        ids = []
        for _ in ("lost", "again"):
            with acting(database, me) as mine:
                ids.append(mine.judge(turn, "a", 4, key=f"click {number}", milliseconds=900))
        assert ids[0] == ids[1]
    assert count(database) == times


def test_a_key_serves_one_request_of_one_worker(database: Database) -> None:
    deploy(database)
    me, other = worker(database), worker(database)
    with acting(database, me) as mine:
        mine.start("helpful", key="k")
        with pytest.raises(Conflict, match="another request"):
            mine.start("compare", key="k")
    with acting(database, other) as theirs:
        assert theirs.start("helpful", key="k")
    with pytest.raises(ValueError, match="1 to 200"), acting(database, me) as mine:
        mine.start("helpful", key="")
    with pytest.raises(ValueError, match="plain"), acting(database, me) as mine:
        mine.start("helpful", key="nul \x00")


def test_one_of_many_claims_a_turn(database: Database) -> None:
    deploy(database)
    me = worker(database)
    turn = ask(database, me, start(database, me))

    def claim(_: int) -> bool:
        with acting(database, me) as mine:
            return mine.claim(turn) is not None

    assert sum(at_once(10, claim)) == 1


def test_two_messages_at_once_make_one_turn(database: Database) -> None:
    deploy(database)
    me = worker(database)
    chat = start(database, me)

    def send(number: int) -> bool:
        try:
            ask(database, me, chat, f"Message {number}")
            return True
        except Conflict:
            return False

    assert sum(at_once(8, send)) == 1
    assert len(thread(database, me, chat).turns) == 1


def test_a_bucket_gives_what_it_holds(database: Database) -> None:
    def take(_: int) -> bool:
        with database.writing() as session:
            return take_token(session, "sign in", capacity=3, per_second=0.001)

    assert sum(at_once(8, take)) == 3


def test_readers_do_not_stop_writers(database: Database) -> None:
    deploy(database)
    me = worker(database)
    chat = start(database, me)
    with database.reading() as session:
        mine = Conversations(session, me)
        assert mine.thread(chat).turns == ()
        ask(database, me, chat)
        session.expire_all()
        assert mine.thread(chat).turns == ()  # one state from beginning to end
    assert len(thread(database, me, chat).turns) == 1


def test_only_what_nobody_is_told_of_does_not_wait_for_the_disk(database: Database) -> None:
    asked, full = ("PRAGMA synchronous", 2) if database.is_sqlite else ("SHOW synchronous_commit", "on")
    for lasting in (True, False, True):
        with database.writing(lasting) as session:
            assert (session.execute(text(asked)).scalar() == full) == lasting


def test_whoever_finds_the_lock_taken_waits_and_then_gives_up(
    tmp_path: Path, sqlite_template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "feedback.db").write_bytes(Path(sqlite_template).read_bytes())
    one, another = (Database(str(tmp_path / "feedback.db")) for _ in range(2))  # as two processes have it
    with ThreadPoolExecutor(1) as threads:
        with one.writing() as session:
            session.connection()  # begins
            waiting = threads.submit(deploy, another)
            time.sleep(0.1)
            assert not waiting.done()
        waiting.result(10)
    monkeypatch.setattr(connection, "WAIT_FOR_LOCK", 0.05)
    with one.writing() as session:
        session.connection()
        with pytest.raises(Unavailable, match="locked"), another.writing() as theirs:
            theirs.connection()
    with another.writing() as session:
        assert session.scalar(select(func.count()).select_from(Snapshot)) == 2
    one.close()
    another.close()


def test_on_a_full_disk_nothing_is_acknowledged_and_all_recovers(tmp_path: Path, sqlite_template: str) -> None:
    (tmp_path / "feedback.db").write_bytes(Path(sqlite_template).read_bytes())
    database = Database(str(tmp_path / "feedback.db"))
    deploy(database)
    me = worker(database)
    chat = start(database, me)
    pages: list[int] = []

    def limit(driver, _record, _proxy) -> None:  # type: ignore[no-untyped-def]
        if pages:
            driver.execute(f"PRAGMA max_page_count={pages[0]}")

    event.listen(database.engine, "checkout", limit)
    pages.append(1)  # SQLite takes no fewer than the file has
    stored: list[int] = []

    def fill() -> None:
        for _ in range(1000):
            turn = ask(database, me, chat, "long " * 500)
            with acting(database, me) as mine:
                mine.skip(turn, key=new_key())
            stored.append(turn)

    with pytest.raises(Unavailable, match="full"):
        fill()
    pages[0] = 10**9
    seen = thread(database, me, chat).turns
    assert len(seen) - len(stored) in (0, 1)  # the message itself, or its skipping, was refused
    with acting(database, me) as mine:
        for turn_view in seen[len(stored) :]:
            mine.skip(turn_view.id, key=new_key())
    judged(database, me, chat)
    assert list(faults(database)) == []
    database.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB, which only root can make."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], capture_output=True)
    if made.returncode:
        lacks("tmpfs", f"run as root; mounting said: {made.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_on_a_disk_that_fills_up_nothing_is_acknowledged_and_all_recovers(
    small_disk: Path, sqlite_template: str
) -> None:
    (small_disk / "feedback.db").write_bytes(Path(sqlite_template).read_bytes())
    database = Database(str(small_disk / "feedback.db"))
    deploy(database)
    me = worker(database)
    chat = start(database, me)
    with (small_disk / "ballast").open("wb") as ballast:
        ballast.write(bytes(shutil.disk_usage(small_disk).free - 2_000_000))
    kept: list[int] = []

    def fill() -> None:
        while len(kept) < 2000:
            kept.append(judged(database, me, chat, text="long " * 500))

    with pytest.raises(Unavailable):
        fill()
    assert kept
    with pytest.raises(Unavailable):
        judged(database, me, start(database, me))
    (small_disk / "ballast").unlink()
    stored = [turn.id for turn in thread(database, me, chat).turns if turn.choice]
    print(f"{len(kept)} turns acknowledged, {len(stored)} stored")
    assert stored == kept
    judged(database, me, start(database, me))
    assert list(faults(database)) == []
    database.close()


def patiently(act: Callable[[str], T]) -> T:
    """What the act gives at last, always tried with the same key."""
    key = new_key()
    while True:
        try:
            return act(key)
        except Unavailable:
            time.sleep(0.05)


def one_turn(step: Callable[[Callable[[Conversations, str], Any]], Any], chat: str) -> int:
    turn = step(lambda mine, key: mine.ask(chat, "Again?", key=key))
    plan = step(lambda mine, _: mine.claim(turn) or mine.plan(turn))
    both = (Answer("Yes.", "stop"), Answer("No.", "stop"))
    step(lambda mine, _: mine.answers_finished(turn, plan.attempt, both))
    judgment: int = step(lambda mine, key: mine.judge(turn, "a", 3, key=key))
    return judgment


@pytest.mark.parametrize("restarts", [1, pytest.param(5, marks=pytest.mark.hard)])
def test_what_was_acknowledged_outlasts_a_crash_of_postgresql(cluster: Cluster, restarts: int) -> None:
    """Four workers judge, and send again with the same key what was not acknowledged, while the server is stopped as by
    a crash and started again: each of their judgments is there, once."""
    database = Database(f"{cluster.url}postgres")
    upgrade(database)
    deploy(database)
    over = threading.Event()
    acknowledged: list[int] = []

    def work(_: int) -> None:
        me = patiently(lambda _: worker(database))

        def step(act: Callable[[Conversations, str], T]) -> T:
            def attempt(key: str) -> T:
                with acting(database, me) as mine:
                    return act(mine, key)

            return patiently(attempt)

        chat = step(lambda mine, key: mine.start("helpful", key=key))
        while not over.is_set():
            acknowledged.append(one_turn(step, chat))

    with ThreadPoolExecutor(4) as threads:
        works = [threads.submit(work, number) for number in range(4)]
        for crash in range(restarts + 1):
            while len(acknowledged) < 10 * (crash + 1) and not any(done.done() for done in works):
                time.sleep(0.02)
            if crash < restarts:
                cluster.stop(signal.SIGQUIT)
                cluster.start()
        over.set()
        for done in works:
            done.result()
    with database.reading() as session:
        stored = session.scalars(select(Judgment.id)).all()
        turns = session.scalar(select(func.count()).select_from(Turn))
    print(f"{restarts} crashes: {len(acknowledged)} acknowledged, {len(stored)} stored, {turns} turns")
    assert len(acknowledged) >= 10 * (restarts + 1)
    assert sorted(acknowledged) == sorted(stored)
    assert len(stored) == turns
    assert list(faults(database)) == []
    database.close()


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.hard)])
def test_what_was_acknowledged_outlasts_kill_9(
    database: Database, database_url: str, tmp_path: Path, kills: int
) -> None:
    """A process of four threads that judges, and prints each judgment's number after its commit, is killed again and
    again at any moment: every printed number is there, and no turn is half done."""
    deploy(database)
    acknowledged: list[int] = []
    for _ in range(kills):
        with (tmp_path / "log").open("w+") as log:
            process = subprocess.Popen(
                [sys.executable, Path(__file__).with_name("writer.py"), database_url],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            deadline = time.monotonic() + 60
            while (tmp_path / "log").read_text().count("\n") < 10:
                assert process.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            whole = (tmp_path / "log").read_text().rpartition("\n")[0]
            acknowledged += [json.loads(line) for line in whole.splitlines()]
    with database.reading() as session:
        stored = set(session.scalars(select(Judgment.id)))
        turns = session.scalar(select(func.count()).select_from(Turn))
    print(f"{kills} kills: {len(acknowledged)} acknowledged, {len(set(acknowledged) - stored)} lost, {turns} turns")
    assert len(acknowledged) >= 10 * kills
    assert set(acknowledged) <= stored
    assert list(faults(database)) == []
