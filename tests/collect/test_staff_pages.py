"""Reviewers' and admins' pages: what they show, what they do, and that they stay quick with 100,000 judgments."""

import io
import json
import re
import tarfile
import time
from collections.abc import AsyncGenerator, Iterator
from typing import Any, get_args

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from tutelage.collect.answers import AnswerEvent, AnswerRequest
from tutelage.collect.app import make_app
from tutelage.collect.page_reader import Page, read_page
from tutelage.collect.security import cookie_name
from tutelage.collect.settings import Settings
from tutelage.feedback.database.access import Access
from tutelage.feedback.database.audit import Audit
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.deployment import Deployment
from tutelage.feedback.database.overview import Overview, connected, warnings
from tutelage.feedback.database.principal import SYSTEM
from tutelage.feedback.database.tables import (
    AuditEntry,
    CheckReason,
    Conversation,
    Judgment,
    Rating,
    Role,
    Snapshot,
)

from .people import counted
from .seeded import SNAPSHOTS, seed

SMALL = 600
PAGES = ("/admin", "/admin/agreement", "/admin/workers", "/admin/deployment", "/admin/invites", "/admin/exports",
         "/admin/imports", "/admin/audit", "/review")  # fmt: skip


class Nobody:
    """An answerer that is never asked."""

    def follow(self, request: AnswerRequest) -> AsyncGenerator[AnswerEvent]:
        raise AssertionError("no page of reviewers or admins asks a model")

    async def cancel(self, turn: int, attempt: int) -> None:
        raise AssertionError("nothing to cancel")


class Staff:
    """Somebody signed in, and the page they are on."""

    def __init__(self, database: Database, *roles: Role) -> None:
        with database.writing() as session:
            access = Access(session)
            self.worker = access.redeem(access.invite(roles))
            token = access.open_login(self.worker)
        app = make_app(Settings(database=database.name), database, Nobody())
        self.http = TestClient(app, base_url="http://127.0.0.1:8000", cookies={cookie_name(tls=False): token})
        self.page, self.html, self.status = Page(), "", 0

    def open(self, path: str) -> Page:
        return self._arrive(self.http.get(path))

    def send(self, action: str, **values: Any) -> Page:
        form = self.page.form(action)
        assert form is not None, f"no form {action} on this page"
        assert values.keys() <= form.names, values.keys() - form.names
        return self._arrive(self.http.post(form.action, data={**form.fields, **values}))

    def _arrive(self, response: Any) -> Page:
        self.status, self.html = response.status_code, response.text
        self.page = read_page(self.html)
        return self.page


@pytest.fixture
def seeded(database_url: str) -> Iterator[tuple[Database, list[str]]]:
    """A database with more workers than a page of the list holds, and their ids."""
    made = Database(database_url)
    yield made, seed(made, SMALL, workers=60)
    made.close()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    seed(made, 40, workers=5)
    yield made
    made.close()


def test_a_page_needs_few_statements_whatever_the_size(seeded: tuple[Database, list[str]]) -> None:
    admin = Staff(seeded[0], "admin", "reviewer")
    for path in (*PAGES, f"/admin/workers?after={seeded[1][30]}", f"/admin/workers/{seeded[1][0]}"):
        with counted(seeded[0]) as statements:
            admin.open(path)
        assert admin.status == 200
        assert 0 < len(statements) <= 12, (path, statements)


@pytest.mark.hard
def test_pages_are_quick_at_100_000_judgments(database_url: str) -> None:
    database = Database(database_url)
    ids = seed(database, 100_000)
    admin = Staff(database, "admin", "reviewer")
    slow = {}
    for path in (*PAGES, f"/admin/workers?after={ids[100]}", f"/admin/workers/{ids[0]}"):
        admin.open(path)
        with counted(database) as statements:
            begun = time.perf_counter()
            admin.open(path)
            seconds = time.perf_counter() - begun
        print(f"{path}: {1000 * seconds:.0f} ms, {len(statements)} statements")
        assert len(statements) <= 12
        slow[path] = seconds
    for reason in get_args(CheckReason):
        admin.open("/review")
        begun = time.perf_counter()
        admin.send("/review/next", reason=reason)
        slow[f"/review/next {reason}"] = time.perf_counter() - begun
    print({path: f"{1000 * seconds:.0f} ms" for path, seconds in slow.items()})
    assert max(slow.values()) < 0.3, slow


