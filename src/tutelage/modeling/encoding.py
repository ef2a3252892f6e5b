"""Dialogues as token ids. Prompt and response are tokenised apart, once; then they are ids, never text again."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from tutelage.dialogue import Prompt, Response
from tutelage.plumbing.errors import InputError

Ids = tuple[int, ...]

HUMAN_MARK, ASSISTANT_MARK = "\n\nHuman:", "\n\nAssistant:"
SLOT = "\ue000"  # a character of private use: where a chat template is to put a turn's text


@dataclass(frozen=True)
class DialogueFormat:
    """How turns become text before they become ids."""

    template: Literal["chat", "hh"] = "chat"
    """`chat`: the model's own chat template; `hh`: the plain marks of the HH-RLHF files"""
    system: str = ""
    """what stands before the first turn; empty: nothing of ours (a chat template may put its own words there)"""


class Encoder:
    """A tokenizer with a `DialogueFormat`.

    Raises:
        InputError: the tokenizer has no chat template or no end-of-text token.
    """

    def __init__(self, tokenizer: Any, dialogue_format: DialogueFormat) -> None:
        if dialogue_format.template == "chat" and not tokenizer.chat_template:
            raise InputError("the tokenizer has no chat template; set format.template = 'hh' (the plain marks)")
        if tokenizer.eos_token_id is None:
            raise InputError("the tokenizer has no end-of-text token, so no answer could ever end; choose another base")
        self.tokenizer = tokenizer
        self.format = dialogue_format
        self.end: int = tokenizer.eos_token_id
        # The score is read behind the answer at an end token of its own, so that one that was cut off is scored at the
        # same place as one that ended. (A token that the base never saw there would not do: its state is a constant.)
        self.context_end: int = self.end

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """Text that ends an answer besides the end token: the model begins to speak for the human."""
        return (HUMAN_MARK,) if self.format.template == "hh" else ()

    @cached_property
    def special(self) -> tuple[str, ...]:
        """The tokens that stand for no text: of a response's words they are left out."""
        return tuple(self.tokenizer.all_special_tokens)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of vocabulary and format: models of different fingerprints cannot read each other's ids."""
        vocabulary = sorted(self.tokenizer.get_vocab().items(), key=lambda item: item[1])
        content = [vocabulary, self.tokenizer.chat_template, asdict(self.format)]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    def prompt_ids(self, prompt: Prompt, max_tokens: int | None = None) -> tuple[int, ...]:
        """Ids of a prompt up to where the assistant begins to speak; over-long ones keep their end."""
        pieces = [(self._plain_text(prompt), True)] if self.format.template == "hh" else self._chat_pieces(prompt)
        ids = [token for text, literal in pieces for token in self._encode(text, literal)]
        first = self._first if self.format.template == "hh" else []
        room = len(ids) if max_tokens is None else max(max_tokens - len(first), 1)
        return (*first, *ids[-room:])

    @cached_property
    def _first(self) -> list[int]:
        """The begin-of-text token, if the tokenizer puts one before plain text; a chat template writes it itself."""
        first = list(self.tokenizer("").input_ids[:1])
        return first if first == [self.tokenizer.bos_token_id] else []

    def plain_ids(self, text: str) -> tuple[int, ...]:
        """Ids of a text that is no dialogue, for the base to go on with."""
        return (*self._first, *self._encode(text, literal=True))

    def response_ids(self, response: Response) -> tuple[int, ...]:
        """Ids of an answer; one that ended by itself carries the end token, one that was cut off does not."""
        lead = " " if self.format.template == "hh" else ""
        ids = self._encode(lead + response.text, literal=True)
        return tuple(ids + [self.end] if response.finish == "stop" else ids)

    def text(self, ids: Sequence[int]) -> str:
        """The words of sampled ids, special tokens left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    def _encode(self, text: str, literal: bool) -> list[int]:
        # literal: a text that spells out a special token ("<|im_end|>") is text and stays text.
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=literal).input_ids)

    def _plain_text(self, prompt: Prompt) -> str:
        marks = {"human": HUMAN_MARK, "assistant": ASSISTANT_MARK}
        turns = "".join(f"{marks[message.role]} {message.text}" for message in prompt.messages)
        return self.format.system + turns + ASSISTANT_MARK

    def _chat_pieces(self, prompt: Prompt) -> Iterator[tuple[str, bool]]:
        """The template's own text, whose special tokens are meant, and between it what was said, where none is."""
        roles = {"human": "user", "assistant": "assistant"}
        turns = [{"role": roles[message.role], "content": SLOT} for message in prompt.messages]
        if self.format.system:
            turns.insert(0, {"role": "system", "content": self.format.system})
        frame = str(self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)).split(SLOT)
        if len(frame) != len(prompt.messages) + 1:
            raise InputError(
                "the base's chat template does not show every turn once; set format.template = 'hh' (the plain marks)"
            )
        for text, message in zip(frame, prompt.messages, strict=False):
            yield from ((text, False), (message.text, True))
        yield frame[-1], False
