"""A request that is made again with the same key is answered again, and carried out once."""

import hashlib
import json
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import bindparam, delete, select, tuple_, update
from sqlalchemy.orm import Session

from tutelage.feedback.database.connection import changed, insert_new
from tutelage.feedback.database.principal import Principal
from tutelage.feedback.database.refusals import Conflict
from tutelage.feedback.database.tables import Answered

T = TypeVar("T", str, int)

LONGEST_KEY = 200
KEPT = 42 * 24 * 3600.0  # seconds that a request is known again: longer than a browser keeps what it could not send
FORGOTTEN_AT_ONCE = 1000

_ANSWER = update(Answered).where(Answered.principal == bindparam("me"), Answered.key == bindparam("its"))


def once(session: Session, principal: Principal, key: str, request: tuple[object, ...], act: Callable[[], T]) -> T:
    """What `act` returns, or what it returned when this principal's request of the same key was carried out.

    The key is taken before the act, in the same transaction: of several that come at once, the others wait for the
    first and get its answer. An act that fails frees the key.

    Args:
        request: all that the request says, in types of JSON.

    Raises:
        ValueError: an empty or over-long key, or one with other characters than printable ASCII.
        Conflict: the key was used for another request.
    """
    if not 0 < len(key) <= LONGEST_KEY or not (key.isascii() and key.isprintable()):
        raise ValueError(f"an idempotency key has 1 to {LONGEST_KEY} plain characters")
    fingerprint = hashlib.sha256(json.dumps(request).encode()).hexdigest()
    if not insert_new(session, Answered, principal=principal.worker_id, key=key, fingerprint=fingerprint):
        stored = session.get_one(Answered, (principal.worker_id, key))
        if stored.fingerprint != fingerprint:
            raise Conflict("this key was used for another request; take a new one")
        before: T = stored.answer
        return before
    answer = act()
    changed(session, _ANSWER, {"me": principal.worker_id, "its": key, "answer": answer})
    return answer


def forget_old(session: Session) -> int:
    """Delete some of the answers that nobody will ask for any more; returns of how many requests."""
    found = select(Answered.principal, Answered.key).where(Answered.created < time.time() - KEPT)
    some = list(map(tuple, session.execute(found.limit(FORGOTTEN_AT_ONCE).with_for_update(skip_locked=True))))
    return changed(session, delete(Answered).where(tuple_(Answered.principal, Answered.key).in_(some))) if some else 0
