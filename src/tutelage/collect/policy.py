"""Who may call which route: one table. A route that is not in it cannot be built, so nothing is open by oversight.

A rule looks at the principal and says what stands in the way: nothing (`None`), or where to go instead. A worker who
has a step to take first (consent, guidelines, practice) is sent there; a page of another role does not exist for them.
"""

from collections.abc import Callable

from tutelage.collect.principal import Principal

NOT_THERE = "404"
Rule = Callable[[Principal], str | None]
"""From a principal to None (may), `NOT_THERE`, or the path of the step that comes first."""


def anyone(principal: Principal) -> str | None:
    """Visitors too."""
    return None


def signed_in(principal: Principal) -> str | None:
    """Whoever has an account that is not disabled."""
    return None if principal.worker is not None else "/login"


def worker(principal: Principal) -> str | None:
    """A worker on the way in: has an account, maybe nothing else yet."""
    return signed_in(principal) or (None if principal.may("worker") else NOT_THERE)


def consented(principal: Principal) -> str | None:
    """A worker who has agreed to the present consent."""
    return worker(principal) or (None if "helpful" in principal.consents else "/consent/helpful")


def qualified(principal: Principal) -> str | None:
    """A worker who may do paid work: consented, qualified, not paused."""
    return consented(principal) or (None if principal.qualified else "/start") or _paused(principal)


def red_team(principal: Principal) -> str | None:
    """A worker who may and wants to do red-team work; its consent is its own."""
    missing = qualified(principal) or (None if principal.may("red_team") else NOT_THERE)
    return missing or (None if "red_team" in principal.consents else "/consent/red_team")


def reviewer(principal: Principal) -> str | None:
    return signed_in(principal) or (None if principal.may("reviewer") else NOT_THERE)


def admin(principal: Principal) -> str | None:
    return signed_in(principal) or (None if principal.may("admin") else NOT_THERE)


def _paused(principal: Principal) -> str | None:
    return "/paused" if principal.paused else None


POLICY: dict[str, Rule] = {
    "GET /": anyone,
    "GET /health": anyone,
    "GET /static/{name}": anyone,
    "GET /login": anyone,
    "POST /login": anyone,
    "POST /logout": anyone,
    "GET /join/{token}": anyone,
    "POST /join/{token}": anyone,
    "GET /enter": anyone,
    "POST /enter": anyone,
    "GET /home": qualified,
}
