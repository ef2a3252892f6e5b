"""`tutelage study`: measure what the paper's figures on preference models show, on one's own machine and data."""

import math
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro
from rich.console import Console
from rich.markdown import Markdown

from tutelage.cli.options import named_as_options, require_room

if TYPE_CHECKING:
    from tutelage.corpus.locate import DataFile
    from tutelage.dialogue import Kind
    from tutelage.training.preference import PreferenceSettings


@dataclass(frozen=True)
class StudyCommand:
    """Make preference models of varied data and try them on held-out prompts; writes a page with plot and numbers.

    size: accuracy against the number of comparisons, at one or several --layers. pmp: with and without pretraining on
    votes, against the number of comparisons of both kinds. mixture: against the share of harmless ones. weight: against
    what a harmless one counts in the loss. agreement: of two models trained on disjoint halves.
    Models are fine-tuned or, by --probe, linear probes of the frozen base, whose features are computed once for all.
    Points (and features) that were measured are kept: the same command goes on with a study that was broken off.
    """

    study: Annotated[Literal["size", "pmp", "mixture", "weight", "agreement"], tyro.conf.Positional]
    """Which one."""
    helpful: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """JSONL or JSONL.gz file of helpful comparisons, or the name of a source (`tutelage data list`)."""
    harmless: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The same of harmless ones."""
    init: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Of the study pmp: the model that was pretrained (`tutelage train pmp`); its rank, layers and pooling hold. With
    --probe, one that is a probe itself: probes of people's comparisons are kept near its weights."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Where sources that are named are looked for; None: $TUTELAGE_DATA."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("studies")
    """Where STUDY.md, STUDY.svg and STUDY.jsonl are written."""
    model: Annotated[str, tyro.conf.arg(metavar="NAME|DIR|HUB")] = "smollm2-135m-instruct"
    """The base."""
    pairs: int = 400
    """Comparisons a preference model is trained on, where they are not what is varied."""
    sizes: tuple[int, ...] = (100, 200, 400, 800, 1600)
    """Numbers of comparisons of the studies size and pmp."""
    shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    """Shares of harmless comparisons of the study mixture."""
    held_out: float = 0.2
    """Share of first human turns that models are tried on and never trained on."""
    seeds: int = 1
    """Runs of every point."""
    probe: Annotated[tuple[float, ...], tyro.conf.arg(metavar="PENALTY...")] = ()
    """Models are linear probes with an L2 penalty of this strength; of several, with the one that does best on parts of
    a probe's own comparisons. None: they are fine-tuned."""
    layers: tuple[int, ...] = ()
    """Layers of the base below the score head (of the study size: several numbers of them); none given: all."""
    pooling: Literal["last", "mean"] = "last"
    """Where the score is read: last, the end-of-context token; mean, also the response's mean state."""
    max_tokens: int = 512
    """Longest prompt with its responses, in tokens."""
    learning_rate: float = 5e-4
    """Learning rate of the LoRA adapter, where models are fine-tuned."""
    head_learning_rate: float = 1e-3
    """Learning rate of the score head, likewise."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Number format of the base and of the passes."""
    json: bool = False
    """Print one JSON object on standard output."""

    when_stopped: ClassVar[str] = "run the same command again to go on from what is finished"

    def run(self) -> dict[str, Any]:
        from tutelage.plumbing.machine import keep_freed_memory

        keep_freed_memory()
        import torch

        from tutelage.modeling.base import load_base
        from tutelage.modeling.encoding import DialogueFormat
        from tutelage.studies.findings import Findings
        from tutelage.studies.material import read_material
        from tutelage.studies.page import write_page
        from tutelage.studies.preference import Scale, run_study

        settings = self._settings()
        scale = Scale(
            self.pairs, self.sizes, self.shares, seeds=self.seeds, depths=self.layers or (None,), penalties=self.probe
        )
        files = (self._files(self.helpful, "helpful"), self._files(self.harmless, "harmless"))
        trunk = load_base(self.model, DialogueFormat(), getattr(torch, self.dtype))
        require_room(trunk, self.max_tokens)
        material = read_material(*files, self.held_out, trunk.encoder, self.max_tokens)
        place = self.out / f"{self.study}.jsonl"
        points = run_study(self.study, trunk, material, scale, settings, place, self.init)
        command = "tutelage " + shlex.join(sys.argv[1:])
        page = write_page(Findings(self.study, points, material, trunk, settings), command, self.out)
        return {"study": self.study, "points": points, "page": str(page)}

    def _settings(self) -> "PreferenceSettings":
        from tutelage.modeling.snapshot import read_card
        from tutelage.plumbing.errors import InputError
        from tutelage.training.preference import PreferenceSettings

        if self.pairs < 1 or self.seeds < 1 or not all(size > 0 for size in self.sizes):
            raise InputError("--pairs, --seeds and --sizes must be at least 1")
        if not all(0 <= share <= 1 for share in (*self.shares, self.held_out)):
            raise InputError("--shares and --held-out must lie between 0 and 1")
        if not all(layers > 0 for layers in self.layers):
            raise InputError("--layers must be above 0")
        if self.study != "size" and len(self.layers) > 1:
            raise InputError("--layers: the study size alone takes several depths")
        if not all(0 < penalty < math.inf for penalty in self.probe):
            raise InputError("--probe must be above 0")
        rates = {name: getattr(self, name) for name in ("learning_rate", "head_learning_rate")}
        if self.probe and rates != {name: getattr(type(self), name) for name in rates}:
            raise InputError("--learning-rate and --head-learning-rate are of no use to probes; leave them out")
        card = read_card(self.init) if self.init else None
        with named_as_options():
            return PreferenceSettings(
                rank=card.rank if card else PreferenceSettings.rank,
                layers=card.layers if card else self._depth(),
                pooling=card.pooling if card and card.pooling else self.pooling,
                max_tokens=self.max_tokens, min_strength=1,
                **rates,
            )  # fmt: skip

    def _depth(self) -> int | None:
        """The one depth of all models; the study size has it from its points."""
        return self.layers[0] if self.layers and self.study != "size" else None

    def _files(self, name: Path | None, kind: "Kind") -> "list[DataFile]":
        from tutelage.corpus.locate import DataFile, data_directory, locate

        return locate(name, data_directory(self.data), DataFile(Path(), kind=kind)) if name else []

    def show(self, result: dict[str, Any]) -> None:
        console = Console()
        console.print(Markdown(Path(result["page"]).read_text(encoding="utf-8")))
        console.print(f"page: {result['page']}", highlight=False)
