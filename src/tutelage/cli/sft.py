"""`tutelage train sft`: a policy from demonstrations."""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console

from tutelage.cli import policies
from tutelage.cli.options import require_place, require_room, settings_from
from tutelage.cli.policies import ADAPTER
from tutelage.cli.score import show_drops
from tutelage.dialogue import Dialogue
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.progress import progress_bar
from tutelage.report.plain import bracketed

if TYPE_CHECKING:
    from tutelage.corpus.locate import DataFile
    from tutelage.modeling.trunk import Trunk
    from tutelage.training.demonstrations import Demonstration

SPLIT_SALT = "train sft --held-out"  # the same always: a prompt never changes its side


@dataclass(frozen=True)
class TrainSFT:
    """Train a policy on dialogues: supervised finetuning of a LoRA adapter on a frozen base.

    The loss is on what the assistant says, in all of its turns. Writes a snapshot directory with the loss curve
    (metrics.jsonl) and a card (model_card.json), or nothing.
    """

    dialogues: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE...")]
    """JSONL or JSONL.gz files: {"messages": [{"role", "content"}, ...]}, or comparisons (the chosen answer); or names
    of sources of comparisons (`tutelage data list`)."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The snapshot directory to write."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Where sources that are named are looked for; None: $TUTELAGE_DATA."""
    model: Annotated[str, tyro.conf.arg(metavar="NAME|DIR|HUB")] = "smollm2-135m-instruct"
    """The base: smollm2-135m-instruct (embedded), a directory or a hub id; tiny-random: a toy for tests."""
    held_out: float = 0.1
    """Share of first human turns whose dialogues are kept out of training and measured at the end; 0: none."""
    learning_rate: float = 3e-4
    """Learning rate of the LoRA adapter; rises over --warmup steps and falls linearly to 0."""
    warmup: int = 3
    """Steps over which the learning rate rises."""
    batch_dialogues: int = 16
    """Dialogues a step."""
    epochs: int = 1
    """Passes over the dialogues."""
    rank: int = 16
    """Rank of the LoRA adapter."""
    max_tokens: int = 1024
    """Longest dialogue, in tokens; longer ones are left out."""
    token_budget: int = 2048
    """Tokens that pass the base at once: less memory if smaller."""
    clip_norm: float = 1.0
    """Largest norm of a step's gradient."""
    seed: int = 0
    """Draws the adapter's first weights and the order of the dialogues."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Number format of the base and of the passes; what is trained has fp32 masters in either."""
    template: Literal["chat", "hh"] = "chat"
    """How a dialogue becomes text: chat, the base's own chat template; hh, the plain marks of the HH-RLHF files."""
    system: str = ""
    """What stands before the first turn."""
    overwrite: bool = False
    """Replace the snapshot that is at --out."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.plumbing.machine import keep_freed_memory

        keep_freed_memory()
        import torch

        from tutelage.modeling.base import load_base
        from tutelage.modeling.encoding import DialogueFormat
        from tutelage.plumbing.files import replacing
        from tutelage.training.demonstrations import (
            DemonstrationSettings,
            train_on_demonstrations,
            usable_demonstrations,
        )

        settings = settings_from(self, DemonstrationSettings)
        require_place(self.out, self.overwrite)
        read = policies.dialogue_files(self.dialogues, self.data)
        dialogues, apart, drops = self._read(read)
        trunk = load_base(self.model, DialogueFormat(self.template, self.system), getattr(torch, self.dtype))
        require_room(trunk, self.max_tokens)
        training, too_long = usable_demonstrations(dialogues, trunk.encoder, self.max_tokens)
        held_out, too_long_apart = usable_demonstrations(apart, trunk.encoder, self.max_tokens)
        self._require_enough(training, held_out)
        started = time.perf_counter()
        with progress_bar("demonstrations", self.epochs * len(training), "dialogues") as bar:
            report = policies.reporting(bar)
            metrics = train_on_demonstrations(trunk, ADAPTER, training, settings, self.seed, report)
        seconds = time.perf_counter() - started
        tokens = sum(step["tokens"] for step in metrics)
        result = {
            "dialogues": len(training),
            "assistant_tokens": tokens,
            "drops": dict(drops + too_long + too_long_apart),
            "final_loss": policies.late_loss(metrics),
            "seconds": seconds,
            "assistant_tokens_per_second": tokens / seconds,
            "held_out": self._measure(trunk, held_out),
        }
        files = policies.data_files([file.path for file in read])
        origin = {"data": files, "seed": self.seed, "dtype": self.dtype, "held_out_share": self.held_out}
        with replacing(self.out.resolve()) as beside:
            name = policies.write_policy(beside, trunk, settings, metrics, origin, result)
        return {"snapshot": name, "out": str(self.out), **result}

    def show(self, result: dict[str, Any]) -> None:
        console = Console()
        console.print(
            f"trained on {result['dialogues']} dialogues in {result['seconds']:.0f} s "
            f"({result['assistant_tokens_per_second']:.0f} assistant tokens/s); "
            f"loss of the last steps {result['final_loss']:.3f} nats a token"
        )
        if result["held_out"]:
            before, after = (bracketed(result["held_out"][when], ".3f") for when in ("before", "after"))
            console.print(f"held-out dialogues ({result['held_out']['dialogues']}): {before} before, {after} after")
        show_drops(console, result["drops"])
        console.print(f"snapshot {result['snapshot']}: {result['out']}", highlight=False)

    def _read(self, files: "list[DataFile]") -> tuple[list[Dialogue], list[Dialogue], Counter[str]]:
        from tutelage.corpus.dialogues import read_dialogues
        from tutelage.corpus.splits import split_by_prompt

        dialogues, drops = read_dialogues(files)
        return *split_by_prompt(dialogues, self.held_out, SPLIT_SALT, lambda dialogue: dialogue), drops

    def _require_enough(self, training: "list[list[Demonstration]]", held_out: "list[list[Demonstration]]") -> None:
        if not training or (self.held_out and len(held_out) < 2):
            names = ", ".join(map(str, self.dialogues)) or "no file named"
            raise InputError(
                f"{names}: {len(training)} dialogues to train on and {len(held_out)} held out (at least 2) that fit in "
                f"{self.max_tokens} tokens; give more, or another --held-out (0: none) or --max-tokens"
            )

    def _measure(self, trunk: "Trunk", held_out: "list[list[Demonstration]]") -> dict[str, Any] | None:
        """The loss on the held-out dialogues, of the base and of the policy, with intervals over dialogues."""
        if not held_out:
            return None
        from tutelage.training.demonstrations import dialogue_losses

        before, after = (
            policies.mean_over(dialogue_losses(trunk, adapter, held_out, self.token_budget))
            for adapter in (None, ADAPTER)
        )
        return {"dialogues": len(held_out), "before": before, "after": after}
