"""Points of a study are measured once."""

from pathlib import Path

import pytest

from tutelage.plumbing.errors import InputError
from tutelage.studies.points import Point, measure_points


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    measured: list[int] = []

    def point(size: int) -> Point:
        if size == 3:
            raise KeyboardInterrupt
        measured.append(size)
        return {"value": size * 10}

    def wanted(*sizes: int) -> list[tuple[dict[str, int], object]]:
        return [({"size": size}, lambda size=size: point(size)) for size in sizes]

    with pytest.raises(KeyboardInterrupt):
        measure_points(tmp_path / "p.jsonl", {"base": "b"}, wanted(1, 2, 3, 4))
    points = measure_points(tmp_path / "p.jsonl", {"base": "b"}, wanted(4, 2, 1))
    assert [(p["size"], p["value"]) for p in points] == [(4, 40), (2, 20), (1, 10)]
    assert measured == [1, 2, 4]


def test_points_of_other_data_are_refused(tmp_path: Path) -> None:
    measure_points(tmp_path / "p.jsonl", {"files": ("a",)}, [({"size": 1}, dict)])
    measure_points(tmp_path / "p.jsonl", {"files": ("a",)}, [({"size": 2}, dict)])
    with pytest.raises(InputError, match="other data or settings"):
        measure_points(tmp_path / "p.jsonl", {"files": ("b",)}, [({"size": 1}, dict)])
