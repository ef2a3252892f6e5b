"""What all handlers of a server process share. It holds nothing that another process would have to know."""

from dataclasses import dataclass

from fastapi import Request

from tutelage.collect.agreements import consent_version
from tutelage.collect.caller import VISITOR, Caller
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

    def caller(self, token: str | None) -> Caller:
        """Who holds this token; a visitor if nobody does, or the login is over."""
        if token is None:
            return VISITOR
        with self.database.reading() as session:
            holder = Access(session).holder(token, {name: consent_version(name) for name in INTERFACES})
        if holder is None:
            return VISITOR
        if holder.due:
            with self.database.writing(lasting=False) as session:
                Access(session).seen(token)
        return Caller(holder.principal, holder.consents, holder.qualified)


def site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site
