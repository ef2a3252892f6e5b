"""Message trees: ranked siblings become pairs, the path the prompt; what was withdrawn goes with all that follows."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tutelage.corpus.oasst import read_oasst
from tutelage.corpus.rules import DropCounts, DropReason
from tutelage.corpus.sources import read_comparisons
from tutelage.dialogue import Comparison
from tutelage.plumbing.errors import InputError


def message(role: str, text: str, *replies: dict[str, Any], **more: Any) -> dict[str, Any]:
    base = {"message_id": f"id-{text}", "text": text, "role": role, "deleted": False, "review_result": True}
    return base | {"replies": list(replies)} | more


def tree(root: dict[str, Any], state: str = "ready_for_export") -> dict[str, Any]:
    return {"message_tree_id": "t", "tree_state": state, "prompt": root}


def asked(*replies: dict[str, Any], **more: Any) -> dict[str, Any]:
    return message("prompter", "why?", *replies, **more)


def said(text: str, *replies: dict[str, Any], **more: Any) -> dict[str, Any]:
    return message("assistant", text, *replies, **more)


def shown(item: Comparison | DropReason) -> Any:
    if isinstance(item, DropReason):
        return item
    return [turn.text for turn in item.prompt.messages], item.chosen.text, item.rejected.text


def test_siblings_are_compared_by_rank_and_the_path_is_the_prompt() -> None:
    later = message("prompter", "really?", said("no", rank=1), said("yes", rank=0))
    root = asked(said("dunno", rank=2), said("because", later, rank=0), said("so", rank=1))
    found = list(read_oasst(tree(root), "here"))
    assert [shown(item) for item in found] == [
        (["why?"], "because", "dunno"),
        (["why?"], "because", "so"),
        (["why?"], "so", "dunno"),
        (["why?", "because", "really?"], "yes", "no"),
    ]
    assert isinstance(found[3], Comparison)
    assert found[3].provenance == {
        "source": "oasst",
        "tree": "t",
        "message": "id-really?",
        "chosen": {"message": "id-yes", "rank": 0},
        "rejected": {"message": "id-no", "rank": 1},
    }


def test_what_was_withdrawn_goes_with_all_that_follows() -> None:
    heirs = message("prompter", "really?", said("no", rank=1), said("yes", rank=0))
    root = asked(
        said("deleted", heirs, rank=0, deleted=True),
        said("bad", heirs, rank=1, review_result=False),
        said("unseen", rank=2, review_result=None),
        said("good", rank=3),
        said("worse", rank=4),
        said("late"),
    )
    found = [shown(item) for item in read_oasst(tree(root), "here")]
    assert [item for item in found if not isinstance(item, DropReason)] == [(["why?"], "good", "worse")]
    assert Counter(item for item in found if isinstance(item, DropReason)) == Counter(
        {DropReason.DELETED: 1, DropReason.UNREVIEWED: 2, DropReason.UNRANKED: 1}
    )


@pytest.mark.parametrize(
    ("record", "reasons"),
    [
        (tree(asked(said("a", rank=0), said("b", rank=1)), "growing"), [DropReason.UNFINISHED_TREE]),
        (tree(asked(deleted=True)), [DropReason.DELETED]),
        (tree(asked(said("a", rank=0))), [DropReason.FEW_ANSWERS]),
        (tree(asked(said("a", rank=0), said("b", rank=0))), [DropReason.EQUAL_SCORES]),
        (tree(asked(said("a", rank=0), said(" ", rank=1))), [DropReason.EMPTY_ANSWER]),
    ],
)
def test_each_tree_without_a_pair_says_why(record: dict[str, Any], reasons: list[DropReason]) -> None:
    assert list(read_oasst(record, "here")) == reasons


def test_a_bad_message_is_named() -> None:
    root = asked(said("a", rank=0), said("b", rank="1"))
    with pytest.raises(InputError, match="here, field 'prompt', reply 2, field 'rank': expected a whole number"):
        list(read_oasst(tree(root), "here"))


def test_the_real_trees(data: Path) -> None:
    counts = DropCounts()
    comparisons = list(counts.sift(read_comparisons([data / "open-assistant-en100" / "trees.jsonl.gz"])))
    lost = counts.dropped[DropReason.EMPTY_ANSWER] + counts.dropped[DropReason.EQUAL_ANSWERS]
    assert counts.usable + lost + counts.dropped[DropReason.PAIR_LIMIT] == 754  # the set's own count of ranked pairs
    assert max(len(comparison.prompt.messages) for comparison in comparisons) > 3
