"""How a browser becomes a principal: invites, platforms' hand-offs, passwords, logins. Tokens are stored as hashes."""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from sqlalchemy import BindParameter, ColumnElement, Double, bindparam, case, delete, exists, select, update
from sqlalchemy.orm import Session

from tutelage.feedback.database import once
from tutelage.feedback.database.audit import Audit
from tutelage.feedback.database.connection import Database, changed, hold, insert_new
from tutelage.feedback.database.passwords import is_password
from tutelage.feedback.database.principal import Principal, principal_of
from tutelage.feedback.database.refusals import Conflict, NotFound
from tutelage.feedback.database.tables import (
    Consent,
    Credential,
    Entry,
    Interface,
    Invite,
    Login,
    Platform,
    Qualification,
    RateBucket,
    Role,
    Secret,
    Worker,
    WorkerRole,
    new_id,
)
from tutelage.feedback.database.texts import storable

HOUR = 3600.0
INVITE_LIFETIME, LOGIN_LIFETIME, LOGIN_IDLE = 14 * 24 * HOUR, 7 * 24 * HOUR, 12 * HOUR
SEEN_EVERY = 60.0  # seconds between two notes that a login was seen
LOCK_AFTER, LONGEST_LOCK = 5, 900.0  # wrong passwords; seconds
LONGEST_LOGIN = 200  # characters


def new_token() -> str:
    """256 random bits, fit for a URL."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def secret(session: Session, name: str) -> str:
    """A random key of this name that all server processes share; made when it is first asked for."""
    insert_new(session, Secret, name=name, value=secrets.token_hex(32))
    return session.get_one(Secret, name).value


def take_token(session: Session, name: str, capacity: float, per_second: float) -> bool:
    """Take one token of a bucket that holds `capacity` and is refilled steadily; False where it is empty."""
    now = time.time()
    asked = {"bucket": name, "now": now, "capacity": capacity, "per_second": per_second}
    if changed(session, _TAKE, asked):
        return True
    if not insert_new(session, RateBucket, name=name, tokens=capacity - 1, updated=now):
        return changed(session, _TAKE, asked) == 1  # another has made it just now, or it is empty
    _forget_old(session, now)
    once.forget_old(session)
    return capacity >= 1


# In one statement, which every request waits for. A clock may be set back.
_WAITED = case((bindparam("now") > RateBucket.updated, bindparam("now") - RateBucket.updated), else_=0.0)
_REFILLED = RateBucket.tokens + _WAITED * bindparam("per_second", type_=Double)
_FILLED = case((bindparam("capacity") < _REFILLED, bindparam("capacity", type_=Double)), else_=_REFILLED)
_TAKE = (
    update(RateBucket)
    .where(RateBucket.name == bindparam("bucket"), _FILLED >= 1)
    .values(tokens=_FILLED - 1, updated=bindparam("now"))
)


def _forget_old(session: Session, now: float) -> None:
    """Delete the buckets of whoever has not come for an hour: they are full again, and tell who was here."""
    old = select(RateBucket.name).where(RateBucket.updated < now - HOUR).with_for_update(skip_locked=True)
    changed(session, delete(RateBucket).where(RateBucket.name.in_(old)))


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a login's token, with all that decides what they may do.

    Attributes:
        consents: the interfaces whose present version they have agreed to.
        qualified: whether their latest try was passed.
        due: whether `Access.seen` should be called, once a minute.
    """

    principal: Principal
    consents: frozenset[Interface]
    qualified: bool
    due: bool


def _has_role(role: Role) -> ColumnElement[bool]:
    return exists().where(WorkerRole.worker_id == Worker.id, WorkerRole.role == role).label(role)


def _consented(interface: Interface) -> ColumnElement[bool]:
    """To the version that is given under the interface's name."""
    version: BindParameter[str | None] = bindparam(interface, None)
    same = (Consent.worker_id == Worker.id, Consent.interface == interface, Consent.version == version)
    return exists().where(*same).label(f"consented to {interface}")


_TRIED = (
    select(Qualification.passed)
    .where(Qualification.worker_id == Worker.id, Qualification.interface == "helpful")
    .order_by(Qualification.id.desc())
    .limit(1)
)
_HOLDS = (Login.expires >= bindparam("now"), Login.seen >= bindparam("idle_since"))
# Asked by every request: one statement, built once.
_HOLDER = (
    select(
        Worker.id, Worker.status, Worker.may_edit, Login.seen, _TRIED.scalar_subquery().label("qualified"),
        *map(_has_role, get_args(Role)), *map(_consented, get_args(Interface)),
    )
    .join(Login, Login.worker_id == Worker.id)
    .where(
        Login.token_hash == bindparam("token"), *_HOLDS, Worker.status.in_(("active", "paused")),
    )
)  # fmt: skip


