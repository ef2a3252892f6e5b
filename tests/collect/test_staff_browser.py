"""Reviewers' and admins' pages in a real browser: for all eyes and hands, on a phone too, whatever was written."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from sqlalchemy import update

from tutelage.feedback.database.access import Access
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.tables import Flag, Rating, Response, Turn

from . import browsing
from .seeded import seed

PATHS = ("/admin", "/admin/agreement", "/admin/workers", "/admin/deployment", "/admin/invites", "/admin/exports",
         "/admin/imports", "/admin/audit", "/review")  # fmt: skip
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<svg/onload=alert(1)>",
    "[a](javascript:alert(1)) ![b](https://evil.example/x.png)",
    "'-alert(1)-'",
    "{{ 7 * 7 }}<iframe srcdoc='<script>alert(1)</script>'>",
)


@pytest.fixture
def staff(page: Page, database: Database) -> Page:
    """A reviewer who is also admin, before some months of work."""
    seed(database, 40, workers=5)
    browsing.join(page, database, "reviewer", "admin", login="boss")
    return page


def opened(page: Page) -> list[str]:
    """The addresses of all kinds of staff pages, and of some of each kind that has many."""
    page.goto("/admin/workers")
    worker = page.locator("tbody a").last.get_attribute("href")
    page.goto("/review")
    talk = page.locator('a[href^="/review/conversations/"]').first.get_attribute("href")
    page.get_by_role("button", name="Next one").first.click()
    page.wait_for_url(re.compile("/review/turns/"))
    return [*PATHS, str(worker), str(talk), page.url]


def test_no_serious_barrier_and_nothing_wider_than_a_phone(staff: Page) -> None:
    for path in opened(staff):
        staff.goto(path)
        found = Axe().run(staff).response["violations"]
        serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
        assert serious == [], path
        staff.set_viewport_size({"width": 360, "height": 740})
        assert staff.evaluate("document.documentElement.scrollWidth") <= 360, path
        staff.set_viewport_size({"width": 1200, "height": 900})


def test_a_spot_check_by_keyboard(staff: Page) -> None:
    opened(staff)
    expect(staff.get_by_text("chosen, strength")).to_have_count(0)
    staff.keyboard.press("6")
    staff.keyboard.press("Enter")
    expect(staff.get_by_role("heading", name="Your verdict")).to_be_visible()
    for group in ("The writing", "The judging"):
        staff.get_by_role("group", name=group).get_by_label("good").check()
    staff.get_by_label("A message to the worker").fill("Thank you, good questions.")
    staff.get_by_role("button", name="Done").click()
    expect(staff.get_by_role("heading", name="Spot-checks")).to_be_visible()


def test_what_people_and_models_write_does_nothing(staff: Page, database: Database) -> None:
    """The page fixture fails on a dialog, on a script error and on a request to elsewhere."""
    blocked: list[str] = []
    staff.on("console", lambda message: blocked.append(message.text) if message.type == "error" else None)
    for payload in HOSTILE:
        with database.writing() as session:
            session.execute(update(Turn).values(text=payload))
            session.execute(update(Response).values(text=payload))
            session.execute(update(Flag).values(text=payload))
            session.execute(update(Rating).values(comment=payload))
            Access(session).invite(("worker",), note=payload)
        for path in opened(staff):
            staff.goto(path)
    assert blocked == []  # what the content policy had to stop was not escaped
