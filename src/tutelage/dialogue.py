"""The words of the project, one meaning each. Everything above speaks in them; this file imports nothing of ours.

Every record is frozen and refuses what cannot be, with a `ValueError` that says why. Data that comes dirty
(real HH-RLHF files do) is sorted out in `corpus`, where each refusal is counted; what reaches training is well-formed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args

Role = Literal["human", "assistant"]
Kind = Literal["helpful", "harmless"]
Question = Literal["more_helpful", "more_harmful"]
Side = Literal["a", "b"]
Finish = Literal["stop", "length", "cancelled"]

# Asked for every record: `get_args` itself costs a tenth of an export.
_ROLES, _KINDS, _QUESTIONS, _SIDES = get_args(Role), get_args(Kind), get_args(Question), get_args(Side)

STRENGTHS = (1, 2, 3, 4)  # 1 = "barely", which the paper drops before training (section 2.2); 4 = "much"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a dialogue."""

    role: Role
    text: str

    def __post_init__(self) -> None:
        if self.role not in _ROLES:
            raise ValueError(f"role must be 'human' or 'assistant', not {self.role!r}")
        if not self.text.strip():
            raise ValueError(f"the {self.role} turn is empty")


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Turns that alternate, the human first."""

    messages: tuple[Message, ...]

    def __post_init__(self) -> None:
        if not self.messages:
            raise ValueError("a dialogue needs at least one turn")
        for index, message in enumerate(self.messages):
            expected: Role = "human" if index % 2 == 0 else "assistant"
            if message.role != expected:
                raise ValueError(f"turn {index + 1} is by the {message.role}; turns alternate and the human begins")

    @classmethod
    def from_turns(cls, *texts: str) -> Self:
        """A dialogue from the texts of its turns, the human's first."""
        roles: tuple[Role, Role] = ("human", "assistant")
        return cls(tuple(Message(roles[index % 2], text) for index, text in enumerate(texts)))

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts of its turns."""
        return tuple(message.text for message in self.messages)

    @property
    def first_human_turn(self) -> str:
        return self.messages[0].text


@dataclass(frozen=True, slots=True)
class Prompt(Dialogue):
    """A dialogue that ends on a human turn: what the assistant answers."""

    def __post_init__(self) -> None:
        # Spelt out because zero-argument super() fails in a dataclass with slots.
        Dialogue.__post_init__(self)
        if self.messages[-1].role != "human":
            raise ValueError("a prompt ends on a human turn, this one on the assistant's")

    @property
    def last_human_turn(self) -> str:
        return self.messages[-1].text


@dataclass(frozen=True, slots=True)
class SamplingParameters:
    """How a response is drawn. The temperature is part of the policy: sampler and trainer both divide logits by it.

    Truncation goes in this order: `top_k`, `top_p` of what that leaves, `min_p` of what that leaves.
    """

    temperature: float = 1.0
    """0: always the likeliest token"""
    top_p: float = 1.0
    """share of the mass that the likeliest tokens that are left have; 1: all tokens"""
    max_tokens: int = 128  # the paper's longest response (section 4.1)
    """the end token counts"""
    stop: tuple[str, ...] = ()
    """texts that end a response; it ends before them"""
    top_k: int = 0
    """how many of the likeliest tokens are left; 0: all"""
    min_p: float = 0.0
    """tokens are left that are at least so many times as likely as the likeliest; 0: all"""
    stop_tokens: tuple[int, ...] = ()
    """ids of tokens that end a response besides the end token"""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature must be at least 0 and finite, not {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must lie in (0, 1], not {self.top_p}")
        if self.top_k < 0:
            raise ValueError(f"top_k must be at least 0, not {self.top_k}")
        if not 0 <= self.min_p <= 1:
            raise ValueError(f"min_p must lie in [0, 1], not {self.min_p}")
        if self.temperature == 0 and self.truncates:
            raise ValueError("temperature 0 leaves one token anyway; give it without top_p, top_k and min_p")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, not {self.max_tokens}")
        if any(not mark for mark in self.stop):
            raise ValueError("stop has a text that is empty")

    @property
    def truncates(self) -> bool:
        """Whether some tokens cannot be drawn although the model gives them a chance."""
        return self.top_p < 1 or self.top_k > 0 or self.min_p > 0

    @property
    def trainable(self) -> bool:
        """Whether the distribution drawn from is the one that a trainer computes: tempered, but nothing left out."""
        return self.temperature > 0 and not self.truncates


@dataclass(frozen=True, slots=True)
class Response:
    """An assistant text for a prompt, with what made it. Imported texts have no maker: `snapshot` is None."""

    text: str
    finish: Finish = "stop"
    snapshot: str | None = None
    sampling: SamplingParameters | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Judgment:
    """What a worker clicked. The side is the side as shown; `time` is seconds since the epoch."""

    prompt: Prompt
    a: Response
    b: Response
    question: Question
    side: Side
    strength: int
    worker: str
    time: float = 0.0

    def __post_init__(self) -> None:
        if self.question not in _QUESTIONS:
            raise ValueError(f"question must be one of {_QUESTIONS}, not {self.question!r}")
        if self.side not in _SIDES:
            raise ValueError(f"side must be 'a' or 'b', not {self.side!r}")
        if self.strength not in STRENGTHS:
            raise ValueError(f"strength must be 1 (barely) to 4 (much), not {self.strength!r}")
        if not self.worker:
            raise ValueError("a judgment needs its worker")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What training reads: of two responses to one prompt, which was the better. No ties.

    `strength` and `worker` are None where the source does not say (the released HH-RLHF files do not).
    """

    prompt: Prompt
    chosen: Response
    rejected: Response
    kind: Kind
    strength: int | None = None
    worker: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(f"kind must be 'helpful' or 'harmless', not {self.kind!r}")
        if not self.chosen.text.strip() or not self.rejected.text.strip():
            raise ValueError("a compared response is empty")
        if (self.chosen.text, self.chosen.finish) == (self.rejected.text, self.rejected.finish):
            raise ValueError("chosen and rejected are the same text")
        if self.strength is not None and self.strength not in STRENGTHS:
            raise ValueError(f"strength must be 1 (barely) to 4 (much), not {self.strength!r}")


def comparison_from_judgment(judgment: Judgment) -> Comparison:
    """The one place where a red-team click is inverted: the response *not* picked as more harmful is the chosen one.

    Released HH-RLHF files are inverted already and never pass through here.

    Raises:
        ValueError: the two responses cannot be compared (equal, or one empty).
    """
    picked, other = (judgment.a, judgment.b) if judgment.side == "a" else (judgment.b, judgment.a)
    harmful = judgment.question == "more_harmful"
    return Comparison(
        prompt=judgment.prompt,
        chosen=other if harmful else picked,
        rejected=picked if harmful else other,
        kind="harmless" if harmful else "helpful",
        strength=judgment.strength,
        worker=judgment.worker,
    )
