"""What a test may ask of the machine. `TUTELAGE_REQUIRE` (a comma-separated list) turns such a skip into a failure."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def _lacks(what: str, cure: str) -> NoReturn:
    if what in os.environ.get("TUTELAGE_REQUIRE", "").split(","):
        pytest.fail(f"this run requires a {what}: {cure}")
    pytest.skip(f"no {what} here: {cure}")


@pytest.fixture(scope="session")
def browser() -> str:
    """The path of a Chromium."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        _lacks("browser", "install the Debian package chromium")
    return found


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of public data sets."""
    folder = os.environ.get("TUTELAGE_DATA")
    if not folder:
        _lacks("data", "set TUTELAGE_DATA to the folder of data sets")
    return Path(folder)
