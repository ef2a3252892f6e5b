"""Every page as a checker of accessibility sees it, and as hostile text would like to have it."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from sqlalchemy import update

from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.conversations import Conversations
from tutelage.feedback.database.principal import principal_of
from tutelage.feedback.database.tables import Worker
from tutelage.feedback.database.workers import Profile

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
    for key in ("one", "two"):
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
                 "/review", "/admin", "/admin/workers", f"/admin/workers/{other.worker_id}", "/admin/deployment",
                 "/admin/invites", "/admin/exports", "/admin/audit"):  # fmt: skip
        look(path)
    page.goto("/review")
    page.get_by_role("button", name="Next one").first.click()
    look()
    look(f"/review/conversations/{talk}")
    page.goto("/home")
    page.get_by_role("button", name="Give a second opinion").click()
    expect(page.get_by_role("heading", name="A second opinion")).to_be_visible()
    look()
    page.get_by_role("button", name="I would rather not judge this").click()
    page.get_by_role("button", name="Give a second opinion").click()
    look()
    page.context.clear_cookies()
    look("/login")
    look(f"/join/{new_invite(database, 'worker')}")
    look("/enter?key=k&PROLIFIC_PID=p")
    assert found == []


HARM = """() => {
  const made = "script, iframe, object, embed, base, svg, img, video, audio, math, style, meta[http-equiv], dialog, " +
    "template, [style], [onerror], [onload], [onfocus], [onclick], [ontoggle]";
  const links = [...document.querySelectorAll(".text a[href]")];
  const bad = links.filter((a) => !/^https?:/.test(a.href) || !a.rel.includes("noopener"));
  return [...document.querySelectorAll(made)].filter((one) => !one.nonce).concat(bad).map((one) => one.outerHTML);
}"""


def test_there_are_a_hundred_payloads() -> None:
    assert len(set(PAYLOADS)) >= 100


def test_hostile_text_does_nothing_on_any_page(everyone: Page, database: Database, answerer: Scripted) -> None:
    """From models and workers, on the pages of workers, reviewers and admins. The fixture `page` fails at a dialog and
    at any request that leaves the app; what a payload would have made is looked for in the page."""
    page = everyone
    with database.reading() as session:
        me = principal_of(session, page.locator(".who").inner_text())
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if "Content Security" in message.text else None)
    everything = "\n\n".join(PAYLOADS)
    answers = (everything, "\n\n".join(reversed(PAYLOADS)))
    answerer.texts = (" ".join(PAYLOADS[:12]), " ".join(PAYLOADS[12:24]))
    other = browsing.make_account(database, *ROLES)
    talk, _ = converse(database, other, everything, answers)
    mine, _ = converse(database, me, everything, answers)
    with database.writing() as session:
        own = Conversations(session, other)
        own.report(talk, "other", everything[:5000], key="report")
        own.end(talk, rating=1, comment=everything[:5000], key="end")
        Profile(session, other).try_qualification("helpful", {}, 1.0, everything[:5000], passed=None)

    def look() -> None:
        hostile = page.evaluate(HARM)
        assert hostile == [], page.url

    browsing.begin(page)
    page.locator("#message").fill(everything)
    page.keyboard.press("Enter")
    expect(page.locator("#answer-a .text")).to_contain_text("alert(1)")
    look()
    browsing.until_answered(page)
    look()
    page.goto(f"/talk/{mine}")
    expect(page.locator(".said.assistant .text")).to_contain_text("alert(1)")
    look()
    page.get_by_role("button", name="Take the choice back").click()
    browsing.until_answered(page)
    look()
    page.goto("/rate")
    look()
    page.goto("/review")
    page.get_by_role("button", name="Next one").first.click()
    look()
    page.goto(f"/review/conversations/{talk}")
    look()
    for path in ("/review", "/home", "/messages", f"/admin/workers/{other.worker_id}", "/admin/audit"):
        page.goto(path)
        look()
    assert refused == []
