"""Open-Assistant's message trees: prompters and assistants take turns, and people have ranked the answers of each
prompter's message (rank 0 is the best). A line is a tree: `message_tree_id`, `tree_state`, `prompt`, the root message.

The prompt of a comparison is the whole path from the root, so that deeper answers have several turns before them. A
message that was deleted or did not pass review (`review_result` is not true) is left out with all that follows it.
Messages written by a model (`synthetic`) were ranked by people like the others, and stay.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tutelage.corpus.fields import Fields
from tutelage.corpus.ranking import Ranked, ranked_comparisons
from tutelage.corpus.rules import DropReason, Turn
from tutelage.dialogue import Comparison

_OUR_ROLES = {"prompter": "human", "assistant": "assistant"}


def read_oasst(record: Mapping[str, Any], where: str) -> Iterator[Comparison | DropReason]:
    """The comparisons of a tree, those near the root first.

    Raises:
        InputError: a field is missing or of another type.
    """
    fields = Fields(record, where)
    tree, state = fields.text("message_tree_id"), fields.text("tree_state")
    if state == "ready_for_export":
        yield from _below(fields.nested("prompt"), (), {"source": "oasst", "tree": tree})
    else:
        yield DropReason.UNFINISHED_TREE


def _below(message: Fields, path: tuple[Turn, ...], origin: Mapping[str, Any]) -> Iterator[Comparison | DropReason]:
    """The comparisons of a message's answers, then of all that follows it."""
    fault = _fault(message)
    if fault:
        yield fault
        return
    role, text, identity = message.text("role"), message.text("text"), message.text("message_id")
    path = (*path, Turn(_OUR_ROLES.get(role, role), text))
    replies = message.maybe("replies", message.items) or []
    if role == "prompter":
        yield from _answers(replies, path, {**origin, "message": identity}, message.where)
    for number, reply in enumerate(replies, start=1):
        yield from _below(Fields(reply, f"{message.where}, reply {number}"), path, origin)


def _fault(message: Fields) -> DropReason | None:
    if message.maybe("deleted", lambda name: message.one_of(name, (True, False))):
        return DropReason.DELETED
    reviewed = message.maybe("review_result", lambda name: message.one_of(name, (True, False)))
    return None if reviewed else DropReason.UNREVIEWED


def _answers(
    replies: list[Any], path: tuple[Turn, ...], origin: Mapping[str, Any], where: str
) -> Iterator[Comparison | DropReason]:
    """The comparisons among the replies to a prompter; those with a fault are counted where they are visited."""
    ranked = []
    for number, reply in enumerate(replies, start=1):
        fields = Fields(reply, f"{where}, reply {number}")
        if _fault(fields):
            continue
        rank = fields.maybe("rank", fields.integer)
        if rank is None:
            yield DropReason.UNRANKED
        else:
            about = {"message": fields.text("message_id"), "rank": rank}
            ranked.append(Ranked(fields.text("text"), -rank, about))
    yield from ranked_comparisons(path, ranked, "helpful", origin)
