"""`tutelage runs`: what lies in the folder of runs, and how to be rid of it."""

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import read_json

KEPT = {"run.json", "summary.json", "report.html"}  # by --keep-report: the run with its numbers and its page
MIB = 1 << 20


@dataclass(frozen=True)
class RunsList:
    """List the runs: state, size on disk, age."""

    directory: Path = Path("runs")
    """The folder that holds the runs."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        places = sorted(self.directory.iterdir()) if self.directory.is_dir() else []
        return {"directory": str(self.directory), "runs": [_describe(place) for place in places if _is_run(place)]}

    def show(self, result: dict[str, Any]) -> None:
        if not result["runs"]:
            print(f"no runs in {result['directory']}")
            return
        table = Table("run", "recipe", "seed", "state", "size (MiB)", "age (hours)")
        for run in result["runs"]:
            size, age = f"{run['size_bytes'] / MIB:.1f}", f"{run['age_seconds'] / 3600:.1f}"
            table.add_row(run["name"], str(run["recipe"]), str(run["seed"]), run["state"], size, age)
        Console().print(table)


@dataclass(frozen=True)
class RunsShow:
    """Show one run: its settings' name, its stages with time and memory, its result."""

    name: Positional[str]
    """Name of the run, as `tutelage runs list` gives it."""
    directory: Path = Path("runs")
    """The folder that holds the runs."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        place = _find(self.directory, self.name)
        summary, report = place / "summary.json", place / "report.html"
        return {
            **_describe(place),
            "stages": _stages(place),
            "summary": read_json(summary) if summary.exists() else None,
            "report": str(report) if report.exists() else None,
        }

    def show(self, result: dict[str, Any]) -> None:
        print(f"{result['name']}: recipe {result['recipe']}, seed {result['seed']}, {result['state']}")
        stages = Table("stage", "time (s)", "peak memory (MiB)", "finished")
        for stage in result["stages"]:
            seconds, memory = f"{stage.get('wall_seconds', 0):.1f}", f"{stage.get('peak_memory_bytes', 0) / MIB:.0f}"
            stages.add_row(stage["name"], seconds, memory, "yes" if stage["finished"] else "no")
        Console().print(stages)
        if result["summary"] is not None:
            _show_summary(result["summary"])
        if result["report"] is not None:
            print(f"report: {result['report']}")


@dataclass(frozen=True)
class RunsClean:
    """Remove runs from the disk. Asks first; what is no run is refused and nothing is removed."""

    names: Annotated[Positional[tuple[str, ...]], arg(metavar="NAME...")] = ()
    """Names of the runs, as `tutelage runs list` gives them."""
    keep_report: bool = False
    """Keep run.json, summary.json and report.html; remove models, samples and comparisons."""
    yes: bool = False
    """Do not ask."""
    directory: Path = Path("runs")
    """The folder that holds the runs."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.loop.run import locked

        if not self.names:
            raise InputError("name the runs to remove; `tutelage runs list` lists them")
        places = [_find(self.directory, name) for name in dict.fromkeys(self.names)]
        sizes = [_size(place) for place in places]
        if not self.yes:
            _confirm(f"remove {', '.join(self.names)} ({sum(sizes) / MIB:.1f} MiB)")
        for place in places:
            try:
                with locked(place):
                    _remove(place, self.keep_report)
            except OSError as error:
                raise InputError(f"{place}: cannot be removed ({error.strerror or error})") from error
        kept = sum(_size(place) for place in places)
        return {"removed": [place.name for place in places], "freed_bytes": sum(sizes) - kept}

    def show(self, result: dict[str, Any]) -> None:
        print(f"removed {', '.join(result['removed'])}: {result['freed_bytes'] / MIB:.1f} MiB freed")


def _is_run(place: Path) -> bool:
    return place.is_dir() and not place.is_symlink() and (place / "run.json").is_file()


def _find(directory: Path, name: str) -> Path:
    """The directory of a run; a name that leads elsewhere (`..`, `/`) is none."""
    place = directory / name
    if place.name != name or place.parent != directory or not _is_run(place):
        raise InputError(f"{place} is not a run (a folder with run.json); `tutelage runs list` lists the runs")
    return place


def _describe(place: Path) -> dict[str, Any]:
    record = _object(place / "run.json")
    written = (place / "run.json").stat().st_mtime
    return {
        "name": place.name,
        "recipe": record.get("recipe"),
        "seed": record.get("seed"),
        "state": _state(place),
        "size_bytes": _size(place),
        "age_seconds": max(0.0, time.time() - written),
    }


def _state(place: Path) -> str:
    if (place / "summary.json").exists():
        return "finished"
    done = [stage["name"] for stage in _stages(place) if stage["finished"]]
    return f"unfinished, {done[-1]} is done" if done else "unfinished, no stage is done"


def _stages(place: Path) -> list[dict[str, Any]]:
    """The stages of a run in the order in which they were written."""
    files = sorted(place.rglob("stage.json"), key=lambda file: file.stat().st_mtime_ns)
    return [{"name": str(file.parent.relative_to(place)), "finished": False, **_object(file)} for file in files]


def _object(file: Path) -> dict[str, Any]:
    content = read_json(file)
    if not isinstance(content, dict):
        raise InputError(f"{file}: expected a JSON object, found {type(content).__name__}")
    return content


def _size(place: Path) -> int:
    return sum(file.lstat().st_size for file in place.rglob("*") if not file.is_dir())


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise InputError(f"to {question}, say --yes: there is no terminal to ask on")
    print(f"{question}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise InputError("nothing was removed")


def _remove(place: Path, keep_report: bool) -> None:
    """Remove a run, run.json last: broken off in the middle, it is still a run and can be removed again."""
    for child in place.iterdir():
        if child.name not in (KEPT if keep_report else {"run.json"}):
            shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
    if not keep_report:
        shutil.rmtree(place)


def _show_summary(summary: dict[str, Any]) -> None:
    ratings = Table("snapshot", "Elo", "low", "high")
    for rating in summary.get("ratings", []):
        ratings.add_row(str(rating["snapshot"]), *(f"{rating[key]:.0f}" for key in ("elo", "low", "high")))
    Console().print(ratings)
    rate = summary.get("win_rate_final_vs_base")
    if rate:
        print(f"final against base: {rate['value']:.1%} wins [{rate['low']:.1%}, {rate['high']:.1%}]")
