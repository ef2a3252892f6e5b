"""`tutelage study`: measure what the paper's figures on preference models show, on one's own machine and data."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.markdown import Markdown


@dataclass(frozen=True)
class StudyCommand:
    """Train preference models under varied data and try them on held-out prompts; writes a page with plot and numbers.

    size: accuracy against the number of helpful comparisons. mixture: against the share of harmless ones. weight:
    against what a harmless one counts in the loss. agreement: of two models trained on disjoint halves.
    Points that were measured are kept: the same command goes on with a study that was broken off.
    """

    study: Annotated[Literal["size", "mixture", "weight", "agreement"], tyro.conf.Positional]
    """Which one."""
    helpful: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """JSONL or JSONL.gz file of helpful comparisons."""
    harmless: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """JSONL or JSONL.gz file of harmless comparisons."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("studies")
    """Where STUDY.md, STUDY.svg and STUDY.jsonl are written."""
    model: Annotated[str, tyro.conf.arg(metavar="NAME|DIR|HUB")] = "smollm2-135m-instruct"
    """The base."""
    pairs: int = 400
    """Comparisons a preference model is trained on, where they are not what is varied."""
    sizes: tuple[int, ...] = (100, 200, 400, 800, 1600)
    """Numbers of comparisons of the study size."""
    seeds: int = 1
    """Runs of every point."""
    layers: int | None = None
    """Layers of the base below the score head; None: all. Fewer are faster."""
    pooling: Literal["last", "mean"] = "last"
    """Where the score is read: last, the end-of-context token; mean, also the response's mean state."""
    max_tokens: int = 512
    """Longest prompt with its responses, in tokens."""
    learning_rate: float = 5e-4
    """Learning rate of the LoRA adapter."""
    head_learning_rate: float = 1e-3
    """Learning rate of the score head."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Number format of the base and of the passes."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.plumbing.machine import keep_freed_memory

        keep_freed_memory()
        import torch

        from tutelage.modeling.base import load_base
        from tutelage.modeling.encoding import DialogueFormat
        from tutelage.plumbing.errors import InputError
        from tutelage.studies.page import write_page
        from tutelage.studies.preference import Scale, read_material, run_study
        from tutelage.training.preference import PreferenceSettings

        if self.pairs < 1 or self.seeds < 1 or not all(size > 0 for size in self.sizes):
            raise InputError("--pairs, --seeds and --sizes must be at least 1")
        try:
            settings = PreferenceSettings(
                layers=self.layers, pooling=self.pooling, max_tokens=self.max_tokens, min_strength=1,
                learning_rate=self.learning_rate, head_learning_rate=self.head_learning_rate,
            )  # fmt: skip
        except ValueError as error:
            raise InputError(str(error)) from error
        scale = Scale(pairs=self.pairs, sizes=self.sizes, seeds=self.seeds)
        material = read_material(self.helpful, self.harmless, scale.held_out)
        trunk = load_base(self.model, DialogueFormat(), getattr(torch, self.dtype))
        points = run_study(self.study, trunk, material, scale, settings, self.out / f"{self.study}.jsonl")
        command = "tutelage " + shlex.join(sys.argv[1:])
        page = write_page(self.study, points, trunk.model.num_parameters(), command, self.out)
        return {"study": self.study, "points": points, "page": str(page)}

    def show(self, result: dict[str, Any]) -> None:
        console = Console()
        console.print(Markdown(Path(result["page"]).read_text(encoding="utf-8")))
        console.print(f"page: {result['page']}", highlight=False)
