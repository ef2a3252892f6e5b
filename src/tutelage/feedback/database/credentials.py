"""Another password for a worker: by the present one, or by a link that an admin hands on. The worker stays the same."""

import hmac
import time

from sqlalchemy import update
from sqlalchemy.orm import Session

from tutelage.feedback.database.access import HOUR, Access, secret
from tutelage.feedback.database.audit import Audit
from tutelage.feedback.database.connection import Database, changed
from tutelage.feedback.database.passwords import hash_password, is_password
from tutelage.feedback.database.refusals import NotFound
from tutelage.feedback.database.tables import Credential, Secret

RESET_LIFETIME = 24 * HOUR
KEY = "password resets"


def change_password(database: Database, worker_id: str, password: str, better: str) -> str | None:
    """Give a worker another password and sign them out everywhere; returns the token of a new login, None where the
    present password is not the one that is said.

    Raises:
        ValueError: a password that is none (`passwords.hash_password`).
    """
    with database.reading() as session:
        found = session.get(Credential, worker_id)
        stored = found.password_hash if found else None
    return _replace(database, worker_id, stored, better) if stored and is_password(password, stored) else None


def reset_token(session: Session, worker_id: str, by: str) -> str:
    """What lets a worker choose another password, once and for a day, and stay who they are.

    Raises:
        NotFound: no such worker, or one who has no password.
    """
    row = session.get(Credential, worker_id)
    if row is None:
        raise NotFound(f"worker {worker_id} has no password")
    expires = int(time.time() + RESET_LIFETIME)
    Audit(session).append(by, "reset password", f"worker {worker_id}", {"expires": expires})
    return f"{worker_id}-{expires}-{_proof(secret(session, KEY), row, expires)}"


def reset_of(database: Database, token: str) -> Credential | None:
    """Whose password such a token lets be replaced; None: nobody's, or it was used, or is too old."""
    worker_id, _, rest = token.partition("-")
    expires, _, proof = rest.partition("-")
    with database.reading() as session:
        row, key = session.get(Credential, worker_id), session.get(Secret, KEY)
    if row is None or key is None or not (expires.isdecimal() and len(expires) < 12 and int(expires) > time.time()):
        return None
    right = hmac.compare_digest(_proof(key.value, row, int(expires)).encode(), proof.encode("utf-8", "replace"))
    return row if right else None


def reset_password(database: Database, token: str, better: str) -> str | None:
    """Replace the password of whom the token is for, as `change_password` does; None where it is worth nothing.

    Raises:
        ValueError: a password that is none.
        NotFound: the worker is disabled.
    """
    row = reset_of(database, token)
    return None if row is None else _replace(database, row.worker_id, row.password_hash, better)


def _proof(key: str, row: Credential, expires: int) -> str:
    """It covers the password that is there: once that is another, the proof is worth nothing."""
    covered = f"{row.worker_id} {expires} {row.password_hash}"
    return hmac.new(key.encode(), covered.encode(), "sha256").hexdigest()


def _replace(database: Database, worker_id: str, stored: str, better: str) -> str | None:
    """The password is hashed outside any transaction, and put in place where the one before is still there."""
    hashed = hash_password(better)
    with database.writing() as session:
        same = update(Credential).where(Credential.worker_id == worker_id, Credential.password_hash == stored)
        new = {"password_hash": hashed, "changed": time.time(), "failures": 0, "locked_until": 0.0}
        if not changed(session, same.values(new)):
            return None
        Audit(session).append(worker_id, "change password", f"worker {worker_id}", {})
        access = Access(session)
        access.close_logins(worker_id)
        return access.open_login(worker_id)
