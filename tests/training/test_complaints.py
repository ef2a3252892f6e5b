"""The table of complaints names tests that exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_every_complaint_has_its_test() -> None:
    named = re.findall(r"\| (\S+\.py)::(\w+) \|$", (TESTS / "training" / "complaints.md").read_text(), re.MULTILINE)
    assert len(named) > 60
    for file, name in named:
        assert f"def {name}(" in (TESTS / file).read_text(), f"{file}::{name}"
