"""Cheap checks of the house rules that no linter makes."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HOUSE = Path(__file__).parents[1]
SOURCE = HOUSE / "src" / "tutelage"
FILES = sorted(SOURCE.rglob("*.py"))
PURE = {"numpy", "scipy", "tutelage.statistics"}  # beside the standard library, all that statistics may import
NAMES = [str(path.relative_to(SOURCE)) for path in FILES]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or ""


def outside(path: Path, allowed: set[str]) -> list[str]:
    """The imports of a file that are neither of the standard library nor allowed."""
    mine = (name for name in imports(path) if name.split(".")[0] not in sys.stdlib_module_names)
    return [name for name in mine if not any(name == good or name.startswith(f"{good}.") for good in allowed)]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_files_and_functions_are_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 500
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_nothing_is_left_undone_or_unpickled(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)
    assert not {"pickle", "dill", "shelve", "joblib"} & {name.split(".")[0] for name in imports(path)}
    for call in re.findall(r"torch\.load\([^)]*\)", text):
        assert "weights_only=True" in call, call


def test_statistics_and_the_words_stand_alone() -> None:
    for path in (SOURCE / "statistics").rglob("*.py"):
        assert outside(path, PURE) == [], path
    assert outside(SOURCE / "dialogue.py", set()) == []


def test_every_dependency_is_pinned_within_its_range() -> None:
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
    lines = (line for line in (HOUSE / "constraints.txt").read_text().splitlines() if line and line[0] != "#")
    pins = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    assert pins["torch"] == "2.13.0"
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    for line in (line for line in project["dependencies"] + extras if not line.startswith("tutelage[")):
        wanted = Requirement(line)
        assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)]), line
    assert not [pin for pin in pins.values() if "+" in pin]  # a local label is found on one machine only


PAGES = [*HOUSE.glob("*.md"), *(HOUSE / "docs").rglob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(HOUSE)) for page in PAGES])
def test_pages_have_words_and_their_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    assert text.strip()
    targets = {link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link}
    assert not [target for target in targets if target and not (page.parent / target).exists()]
