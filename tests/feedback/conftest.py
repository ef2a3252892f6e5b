from pathlib import Path

import pytest

from tutelage.corpus.sources import read_comparisons
from tutelage.dialogue import Comparison

BASE_COMPARISONS = Path(__file__).parent / "base_comparisons.jsonl"


@pytest.fixture(scope="session")
def base_comparisons() -> list[Comparison]:
    """Pairs of responses of the embedded base model (temperature 0.7, at most 48 tokens) to embedded prompts."""
    return [row for row in read_comparisons([BASE_COMPARISONS]) if isinstance(row, Comparison)]
