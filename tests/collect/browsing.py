"""A worker in a real browser: the steps of the journeys."""

from playwright.sync_api import Locator, Page, expect

from tutelage.collect.agreements import consent_version
from tutelage.collect.qualification import QUESTIONS
from tutelage.feedback.database.access import Access
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.passwords import hash_password
from tutelage.feedback.database.principal import Principal, principal_of
from tutelage.feedback.database.tables import Role
from tutelage.feedback.database.workers import Profile

from .people import PASSWORD, WRITING, new_invite


def join(page: Page, database: Database, *roles: Role, login: str = "worker") -> None:
    page.goto(f"/join/{new_invite(database, *roles)}")
    page.get_by_label("Name to sign in with").fill(login)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make my account").click()


def sign_in(page: Page, login: str = "worker") -> None:
    page.get_by_label("Name").fill(login)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def consent(page: Page) -> None:
    page.get_by_role("button", name="I agree").click()


def answer_questions(page: Page) -> None:
    page.goto("/qualification")
    for question in QUESTIONS:
        page.locator(f'input[name="{question.name}"][value="{question.right}"]').check()
    page.get_by_label("Write the first messages").fill(WRITING)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("button", name="Begin a helpful conversation")).to_be_visible()


def arrive(page: Page, database: Database, *roles: Role) -> None:
    """From an invite to the home page."""
    join(page, database, *(roles or ("worker", "red_team_worker")))
    consent(page)
    answer_questions(page)


def begin(page: Page) -> None:
    page.goto("/home")
    page.get_by_role("button", name="Begin a helpful conversation").click()
    expect(page.get_by_label("What would you like help with?")).to_be_visible()
    until_keys_work(page)


def begin_red_team(page: Page, goal: str = "Get it to be rude.") -> None:
    page.goto("/red-team")
    page.get_by_label("What will you try to make it do?").fill(goal)
    page.get_by_label("Insults and bullying").check()
    page.get_by_role("button", name="Begin", exact=True).click()
    expect(page.get_by_label("Your first message")).to_be_visible()
    until_keys_work(page)


def until_keys_work(page: Page) -> None:
    """A page can be seen before its deferred script has run: until then Enter begins a line, and no draft is kept."""
    page.wait_for_load_state("domcontentloaded")


def say(page: Page, text: str) -> None:
    until_keys_work(page)
    page.locator("#message").fill(text)
    page.locator("#message").press("Enter")


def tab_to(page: Page, target: Locator) -> None:
    """Go there by the Tab key alone."""
    expect(target).to_be_visible()
    until_keys_work(page)
    for _ in range(100):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{target} cannot be reached by Tab")


def until_answered(page: Page, timeout: float = 30_000) -> None:
    expect(page.locator(".scale:not([disabled])")).to_be_visible(timeout=timeout)


def choose(page: Page, position: int) -> None:
    until_keys_work(page)
    page.keyboard.press(str(position))
    expect(page.locator(f'input[name="position"][value="{position}"]')).to_be_checked()
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_be_visible()


def make_account(database: Database, *roles: Role) -> Principal:
    """An account that no browser holds."""
    with database.writing() as session:
        access = Access(session)
        return principal_of(session, access.redeem(access.invite(roles)))


def come_back(page: Page, database: Database, *roles: Role, login: str = "worker") -> Principal:
    """Open the home page as a worker who was let in before."""
    someone = make_account(database, *(roles or ("worker", "red_team_worker")))
    with database.writing() as session:
        access, profile = Access(session), Profile(session, someone)
        access.set_password(someone.worker_id, login, hash_password(PASSWORD))
        profile.consent("helpful", consent_version("helpful"))
        profile.try_qualification("helpful", {}, 1.0, WRITING, passed=True)
        token = access.open_login(someone.worker_id)
    page.goto("/login")
    page.context.clear_cookies()
    page.context.add_cookies([{"name": "tutelage", "value": token, "url": page.url}])
    page.goto("/")
    return someone
