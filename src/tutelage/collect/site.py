"""What all handlers of a server process share. It holds nothing that another process would have to know."""

from dataclasses import dataclass

from fastapi import Request
from sqlalchemy.orm import Session

from tutelage.collect.agreements import consent_version
from tutelage.collect.caller import VISITOR, Caller
from tutelage.collect.model_client import Answerer
from tutelage.collect.settings import Settings
from tutelage.feedback.database.access import Access
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.principal import Principal
from tutelage.feedback.database.tables import Interface
from tutelage.feedback.database.workers import Profile

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
            access = Access(session)
            principal = access.principal(token)
            caller = VISITOR if principal is None else _caller(session, principal)
            due = principal is not None and access.is_due(token)
        if due:
            with self.database.writing() as session:
                Access(session).seen(token)
        return caller


def _caller(session: Session, principal: Principal) -> Caller:
    if "worker" not in principal.roles:
        return Caller(principal)
    profile = Profile(session, principal)
    consents = (name for name in INTERFACES if profile.consented(name, consent_version(name)))
    tried = profile.qualification("helpful")
    return Caller(principal, frozenset(consents), qualified=tried is not None and tried.passed is True)


def site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site
