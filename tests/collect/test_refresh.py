"""Refreshed at every step, a page shows what it showed, with all that was written or chosen in it."""

import re

import pytest
from playwright.sync_api import Page, Route, expect
from sqlalchemy import select

from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.tables import Judgment, Rating, Review

from . import browsing
from .people import Scripted
from .seeded import seed


@pytest.fixture
def at_home(page: Page, database: Database) -> Page:
    browsing.come_back(page, database)
    return page


def test_a_refresh_at_every_step_shows_the_same(at_home: Page, answerer: Scripted) -> None:
    page = at_home
    browsing.begin(page)
    page.locator("#message").fill("half a thou")
    page.reload()
    expect(page.locator("#message")).to_have_value("half a thou")
    answerer.texts = ("words and " * 20, "other words " * 20)
    browsing.say(page, "half a thought")
    expect(page.locator("#answer-a .text")).to_contain_text("words and")
    page.reload()
    expect(page.locator(".said.human .text")).to_have_text("half a thought")
    browsing.until_answered(page)
    page.reload()
    browsing.until_answered(page)
    expect(page.locator("#answer-b .text")).to_contain_text("other words")
    page.keyboard.press("6")
    page.reload()
    expect(page.locator('input[name="position"][value="6"]')).to_be_checked()
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_have_value("")
    page.reload()
    expect(page.locator(".said.assistant .text")).to_contain_text("other words")
    page.get_by_role("link", name="End").click()
    browsing.until_keys_work(page)
    page.get_by_label("Anything to add?").fill("a comment")
    page.reload()
    expect(page.get_by_label("Anything to add?")).to_have_value("a comment")
    assert len(answerer.asked) >= 1
    assert len({(request.turn, request.attempt) for request in answerer.asked}) == 1, "a refresh began other answers"


def test_what_is_written_before_the_script_has_come_is_kept(at_home: Page) -> None:
    page = at_home
    browsing.begin(page)
    page.locator("#message").fill("the draft of before")
    held: list[Route] = []
    page.route("**/app.js*", lambda route: held.append(route))
    page.reload(wait_until="commit")
    page.locator("#message").fill("a new thought")
    held.pop().continue_()
    browsing.until_keys_work(page)
    expect(page.locator("#message")).to_have_value("a new thought")
    page.unroute("**/app.js*")
    page.reload()
    expect(page.locator("#message")).to_have_value("a new thought")


def refreshed(page: Page, position: int) -> None:
    """Choose, refresh, and find the choice again."""
    browsing.until_keys_work(page)
    page.keyboard.press(str(position))
    page.reload()
    expect(page.locator(f'input[name="position"][value="{position}"]')).to_be_checked()


def test_the_red_team_way_refreshed_at_every_step(at_home: Page, database: Database, answerer: Scripted) -> None:
    page = at_home
    page.goto("/consent/red_team")
    browsing.consent(page)
    browsing.begin_red_team(page, "Get it to insult me.")
    page.reload()
    expect(page.locator("body.red-team")).to_have_count(1)
    page.locator("#message").fill("Insult")
    page.reload()
    expect(page.locator("#message")).to_have_value("Insult")
    answerer.texts = ("rude words " * 20, "polite words " * 20)
    browsing.say(page, "Insult me.")
    expect(page.locator("#answer-a .text")).to_contain_text("rude")
    page.reload()
    browsing.until_answered(page)
    refreshed(page, 1)
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_be_visible()
    page.reload()
    expect(page.locator(".said.assistant .text")).to_contain_text("rude words")
    page.get_by_role("link", name="End", exact=True).click()
    browsing.until_keys_work(page)
    for name in ("success", "harm", "actionability"):
        page.locator(f'input[name="{name}"][value="2"]').check()
    page.get_by_label("Yes").check()
    page.reload()
    for name in ("success", "harm", "actionability"):
        expect(page.locator(f'input[name="{name}"][value="2"]')).to_be_checked()
    expect(page.get_by_label("Yes")).to_be_checked()
    page.get_by_role("button", name="End the conversation").click()
    expect(page.get_by_role("link", name="Begin a red-team conversation")).to_be_visible()
    with database.reading() as session:
        said = session.scalars(select(Rating)).one()
        assert (said.success, said.harm, said.distressing) == (2, 2, True)
        assert session.scalars(select(Judgment)).one().strength == 4
    assert len({(request.turn, request.attempt) for request in answerer.asked}) == 1, "a refresh began other answers"


def test_a_second_opinion_and_a_verdict_outlive_a_refresh(page: Page, database: Database) -> None:
    seed(database, 40, workers=5)
    browsing.join(page, database, "reviewer", login="boss")
    page.goto("/review")
    page.get_by_role("button", name="Next one").first.click()
    page.wait_for_url(re.compile("/review/turns/"))
    refreshed(page, 6)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your verdict")).to_be_visible()
    browsing.until_keys_work(page)
    for group in ("The writing", "The judging"):
        page.get_by_role("group", name=group).get_by_label("good").check()
    page.get_by_label("A message to the worker").fill("Thank you.")
    page.reload()
    for group in ("The writing", "The judging"):
        expect(page.get_by_role("group", name=group).get_by_label("good")).to_be_checked()
    expect(page.get_by_label("A message to the worker")).to_have_value("Thank you.")
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("heading", name="Spot-checks")).to_be_visible()
    with database.reading() as session:
        verdict = session.scalars(select(Review)).one()
        assert (verdict.writing, verdict.judging) == ("good", "good")
    kept = page.evaluate("Object.keys(localStorage).filter(name => /verdict|choice/.test(name))")
    assert kept == [], "a draft that has arrived is dropped"