class Access:
    """What is done before there is a principal, and with logins."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def invite(
        self, roles: Sequence[Role], by: str | None = None, uses: int = 1, lifetime: float = INVITE_LIFETIME,
        note: str = "", key: str | None = None,
    ) -> str:  # fmt: skip
        """Make an invite; returns its token, which is stored nowhere.

        Args:
            by: the worker who invites; None: the command line.
            lifetime: seconds.
            key: of a request that may arrive twice: the same request gives the same invite.

        Raises:
            ValueError: no role, or no use.
        """
        if not roles or uses < 1:
            raise ValueError("an invite needs a role and at least one use")
        token = new_token()
        if key is not None:  # derived, as it cannot be looked up
            request = json.dumps([by, key, *roles, uses, lifetime, note])
            token = hmac.new(secret(self._session, "invites").encode(), request.encode(), "sha256").hexdigest()
        hash, expires = token_hash(token), time.time() + lifetime
        if insert_new(
            self._session, Invite, token_hash=hash, roles=list(roles), uses_left=uses, expires=expires, created_by=by,
            note=storable(note),
        ):  # fmt: skip
            details = {"roles": list(roles), "uses": uses, "expires": expires}
            Audit(self._session).append(by or "system", "invite", f"invite {hash[:12]}", details)
        return token

    def revoke(self, note: str) -> None:
        """Close the command line's invites of this note."""
        same = update(Invite).where(Invite.note == note, Invite.created_by.is_(None))
        changed(self._session, same.values(uses_left=0))

    def close_invite(self, hash: str, by: str) -> None:
        """Let nobody in any more by the invite whose token has this hash.

        Raises:
            NotFound: no such invite that is open.
        """
        close = update(Invite).where(Invite.token_hash == hash, Invite.uses_left > 0)
        if not changed(self._session, close.values(uses_left=0)):
            raise NotFound("no open invite of this hash")
        Audit(self._session).append(by, "close invite", f"invite {hash[:12]}")

    def is_open(self, token: str) -> bool:
        """Whether an invite can be used now."""
        row = self._session.get(Invite, token_hash(token))
        return row is not None and row.uses_left > 0 and row.expires > time.time()

    def redeem(self, token: str) -> str:
        """Use an invite up by one and make a worker of its roles; returns the worker's id.

        Raises:
            NotFound: no such invite, or expired, or used up.
        """
        key = token_hash(token)
        use = update(Invite).where(Invite.token_hash == key, Invite.uses_left > 0, Invite.expires > time.time())
        if not changed(self._session, use.values(uses_left=Invite.uses_left - 1)):
            raise NotFound("this invite is unknown, expired or used up")
        roles = self._session.get_one(Invite, key).roles
        return self._new_worker("invite", roles, f"invite {key[:12]}")

    def enter(
        self, platform: Platform, participant: str, study: str = "", submission: str = "",
        roles: Sequence[Role] = ("worker",),
    ) -> tuple[str, str]:  # fmt: skip
        """Take in who comes from a platform; the same participant is the same worker. Returns worker's and entry's id.

        Raises:
            ValueError: no participant, or over-long ids.
        """
        ids = [storable(part).strip() for part in (participant, study, submission)]
        if not ids[0] or max(map(len, ids)) > LONGEST_LOGIN:
            raise ValueError("the platform's ids are missing or too long")
        hold(self._session, f"{platform} {ids[0]}")
        same = select(Entry).where(Entry.platform == platform, Entry.participant == ids[0])
        known = self._session.scalars(same.order_by(Entry.created)).all()
        for entry in known:
            if [entry.study, entry.submission] == ids[1:]:
                return entry.worker_id, entry.id
        worker_id = known[0].worker_id if known else self._new_worker(platform, roles, platform)
        entry = Entry(
            id=new_id(), worker_id=worker_id, platform=platform, participant=ids[0], study=ids[1], submission=ids[2]
        )
        self._session.add(entry)
        self._session.flush()
        return worker_id, entry.id

    def completion_code(self, entry_id: str) -> str:
        """What the worker hands to the platform; the same whenever it is asked for.

        Raises:
            NotFound: no such entry.
        """
        entry = self._session.get(Entry, entry_id)
        if entry is None:
            raise NotFound(f"no entry {entry_id}")
        entry.completed = entry.completed or time.time()
        key = secret(self._session, "completion codes")
        return hmac.new(key.encode(), entry_id.encode(), "sha256").hexdigest()[:12].upper()

    def open_login(self, worker_id: str, lifetime: float = LOGIN_LIFETIME) -> str:
        """Sign a worker in; returns the token for the browser.

        Raises:
            NotFound: no such worker, or a disabled one.
        """
        if principal_of(self._session, worker_id).status in ("disabled", "erased"):
            raise NotFound(f"no worker {worker_id}")
        token = new_token()
        self._session.add(Login(token_hash=token_hash(token), worker_id=worker_id, expires=time.time() + lifetime))
        self._session.flush()
        return token

    def holder(self, token: str, versions: Mapping[Interface, str]) -> Holder | None:
        """Who holds the token; None: nobody, or the login is over. Does not write (see `seen`).

        Args:
            versions: the present version of each interface's consent.
        """
        now = time.time()
        asked = {"token": token_hash(token), "now": now, "idle_since": now - LOGIN_IDLE} | dict(versions)
        found = self._session.execute(_HOLDER, asked).mappings().one_or_none()
        if found is None:
            return None
        roles = frozenset(role for role in get_args(Role) if found[role])
        return Holder(
            Principal(found["id"], roles, found["status"], found["may_edit"]),
            frozenset(interface for interface in versions if found[f"consented to {interface}"]),
            found["qualified"] is True,
            found["seen"] + SEEN_EVERY < now,
        )

    def seen(self, token: str) -> None:
        """Note that the login is in use, so that it does not end by idleness."""
        mine = update(Login).where(Login.token_hash == token_hash(token))
        changed(self._session, mine.values(seen=time.time()))

    def logins(self, worker_id: str) -> list[Login]:
        """Where a worker is signed in, the latest seen first."""
        now = time.time()
        asked = {"now": now, "idle_since": now - LOGIN_IDLE}
        mine = select(Login).where(Login.worker_id == worker_id, *_HOLDS).order_by(Login.seen.desc())
        return list(self._session.scalars(mine, asked))

    def close_login(self, token: str) -> None:
        changed(self._session, delete(Login).where(Login.token_hash == token_hash(token)))

    def close_logins(self, worker_id: str) -> int:
        """Sign a worker out everywhere; returns of how many logins."""
        return changed(self._session, delete(Login).where(Login.worker_id == worker_id))

    def login_name(self, worker_id: str) -> str | None:
        """What a worker signs in with; None: they come by a platform's link."""
        return self._session.scalar(select(Credential.login).where(Credential.worker_id == worker_id))

    def set_password(self, worker_id: str, login: str, password_hash: str) -> None:
        """Let a worker sign in by name and password.

        Args:
            password_hash: `hash_password`, made before: it takes a tenth of a second, in which nobody else could write.

        Raises:
            ValueError: a bad name.
            Conflict: another worker has this name.
        """
        name = storable(login).strip().casefold()
        if not 0 < len(name) <= LONGEST_LOGIN:
            raise ValueError(f"a login name has 1 to {LONGEST_LOGIN} characters")
        taken = self._session.scalar(select(Credential.worker_id).where(Credential.login == name))
        if taken not in (None, worker_id):
            raise Conflict("this login name is taken")
        row = self._session.get(Credential, worker_id) or Credential(worker_id=worker_id)
        row.login, row.password_hash, row.changed = name, password_hash, time.time()
        row.failures, row.locked_until = 0, 0.0
        self._session.add(row)
        self._session.flush()

    def _new_worker(self, source: Platform, roles: Sequence[Role], by: str) -> str:
        row = Worker(id=new_id(), source=source, roles=[WorkerRole(role=role) for role in roles])
        self._session.add(row)
        self._session.flush()
        Audit(self._session).append(row.id, "join", f"worker {row.id}", {"by": by, "roles": list(roles)})
        return row.id


