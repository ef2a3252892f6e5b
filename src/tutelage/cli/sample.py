"""`tutelage sample`: responses of a policy to prompts."""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console

from tutelage.cli.drawing import Drawing
from tutelage.cli.options import require_writable
from tutelage.dialogue import Prompt, Response, SamplingParameters
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.progress import progress_bar
from tutelage.report.plain import cleaned

if TYPE_CHECKING:
    from tutelage.modeling.policy import Policy
    from tutelage.sampling.protocol import Sample


@dataclass(frozen=True, kw_only=True)
class SampleCommand(Drawing):
    """Draw responses of a policy to prompts.

    A response is the same whatever others are drawn beside it: it depends on the model, its prompt's place in the file,
    its number and --seed (in float32; bfloat16 rounds by batch).
    """

    prompts: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """JSONL: prompts as shipped (id, kind, category, split, turns), or {"messages": [{"role", "content"}, ...]}."""
    n: int = 1
    """Responses to each prompt."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The JSONL file to write, a line a response (gzipped if its name ends in .gz); None: they are shown."""
    logprobs: bool = False
    """Also write the log-prob of each token (nats) under the distribution that it was drawn from."""
    rows_at_once: int = 64
    """Responses drawn at the same time: less memory if smaller."""

    def run(self) -> dict[str, Any]:
        from tutelage.plumbing.machine import keep_freed_memory

        keep_freed_memory()
        from tutelage.corpus.prompt_files import read_named_prompts
        from tutelage.plumbing.files import write_jsonl
        from tutelage.sampling.sampler import sample

        parameters = self.parameters()
        self._require_sense()
        prompts = read_named_prompts(self.prompts)
        policy = self.policy()
        ids = _prompt_ids(policy, prompts, parameters)
        started = time.perf_counter()
        with progress_bar("samples", len(prompts), "prompts") as bar, policy.trunk.using(policy.adapter):
            samples = sample(policy.trunk, ids, self.n, parameters, self.seed, self.rows_at_once, bar.advance)
        seconds = time.perf_counter() - started
        records = [
            self._record(name, prompt, number, drawn, policy)
            for (name, prompt), row in zip(prompts.items(), samples, strict=True)
            for number, drawn in enumerate(row)
        ]
        if self.out is not None:
            write_jsonl(self.out, records)
        tokens = sum(len(record["ids"]) for record in records)
        return {
            "policy": policy.name, "prompts": len(prompts), "responses": len(records), "tokens": tokens,
            "finish": dict(Counter(record["response"]["finish"] for record in records)), "seconds": seconds,
            "tokens_per_second": tokens / seconds, "out": self.out and str(self.out),
            "samples": records if self.out is None else None,
        }  # fmt: skip

    def show(self, result: dict[str, Any]) -> None:
        console = Console()
        for record in result["samples"] or ():
            response = record["response"]
            console.print(f"[bold]{record['prompt_id']}[/bold] {record['sample']} ({response['finish']})")
            console.print(cleaned(response["text"]), markup=False, highlight=False)
        ends = ", ".join(f"{count} {finish}" for finish, count in result["finish"].items())
        console.print(
            f"{result['responses']} responses of {result['policy']} to {result['prompts']} prompts in "
            f"{result['seconds']:.1f} s ({result['tokens_per_second']:.0f} tokens/s); ended by: {ends}"
        )
        if result["out"]:
            console.print(f"responses: {result['out']}", highlight=False, markup=False)

    def _require_sense(self) -> None:
        for name in ("n", "rows_at_once"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} must be at least 1, not {getattr(self, name)}")
        if self.n > 1 and self.temperature == 0:
            raise InputError(f"--n {self.n}: at --temperature 0 all responses to a prompt are the same; ask for one")
        if self.out is not None:
            if self.out.resolve() == self.prompts.resolve():
                raise InputError(f"--out {self.out}: is the file of prompts; name another")
            require_writable(self.out.resolve().parent)

    def _record(self, name: str, prompt: Prompt, number: int, drawn: "Sample", policy: "Policy") -> dict[str, Any]:
        from tutelage.corpus.records import prompt_to_record, response_to_record

        response = Response(drawn.text, drawn.finish, policy.name, self.parameters(), self.seed)
        logprobs = {"logprobs": list(drawn.logprobs)} if self.logprobs else {}
        return {
            "prompt_id": name, "sample": number, "prompt": prompt_to_record(prompt),
            "response": response_to_record(response), "ids": list(drawn.ids), **logprobs,
        }  # fmt: skip


def _prompt_ids(policy: "Policy", prompts: dict[str, Prompt], parameters: SamplingParameters) -> list[tuple[int, ...]]:
    """Ids of the prompts.

    Raises:
        InputError: one leaves no room for the response; names it.
    """
    encoder, context = policy.trunk.encoder, policy.trunk.context
    ids = {name: encoder.prompt_ids(prompt) for name, prompt in prompts.items()}
    for name, its in ids.items():
        if context is not None and len(its) + parameters.max_tokens > context:
            raise InputError(
                f"prompt {name!r}: {len(its)} tokens and --max-tokens {parameters.max_tokens} exceed the context of "
                f"{policy.trunk.name}, {context}; shorten the one or the other"
            )
    return list(ids.values())
