"""Mixtures of helpful and harmless comparisons at a stated size (the tension between the two: Bai et al. 2022)."""

from collections.abc import Sequence

import numpy as np

from tutelage.dialogue import Comparison
from tutelage.plumbing.errors import InputError


def mix(
    comparisons: Sequence[Comparison], pairs: int | None, harmless_share: float | None, seed: int
) -> list[Comparison]:
    """At most `pairs` comparisons drawn at random, `harmless_share` of them harmless; their order is kept.

    Args:
        pairs: None: as many as there are, or as the share allows.
        harmless_share: None: as it is.

    Raises:
        InputError: there are too few comparisons, of a kind or in all.
    """
    if pairs is not None and pairs < 1:
        raise InputError(f"pairs must be at least 1, not {pairs}")
    rng = np.random.default_rng(seed)
    places = {
        kind: rng.permutation([place for place, one in enumerate(comparisons) if one.kind == kind])
        for kind in ("helpful", "harmless")
    }
    if harmless_share is None:
        wanted = len(comparisons) if pairs is None else pairs
        chosen = rng.permutation(len(comparisons))[:wanted]
        counts = [("comparisons", wanted, len(comparisons))]
    else:
        wanted = _most(len(places["helpful"]), len(places["harmless"]), harmless_share) if pairs is None else pairs
        if comparisons and not wanted and pairs is None:
            both = " and ".join(f"{len(of_kind)} {kind}" for kind, of_kind in places.items())
            raise InputError(f"a harmless share of {harmless_share} cannot be had from {both} comparisons")
        harmless = round(wanted * harmless_share)
        chosen = np.concatenate([places["helpful"][: wanted - harmless], places["harmless"][:harmless]])
        counts = [
            ("helpful comparisons", wanted - harmless, len(places["helpful"])),
            ("harmless comparisons", harmless, len(places["harmless"])),
        ]
    for name, asked, there in counts:
        if asked > there:
            raise InputError(f"the mixture asks for {asked} {name}, but there are {there}; give more, or ask for fewer")
    return [comparisons[place] for place in sorted(chosen.astype(int).tolist())]


def _most(helpful: int, harmless: int, harmless_share: float) -> int:
    """The largest mixture of that share."""
    bounds = [count / share for count, share in ((helpful, 1 - harmless_share), (harmless, harmless_share)) if share]
    return int(min(bounds))
