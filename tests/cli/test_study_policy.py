"""`tutelage study-policy` refuses what it would have to ignore."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tutelage.cli.study_policy import StudyPolicy
from tutelage.plumbing.errors import InputError


@pytest.mark.parametrize(
    ("study", "change", "says"),
    [
        ("kl", {"weights": (0.1,)}, "--weights is of the study kl-weight, not of kl; leave it out"),
        ("kl-weight", {"sizes": (10,)}, "--sizes is of the study robustness"),
        ("tension", {"seconds": 9.0}, "--seconds is of the study methods"),
        ("kl", {"methods": ("ppo",)}, "--methods is of the study methods"),
        ("methods", {"steps": 5}, "--steps: processor time"),
        ("robustness", {"pairs": 5}, "--pairs: the study robustness varies the comparisons; give --sizes"),
        ("robustness", {"sizes": ()}, "--sizes must be at least 1"),
        ("kl", {"seeds": 0}, "--seeds must be at least 1"),
        ("kl-weight", {"weights": ()}, "--weights and --methods need a value each"),
        ("kl-weight", {"weights": (-1.0,)}, "--weights must be at least 0"),
        ("methods", {"seconds": 0.0}, "--seconds above 0"),
        ("tension", {"recipe": "smoke", "helpful": Path("people.jsonl")}, "which files of people's choices leave out"),
        ("kl", {"recipe": "smoke", "helpful": Path("nowhere.jsonl")}, "nowhere.jsonl: cannot be read"),
    ],
)
def test_what_cannot_be_is_refused(study: Any, change: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        replace(StudyPolicy(study), out=tmp_path / "out", **change).run()
    assert not (tmp_path / "out").exists()
