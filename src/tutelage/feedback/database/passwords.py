"""Passwords, hashed by argon2id. A hash takes a tenth of a second and 64 MiB: at most two are made at once."""

import re
import string
from functools import cache
from threading import Semaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 12, 128  # characters
LEAST_OF_ONES_OWN = 4  # different letters
_DISGUISES = str.maketrans("@4$5!130", "aassileo")
_WORDS = re.compile(
    "password|passwort|passwd|pass|letmein|welcome|iloveyou|admin(istrator)?|login|secret|changeme|default|guest|master"
    "|monkey|dragon|football|baseball|basketball|superman|batman|princess|sunshine|shadow|trustno|whatever|computer"
    "|internet|starwars|pokemon|michael|charlie|jordan|hello|test|user|root|love|abc|tutelage|worker|reviewer"
    "|winter|spring|summer|autumn|monday|friday|january|december"
)
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "qazwsxedcrfv", "abcdefghijklmnopqrstuvwxyz")
# Any four neighbours in a row of keys or in the alphabet, forwards or backwards.
_ROWS = re.compile(
    "|".join(row[start : start + 4] for key in _KEYS for row in (key, key[::-1]) for start in range(len(row) - 3))
)
_AT_ONCE = Semaphore(2)
_hasher = PasswordHasher()


def hash_password(password: str) -> str:
    """
    Raises:
        ValueError: too short, too long, or one of those that are tried first.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise ValueError(f"a password has {SHORTEST} to {LONGEST} characters")
    if is_common(password):
        raise ValueError("this password is among the first that anybody would try; a sentence of your own is good")
    with _AT_ONCE:
        return _hasher.hash(password)


def is_common(password: str) -> bool:
    """Whether hardly anything is left of a password without the words that many use, their usual disguises, rows of
    keys, repetitions and digits: `P@ssw0rd2024!`, `qwertyuiop12`, `iloveyouiloveyou`."""
    core = password.casefold().strip(string.digits + string.punctuation)
    return min(map(_of_ones_own, (password.casefold(), core.translate(_DISGUISES)))) < LEAST_OF_ONES_OWN


def _of_ones_own(password: str) -> int:
    """How many different letters are left."""
    left = _ROWS.sub("", _WORDS.sub("", "".join(filter(str.isalnum, password))))
    return len(set(left) - set(string.digits))


def is_password(password: str, stored: str | None) -> bool:
    """Whether a password is the one of this hash. Without a hash (no such login) it takes as long to say no."""
    with _AT_ONCE:
        nobody = _nobody()  # made at the first question of all, whoever it is about
        try:
            return _hasher.verify(stored or nobody, password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False


@cache
def _nobody() -> str:
    return _hasher.hash("nobody has this password")
