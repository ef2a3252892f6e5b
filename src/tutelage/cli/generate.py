"""`tutelage data generate-prompts`: prompts for reinforcement learning that a model writes."""

from collections import Counter
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Column, Table

from tutelage.cli.options import named_as_options, require_writable
from tutelage.cli.policies import data_files
from tutelage.plumbing.errors import CheckFailed, InputError
from tutelage.plumbing.progress import progress_bar
from tutelage.report.plain import cleaned

if TYPE_CHECKING:
    from tutelage.corpus.prompts import PromptItem

DRAFTS_A_PROMPT = 40  # at most: a model of whose lines fewer are fit is the wrong one


@dataclass(frozen=True)
class DataGeneratePrompts:
    """Let a model write prompts after the example of good ones; those fit to be asked are kept, each once.

    Writes a file of prompts (split ppo, category generated) for `tutelage train`, and beside it a card that says how it
    was made: model, examples, sampling, seed, and how many lines were dropped by reason.
    """

    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The JSONL file of prompts to write."""
    count: int = 200
    """Prompts to write."""
    examples: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE...")] = ()
    """JSONL files of prompts, of which the model sees ten at a time; none: the shipped prompts of the split ppo."""
    kind: Literal["helpful", "red_team"] = "helpful"
    """The kind of the examples that are shown, and of what is written."""
    model: Annotated[str, tyro.conf.arg(metavar="NAME|DIR|HUB")] = "smollm2-135m-instruct"
    """The base that writes; the larger the better."""
    temperature: float = 0.6
    """Sampling temperature; a small model rambles above it, a large one writes more variously at 1."""
    top_p: float = 0.95
    """Share of the likeliest mass that is drawn from."""
    max_tokens: int = 64
    """Longest line, in tokens."""
    seed: int = 0
    """Draws the examples and the lines."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Number format of the model."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.corpus.generated import as_items
        from tutelage.corpus.prompts import item_to_record
        from tutelage.dialogue import SamplingParameters
        from tutelage.plumbing.files import sha256, write_json, write_jsonl

        if self.count < 1 or self.seed < 0:
            raise InputError(f"--count must be at least 1 and --seed at least 0, not {self.count} and {self.seed}")
        with named_as_options():
            parameters = SamplingParameters(self.temperature, self.top_p, self.max_tokens)
        require_writable(self.out.resolve().parent)
        examples = self._examples()
        drops = Counter[str]()
        texts, base = self._write([one.prompt.last_human_turn for one in examples], parameters, drops)
        write_jsonl(self.out, map(item_to_record, as_items(texts, self.kind)))
        result = {"out": str(self.out), "prompts": len(texts), "drops": dict(drops)}
        card = self.out.with_name(self.out.name.removesuffix(".gz").removesuffix(".jsonl") + ".card.json")
        origin = {
            "base": self.model, "base_hash": base, "examples": [one.id for one in examples],
            "files": data_files(self.examples),
            "sampling": asdict(parameters), "seed": self.seed, "dtype": self.dtype,
        }  # fmt: skip
        write_json(card, {**result, **origin, "sha256": sha256(self.out)})
        return {**result, "card": str(card), "first": texts[:5]}

    def show(self, result: dict[str, Any]) -> None:
        from tutelage.corpus.generated import DROPS

        console = Console()
        for text in result["first"]:
            console.print(f"  {cleaned(text)}", markup=False, highlight=False)
        table = Table("dropped", Column("lines", justify="right"))
        for reason, count in sorted(result["drops"].items()):
            table.add_row(DROPS[reason], str(count))
        console.print(table)
        console.print(f"{result['prompts']} prompts: {result['out']}; how they were made: {result['card']}")

    def _examples(self) -> "list[PromptItem]":
        """Queries that stand alone: of one turn."""
        from tutelage.corpus.prompts import load_prompts, read_prompts, select

        items = read_prompts(*self.examples) if self.examples else load_prompts("ppo")
        return [one for one in select(items, kind=self.kind) if len(one.prompt.messages) == 1]

    def _write(self, queries: list[str], parameters: Any, drops: Counter[str]) -> tuple[list[str], str]:
        """So many prompts, and the hash of the base that wrote them."""
        import torch

        from tutelage.corpus.generated import sift
        from tutelage.corpus.prompts import load_prompts
        from tutelage.modeling.base import load_base
        from tutelage.modeling.encoding import DialogueFormat
        from tutelage.sampling.prompt_writer import write_drafts

        trunk = load_base(self.model, DialogueFormat("hh"), getattr(torch, self.dtype))
        known = [message.text for item in load_prompts() for message in item.prompt.messages] + queries
        texts = []
        with progress_bar("prompts", self.count, "prompts") as bar:
            drafts = islice(write_drafts(trunk, queries, parameters, self.seed), DRAFTS_A_PROMPT * self.count)
            for text in islice(sift(drafts, known, drops), self.count):
                texts.append(text)
                bar.advance()
        if len(texts) < self.count:
            raise CheckFailed(
                f"of {DRAFTS_A_PROMPT * self.count} lines by {self.model} only {len(texts)} were fit to be asked "
                f"(dropped: {dict(drops)}); take a larger model, or ask for fewer"
            )
        return texts, trunk.weights_hash
