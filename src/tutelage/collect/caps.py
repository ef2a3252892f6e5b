"""When red-team work must rest: after a stretch of it, and when the day's measure is full."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from tutelage.collect.gate import principal_of, visit_of
from tutelage.collect.pages import go, page
from tutelage.collect.settings import RedTeamCaps
from tutelage.collect.site import site_of
from tutelage.feedback.database.hours import DAY, seconds_without_pause, seconds_worked
from tutelage.feedback.database.principal import Principal
from tutelage.feedback.database.tables import Mode

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class RedTeamTime:
    """Minutes of red-team work without a pause, and of the last 24 hours."""

    stretch: float
    day: float

    def rest_due(self, caps: RedTeamCaps) -> bool:
        """Whether no further red-team message may be sent now."""
        return self.stretch >= caps.minutes or self.day >= caps.daily_minutes

    def day_is_full(self, caps: RedTeamCaps) -> bool:
        return self.day >= caps.daily_minutes


def red_team_time(session: Session, principal: Principal, caps: RedTeamCaps) -> RedTeamTime:
    """How long the principal has done red-team work."""
    pause = caps.pause_minutes * MINUTE
    return RedTeamTime(
        stretch=seconds_without_pause(session, principal.worker_id, "red_team", pause) / MINUTE,
        day=seconds_worked(session, principal.worker_id, time.time() - DAY, "red_team") / MINUTE,
    )


def must_rest(request: Request) -> bool:
    """Whether whoever sent the request is to do no red-team work now."""
    return _time_of(request).rest_due(site_of(request).settings.red_team)


def day_is_full(request: Request) -> bool:
    """Whether whoever sent the request has done all the red-team work of a day."""
    return _time_of(request).day_is_full(site_of(request).settings.red_team)


def must_consent(request: Request, mode: Mode) -> bool:
    """Whether work of this mode needs a consent that its worker has not given, or not to the present text."""
    return mode == "red_team" and "red_team" not in visit_of(request).caller.consents


def stopped(request: Request, mode: Mode, due: Callable[[Request], bool] = must_rest) -> Response | None:
    """What answers a form of red-team work that may not be done now; None where it may.

    Args:
        due: what makes it rest; a turn that is before somebody is finished by `day_is_full` alone.
    """
    if must_consent(request, mode):
        return go("/consent/red_team?unsent")  # the page keeps the form, and sends it after that
    return rest_page(request, 409) if mode == "red_team" and due(request) else None  # not 200: a draft is kept


def rest_page(request: Request, status: int = 200) -> HTMLResponse:
    """The pause screen."""
    caps, done = site_of(request).settings.red_team, _time_of(request)
    return page(request, "rest.html.j2", status, done=done, due=done.rest_due(caps), day_is_full=done.day_is_full(caps))


def _time_of(request: Request) -> RedTeamTime:
    site = site_of(request)
    with site.database.reading() as session:
        return red_team_time(session, principal_of(request), site.settings.red_team)
