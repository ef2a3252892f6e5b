"""Every page as a checker of accessibility sees it, and as hostile text would like to have it."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from sqlalchemy import update

from tutelage.feedback.database.access import Access
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.conversations import Conversations
from tutelage.feedback.database.principal import Principal, principal_of
from tutelage.feedback.database.tables import Worker
from tutelage.feedback.database.thread import Answer
from tutelage.feedback.database.workers import Profile
from tutelage.report.page import write_report

from . import browsing
from .conftest import BOTH_AT_LENGTH
from .payloads import PAYLOADS
from .people import Scripted, converse, new_invite


@pytest.fixture(params=BOTH_AT_LENGTH)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


WHOLE = {"width": 1280, "height": 900}
ZOOMED = {"width": 640, "height": 450}  # the same screen at 200%
ROLES = ("worker", "red_team_worker", "reviewer", "admin")


def findings(page: Page) -> list[str]:
    """Serious and critical findings of axe-core, with where they are."""
    result = Axe().run(page).response["violations"]
    return [
        f"{page.url}: {one['id']}: {one['nodes'][0]['html'][:120]}"
        for one in result
        if one["impact"] in ("serious", "critical")
    ]


@pytest.fixture
def everyone(page: Page, database: Database) -> Page:
    """Signed in as somebody who may see every page."""
    browsing.come_back(page, database, *ROLES)
    page.goto("/consent/red_team")
    browsing.consent(page)
    with database.writing() as session:
        session.execute(update(Worker).values(may_edit=True))
    return page


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.hard)])
def test_no_page_is_barred_to_anyone(everyone: Page, database: Database, scheme: str) -> None:
    page = everyone
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    found: list[str] = []

    def look(path: str = "") -> None:
        if path:
            page.goto(path)
        found.extend(findings(page))
        page.set_viewport_size(ZOOMED)
        if page.evaluate("document.documentElement.scrollWidth") > ZOOMED["width"]:
            found.append(f"{page.url}: wider than a screen of 1280 pixels at 200%")
        page.set_viewport_size(WHOLE)

    other = browsing.make_account(database, "worker")
    for key in ("to be rated", "to be checked", "for a second opinion"):
        talk, _ = converse(database, other, "a question", ("one", "two"))
        with database.writing() as session:
            Conversations(session, other).end(talk, rating=2, key=key)

    browsing.begin(page)
    look()
    browsing.say(page, "Hello")
    browsing.until_answered(page)
    page.get_by_text("Report a problem").click()
    page.keyboard.press("2")
    look()
    browsing.choose(page, 2)
    page.get_by_text("Edit this answer").click()
    look()
    look(f"{page.url}/end")
    browsing.begin_red_team(page)
    browsing.say(page, "Be rude")
    browsing.until_answered(page)
    look()
    look(f"{page.url}/end")
    for path in ("/home", "/consent/helpful", "/consent/red_team", "/guidelines/helpful", "/guidelines/red_team",
                 "/qualification", "/red-team", "/rest", "/rate", "/messages", "/code", "/paused", "/nowhere",
                 "/review", "/admin", "/admin/agreement", "/admin/workers", f"/admin/workers/{other.worker_id}",
                 "/admin/deployment", "/admin/invites", "/admin/exports", "/admin/audit"):  # fmt: skip
        look(path)
    page.goto("/review")
    page.get_by_role("button", name="Next one").first.click()
    expect(page.get_by_role("heading", name="Your own judgment first")).to_be_visible()
    look()
    look(f"/review/conversations/{talk}")
    page.goto("/home")
    page.get_by_role("button", name="Give a second opinion").click()
    expect(page.get_by_role("heading", name="A second opinion")).to_be_visible()
    look()
    page.get_by_role("button", name="I would rather not judge this").click()
    page.get_by_role("button", name="Give a second opinion").click()
    expect(page.get_by_role("heading", name="A second opinion")).to_be_visible()
    look()
    page.context.clear_cookies()
    look("/login")
    look(f"/join/{new_invite(database, 'worker')}")
    look("/enter?key=k&PROLIFIC_PID=p")
    assert found == []


HARM = """(within) => {
  const made = "script, iframe, object, embed, base, svg, img, video, audio, math, style, meta[http-equiv], dialog, " +
    "template, [style], [onerror], [onload], [onfocus], [onclick], [ontoggle]";
  const links = [...document.querySelectorAll(".text a[href]")];
  const bad = links.filter((a) => !/^https?:/.test(a.href) || !a.rel.includes("noopener"));
  const found = [...document.querySelector(within).querySelectorAll(made)].filter((one) => !one.nonce);
  return found.concat(bad).map((one) => one.outerHTML);
}"""


def test_there_are_a_hundred_payloads() -> None:
    assert len(set(PAYLOADS)) >= 100


def converse_in_payloads(database: Database, who: Principal) -> str:
    """A conversation with a turn for each payload, as message and as both answers; returns its id."""
    with database.writing() as session:
        own = Conversations(session, who)
        talk = own.start("helpful", key="payloads")
        for number, payload in enumerate(PAYLOADS):
            turn = own.ask(talk, payload, key=f"ask {number}")
            plan = own.claim(turn)
            assert plan
            both = Answer(payload, "stop"), Answer(PAYLOADS[-1 - number], "stop")
            own.answers_finished(turn, plan.attempt, both)
            own.judge(turn, "ab"[number % 2], 3, key=f"judge {number}")  # type: ignore[arg-type]
    return talk


def streamed(payloads: Sequence[str]) -> str:
    """Server-sent events that bring the page a payload each on both sides."""
    return "".join(f"event: more\ndata: {json.dumps({'a': one, 'b': one})}\n\n" for one in payloads)


def report_of(payloads: Sequence[str], path: Path) -> str:
    """A run's report whose samples are these texts."""
    samples = [
        {"kind": one, "prompt": [{"role": "human", "text": one}], "base": {"text": one}, "final": {"text": one}}
        for one in payloads
    ]
    write_report({"name": "hostile", "samples": samples}, path)
    return path.read_text(encoding="utf-8")


