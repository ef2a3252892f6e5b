"""What a web process asks of the model process and what it hears back, as records and as lines of JSON.

A line in either direction is one JSON object. A connection carries one request, `{"secret", "do", …}`, and its reply.
"""

from dataclasses import asdict, dataclass
from typing import Any

from tutelage.dialogue import Finish, Message, Prompt, SamplingParameters, Side

SIDES: tuple[Side, Side] = ("a", "b")
LONGEST_LINE = 8 * 1024 * 1024  # bytes: a long thread in JSON
WAITING = {"waiting": True}  # a record without news: the texts wait for their turn, and who makes them lives


class AnswersLost(Exception):
    """The answers of this attempt will not come: the model process is gone, hangs or refused. The turn can be asked
    again."""


@dataclass(frozen=True, slots=True)
class SideRequest:
    """One of the two answers: which snapshot gives it, and how it is drawn.

    `place`: where the snapshot lies, for a process that was started without it.
    """

    snapshot: str
    sampling: SamplingParameters
    seed: int
    place: str = ""


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """Two answers to the prompt of a turn, on the sides as shown. Another attempt at a turn has another number."""

    turn: int
    attempt: int
    prompt: Prompt
    a: SideRequest
    b: SideRequest


@dataclass(frozen=True, slots=True)
class Delta:
    """More text of one side."""

    side: Side
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """One side's whole text, and why it ended."""

    side: Side
    text: str
    finish: Finish


AnswerEvent = Delta | Finished


def request_to_record(request: AnswerRequest) -> dict[str, Any]:
    return asdict(request)


def request_from_record(record: dict[str, Any]) -> AnswerRequest:
    """Raises KeyError, TypeError or ValueError where the record is none of `request_to_record`."""
    prompt = Prompt(tuple(Message(**message) for message in record["prompt"]["messages"]))
    return AnswerRequest(record["turn"], record["attempt"], prompt, _side(record["a"]), _side(record["b"]))


def _side(record: dict[str, Any]) -> SideRequest:
    # JSON knows no tuples.
    sampling: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in record["sampling"].items()
    }
    return SideRequest(record["snapshot"], SamplingParameters(**sampling), record["seed"], record["place"])


def event_to_record(event: AnswerEvent) -> dict[str, Any]:
    return asdict(event)


def event_from_record(record: dict[str, Any]) -> AnswerEvent:
    """Raises AnswersLost where the record says that the attempt failed."""
    if "failed" in record:
        raise AnswersLost(record["failed"])
    return Finished(**record) if "finish" in record else Delta(**record)
