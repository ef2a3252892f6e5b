"""`tutelage chat`: a dialogue with a policy in the terminal."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from tutelage.cli.drawing import Drawing
from tutelage.dialogue import Message, Prompt
from tutelage.plumbing.errors import InputError
from tutelage.report.plain import cleaned

if TYPE_CHECKING:
    from tutelage.sampling.protocol import Sample, Sampler

COLUMNS = 2048  # tokens of dialogue and answer that the sampler holds, where the base has room for more


@dataclass(frozen=True, kw_only=True)
class Chat(Drawing):
    """Talk with a policy. Answers come word by word; Ctrl-C breaks one off, Ctrl-D ends the chat.

    A dialogue that outgrows the model's context loses its beginning.
    """

    max_tokens: int = 512
    """Longest answer, in tokens."""

    def run(self) -> dict[str, Any]:
        from tutelage.sampling.engine import Engine

        parameters = self.parameters()
        policy = self.policy()
        columns = min(COLUMNS, policy.trunk.context or COLUMNS)
        if columns <= self.max_tokens:
            raise InputError(f"--max-tokens {self.max_tokens}: {policy.trunk.name} reads {columns} tokens")
        # What is said goes to standard error where standard output is for the JSON object.
        out = sys.stderr if self.json else sys.stdout
        messages: list[Message] = []
        engine = Engine(policy.trunk, policy.adapter, slots=1, columns=columns)
        for text in human_turns(out):
            prompt = Prompt((*messages, Message("human", text)))
            ids = policy.trunk.encoder.prompt_ids(prompt, columns - self.max_tokens)
            request = engine.submit(ids, parameters, (self.seed, len(messages)))
            answer = follow(engine, request, lambda news: print(cleaned(news), end="", file=out, flush=True))
            print(_remark(answer), file=out)
            if answer.text:
                messages = [*prompt.messages, Message("assistant", answer.text)]
        return {
            "policy": policy.name,
            "messages": [{"role": message.role, "text": message.text} for message in messages],
        }

    def show(self, result: dict[str, Any]) -> None:
        print(f"{len(result['messages'])} turns with {result['policy']}")


def human_turns(out: TextIO) -> Iterator[str]:
    """What the human types, line by line, until the input ends or Ctrl-C is pressed."""
    while True:
        print("\n> ", end="", file=out, flush=True)
        try:
            line = sys.stdin.readline()
        except KeyboardInterrupt:
            line = ""
        if not line:
            print(file=out)
            return
        if line.strip():
            yield line.strip()


def follow(sampler: "Sampler", request: int, say: Callable[[str], None]) -> "Sample":
    """Say an answer while it is drawn; Ctrl-C cancels it."""
    with interruptions() as pressed:
        while True:
            if pressed:
                sampler.cancel(request)
            for event in sampler.step():
                say(event.text)
                if event.sample is not None:
                    return event.sample


@contextmanager
def interruptions() -> Iterator[Sequence[None]]:
    """Within, Ctrl-C interrupts nothing but is noted, so that a step of the sampler is never torn."""
    pressed: list[None] = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(None))
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _remark(answer: "Sample") -> str:
    if not answer.text:
        return "(no answer; the turn is taken back)"
    remarks = {"stop": "", "length": " (broken off at --max-tokens)", "cancelled": " (broken off)"}
    return remarks[answer.finish]
