"""Who may call which route: one table. A route that is not in it cannot be built, so nothing is open by oversight.

A rule looks at the caller and says what stands in the way: nothing (`None`), or where to go instead. A worker who has
a step to take first (consent, qualification) is sent there; a page of another role does not exist for them.
"""

from collections.abc import Callable

from tutelage.collect.caller import Caller

NOT_THERE = "404"
Rule = Callable[[Caller], str | None]
"""From a caller to None (may), `NOT_THERE`, or the path of the step that comes first."""


def public(caller: Caller) -> str | None:
    """What is the same for all, so that nobody is looked up."""
    return None


def anyone(caller: Caller) -> str | None:
    """Visitors too."""
    return None


def signed_in(caller: Caller) -> str | None:
    """Whoever has an account that is not disabled."""
    return None if caller.signed_in else "/login"


def worker(caller: Caller) -> str | None:
    """A worker on the way in: has an account, maybe nothing else yet."""
    return signed_in(caller) or (None if caller.has("worker") else NOT_THERE)


def consented(caller: Caller) -> str | None:
    """A worker who has agreed to the present consent; all that they own they may see."""
    return worker(caller) or (None if "helpful" in caller.consents else "/consent/helpful")


def talking(caller: Caller) -> str | None:
    """A worker who goes on with a conversation of their own; a practice conversation comes before qualification."""
    return consented(caller) or ("/paused" if caller.paused else None)


def qualified(caller: Caller) -> str | None:
    """A worker who may begin paid work."""
    return talking(caller) or (None if caller.qualified else "/start")


def red_team(caller: Caller) -> str | None:
    """A worker who may and wants to do red-team work; its consent is its own."""
    missing = qualified(caller) or (None if caller.has("red_team_worker") else NOT_THERE)
    return missing or (None if "red_team" in caller.consents else "/consent/red_team")


def reviewer(caller: Caller) -> str | None:
    return signed_in(caller) or (None if caller.has("reviewer") else NOT_THERE)


def admin(caller: Caller) -> str | None:
    return signed_in(caller) or (None if caller.has("admin") else NOT_THERE)


WRITE_THOUGH_SAFE = frozenset({"GET /turns/{turn}/answers", "GET /code"})
"""Routes that are safe to call again, and yet store something: they wait in line with those that are not."""

POLICY: dict[str, Rule] = {
    "GET /": anyone,
    "GET /health": public,
    "GET /static/{name}": public,
    "GET /login": anyone,
    "POST /login": anyone,
    "POST /logout": anyone,
    "GET /join/{token}": anyone,
    "POST /join/{token}": anyone,
    "GET /enter": anyone,
    "POST /enter": anyone,
    "GET /reset/{token}": anyone,
    "POST /reset/{token}": anyone,
    "GET /account": signed_in,
    "POST /account/password": signed_in,
    "POST /account/sign-outs": signed_in,
    "GET /consent/{interface}": worker,
    "POST /consent/{interface}": worker,
    "GET /guidelines/{interface}": worker,
    "GET /start": consented,
    "GET /qualification": consented,
    "POST /qualification": consented,
    "GET /paused": worker,
    "GET /messages": worker,
    "POST /messages": worker,
    "GET /code": worker,
    "GET /home": qualified,
    "GET /red-team": red_team,
    "GET /rest": red_team,
    "POST /talk/practice": talking,
    "POST /talk/helpful": qualified,
    "POST /talk/compare": qualified,
    "POST /talk/red-team": red_team,
    "GET /talk/{conversation}": consented,
    "POST /talk/{conversation}/message": talking,
    "POST /talk/{conversation}/report": talking,
    "POST /talk/{conversation}/withdraw": consented,
    "GET /talk/{conversation}/end": consented,
    "POST /talk/{conversation}/end": talking,
    "GET /turns/{turn}/answers": talking,
    "POST /turns/{turn}/judgment": talking,
    "POST /turns/{turn}/undo": talking,
    "POST /turns/{turn}/edit": talking,
    "POST /turns/{turn}/skip": talking,
    "GET /rate": qualified,
    "POST /rate/{conversation}": qualified,
    "POST /overlap/helpful": qualified,
    "POST /overlap/red-team": red_team,
    "GET /overlap/turns/{turn}": qualified,
    "POST /overlap/turns/{turn}/judgment": qualified,
    "POST /overlap/turns/{turn}/skip": qualified,
    "GET /review": reviewer,
    "POST /review/next": reviewer,
    "GET /review/turns/{turn}": reviewer,
    "POST /review/turns/{turn}/judgment": reviewer,
    "POST /review/turns/{turn}/verdict": reviewer,
    "GET /review/conversations/{conversation}": reviewer,
    "POST /review/samples/{sample}": reviewer,
    "POST /review/conversations/{conversation}/reports/{report}": reviewer,
    "POST /review/exclusions": reviewer,
    "GET /admin": admin,
    "GET /admin/agreement": admin,
    "GET /admin/workers": admin,
    "GET /admin/workers/{worker}": admin,
    "POST /admin/workers/{worker}/access": admin,
    "POST /admin/workers/{worker}/status": admin,
    "POST /admin/workers/{worker}/reset": admin,
    "POST /admin/workers/{worker}/message": admin,
    "POST /admin/workers/{worker}/exclusion": admin,
    "GET /admin/deployment": admin,
    "POST /admin/deployment/{snapshot:path}": admin,
    "GET /admin/invites": admin,
    "POST /admin/invites": admin,
    "POST /admin/invites/closing": admin,
    "GET /admin/exports": admin,
    "POST /admin/exports": admin,
    "GET /admin/imports": admin,
    "GET /admin/imports/{file}": admin,
    "GET /admin/audit": admin,
    "POST /admin/audit/verification": admin,
}
