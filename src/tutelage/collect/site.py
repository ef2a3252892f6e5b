"""What all handlers of a server process share. It holds nothing that another process would have to know."""

from dataclasses import dataclass

from fastapi import Request

from tutelage.collect.principal import VISITOR, Principal
from tutelage.collect.settings import Settings


@dataclass(frozen=True, slots=True)
class Site:
    """A running app: its settings, its database, and who answers."""

    settings: Settings

    def principal(self, token: str | None) -> Principal:
        """Who holds this session token; a visitor if nobody does, or the session has ended."""
        return VISITOR


def site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site
