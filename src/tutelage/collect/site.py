"""What all handlers of a server process share. It holds nothing that another process would have to know."""

from dataclasses import dataclass

from fastapi import Request

from tutelage.collect.caller import VISITOR, Caller
from tutelage.collect.model_client import Answerer
from tutelage.collect.settings import Settings
from tutelage.feedback.database.connection import Database


@dataclass(frozen=True, slots=True)
class Site:
    """A running app: its settings, its database, and who answers."""

    settings: Settings
    database: Database
    answerer: Answerer

    def caller(self, token: str | None) -> Caller:
        """Who holds this session token; a visitor if nobody does, or the session has ended."""
        return VISITOR


def site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site
