"""Which snapshots answer, and with what weight; every change has its reason and stands in the audit chain."""

import math
from dataclasses import asdict
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from tutelage.dialogue import SamplingParameters
from tutelage.feedback.database.audit import Audit
from tutelage.feedback.database.principal import Principal
from tutelage.feedback.database.refusals import Conflict, NotFound
from tutelage.feedback.database.tables import DeploymentChange, Snapshot
from tutelage.feedback.database.texts import LONGEST_COMMENT, written


class Deployment:
    """The snapshots that may answer. For administrators; every change raises `ValueError` without a reason."""

    def __init__(self, session: Session, principal: Principal) -> None:
        principal.require("admin")
        self._session = session
        self._principal = principal

    def table(self) -> list[Snapshot]:
        """All snapshots that were ever deployed, the newest first."""
        return list(self._session.scalars(select(Snapshot).order_by(Snapshot.created.desc(), Snapshot.name)))

    def changes(self, limit: int = 100) -> list[DeploymentChange]:
        """The latest changes, the newest first."""
        return list(self._session.scalars(select(DeploymentChange).order_by(DeploymentChange.id.desc()).limit(limit)))

    def last_reason(self, name: str) -> str | None:
        """Why a snapshot was changed last; None: it never was."""
        found = select(DeploymentChange.reason).where(DeploymentChange.snapshot == name)
        return self._session.scalar(found.order_by(DeploymentChange.id.desc()).limit(1))

    def deploy(
        self, name: str, place: str, reason: str, weight: float = 1.0, sampling: SamplingParameters | None = None
    ) -> None:
        """Let a snapshot answer, or change how one that is known does.

        Raises:
            ValueError: a weight that is negative or no number.
            Conflict: a snapshot of this name lies elsewhere; snapshots are immutable.
        """
        row = self._session.get(Snapshot, name)
        if row is not None and row.place != place:
            raise Conflict(f"a snapshot {name} is deployed from another place", row.place)
        before = _state(row)
        row = row or Snapshot(name=name, place=place)
        row.weight, row.status = _weight(weight), "active"
        row.sampling = asdict(sampling or SamplingParameters())
        self._session.add(row)
        self._changed(row, before, reason)

    def set_weight(self, name: str, weight: float, reason: str) -> None:
        row = self._get(name)
        before = _state(row)
        row.weight = _weight(weight)
        self._changed(row, before, reason)

    def set_status(self, name: str, status: Literal["active", "stopped"], reason: str) -> None:
        """Stop a snapshot at once (turns that it was planned for are planned anew when asked again), or start it."""
        row = self._get(name)
        before = _state(row)
        row.status = status
        self._changed(row, before, reason)

    def _get(self, name: str) -> Snapshot:
        row = self._session.get(Snapshot, name)
        if row is None:
            raise NotFound(f"no snapshot {name}")
        return row

    def _changed(self, row: Snapshot, before: dict[str, Any] | None, reason: str) -> None:
        why = written(reason, "the reason", LONGEST_COMMENT)
        self._session.flush()
        by = None if self._principal.worker_id == "system" else self._principal.worker_id
        after = _state(row) or {}
        self._session.add(DeploymentChange(snapshot=row.name, changed_by=by, reason=why, before=before, after=after))
        details = {"before": before, "after": after, "reason": why}
        Audit(self._session).append(self._principal.worker_id, "deployment", f"snapshot {row.name}", details)


def _state(row: Snapshot | None) -> dict[str, Any] | None:
    return None if row is None else {"weight": row.weight, "status": row.status, "sampling": row.sampling}


def _weight(weight: float) -> float:
    if not (math.isfinite(weight) and weight >= 0):
        raise ValueError(f"a weight is a number of 0 or more, not {weight}")
    return weight
