"""The workers' app under load: so many workers who read, think, choose and write, against the command as it is shipped.

    python benchmarks/bench_collect.py                              # SQLite in a temporary folder
    python benchmarks/bench_collect.py --database postgresql://…    # an empty database

Server processes, the stub that answers, the database and this driver share the machine. What is timed is what a browser
waits for: every page, and every form until the page that comes back for it, from sending it to its last byte. A
redirection is a request of its own. Streams are timed apart, from the request to the first words and to the end: how
long a stub or a model talks says nothing of the server. What is begun after the time is over, while workers leave, is
not counted. In the end every choice that was acknowledged must be stored, once.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from browser import Answer, Browser, Refused
from sqlalchemy import func, select

from tutelage.collect.agreements import consent_version
from tutelage.collect.qualification import QUESTIONS
from tutelage.collect.security import cookie_name
from tutelage.feedback.database.access import Access
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.principal import principal_of
from tutelage.feedback.database.schema import upgrade
from tutelage.feedback.database.tables import Judgment
from tutelage.feedback.database.workers import Profile

RESULTS = Path(__file__).parent / "results"
START_SECONDS = 120.0
HOST = "127.0.0.1"


@dataclass
class Measured:
    """Seconds of requests by what they are, of streams to the first words and of processors; and what went wrong."""

    requests: dict[str, list[float]] = field(default_factory=dict)
    first_words: list[float] = field(default_factory=list)
    streams: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    judged: int = 0
    cpu: dict[str, float] = field(default_factory=dict)


class Worker:
    """One worker at their browser: a think time before everything they send."""

    def __init__(self, browser: Browser, think: float, measured: Measured, until: float) -> None:
        self.browser, self.think, self.measured, self.until = browser, think, measured, until
        self.page, self.path = "", ""

    async def work(self) -> None:
        await asyncio.sleep(random.random() * self.think)  # they do not all come at the same moment
        try:
            await self.open("/home")
            await self.send("/talk/helpful", "begin")
            while time.monotonic() < self.until:
                await self.turn()
        except (OSError, EOFError, Refused, LookupError) as error:
            self.measured.errors[f"{type(error).__name__}: {error}"[:120]] += 1
        finally:
            self.browser.close()

    async def turn(self) -> None:
        await self.pause()
        await self.send(f"{self.path}/message", "message", text="How long does bread keep, and why?")
        await self.stream(self.found(r'data-stream="([^"]+)"'))
        await self.open(self.path)
        action = self.found(r'action="(/turns/\d+/judgment)"')
        await self.pause()
        await self.send(action, "judgment", position=str(random.randint(1, 8)), milliseconds="5000")
        self.measured.judged += 1

    async def pause(self) -> None:
        await asyncio.sleep(self.think * (0.5 + random.random()))

    async def open(self, path: str) -> None:
        self.page, self.path = (await self.request("page", "GET", path)).body, path

    async def send(self, path: str, what: str, **fields: str) -> None:
        sent = {"csrf": self.found(r'name="csrf" content="(\w+)"'), "key": uuid.uuid4().hex, **fields}
        answer = await self.request(what, "POST", path, sent)
        if "location" in answer.headers:
            await self.open(answer.headers["location"])
        else:
            self.page = answer.body

    async def request(self, what: str, method: str, path: str, fields: dict[str, str] | None = None) -> Answer:
        begun, counts = time.perf_counter(), time.monotonic() < self.until  # then they leave, and it grows quiet
        answer = await self.browser.request(method, path, fields)
        if counts:
            self.measured.requests.setdefault(what, []).append(time.perf_counter() - begun)
        return answer

    async def stream(self, path: str) -> None:
        begun, first, last = time.perf_counter(), 0.0, ""
        async for event in self.browser.stream(path):
            first, last = first or time.perf_counter() - begun, event
        self.measured.streams.append(time.perf_counter() - begun)
        self.measured.first_words.append(first)
        if "event: answered" not in last:
            raise LookupError(f"a stream ended on {last!r}")

    def found(self, pattern: str) -> str:
        match = re.search(pattern, self.page)
        if match is None:
            raise LookupError(f"no {pattern} on {self.path}")
        return match[1]


def qualified_workers(database: Database, count: int) -> list[str]:
    """So many workers who may begin at once; returns their logins' tokens."""
    upgrade(database)
    answers = {question.name: question.right for question in QUESTIONS}
    tokens = []
    with database.writing() as session:
        access = Access(session)
        invite = access.invite(("worker",), uses=count)
        for _ in range(count):
            worker = access.redeem(invite)
            profile = Profile(session, principal_of(session, worker))
            profile.consent("helpful", consent_version("helpful"))
            profile.try_qualification("helpful", answers, 1.0, "", passed=True)
            tokens.append(access.open_login(worker))
    return tokens


