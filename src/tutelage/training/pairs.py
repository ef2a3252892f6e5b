"""Comparisons as rows: all that were made of one prompt share its row, each response in it once."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tutelage.dialogue import Comparison
from tutelage.modeling.encoding import Encoder
from tutelage.modeling.rows import Group


@dataclass
class PairedGroup:
    """A prompt's responses and which of them was chosen over which, as (chosen, rejected) branch numbers."""

    prompt: tuple[int, ...]
    branches: list[tuple[int, ...]] = field(default_factory=list)
    pairs: list[tuple[int, int]] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    """the place of each pair in the list of comparisons it came from"""
    comparisons: list[Comparison] = field(default_factory=list)
    """what each pair was made of"""

    @property
    def group(self) -> Group:
        return Group(self.prompt, tuple(self.branches))

    def branch(self, ids: tuple[int, ...]) -> int:
        """The number of a response's branch, laid if it is new."""
        if ids not in self.branches:
            self.branches.append(ids)
        return self.branches.index(ids)


def paired_groups(
    comparisons: Sequence[Comparison], encoder: Encoder, max_tokens: int
) -> tuple[list[PairedGroup], Counter[str]]:
    """Groups of at most `max_tokens`, and how many comparisons were dropped for which reason.

    Over-long prompts keep their end; responses are never cut, a comparison whose two do not fit is dropped.
    """
    drops: Counter[str] = Counter()
    by_prompt: dict[tuple[int, ...], list[PairedGroup]] = defaultdict(list)
    for place, comparison in enumerate(comparisons):
        chosen, rejected = encoder.response_ids(comparison.chosen), encoder.response_ids(comparison.rejected)
        room = max_tokens - len(chosen) - len(rejected) - 2  # two end-of-context tokens
        if room < 1:
            drops["the responses are longer than max_tokens"] += 1
        elif chosen == rejected:
            drops["the responses are the same tokens"] += 1
        else:
            prompt = encoder.prompt_ids(comparison.prompt, room)
            paired = _group_with_room(by_prompt[prompt], prompt, {chosen, rejected}, max_tokens)
            paired.pairs.append((paired.branch(chosen), paired.branch(rejected)))
            paired.places.append(place)
            paired.comparisons.append(comparison)
    return [paired for groups in by_prompt.values() for paired in groups], drops


def _group_with_room(
    groups: list[PairedGroup], prompt: tuple[int, ...], responses: set[tuple[int, ...]], max_tokens: int
) -> PairedGroup:
    """The prompt's open group, or a new one where it would grow too long."""
    if groups:
        open_group = groups[-1]
        new = responses.difference(open_group.branches)
        if open_group.group.length + len(open_group.branches) + sum(len(ids) + 1 for ids in new) <= max_tokens:
            return open_group
    groups.append(PairedGroup(prompt))
    return groups[-1]


def numbered(batch: Sequence[PairedGroup]) -> tuple[Tensor, Tensor]:
    """Branch numbers of chosen and rejected, counted over the whole batch."""
    pairs, first = [], 0
    for paired in batch:
        pairs += [(first + chosen, first + rejected) for chosen, rejected in paired.pairs]
        first += len(paired.branches)
    chosen_rejected = torch.tensor(pairs)
    return chosen_rejected[:, 0], chosen_rejected[:, 1]


def drop_weakest(comparisons: Iterable[Comparison], min_strength: int) -> tuple[list[Comparison], int]:
    """Comparisons of at least this strength, and how many were not; those of unknown strength stay (section 2.2)."""
    kept, dropped = [], 0
    for comparison in comparisons:
        if comparison.strength is not None and comparison.strength < min_strength:
            dropped += 1
        else:
            kept.append(comparison)
    return kept, dropped
