"""Points of a study: measured one by one and kept, so that a study that was broken off goes on."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import read_jsonl, write_jsonl

Point = dict[str, Any]
Wanted = Iterable[tuple[Mapping[str, Any], Callable[[], Point]]]
"""for each point what names it, and how it is measured"""


def measure_points(file: Path, origin: Mapping[str, Any], wanted: Wanted) -> list[Point]:
    """Measure what is wanted and not yet in the file; returns all wanted points in order.

    Args:
        file: JSONL; rewritten whole after every point.
        origin: what all points share (data hashes, base, settings); points of another origin are refused.

    Raises:
        InputError: the file holds points of another origin.
    """
    mine = json.loads(json.dumps(origin))
    known = [line.record for line in read_jsonl(file)] if file.exists() else []
    if any(point["origin"] != mine for point in known):
        raise InputError(f"{file}: points of other data or settings; name another --out, or remove the file")
    points = []
    for name, measure in wanted:
        found = next((point for point in known if all(point.get(key) == value for key, value in name.items())), None)
        if found is None:
            found = {**name, **measure(), "origin": mine}
            known.append(found)
            write_jsonl(file, known)
        points.append(found)
    return points
