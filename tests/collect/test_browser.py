"""Journeys in a real browser."""

import time

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, Route, expect
from sqlalchemy import delete, func, select, update

from tutelage.collect.qualification import QUESTIONS
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.principal import SYSTEM
from tutelage.feedback.database.tables import Conversation, Judgment, Login, Turn, Worker, WorkPeriod
from tutelage.feedback.database.workers import Workers

from . import browsing
from .people import PASSWORD, WRITING, Person, Scripted, new_invite

FIRST, SECOND = "The first answer.", "The second answer, a little longer."


def count(database: Database, table: type, *where: object) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(table).where(*where)) or 0  # type: ignore[arg-type]


def worker_id(page: Page) -> str:
    return page.locator(".who").inner_text()


@pytest.fixture
def at_home(page: Page, database: Database) -> Page:
    browsing.come_back(page, database)
    return page


@pytest.fixture
def answered(at_home: Page) -> Page:
    """A conversation whose first message has its two answers."""
    browsing.begin(at_home)
    browsing.say(at_home, "How do I keep basil alive?")
    browsing.until_answered(at_home)
    return at_home


def test_from_the_invite_to_a_choice_by_keyboard_alone(page: Page, database: Database) -> None:
    page.add_init_script("addEventListener('mousedown', () => { throw new Error('a mouse was used'); }, true)")
    keys = page.keyboard
    page.goto(f"/join/{new_invite(database, 'worker')}")
    browsing.tab_to(page, page.get_by_label("Name to sign in with"))
    keys.type("worker")
    keys.press("Tab")
    keys.type(PASSWORD)
    keys.press("Enter")
    browsing.tab_to(page, page.get_by_role("button", name="I agree"))
    keys.press("Enter")
    expect(page.get_by_role("heading", name="Helpful conversations")).to_be_visible()
    page.goto("/qualification")
    for question in QUESTIONS:
        browsing.tab_to(page, page.locator(f'input[name="{question.name}"]').first)
        keys.press("Space")
        for _ in range(question.right):
            keys.press("ArrowDown")
    browsing.tab_to(page, page.get_by_label("Write the first messages"))
    keys.type(WRITING)
    browsing.tab_to(page, page.get_by_role("button", name="Send"))
    keys.press("Enter")
    browsing.tab_to(page, page.get_by_role("button", name="Begin a helpful conversation"))
    keys.press("Enter")
    browsing.tab_to(page, page.locator("#message"))
    keys.type("under one line")  # there is no choice yet that a u could take back
    keys.press("Shift+Enter")
    keys.type("and another")
    keys.press("Enter")
    browsing.until_answered(page)
    keys.press("8")
    keys.press("Enter")
    expect(page.locator(".said.assistant .text")).to_have_text(SECOND)
    expect(page.locator("#message")).to_be_focused()
    keys.type("use")  # a message may begin with the key of undo
    page.wait_for_timeout(1000)
    expect(page.locator("#message")).to_have_value("use")
    for _ in "use":
        keys.press("Backspace")
    keys.press("u")
    browsing.until_answered(page)
    keys.press("1")
    keys.press("ArrowRight")
    expect(page.locator(".verdict")).to_have_text("A is better")
    keys.press("Enter")
    expect(page.locator(".said.assistant .text")).to_have_text(FIRST)
    with database.reading() as session:
        rows = session.scalars(select(Judgment).order_by(Judgment.revision)).all()
        assert [(row.side, row.strength, row.stands) for row in rows] == [
            ("b", 4, False),
            (None, None, False),
            ("a", 3, True),
        ]
        assert rows[0].milliseconds is not None


def test_a_conversation_goes_on_and_ends_with_a_rating(answered: Page, database: Database, answerer: Scripted) -> None:
    page = answered
    browsing.choose(page, 3)
    browsing.say(page, "Why?")
    browsing.until_answered(page)
    assert [message.text for message in answerer.asked[-1].prompt.messages] == [
        "How do I keep basil alive?", FIRST, "Why?",
    ]  # fmt: skip
    browsing.choose(page, 5)
    page.get_by_role("link", name="End").click()
    page.get_by_role("radio", name="4").check()
    page.get_by_label("Anything to add?").fill("quite good")
    page.get_by_role("button", name="End the conversation").click()
    expect(page.get_by_role("button", name="Begin a helpful conversation")).to_be_visible()
    expect(page.get_by_text("Not ended yet")).to_have_count(0)
    assert count(database, Judgment, Judgment.stands) == 2
    assert count(database, Conversation, Conversation.state == "ended") == 1


def test_a_message_is_skipped(answered: Page, database: Database) -> None:
    answered.get_by_role("button", name="Skip this message").click()
    expect(answered.locator("#message")).to_be_visible()
    expect(answered.get_by_text("Skipped; the conversation goes on")).to_be_visible()
    assert count(database, Turn, Turn.state == "skipped") == 1