@contextmanager
def running_app(database: str, processes: int, log: Path) -> Any:
    """The command `tutelage collect` on a free port; gives its process and the port."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "tutelage.cli.main", "collect", "--model", "stub", "--database", database,
        "--port", str(port), "--processes", str(processes),
    ]  # fmt: skip
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as app:
        try:
            wait_for(port, app, log)
            yield app, port
        finally:
            app.send_signal(signal.SIGTERM)


def wait_for(port: int, app: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and app.poll() is None:
        with suppress(OSError), urlopen(f"http://{HOST}:{port}/health", timeout=5):
            return
        time.sleep(0.2)
    raise SystemExit(f"the app did not come up:\n{log.read_text()[-2000:]}")


async def load(port: int, tokens: list[str], seconds: float, think: float) -> Measured:
    measured, until = Measured(), time.monotonic() + seconds
    browsers = [Browser(HOST, port, f"{cookie_name(tls=False)}={token}") for token in tokens]
    await asyncio.gather(*(Worker(browser, think, measured, until).work() for browser in browsers))
    return measured


def cpu_seconds(app: int) -> dict[str, float]:
    """Processor time so far of this driver and of what the app's processes do; Linux tells it in /proc."""
    tick = os.sysconf("SC_CLK_TCK")
    spent = {"driver": time.process_time(), "web": 0.0, "model": 0.0}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            command = (process / "cmdline").read_text()
            if app in (int(process.name), int(fields[1])):
                part = "model" if "model_process" in command else "web"
                spent[part] += (int(fields[11]) + int(fields[12])) / tick
    return spent


def quantile(values: list[float], share: float) -> float | None:
    """In milliseconds."""
    return round(1000 * sorted(values)[min(len(values) - 1, int(share * len(values)))], 1) if values else None


def spread(values: list[float]) -> dict[str, Any]:
    return {"count": len(values), **{f"p{q}_ms": quantile(values, q / 100) for q in (50, 95, 99)}}


def summary(measured: Measured, stored: int, options: argparse.Namespace, backend: str) -> dict[str, Any]:
    every = [seconds for times in measured.requests.values() for seconds in times]
    return {
        "workers": options.workers, "think_s": options.think, "seconds": options.seconds,
        "processes": options.processes, "database": backend, "cores": os.cpu_count(),
        "python": platform.python_version(), "load_before": round(os.getloadavg()[0], 2),
        "requests": spread(every) | {"per_s": round(len(every) / options.seconds, 1)},
        "by_kind": {kind: spread(times) for kind, times in sorted(measured.requests.items())},
        "first_words": spread(measured.first_words), "streams": spread(measured.streams),
        "cpu_ms_a_turn": {part: round(1000 * s / max(1, measured.judged), 1) for part, s in measured.cpu.items()},
        "errors": dict(measured.errors), "judgments_acknowledged": measured.judged, "judgments_stored": stored,
    }  # fmt: skip


def show(result: dict[str, Any]) -> None:
    rows = {"all requests": result["requests"], **result["by_kind"], "first words": result["first_words"]}
    print(f"{'':16}{'count':>8}{'p50 ms':>10}{'p95 ms':>10}{'p99 ms':>10}")
    for name, row in rows.items():
        print(f"{name:16}{row['count']:>8}" + "".join(f"{row[q] or 0:>10.1f}" for q in ("p50_ms", "p95_ms", "p99_ms")))
    print(
        f"{result['requests']['per_s']} requests/s, {sum(result['errors'].values())} errors, "
        f"{result['judgments_acknowledged']} choices acknowledged, {result['judgments_stored']} stored"
    )
    print("processor ms a turn: " + ", ".join(f"{part} {spent}" for part, spent in result["cpu_ms_a_turn"].items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--think", type=float, default=5.0, help="mean think time before what is sent, in seconds")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long they work")
    parser.add_argument("--processes", type=int, default=2, help="web processes")
    parser.add_argument("--database", default="", help="an empty database; default: SQLite in a temporary folder")
    parser.add_argument("--out", type=Path, help="write the result as JSON; say results/collect-….json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = options.database or f"sqlite:///{folder}/feedback.db"
        database = Database(url)
        tokens = qualified_workers(database, options.workers)
        with running_app(url, options.processes, Path(folder) / "app.log") as (app, port):
            before = cpu_seconds(app.pid)
            measured = asyncio.run(load(port, tokens, options.seconds, options.think))
            measured.cpu = {part: spent - before[part] for part, spent in cpu_seconds(app.pid).items()}
        with database.reading() as session:
            stored = session.scalar(select(func.count()).select_from(Judgment).where(Judgment.stands)) or 0
        result = summary(measured, stored, options, database.url.get_backend_name())
        database.close()
    show(result)
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    if result["errors"] or stored != measured.judged:
        raise SystemExit(f"errors: {result['errors']}; acknowledged {measured.judged}, stored {stored}")


if __name__ == "__main__":
    main()
