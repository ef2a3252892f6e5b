"""What all handlers of a server process share. It holds nothing that another process would have to know."""

from dataclasses import dataclass, field

from fastapi import Request

from tutelage.collect.agreements import consent_version
from tutelage.collect.caller import VISITOR, Caller
from tutelage.collect.line import Line
from tutelage.collect.model_client import Answerer
from tutelage.collect.settings import Settings
from tutelage.feedback.database.access import Access
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.tables import Interface

INTERFACES: tuple[Interface, Interface] = ("helpful", "red_team")


@dataclass(frozen=True, slots=True)
class Site:
    """A running app: its settings, its database, and who answers."""

    settings: Settings
    database: Database
    answerer: Answerer
    line: Line = field(default_factory=Line)

    def caller(self, token: str | None) -> tuple[Caller, bool]:
        """Who holds this token; a visitor if nobody does, or the login is over. And whether `note_seen` is due."""
        if token is None:
            return VISITOR, False
        with self.database.looking() as session:
            holder = Access(session).holder(token, {name: consent_version(name) for name in INTERFACES})
        if holder is None:
            return VISITOR, False
        return Caller(holder.principal, holder.consents, holder.qualified), holder.due

    def note_seen(self, token: str) -> None:
        """Note that a login is in use, so that it does not end by idleness."""
        with self.database.writing(lasting=False) as session:
            Access(session).seen(token)


def site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site