def test_a_problem_is_reported(answered: Page) -> None:
    answered.get_by_text("Report a problem").click()
    answered.get_by_label("What is it?").select_option("upsetting")
    answered.get_by_label("In a few words").fill("not nice")
    answered.get_by_role("button", name="Report", exact=True).click()
    expect(answered.get_by_text("A reviewer will read it")).to_be_visible()
    browsing.until_answered(answered)


def test_a_conversation_is_taken_back(answered: Page, database: Database) -> None:
    answered.get_by_role("button", name="Take this conversation back").click()
    expect(answered.get_by_text("This conversation is taken back")).to_be_visible()
    assert count(database, Conversation, Conversation.state == "withdrawn") == 1


def test_both_bad_is_said_beside_the_choice(answered: Page, database: Database) -> None:
    answered.get_by_label("Both are bad").check()
    browsing.choose(answered, 4)
    assert count(database, Judgment, Judgment.stands, Judgment.both_bad, Judgment.strength == 1) == 1


def test_a_trusted_worker_edits_the_chosen_answer(answered: Page, database: Database, answerer: Scripted) -> None:
    with database.writing() as session:
        session.execute(update(Worker).values(may_edit=True))
    browsing.choose(answered, 2)
    answered.get_by_text("Edit this answer").click()
    answered.get_by_label("A better answer, in your words").fill("A better one.")
    answered.get_by_role("button", name="Keep this instead").click()
    expect(answered.locator(".said.assistant .text")).to_have_text("A better one.")
    browsing.say(answered, "And then?")
    browsing.until_answered(answered)
    assert answerer.asked[-1].prompt.messages[1].text == "A better one."


def test_others_see_no_edit(answered: Page) -> None:
    browsing.choose(answered, 2)
    expect(answered.get_by_text("Edit this answer")).to_have_count(0)


def test_the_red_team_way(at_home: Page, database: Database) -> None:
    page = at_home
    page.get_by_role("link", name="Begin a red-team conversation").click()
    expect(page.get_by_text("You may read upsetting text")).to_be_visible()
    page.get_by_label("Drugs").check()
    browsing.consent(page)
    page.goto("/red-team")
    expect(page.get_by_label("Weapons")).to_be_visible()
    expect(page.get_by_label("Drugs")).to_have_count(0)
    browsing.begin_red_team(page, "Get it to insult me.")
    expect(page.locator("body.red-team")).to_have_count(1)
    browsing.say(page, "Insult me.")
    browsing.until_answered(page)
    expect(page.get_by_text("Which answer is more harmful?")).to_be_visible()
    page.keyboard.press("8")
    expect(page.locator(".verdict")).to_have_text("B is much more harmful")
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_be_visible()
    page.get_by_role("link", name="End", exact=True).click()
    expect(page.get_by_label("Insults and bullying")).to_be_checked()
    for name in ("success", "harm", "actionability"):
        page.locator(f'input[name="{name}"][value="2"]').check()
    page.get_by_label("Yes").check()
    page.get_by_role("button", name="End the conversation").click()
    expect(page.get_by_role("link", name="Begin a red-team conversation")).to_be_visible()
    with database.reading() as session:
        row = session.scalars(select(Judgment)).one()
        talk = session.scalars(select(Conversation)).one()
        assert (row.question, row.side, row.strength) == ("more_harmful", "b", 4)
        assert (talk.goal, talk.categories, talk.tags) == ("Get it to insult me.", ["insults"], ["insults"])


@pytest.fixture
def in_red_team(at_home: Page) -> Page:
    at_home.goto("/consent/red_team")
    browsing.consent(at_home)
    browsing.begin_red_team(at_home)
    return at_home


def test_over_to_helpful_in_one_click(in_red_team: Page) -> None:
    in_red_team.get_by_role("button", name="Go over to helpful").click()
    expect(in_red_team.get_by_label("What would you like help with?")).to_be_visible()
    expect(in_red_team.locator("body.red-team")).to_have_count(0)


def test_answers_behind_a_veil(in_red_team: Page) -> None:
    in_red_team.get_by_label("Show answers behind a veil").check()
    browsing.say(in_red_team, "Be rude.")
    browsing.until_answered(in_red_team)
    expect(in_red_team.locator(".card.veiled")).to_have_count(2)
    in_red_team.locator("#answer-a").get_by_role("button", name="Show").click()
    expect(in_red_team.locator(".card.veiled")).to_have_count(1)


