"""The texts that a worker agrees to. Their version is the hash of what they say, so that no change goes unasked."""

import hashlib
from functools import cache
from importlib import resources

from tutelage.feedback.database.tables import Interface


@cache
def consent_version(interface: Interface) -> str:
    """The version of an interface's consent text as it is shipped."""
    text = resources.files("tutelage.collect").joinpath("templates", f"consent_{interface}.html.j2").read_bytes()
    return hashlib.sha256(text).hexdigest()[:8]
