"""On whose behalf a repository works: every query of it is limited to what the principal may see."""

from dataclasses import dataclass
from typing import get_args

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from tutelage.feedback.database.refusals import Forbidden, NotFound
from tutelage.feedback.database.tables import Role, Worker, WorkerStatus


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `may_edit`: whether they may edit a chosen answer."""

    worker_id: str
    roles: frozenset[Role] = frozenset()
    status: WorkerStatus = "active"
    may_edit: bool = False

    def has(self, *roles: Role) -> bool:
        """Whether the principal is active and has one of these roles."""
        return self.status == "active" and not self.roles.isdisjoint(roles)

    def require(self, *roles: Role) -> None:
        """Raises Forbidden where the principal has none of these roles."""
        if not self.has(*roles):
            raise Forbidden(f"needs the role {' or '.join(roles)}")


SYSTEM = Principal("system", frozenset(get_args(Role)))
"""The program itself, on the command line of whoever runs it."""


def principal_of(session: Session, worker_id: str) -> Principal:
    """
    Raises:
        NotFound: no worker of this id.
    """
    worker = session.get(Worker, worker_id)
    if worker is None:
        raise NotFound(f"no worker {worker_id}")
    return Principal(worker.id, frozenset(row.role for row in worker.roles), worker.status, worker.may_edit)


_STATUS = select(Worker.status).where(Worker.id == bindparam("me")).with_for_update(read=True, key_share=True)


def require_not_erased(session: Session, principal: Principal) -> None:
    """For what needs no row of the worker's own that an erasure deletes: none comes between this and the commit.

    Raises:
        NotFound: the worker was erased since they were looked up.
    """
    if session.scalar(_STATUS, {"me": principal.worker_id}) == "erased":
        raise NotFound(f"no worker {principal.worker_id}")
