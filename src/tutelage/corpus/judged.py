"""Three public sets in which judges were shown answers to one instruction and said which is better: PandaLM's
human-annotated test set, the human preferences of FineGrainedRLHF's question answering, and LLMBar."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from tutelage.corpus.fields import Fields
from tutelage.corpus.rules import DropReason, Turn, comparison_of_answers
from tutelage.dialogue import Comparison
from tutelage.plumbing.errors import InputError

_PREDICTIONS = (1, 2, 3, 4)


def read_pandalm(record: Mapping[str, Any], where: str) -> Iterator[Comparison | DropReason]:
    """One comparison by three annotators (0 tie, 1 the first answer, 2 the second); see `verdict_of` for their rule.

    The prompt is the instruction, with its input behind an empty line where it has one. The released file holds some
    answers ("true") as truth values: what was shown to the annotators is lost there, and the row is dropped.

    Raises:
        InputError: a field is missing or of another type, or a vote is none of 0, 1, 2.
    """
    if any(isinstance(record.get(name), bool | int | float) for name in ("response1", "response2")):
        yield DropReason.NOT_TEXT
        return
    fields = Fields(record, where)
    instruction = "\n\n".join(filter(str.strip, (fields.text("instruction"), fields.text("input"))))
    answers = fields.text("response1"), fields.text("response2")
    votes = [fields.one_of(f"annotator{number}", (0, 1, 2)) for number in (1, 2, 3)]
    origin = {"source": "pandalm", "row": record.get("idx"), "models": record.get("cmp_key"), "votes": votes}
    yield _judged(instruction, answers, verdict_of(votes), origin)


def read_llmbar(record: Mapping[str, Any], where: str) -> Iterator[Comparison | DropReason]:
    """One comparison whose better answer (`label`, 1 or 2) is agreed on.

    Raises:
        InputError: a field is missing or of another type.
    """
    fields = Fields(record, where)
    answers = fields.text("output_1"), fields.text("output_2")
    origin = {"source": "llmbar", "subset": record.get("subset"), "row": record.get("index")}
    yield _judged(fields.text("input"), answers, fields.one_of("label", (1, 2)), origin)


def read_finegrained(record: Mapping[str, Any], where: str) -> Iterator[Comparison | DropReason]:
    """The six comparisons of four answers; `preference` holds one verdict a pair, in the order 12, 13, 14, 23, 24, 34.

    The prompt is the question alone: the passages that the answers were written from are long, and are not laid.

    Raises:
        InputError: a field is missing or of another type, or `preference` is not six numbers of 0, 1, 2.
    """
    fields = Fields(record, where)
    question, verdicts = fields.text("question"), fields.items("preference")
    answers = {number: fields.text(f"prediction {number}") for number in _PREDICTIONS}
    pairs = list(combinations(_PREDICTIONS, 2))
    if len(verdicts) != len(pairs) or not all(verdict in (0, 1, 2) for verdict in verdicts):
        raise InputError(f"{where}, field 'preference': expected six numbers, each 0 (tie), 1 or 2, found {verdicts}")
    for (first, second), verdict in zip(pairs, verdicts, strict=True):
        origin = {"source": "finegrained", "predictions": [first, second]}
        yield _judged(question, (answers[first], answers[second]), verdict or DropReason.TIE, origin)


def verdict_of(votes: Sequence[int]) -> int | DropReason:
    """1 or 2 where more than half of the votes are for that answer and none is for the other; else why there is none.

    A pair on which two annotators contradict each other has no label that one could call true.
    """
    if {1, 2} <= set(votes):
        return DropReason.DISAGREEMENT
    verdict = max(votes)
    return verdict if 2 * votes.count(verdict) > len(votes) and verdict else DropReason.TIE


def _judged(
    instruction: str, answers: tuple[str, str], verdict: int | DropReason, origin: Mapping[str, Any]
) -> Comparison | DropReason:
    if isinstance(verdict, DropReason):
        return verdict
    chosen, rejected = answers if verdict == 1 else answers[::-1]
    return comparison_of_answers([Turn("human", instruction)], chosen, rejected, "helpful", origin)
