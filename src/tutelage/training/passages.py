"""What context distillation reads: half plain text as a human's turn, half dialogues (section A.1 of Bai et al. 2022).

A passage is what stands behind the opening of a fresh human turn. Its tokens are the same behind the prompt, where the
teacher reads it, and without the prompt, where students do.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from tutelage.corpus.splits import bucket
from tutelage.corpus.texts import pieces
from tutelage.dialogue import Dialogue, Message, Prompt, Response
from tutelage.modeling.encoding import Encoder, Ids

PIECE = 5  # characters of text cut for each token of a passage: a little more than it will hold
SPLIT_SALT = "distillation, held out"  # the same always: a passage never changes its side
ENTANGLED = "the tokens depend on what stands around the passage"

PassageKind = Literal["text", "dialogue"]


@dataclass(frozen=True)
class Passage:
    """Ids behind a fresh human turn's opening: plain text, or a human turn and what follows it."""

    ids: Ids
    kind: PassageKind
    held_out: bool = False


def around_turn(encoder: Encoder, before: Sequence[Message] = ()) -> tuple[Ids, Ids]:
    """What a dialogue format puts before and behind the text of a fresh human turn that follows these turns."""
    one, other = (encoder.prompt_ids(Prompt((*before, Message("human", word)))) for word in ("A", "B"))
    same = [mine == yours for mine, yours in zip(one, other, strict=True)]
    return one[: same.index(False)], one[len(one) - same[::-1].index(False) :]


class Frame:
    """Passages as ids: what stands between the opening and the closing of a fresh human turn."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.opening, self.closing = around_turn(encoder)

    def ids(self, item: str | Dialogue) -> Ids | None:
        """Ids behind the opening; None where they depend on what stands around them.

        A text is a human turn that goes on; a dialogue ends on the assistant.
        """
        return self._text(item) if isinstance(item, str) else self._dialogue(item)

    def _text(self, text: str) -> Ids | None:
        ids = self._encoder.prompt_ids(Prompt.from_turns(text))
        end = len(ids) - len(self.closing)
        framed = ids[: len(self.opening)] == self.opening and ids[end:] == self.closing
        return ids[len(self.opening) : end] if framed else None

    def _dialogue(self, dialogue: Dialogue) -> Ids | None:
        *turns, answer = dialogue.messages
        ids = self._encoder.prompt_ids(Prompt(tuple(turns))) + self._encoder.response_ids(Response(answer.text))
        return ids[len(self.opening) :] if ids[: len(self.opening)] == self.opening else None


def choose_passages(
    encoder: Encoder,
    texts: Iterable[str],
    dialogues: Sequence[Dialogue],
    count: int,
    max_tokens: int,
    held_out: float,
    seed: int,
) -> tuple[list[Passage], Counter[str]]:
    """At most `count` passages, half of them text and half dialogues where there are both, and what was left out.

    Texts are cut into pieces of about `max_tokens` tokens, of which as many as needed are drawn; longer dialogues keep
    their beginning. About `held_out` of the passages, by the first human turn, are kept out of training.
    """
    frame, rng, drops = Frame(encoder), np.random.default_rng(seed), Counter[str]()
    cut = [piece for text in texts for piece in pieces(text, PIECE * max_tokens)]
    wanted = count // 2 if cut and dialogues else count
    chosen: list[Passage] = []
    for items in (cut, dialogues):
        drawn = (items[place] for place in rng.permutation(len(items)))
        chosen += islice(_passages(frame, drawn, max_tokens, held_out, drops), wanted)
    return chosen, drops


def _passages(
    frame: Frame, items: Iterable[str | Dialogue], max_tokens: int, held_out: float, drops: Counter[str]
) -> Iterator[Passage]:
    for item in items:
        ids = frame.ids(item)
        if ids is None:
            drops[ENTANGLED] += 1
        else:
            kind: PassageKind = "text" if isinstance(item, str) else "dialogue"
            first = Prompt.from_turns(item if isinstance(item, str) else item.first_human_turn)
            yield Passage(ids[:max_tokens], kind, bucket(first, SPLIT_SALT) < held_out)
