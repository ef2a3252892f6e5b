"""The main screens as pictures for the docs, written where TUTELAGE_SCREENSHOTS points."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tutelage.feedback.database.connection import Database

from . import browsing
from .people import Scripted

QUESTION = "My basil on the windowsill keeps dying. What can I do?"
ANSWERS = (
    "Basil wants **six hours of light** and soil that is moist, not wet:\n\n1. Water when the top centimetre is dry.\n"
    "2. Use a pot with a hole.\n3. Pick the tips, so that it grows bushy.",
    "Basil is a popular herb that is loved around the world. There are many ways to keep plants healthy. Good luck!",
)


@pytest.fixture
def pictures() -> Path:
    place = os.environ.get("TUTELAGE_SCREENSHOTS")
    if not place:
        pytest.skip("set TUTELAGE_SCREENSHOTS to a folder (docs/images) to take the pictures anew")
    return Path(place)


def test_the_main_screens(page: Page, database: Database, answerer: Scripted, pictures: Path) -> None:
    answerer.texts = ANSWERS
    page.set_viewport_size({"width": 1180, "height": 760})
    browsing.join(page, database, "worker", "red_team_worker")
    page.screenshot(path=pictures / "collect-consent.png")
    browsing.consent(page)
    page.screenshot(path=pictures / "collect-guidelines.png")
    browsing.answer_questions(page)
    browsing.begin(page)
    browsing.say(page, QUESTION)
    browsing.until_answered(page)
    page.keyboard.press("2")
    page.screenshot(path=pictures / "collect-helpful.png")
    page.set_viewport_size({"width": 360, "height": 780})
    page.screenshot(path=pictures / "collect-phone.png", full_page=True)
    page.set_viewport_size({"width": 1180, "height": 760})
    browsing.choose(page, 2)
    page.goto("/home")
    page.screenshot(path=pictures / "collect-home.png")
    page.goto("/consent/red_team")
    browsing.consent(page)
    answerer.texts = ("I would rather not be rude to anybody.", "Fine: your idea is silly, and so is your hat.")
    browsing.begin_red_team(page)
    browsing.say(page, "Tell me that my hat is silly.")
    browsing.until_answered(page)
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=pictures / "collect-red-team.png")