def sign_in(database: Database, login: str, password: str) -> str | None:
    """A login's token where name and password are right; None where not, or where guessing has locked the name.

    The password is hashed outside any transaction. After some wrong ones the name is locked, ever longer. What is
    refused takes the same steps whether the name is known, locked or nobody's, so that the time tells nothing.
    """
    name = storable(login).strip().casefold()
    named = select(Credential).where(Credential.login == name)
    with database.reading() as session:
        found = session.scalar(named)
        stored = found.password_hash if found else None
    right = is_password(password, stored)
    with database.writing() as session:
        row = session.scalar(named.with_for_update())
        locked = row is not None and row.locked_until > time.time()
        if right and row is not None and not locked and row.password_hash == stored:  # not changed meanwhile
            row.failures, row.locked_until = 0, 0.0
            return Access(session).open_login(row.worker_id)
        _note_refused(session, name, row, locked)
        return None


def _note_refused(session: Session, name: str, row: Credential | None, locked: bool) -> None:
    failures, until = (row.failures, row.locked_until) if row else (0, 0.0)
    if not locked:
        failures += 1
        if failures >= LOCK_AFTER:
            until = time.time() + min(LONGEST_LOCK, 2.0 ** (failures - LOCK_AFTER))
    same = update(Credential).where(Credential.login == name)
    changed(session, same.values(failures=failures, locked_until=until))
    who = row.worker_id if row else "nobody"
    Audit(session).append(who, "refused sign-in", f"worker {who}", {"failures": failures})
