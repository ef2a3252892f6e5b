"""A run's directory: stages that are whole or absent, each with what it was made from, skipped when that matches."""

import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from tutelage.loop.recipe import Recipe
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import is_torn, read_json, remove_torn, replacing, sha256, write_json
from tutelage.plumbing.locks import held
from tutelage.plumbing.machine import peak_memory_bytes, reset_peak_memory
from tutelage.plumbing.progress import console


def versions() -> dict[str, str]:
    """Versions on which numbers depend."""
    packages = ("tutelage", "torch", "transformers", "numpy", "scipy")
    installed = {name: version(name) for name in packages}
    return {
        "python": platform.python_version(),
        **installed,
        "source": source_hash(),
        "threads": str(torch.get_num_threads()),
    }


@cache
def source_hash() -> str:
    """Hash of the package's code, prompts and recipes: a stage of other code is not kept."""
    package = Path(__file__).parents[1]
    files = sorted(path for path in package.rglob("*") if path.suffix in {".py", ".toml", ".jsonl"})
    whole = "".join(f"{path.relative_to(package)}\0{sha256(path)}\0" for path in files)
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Run:
    """A directory `runs/NAME` with `run.json` and one sub-directory a stage."""

    directory: Path
    recipe: Recipe

    @classmethod
    @contextmanager
    def open(cls, directory: Path, recipe: Recipe) -> Iterator["Run"]:
        """Begin a run, or go on with it; meanwhile no other process can.

        Raises:
            InputError: the directory holds a run of another recipe or other settings, another process works on it, or
                it cannot be written.
        """
        file = directory / "run.json"
        settings = asdict(recipe)
        if not file.exists():
            if directory.is_dir() and not all(map(is_torn, directory.iterdir())):
                raise InputError(f"{directory}: not empty and no run; give another --name")
            created = datetime.now(UTC).isoformat(timespec="seconds")
            content = {"name": directory.name, "recipe": recipe.name, "seed": recipe.seed, "created": created}
            write_json(file, {**content, "settings": settings})
        elif (kept := read_json(file))["settings"] != json.loads(json.dumps(settings)):
            raise InputError(
                f"{directory}: holds a run of recipe {kept['recipe']!r}, seed {kept['seed']}, with other settings; "
                f"give another --name, or remove it with `tutelage runs clean {directory.name}`"
            )
        with locked(directory):
            remove_torn(directory)
            yield cls(directory, recipe)

    def stage(self, name: str, settings: Any, inputs: Mapping[str, Path], make: Callable[[Path], None]) -> Path:
        """The result of a stage: a directory that `make` fills.

        Made only if it is not there with the same settings, seed, versions and input hashes; then `stage.json` keeps
        these with wall time and peak memory.
        """
        place = self.directory / name
        key = {
            "settings": json.loads(json.dumps(settings)), "seed": self.recipe.seed, "versions": versions(),
            "inputs": {label: content_hash(path) for label, path in inputs.items()},
        }  # fmt: skip
        if (place / "stage.json").exists():
            kept = read_json(place / "stage.json")
            if {part: kept.get(part) for part in key} == key:
                console.print(f"[dim]{name}: done before, kept[/dim]", highlight=False)
                return place
        reset_peak_memory()
        started = time.perf_counter()
        with replacing(place) as beside:
            beside.mkdir(parents=True)
            make(beside)
            measured = {
                "name": name, "wall_seconds": time.perf_counter() - started, "peak_memory_bytes": peak_memory_bytes(),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            }  # fmt: skip
            write_json(beside / "stage.json", {**measured, **key})
        return place


def locked(directory: Path) -> AbstractContextManager[None]:
    """Hold a run: meanwhile no other process makes or removes it."""
    refusal = f"{directory}: another process works on this run; wait for it or give another --name"
    return held(directory / "run.json", refusal)


def content_hash(path: Path) -> str:
    """Hash of a file or of a stage's results; the record of when and how fast it was made does not count."""
    return sha256(path, without=("stage.json",))