def test_the_numbers_of_a_worker_are_those_of_their_rows(seeded: tuple[Database, list[str]]) -> None:
    database, ids = seeded
    with database.reading() as session:
        first = Overview(session, SYSTEM).worker(ids[0])
        rows = session.execute(
            select(Judgment.side, Judgment.strength, Judgment.milliseconds).where(Judgment.worker_id == ids[0])
        )
        sides, strengths, times = zip(*rows.all(), strict=True)
    assert first is not None
    assert first.judgments == len(sides)
    assert first.left == pytest.approx(sides.count("a") / len(sides))
    assert first.extreme == pytest.approx(strengths.count(4) / len(strengths))
    ordered = sorted(times)
    middle = (ordered[(len(times) - 1) // 2] + ordered[len(times) // 2]) / 2
    assert first.median_s == pytest.approx(middle / 1000)
    assert first.hours == pytest.approx(10)
    assert first.agreement is not None
    assert first.agreement.low < 0.5 < first.agreement.high  # the seeded choices are drawn by lot


def test_the_list_of_workers_turns_its_pages_without_loss(seeded: tuple[Database, list[str]]) -> None:
    with seeded[0].reading() as session:
        overview = Overview(session, SYSTEM)
        first = overview.workers()
        second = overview.workers(first[-1].id)
    listed = [worker.id for worker in (*first, *second)]
    assert len(first) == 50
    assert len(set(listed)) == len(listed)
    assert set(seeded[1]) <= set(listed)


def test_the_data_add_up(seeded: tuple[Database, list[str]]) -> None:
    with seeded[0].reading() as session:
        numbers = Overview(session, SYSTEM).data()
    assert numbers.total == SMALL == sum(numbers.pairs.values())
    assert sum(counts.total() for counts in numbers.weeks.values()) == SMALL
    assert len(numbers.weeks) in (10, 11)
    assert all(time.gmtime(monday).tm_wday == 0 for monday in numbers.weeks)
    assert {name for pair in numbers.pairs for name in pair} == set(SNAPSHOTS)
    assert connected(numbers.pairs)
    assert warnings(numbers) == []


def test_agreement_is_shown_once_two_people_have_judged(seeded: tuple[Database, list[str]]) -> None:
    admin = Staff(seeded[0], "admin")
    admin.open("/admin/agreement")
    assert "Krippendorff" in admin.html
    assert f"{SMALL // 20} turns" in admin.html


def test_a_gap_in_the_pairs_is_seen() -> None:
    assert connected({})
    assert connected({("a", "b"): 1, ("b", "c"): 1, ("a", "c"): 0})
    assert not connected({("a", "b"): 1, ("c", "d"): 5, ("b", "c"): 0})


def test_a_reviewer_judges_blind_before_the_choice_is_shown(database: Database) -> None:
    reviewer = Staff(database, "reviewer")
    reviewer.open("/review")
    page = reviewer.send("/review/next")
    blind = page.form("/judgment")
    assert blind is not None
    assert "chosen" not in reviewer.html
    assert "preferred" not in reviewer.html
    words = set(re.split(r"[^\w-]+", reviewer.html))  # whole words: a random key may hold "s1"
    assert not words & set(SNAPSHOTS)
    path = blind.action.removesuffix("/judgment")
    assert reviewer.open(path).form("/judgment") is not None  # a refresh shows the same
    page = reviewer.send("/judgment", position="2")
    assert "chosen, strength" in reviewer.html
    assert page.form("/judgment") is None
    reviewer.send("/verdict", writing="good", judging="poor", message="Please write a little more.")
    assert reviewer.status == 200
    reviewer.open(path)
    reviewer.send("/verdict", writing="poor", judging="poor")
    assert reviewer.status == 409
    with database.reading() as session:
        reviews = session.connection().exec_driver_sql("SELECT writing, judging FROM reviews").all()
        notes = session.connection().exec_driver_sql("SELECT text FROM notes").all()
    assert [tuple(row) for row in reviews] == [("good", "poor")]
    assert [tuple(row) for row in notes] == [("Please write a little more.",)]


def test_a_reported_conversation_is_read_without_the_choices_and_judged_from_there(database: Database) -> None:
    reviewer = Staff(database, "reviewer")
    link = next(link for link in reviewer.open("/review").links if link.startswith("/review/conversations/"))
    reviewer.open(link)
    assert reviewer.status == 200
    assert "Answer a to message" in reviewer.html
    assert "chosen, strength" not in reviewer.html
    assert "preferred" not in reviewer.html
    blind = reviewer.send("/review/next").form("/judgment")
    assert blind is not None
    reviewer.send("/judgment", position="2")
    reviewer.open(link)
    assert reviewer.html.count("chosen, strength") == 1


def test_a_report_is_closed_on_its_page_and_stays_readable(database: Database) -> None:
    reviewer = Staff(database, "reviewer")
    queue = reviewer.open("/review")
    waiting = reviewer.html.count("Dealt with</button>")
    reviewer.send(next(form.action for form in queue.forms if "/reports/" in form.action))
    reviewer.open("/review")
    assert reviewer.html.count("Dealt with</button>") == waiting - 1
    reviewer.open(next(link for link in queue.links if link.startswith("/review/conversations/")))
    assert f"dealt with by {reviewer.worker}" in reviewer.html


def test_a_turn_that_was_not_given_is_not_there(database: Database) -> None:
    reviewer = Staff(database, "reviewer")
    for path in ("/review/turns/1", "/review/turns/999999", "/review/turns/99999999999999999999"):
        reviewer.open(path)
        assert reviewer.status in (404, 422), path


def test_an_exclusion_stands_until_it_is_taken_back(database: Database) -> None:
    admin = Staff(database, "admin", "reviewer")
    worker = admin.open("/admin/workers").links
    path = next(
        link for link in worker if re.fullmatch("/admin/workers/[0-9a-f]{16}", link) and admin.worker not in link
    )
    admin.open(path)
    admin.send("/exclusion", reason="writes nonsense")
    assert "writes nonsense" in admin.html
    assert "writes nonsense" in admin.http.get("/review").text
    admin.send("/exclusion", reason="a mistake")
    assert "part of exports" in admin.html
    assert "writes nonsense" not in admin.http.get("/review").text


def test_what_is_left_out_is_said_on_its_page_and_taken_in_again(database: Database) -> None:
    reviewer = Staff(database, "reviewer")
    with database.reading() as session:
        chat = session.scalars(select(Conversation.id)).first()
    address = f"/review/conversations/{chat}"
    reviewer.open(address)
    reviewer.send("/review/exclusions", reason="made up")
    assert 'Left out of exports: <span dir="auto">made up</span>' in reviewer.html
    reviewer.open("/review")
    assert f'href="{address}"' in reviewer.html
    reviewer.send("/review/exclusions", reason="it was not")
    assert "Nothing." in reviewer.html
    reviewer.open(address)
    assert "Left out of exports" not in reviewer.html
    assert "Leave this out of exports" in reviewer.html


def test_what_a_worker_said_at_the_end_stands_on_the_conversation(database: Database) -> None:
    reviewer = Staff(database, "reviewer")
    with database.writing() as session:
        rating = session.scalars(select(Rating)).first()
        assert rating is not None
        rating.distressing, rating.comment, rating.harm = True, "It swore at me.", 4
        chat = rating.conversation_id
    reviewer.open(f"/review/conversations/{chat}")
    for said in ("It was distressing.", "It swore at me.", "Harm, of 5: 4"):
        assert said in reviewer.html


def test_a_stop_needs_a_reason_and_is_in_the_log(database: Database) -> None:
    admin = Staff(database, "admin")
    for nothing in ("  ", "\x1f", "\u3000"):
        admin.open("/admin/deployment")
        admin.send("/admin/deployment/s1", switch="stopped", reason=nothing)
        assert admin.status == 422
    admin.open("/admin/deployment")
    admin.send("/admin/deployment/s1", switch="stopped", reason="insults people")
    assert "insults people" in admin.html
    with database.reading() as session:
        entry = Audit(session).latest(1)[0]
    assert (entry.action, entry.subject, entry.actor) == ("deployment", "snapshot s1", admin.worker)


def test_the_log_shows_the_actions_of_one_name(database: Database) -> None:
    admin = Staff(database, "admin")
    with database.writing() as session:
        for name in ("deployment", "refused sign-in", "deployment"):
            Audit(session).append("system", name, f"of {name}")
    admin.open("/admin/audit?action=refused%20sign-in")
    assert "of refused sign-in" in admin.html
    assert "of deployment" not in admin.html
    admin.open("/admin/audit")
    assert 'href="/admin/audit?action=refused%20sign-in"' in admin.html


def test_a_snapshot_of_any_name_can_be_stopped(database: Database) -> None:
    with database.writing() as session:
        Deployment(session, SYSTEM).deploy("org/a model", "/x", "for a test")
    admin = Staff(database, "admin")
    admin.open("/admin/deployment")
    admin.send("/admin/deployment/org/a%20model", switch="stopped", reason="rude")
    with database.reading() as session:
        assert session.get_one(Snapshot, "org/a model").status == "stopped"


def test_a_worker_is_paused_with_a_reason_and_an_admin_cannot_lock_themselves_out(database: Database) -> None:
    admin, other = Staff(database, "admin"), Staff(database, "worker")
    admin.open(f"/admin/workers/{other.worker}")
    admin.send("/status", status="paused", reason="asked for a break")
    assert "paused: asked for a break" in admin.html
    assert "asked for a break" in other.http.get("/paused").text
    for form, values in (("/status", {"status": "disabled"}), ("/access", {"roles": "worker"})):
        admin.open(f"/admin/workers/{admin.worker}")
        admin.send(form, reason="oops", **values)
        assert admin.status == 422


def test_an_invite_is_shown_once_and_lets_somebody_in(database: Database) -> None:
    admin = Staff(database, "admin")
    admin.open("/admin/invites")
    admin.send("/admin/invites", roles=["worker", "worker", "reviewer"], uses="1", days="3", note="for Ada")
    link = re.search(r"http://127\.0\.0\.1:8000(/join/[\w-]+)", admin.html)
    assert link is not None
    assert "for Ada" in admin.html
    assert link[1] not in admin.http.get("/admin/invites").text
    guest = TestClient(admin.http.app, base_url="http://127.0.0.1:8000")
    assert guest.get(link[1]).status_code == 200
    admin.open("/admin/invites")
    admin.send("/admin/invites/closing")
    assert "for Ada" not in admin.html
    assert guest.get(link[1]).status_code == 404


def test_an_impatient_click_does_nothing_twice(database: Database) -> None:
    admin, other = Staff(database, "admin", "reviewer"), Staff(database, "worker")
    person = f"/admin/workers/{other.worker}"
    forms = {
        (person, "/access"): {"roles": "worker", "reason": "r"},
        (person, "/status"): {"status": "paused", "reason": "r"},
        (person, "/message"): {"text": "Thank you."},
        (person, "/exclusion"): {"reason": "r"},
        ("/admin/deployment", "/admin/deployment/s1"): {"weight": "2", "reason": "r"},
        ("/admin/invites", "/admin/invites"): {"roles": "worker", "uses": "3"},
        ("/review/conversations/0000000000000000", "/review/exclusions"): {"reason": "r"},
    }
    tables = ("audit", "notes", "invites", "exclusions", "deployment_changes")

    def rows() -> list[int]:
        with database.reading() as session:
            return [session.connection().exec_driver_sql(f"SELECT count(*) FROM {one}").scalar_one() for one in tables]

    for (path, action), values in forms.items():
        form = admin.open(path).form(action)
        assert form is not None, action
        before, counts, shown = rows(), [], set()
        for _ in range(2):
            admin._arrive(admin.http.post(form.action, data={**form.fields, **values}))
            assert admin.status == 200, action
            counts.append(rows())
            shown.update(re.findall("/join/[^<]+", admin.html))
        assert before != counts[0] == counts[1], action
        assert len(shown) == (action == "/admin/invites")
    form = admin.open(person).form("/message")
    assert form is not None
    told = [admin.http.post(form.action, data={**form.fields, "text": text}).status_code for text in ("One.", "Two.")]
    assert told == [200, 409]


def test_a_link_that_was_changed_is_found(database: Database) -> None:
    admin = Staff(database, "admin")
    admin.open("/admin/audit")
    admin.send("/verification")
    assert "it holds" in admin.html
    with database.writing() as session:
        session.execute(update(AuditEntry).where(AuditEntry.number == 1).values(actor="somebody else"))
    admin.open("/admin/audit")
    admin.send("/verification")
    assert "link 1 was changed" in admin.html


def test_an_export_is_an_archive_with_its_manifest(database: Database) -> None:
    admin = Staff(database, "admin")
    page = admin.open("/admin/exports")
    form = page.form("/admin/exports")
    assert form is not None
    response = admin.http.post("/admin/exports", data={**form.fields, "name": "week-1"})
    assert response.status_code == 200
    with tarfile.open(fileobj=io.BytesIO(response.content)) as tar:
        manifest = json.load(tar.extractfile("week-1/manifest.json") or io.BytesIO())
        assert set(manifest["files"]) <= {name.removeprefix("week-1/") for name in tar.getnames()}
    assert manifest["counts"]["conversations"] == 10
    admin.open("/admin/exports")
    assert "week-1" in admin.html
    admin.send("/admin/exports", name="week-1")
    assert admin.status == 409
    admin.open("/admin/exports")
    admin.send("/admin/exports", name="../etc")
    assert admin.status == 422