def test_long_red_team_work_meets_a_pause_and_loses_nothing(in_red_team: Page, database: Database) -> None:
    with database.writing() as session:
        session.execute(update(WorkPeriod).where(WorkPeriod.mode == "red_team").values(started=time.time() - 46 * 60))
    browsing.say(in_red_team, "What I had begun to write")
    expect(in_red_team.get_by_role("heading", name="Time for a break")).to_be_visible()
    expect(in_red_team.get_by_role("button", name="Begin a helpful conversation")).to_be_visible()
    with database.writing() as session:
        session.execute(delete(WorkPeriod))
    in_red_team.goto("/home")
    in_red_team.get_by_role("link", name="Red-team conversation", exact=True).click()
    expect(in_red_team.locator("#message")).to_have_value("What I had begun to write")


def test_snapshots_are_compared(at_home: Page, database: Database, answerer: Scripted) -> None:
    at_home.get_by_role("button", name="Compare two answers").click()
    browsing.say(at_home, "Which of you is better?")
    browsing.until_answered(at_home)
    browsing.choose(at_home, 1)
    assert answerer.asked[0].a.snapshot != answerer.asked[0].b.snapshot


def test_a_finished_dialogue_of_another_is_rated(at_home: Page, app: FastAPI, database: Database) -> None:
    other = Person(app)
    other.join(database, "worker")
    other.qualify()
    conversation = other.begin()
    other.send(f"/turns/{other.ask(conversation, 'a question of another')}/judgment", position=8)
    other.open(f"/talk/{conversation}/end")
    other.send(f"/talk/{conversation}/end", rating=2)
    at_home.get_by_role("link", name="Rate a finished dialogue").click()
    expect(at_home.get_by_text("a question of another")).to_be_visible()
    expect(at_home.get_by_text(FIRST)).to_have_count(0)
    at_home.get_by_role("radio", name="5").check()
    at_home.get_by_role("button", name="Send, and show the next").click()
    expect(at_home.get_by_text("No dialogue waits")).to_be_visible()


def test_a_newcomer_practises_with_ready_made_answers(page: Page, database: Database, answerer: Scripted) -> None:
    browsing.join(page, database, "worker")
    browsing.consent(page)
    page.goto("/home")
    page.get_by_role("button", name="Practise").click()
    browsing.say(page, "Hello?")
    browsing.until_answered(page)
    expect(page.locator("#answer-a")).to_contain_text("written beforehand")
    browsing.choose(page, 1)
    assert answerer.asked == []


def test_a_wrong_answer_is_explained(page: Page, database: Database) -> None:
    browsing.join(page, database, "worker")
    browsing.consent(page)
    page.goto("/qualification")
    for name in ("honest", "equal", "pretend", "private"):
        page.locator(f'input[name="{name}"]').first.check()
    page.get_by_label("Write the first messages").fill("Something that is long enough to be a sample of writing.")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Made-up facts are not helpful")).to_be_visible()
    expect(page.get_by_label("Write the first messages")).to_have_value(
        "Something that is long enough to be a sample of writing."
    )
    browsing.answer_questions(page)


def test_what_is_written_outlives_the_login(answered: Page, database: Database) -> None:
    browsing.choose(answered, 2)
    with database.writing() as session:
        session.execute(delete(Login))
    browsing.say(answered, "Written while the login ended")
    expect(answered.get_by_role("button", name="Sign in")).to_be_visible()
    browsing.sign_in(answered)
    browsing.until_answered(answered)
    expect(answered.get_by_text("Written while the login ended")).to_be_visible()
    assert count(database, Turn) == 2


def test_without_a_network_it_tries_again_until_it_arrives(answered: Page, database: Database) -> None:
    answered.context.set_offline(True)
    answered.keyboard.press("7")
    answered.keyboard.press("Enter")
    expect(answered.get_by_text("No connection. What you wrote is kept")).to_be_visible()
    assert count(database, Judgment) == 0
    answered.context.set_offline(False)
    expect(answered.locator(".said.assistant .text")).to_have_text(SECOND)
    assert count(database, Judgment) == 1


def test_a_lost_acknowledgement_makes_no_second_judgment(answered: Page, database: Database) -> None:
    lost = []

    def lose(route: Route) -> None:
        lost.append(route.fetch(max_redirects=0).status)
        route.abort()

    answered.route("**/judgment", lose, times=1)
    browsing.choose(answered, 7)
    assert lost == [303]
    assert count(database, Judgment) == 1


def test_a_reload_amid_sending_sends_it_again(answered: Page, database: Database) -> None:
    answered.route("**/judgment", lambda route: route.abort())
    answered.keyboard.press("7")
    answered.keyboard.press("Enter")
    expect(answered.get_by_text("No connection. What you wrote is kept")).to_be_visible()
    answered.unroute("**/judgment")
    answered.reload()
    expect(answered.locator(".said.assistant .text")).to_have_text(SECOND)
    assert count(database, Judgment) == 1


def test_a_second_tab_follows_the_first(answered: Page) -> None:
    second = answered.context.new_page()
    second.goto(answered.url)
    browsing.until_answered(second)
    browsing.choose(answered, 1)
    expect(second.locator(".said.assistant .text")).to_have_text(FIRST)


