"""Files of comparisons that were read in, row by row, whatever stands in them."""

import json
from pathlib import Path

import pytest

from tutelage.collect.routes.imports import ROWS
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.files import read_comparisons_in

from .people import counted
from .test_staff_pages import Staff

SCRIPT = "<script>alert(1)</script>"


def hh(number: int, chosen: str = "good") -> str:
    asked = f"\n\nHuman: question {number} {SCRIPT}\n\nAssistant: "
    return json.dumps({"chosen": f"{asked}{chosen} {number}" if chosen else asked, "rejected": f"{asked}bad {number}"})


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Database:
    """With a file of two pages and a row of which no comparison can be made."""
    made = Database(database_url)
    (tmp_path / "theirs.jsonl").write_text("\n".join([hh(1), hh(2, ""), *map(hh, range(3, ROWS + 3))]))
    read_comparisons_in(made, tmp_path / "theirs.jsonl", "hh", "harmless")
    return made


def test_a_file_that_was_read_in_is_browsed_page_by_page(database: Database) -> None:
    admin = Staff(database, "admin")
    admin.open("/admin/imports")
    assert "theirs.jsonl" in admin.html
    with counted(database) as statements:
        admin.open("/admin/imports/1")
    assert len(statements) <= 12
    assert "question 1 " in admin.html
    assert f"good {ROWS}" in admin.html
    assert f"question {ROWS + 1} " not in admin.html
    assert "The last assistant turn is empty." in admin.html
    assert "bad 2" in admin.html  # the line as it was
    assert SCRIPT not in admin.html
    admin.open(f"/admin/imports/1?after={ROWS}")
    assert [f"question {number} " in admin.html for number in (ROWS, ROWS + 1, ROWS + 2)] == [False, True, True]
    assert "Rows before" in admin.html
    assert "Rows behind" not in admin.html


@pytest.mark.parametrize(
    "path", ["/admin/imports/2", "/admin/imports/0", "/admin/imports/x", f"/admin/imports/{10**12}"]
)
def test_a_file_that_is_not_there_is_not_found(database: Database, path: str) -> None:
    admin = Staff(database, "admin")
    admin.open(path)
    assert admin.status in (404, 422)


def test_rows_behind_the_last_are_none(database: Database) -> None:
    admin = Staff(database, "admin")
    admin.open("/admin/imports/1?after=1000")
    assert admin.status == 200
    assert "No rows here." in admin.html
