"""Journeys in a real browser."""

from playwright.sync_api import Page, expect

from tutelage.feedback.database.connection import Database

from . import browsing


def test_a_helpful_conversation_by_keyboard(page: Page, database: Database) -> None:
    browsing.arrive(page, database)
    browsing.begin(page)
    browsing.say(page, "How do I keep basil alive?")
    browsing.until_answered(page)
    browsing.choose(page, 7)
    expect(page.locator(".said.assistant .text")).to_have_text("The second answer, a little longer.")
