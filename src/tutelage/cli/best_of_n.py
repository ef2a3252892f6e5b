"""`tutelage train best-of-n`: a policy from the preference model's favourites among its own answers."""

import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from tutelage.cli import policies
from tutelage.cli.options import named_as_options, require_place, require_prompt_room, settings_from
from tutelage.cli.policies import ADAPTER
from tutelage.cli.score import show_drops
from tutelage.dialogue import Prompt
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.progress import progress_bar
from tutelage.report.plain import MISSING, bracketed

if TYPE_CHECKING:
    from tutelage.dialogue import SamplingParameters
    from tutelage.modeling.encoding import Ids
    from tutelage.modeling.trunk import Trunk
    from tutelage.training.best_of_n import Choice
    from tutelage.training.rollouts import PreferenceModel

SPLIT_SALT = "train best-of-n --held-out"  # the same always: a prompt never changes its side
SHOWN_K = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class TrainBestOfN:
    """Rejection sampling: draw n answers to every prompt, keep the preference model's favourite, learn from it.

    Tells what the best of k answers is worth for every k up to n (best_of.jsonl), by the preference model that chooses
    and by one that does not, at a KL of log k - (k-1)/k nats. Then trains a policy on the favourites by supervised
    finetuning and measures it on prompts that were held out. Writes a snapshot directory with all of this, or nothing.
    """

    pm: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The preference model that chooses; its base and dialogue format are the policy's."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The snapshot directory to write."""
    heldout_pm: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Another preference model, which only watches; None: none."""
    prompts: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE...")] = (Path("helpful"), Path("red_team"))
    """JSONL or JSONL.gz files of prompts or of comparisons; helpful, red_team: the embedded ones."""
    n: int = 16
    """Answers to every prompt, 2 or more; the paper has 4 to 64."""
    temperature: float = 1.0
    """Sampling temperature; the policy that is trained has the same."""
    max_tokens: int = 128
    """Longest answer, in tokens."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer."""
    stop_tokens: tuple[int, ...] = ()
    """Ids of tokens that end an answer, besides the model's end token."""
    held_out: float = 0.1
    """Share of the prompts on which base and policy are measured and nothing is learnt; 0: none."""
    learning_rate: float = 3e-4
    """Learning rate of the LoRA adapter; rises over --warmup steps and falls linearly to 0."""
    warmup: int = 3
    """Steps over which the learning rate rises."""
    batch_dialogues: int = 16
    """Favourites a step."""
    epochs: int = 1
    """Passes over the favourites."""
    rank: int = 16
    """Rank of the LoRA adapter."""
    token_budget: int = 2048
    """Tokens that pass the base at once: less memory if smaller."""
    clip_norm: float = 1.0
    """Largest norm of a step's gradient."""
    seed: int = 0
    """Draws the answers, the adapter's first weights and the order of the favourites."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Number format of the base and of the passes; what is trained has fp32 masters in either."""
    overwrite: bool = False
    """Replace the snapshot that is at --out."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.plumbing.machine import keep_freed_memory

        keep_freed_memory()
        from tutelage.dialogue import SamplingParameters
        from tutelage.plumbing.files import replacing, write_jsonl
        from tutelage.training.best_of_n import best_of_table, learn_from_best
        from tutelage.training.demonstrations import DemonstrationSettings

        if self.n < 2:
            raise InputError(f"--n must be at least 2, not {self.n}")
        with named_as_options():
            parameters = SamplingParameters(
                self.temperature, max_tokens=self.max_tokens, stop=self.stop, stop_tokens=self.stop_tokens
            )
        settings = settings_from(self, DemonstrationSettings)
        require_place(self.out, self.overwrite)
        trunk, train_pm, heldout = self._models()
        prompts, apart, drops = self._read(trunk)
        started = time.perf_counter()
        choices = self._choose(trunk, prompts, parameters, train_pm, heldout)
        table = best_of_table(choices)
        with progress_bar("favourites", self.epochs * len(choices), "answers") as bar:
            report = policies.reporting(bar)
            metrics = learn_from_best(trunk, ADAPTER, choices, settings, self.temperature, self.seed, report)
        seconds = time.perf_counter() - started
        result = {
            "prompts": len(choices), "answers": self.n * len(choices), "seconds": seconds,
            "final_loss": policies.late_loss(metrics), "best_of": table,
            "held_out": self._measure(trunk, apart, parameters, train_pm, heldout), "drops": dict(drops),
        }  # fmt: skip
        origin = {
            "data": policies.data_files(self.prompts), "pm": str(self.pm),
            "heldout_pm": None if self.heldout_pm is None else str(self.heldout_pm), "n": self.n,
            "sampling": asdict(parameters), "seed": self.seed, "dtype": self.dtype, "held_out_share": self.held_out,
        }  # fmt: skip
        with replacing(self.out.resolve()) as beside:
            name = policies.write_policy(beside, trunk, settings, metrics, origin, result)
            write_jsonl(beside / "best_of.jsonl", table)
        return {"snapshot": name, "out": str(self.out), **result}

    def show(self, result: dict[str, Any]) -> None:
        console = Console()
        table = Table("best of", "KL (nats)", "score, 95% interval", "by the held-out PM")
        for row in result["best_of"]:
            if row["k"] in (*SHOWN_K, self.n):
                heldout = bracketed(row["heldout_reward"], "+.2f") if "heldout_reward" in row else MISSING
                table.add_row(str(row["k"]), f"{row['kl']:.2f}", bracketed(row["reward"], "+.2f"), heldout)
        console.print(table)
        console.print(f"learnt from {result['prompts']} favourites of {result['answers']} answers", highlight=False)
        for when, name in (("before", "base"), ("after", "policy")):
            if result["held_out"]:
                row = result["held_out"][when]
                score = bracketed(row["reward"], "+.2f")
                console.print(
                    f"{name} on {result['held_out']['prompts']} held-out prompts: score {score}, "
                    f"KL {row['kl']:.1f} nats, {row['length']:.0f} tokens, {row['truncated']:.0%} cut off"
                )
        show_drops(console, result["drops"])
        console.print(f"snapshot {result['snapshot']}: {result['out']}", highlight=False)

    def _models(self) -> "tuple[Trunk, PreferenceModel, PreferenceModel | None]":
        import torch

        from tutelage.modeling.base import load_base
        from tutelage.modeling.snapshot import read_card
        from tutelage.training.rollouts import load_preference_model

        card = read_card(self.pm)
        trunk = load_base(card.base, card.format, getattr(torch, self.dtype))
        heldout = load_preference_model(trunk, self.heldout_pm, "heldout") if self.heldout_pm else None
        return trunk, load_preference_model(trunk, self.pm, "train_pm"), heldout

    def _read(self, trunk: "Trunk") -> "tuple[list[Ids], list[Ids], Counter[str]]":
        """Prompts to learn from and those held out, by first human turn; and what was left out, by reason."""
        from tutelage.corpus.splits import split_by_prompt
        from tutelage.corpus.training_prompts import read_training_prompts

        read, drops = dict[Prompt, None](), Counter[str]()
        for path in self.prompts:
            asked, dropped = read_training_prompts(path)
            longest = max((len(trunk.encoder.prompt_ids(prompt)) for prompt in asked), default=0)
            require_prompt_room(trunk, path, longest, self.max_tokens, " of the file")
            read |= dict.fromkeys(asked)
            drops += dropped
        parts = split_by_prompt(read, self.held_out, SPLIT_SALT, lambda prompt: prompt)
        prompts, apart = ([trunk.encoder.prompt_ids(prompt) for prompt in part] for part in parts)
        if len(prompts) < 2 or (self.held_out and len(apart) < 2):
            raise InputError(
                f"{len(prompts)} prompts to learn from and {len(apart)} held out: there must be two of each; give "
                "more, or --held-out 0"
            )
        return prompts, apart, drops

    def _choose(
        self,
        trunk: "Trunk",
        prompts: "list[Ids]",
        parameters: "SamplingParameters",
        train_pm: "PreferenceModel",
        heldout: "PreferenceModel | None",
    ) -> "list[Choice]":
        from tutelage.training.best_of_n import choose

        with progress_bar(f"{self.n} answers to each", len(prompts), "prompts") as bar:
            return choose(trunk, None, prompts, self.n, parameters, self.seed, train_pm, heldout, bar.advance)

    def _measure(
        self,
        trunk: "Trunk",
        apart: "list[Ids]",
        parameters: "SamplingParameters",
        train_pm: "PreferenceModel",
        heldout: "PreferenceModel | None",
    ) -> dict[str, Any] | None:
        if not apart:
            return None
        from tutelage.training.best_of_n import measure_policy

        return {
            "prompts": len(apart),
            **{
                when: measure_policy(trunk, adapter, apart, parameters, self.seed + 1, train_pm, heldout)
                for when, adapter in (("before", None), ("after", ADAPTER))
            },
        }