def test_opposite_choices_in_two_browsers_leave_one_that_stands(
    answered: Page, chromium: Browser, database: Database
) -> None:
    other = chromium.new_context(storage_state=answered.context.storage_state())
    second = other.new_page()
    second.goto(answered.url)
    browsing.until_answered(second)
    browsing.choose(answered, 1)
    second.keyboard.press("8")
    second.keyboard.press("Enter")
    expect(second.get_by_text("This was already done, perhaps in another tab")).to_be_visible()
    expect(second.locator(".said.assistant .text")).to_have_text(FIRST)
    assert count(database, Judgment) == 1
    other.close()


def test_lost_answers_can_be_asked_for_again(at_home: Page, answerer: Scripted) -> None:
    answerer.broken = True
    browsing.begin(at_home)
    browsing.say(at_home, "Hello?")
    expect(at_home.get_by_text("The answers did not arrive")).to_be_visible()
    expect(at_home.locator(".scale:not([disabled])")).to_have_count(0)
    answerer.broken = False
    at_home.get_by_role("button", name="Ask again").click()
    browsing.until_answered(at_home)


def test_a_message_of_a_reviewer_is_read(at_home: Page, database: Database) -> None:
    reviewer = browsing.make_account(database, "reviewer")
    with database.writing() as session:
        Workers(session, reviewer).note(worker_id(at_home), "Please write longer messages.")
    at_home.goto("/home")
    at_home.get_by_role("link", name="1", exact=True).click()
    expect(at_home.get_by_text("Please write longer messages.")).to_be_visible()
    at_home.get_by_role("button", name="I have read them").click()
    expect(at_home.get_by_role("button", name="I have read them")).to_have_count(0)


def test_who_signs_out_leaves_no_drafts(at_home: Page) -> None:
    browsing.begin(at_home)
    at_home.locator("#message").fill("private thoughts")
    at_home.get_by_role("button", name="Sign out").click()
    expect(at_home.get_by_role("button", name="Sign in")).to_be_visible()
    assert at_home.evaluate("localStorage.length") == 0


def test_a_paused_worker_is_told_so(at_home: Page, database: Database) -> None:
    with database.writing() as session:
        Workers(session, SYSTEM).set_status(worker_id(at_home), "paused", "a test")
    at_home.goto("/home")
    expect(at_home.get_by_role("heading", name="Your work is paused")).to_be_visible()


def test_a_message_sent_into_a_pause_is_taken_after_it(at_home: Page, database: Database) -> None:
    browsing.begin(at_home)
    talk, me = at_home.url, worker_id(at_home)
    with database.writing() as session:
        Workers(session, SYSTEM).set_status(me, "paused", "a test")
    browsing.say(at_home, "What is yeast?")
    expect(at_home.get_by_role("heading", name="Your work is paused")).to_be_visible()
    assert count(database, Turn) == 0
    with database.writing() as session:
        Workers(session, SYSTEM).set_status(me, "active", "a test")
    at_home.goto(talk)
    browsing.until_answered(at_home)
    expect(at_home.locator(".said.human .text")).to_have_text("What is yeast?")
    assert count(database, Turn) == 1


def test_a_long_message_in_any_script_is_sent(at_home: Page, database: Database) -> None:
    browsing.begin(at_home)
    browsing.say(at_home, "長" * 12_000)  # 108 kB as a form
    browsing.until_answered(at_home)
    with database.reading() as session:
        assert session.scalar(select(func.length(Turn.text))) == 12_000


def test_nothing_moves_when_the_answers_are_whole(at_home: Page, answerer: Scripted) -> None:
    answerer.texts = ("Some words. " * 6, "Other words. " * 5)
    browsing.begin(at_home)
    browsing.say(at_home, "Hello?")
    # In one step of the page: between two the answers may become whole.
    places = """() => document.querySelector("#answer-a .text")?.textContent.includes("Some words. ".repeat(4).trim())
        && ["#answer-a", "#answer-b", ".steps"].map((place) =>
            JSON.stringify(document.querySelector(place).getBoundingClientRect()))"""
    before = at_home.wait_for_function(places).json_value()
    browsing.until_answered(at_home)
    assert at_home.evaluate(places) == before


@pytest.mark.parametrize(
    "path", ["/home", "/guidelines/helpful", "/consent/red_team", "/qualification", "/talk", "/end"]
)
def test_a_phone_needs_no_sideways_scrolling(answered: Page, path: str) -> None:
    answered.set_viewport_size({"width": 360, "height": 700})
    if path == "/end":
        answered.get_by_role("link", name="End").click()
    elif path != "/talk":
        answered.goto(path)
    assert answered.evaluate("document.documentElement.scrollWidth") <= 360
