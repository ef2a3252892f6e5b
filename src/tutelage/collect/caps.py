"""When red-team work must rest: after a stretch of it, and when the day's measure is full."""

import time
from dataclasses import dataclass

from fastapi import Request
from sqlalchemy.orm import Session

from tutelage.collect.gate import principal_of
from tutelage.collect.settings import RedTeamCaps
from tutelage.collect.site import site_of
from tutelage.feedback.database.hours import DAY, seconds_without_pause, seconds_worked
from tutelage.feedback.database.principal import Principal

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
    site = site_of(request)
    with site.database.reading() as session:
        return red_team_time(session, principal_of(request), site.settings.red_team).rest_due(site.settings.red_team)