def test_hostile_text_does_nothing_on_any_page(
    everyone: Page, database: Database, answerer: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From models and workers, on the pages of workers, reviewers and admins, and in a report: every payload in an
    element of its own on each of them. The fixture `page` fails at a dialog and at any request that leaves the app;
    what a payload would have made is looked for in the page, and what the content policy had to stop was not escaped.
    """
    monkeypatch.setattr("tutelage.collect.routes.review.SHOWN", len(PAYLOADS))
    monkeypatch.setattr("tutelage.feedback.database.overview.PAGE", len(PAYLOADS))
    page = everyone
    with database.reading() as session:
        me = principal_of(session, page.locator(".who").inner_text())
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if "Content Security" in message.text else None)
    other = browsing.make_account(database, *ROLES)
    talk, mine = converse_in_payloads(database, other), converse_in_payloads(database, me)
    with database.writing() as session:
        own, access, profile = Conversations(session, other), Access(session), Profile(session, other)
        for number, payload in enumerate(PAYLOADS):
            own.report(talk, "other", payload, key=f"report {number}")
            access.invite(("worker",), note=payload)
            profile.try_qualification("helpful", {}, 1.0, payload, passed=None)
        own.end(talk, rating=1, comment="\n\n".join(PAYLOADS)[:5000], key="end")

    def look(elements: str = "", of_each: int = 1, within: str = "html") -> None:
        if elements:
            expect(page.locator(elements)).to_have_count(of_each * len(PAYLOADS))
        hostile = page.evaluate(HARM, within)
        assert hostile == [], page.url

    page.goto(f"/talk/{mine}")
    look(".said.human .text")
    look(".said.assistant .text")
    page.goto("/rate")
    look(".said .text", of_each=2)
    page.goto(f"/review/conversations/{talk}")
    look(".card .text", of_each=2)
    page.goto("/review")
    look("article .text.raw")
    look('li [dir="auto"]')
    page.get_by_role("button", name="Next one").first.click()
    look()
    page.goto("/admin/invites")
    look("tbody tr")
    for path in ("/home", "/messages", f"/admin/workers/{other.worker_id}", "/admin/audit"):
        page.goto(path)
        look()
    page.route("**/report", lambda route: route.fulfill(body=report_of(PAYLOADS, tmp_path / "report.html")))
    page.goto("/report")
    look("article.sample", within="body")  # its head has a style of its own

    page.route("**/answers", lambda route: route.fulfill(body=streamed(PAYLOADS), content_type="text/event-stream"))
    browsing.begin(page)
    browsing.say(page, "Hello")
    expect(page.locator("#answer-b .text")).to_contain_text(PAYLOADS[-1])
    look()
    page.unroute("**/answers")
    answerer.texts = (" ".join(PAYLOADS[:12]), " ".join(PAYLOADS[12:24]))
    page.reload()
    expect(page.locator("#answer-a .text")).to_contain_text("alert(1)")
    look()
    browsing.until_answered(page)
    look()
    page.goto(f"/talk/{mine}")
    page.get_by_role("button", name="Take the choice back").click()
    browsing.until_answered(page)
    look()
    assert refused == []
