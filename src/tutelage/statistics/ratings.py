"""Bradley-Terry ratings of snapshots on the Elo scale, with intervals over workers (and prompts).

The model: P(a beats b) = sigma(theta_a - theta_b); in Elo, 400 theta / ln 10, so that a win rate w over a snapshot is
worth 400 log10(w / (1 - w)) above it. Fitted by Newton's method on the table of wins, which is all that the estimate
depends on; the intervals leave out one worker at a time (see `intervals`): an interval that takes every vote as a
fresh observation is too narrow by a factor of 2 to 5 when a few workers of different tastes give most of the votes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log

import numpy as np
from numpy.typing import NDArray

from tutelage.statistics.bradley_terry import (
    RatingsRefused,
    chances_of,
    fit_bradley_terry,
    groups_of,
    information_of,
    refuse_undetermined,
    solve_centred,
)
from tutelage.statistics.intervals import (
    Codes,
    Floats,
    Interval,
    Labels,
    cluster_codes,
    combined_variance,
    effective_clusters,
    proportion_interval,
    t_quantile,
)

__all__ = ["ELO", "Ratings", "RatingsRefused", "WinRate", "rate", "win_rate"]

ELO = 400 / log(10)  # Elo points in one nat
_BLOCK = 4096  # clusters left out in one batch of solves: bounds memory where there are many


@dataclass(frozen=True, slots=True)
class WinRate(Interval):
    """How often one snapshot beat another, and in how many comparisons."""

    comparisons: int


@dataclass(frozen=True, slots=True)
class Ratings:
    """Ratings of all snapshots with their joint uncertainty."""

    snapshots: tuple[str, ...]
    anchor: str
    comparisons: int
    same_snapshot: int
    """Comparisons of a snapshot with itself, which say nothing and were dropped."""
    theta: Floats = field(repr=False)
    """(K,) in nats, 0 for the anchor."""
    covariances: Floats = field(repr=False)
    """(1 or 3, K, K) in nats squared: by worker; then by prompt and by both where prompts were given."""
    _duels: "_Duels" = field(repr=False)

    def elo(self, snapshot: str) -> float:
        """Elo points above the anchor."""
        return float(self.theta[self._index(snapshot)] * ELO)

    def interval(self, snapshot: str, level: float = 0.95) -> Interval:
        """Elo points above the anchor; of no width for the anchor itself."""
        return self.difference(snapshot, self.anchor, level)

    def difference(self, snapshot: str, other: str, level: float = 0.95) -> Interval:
        """Elo points of `snapshot` above `other`, from the full covariance: does not depend on the anchor."""
        contrast = np.zeros(len(self.snapshots))
        contrast[self._index(snapshot)] += 1
        contrast[self._index(other)] -= 1
        value = float(contrast @ self.theta) * ELO
        if snapshot == other:
            return Interval(0.0, 0.0, 0.0)
        clustered = combined_variance([float(contrast @ covariance @ contrast) for covariance in self.covariances])
        wins = self._duels.wins()
        direction = solve_centred(information_of(wins + wins.T, chances_of(self.theta)), contrast)
        # Workers who happen to agree in their shares must not make it surer than independent votes would be.
        variance = max(clustered, float(contrast @ direction))
        half = t_quantile(self._duels.effective_clusters(self.theta, direction), level) * variance**0.5 * ELO
        return Interval(value, value - half, value + half)

    def _index(self, snapshot: str) -> int:
        if snapshot not in self.snapshots:
            raise ValueError(f"{snapshot} is not rated; these are: {', '.join(self.snapshots)}")
        return self.snapshots.index(snapshot)


def rate(
    winners: Sequence[str],
    losers: Sequence[str],
    workers: Labels,
    prompts: Labels | None = None,
    *,
    anchor: str,
) -> Ratings:
    """Rate snapshots by their comparisons: `winners[i]` was preferred to `losers[i]` by `workers[i]` on `prompts[i]`.

    The degrees of an interval come from the effective number of workers, each weighed by what their comparisons tell
    about that very difference; with two snapshots this is (sum n)^2 / sum n^2.

    Args:
        prompts: widens the intervals to those over workers and prompts; None: over workers alone.
        anchor: the snapshot at 0 Elo.

    Raises:
        RatingsRefused: no comparison of two snapshots; an anchor that was never compared; snapshots that are
            unconnected (groups never compared with each other) or separated (a group that never lost to the rest, so
            that no finite rating fits); all judgments by one worker, or a link that rests on one worker or prompt.
        ValueError: the sequences differ in length.
    """
    clusterings = [workers] if prompts is None else [workers, prompts]
    if any(len(column) != len(winners) for column in (losers, *clusterings)):
        raise ValueError("winners, losers, workers and prompts must be equally many")
    kept = [index for index, (winner, loser) in enumerate(zip(winners, losers, strict=True)) if winner != loser]
    names = tuple(sorted({name for index in kept for name in (winners[index], losers[index])}))
    _refuse_unknown_anchor(names, anchor)
    number = {name: index for index, name in enumerate(names)}
    duels = _Duels(
        names,
        np.array([number[winners[index]] for index in kept], dtype=np.intp),
        np.array([number[losers[index]] for index in kept], dtype=np.intp),
        tuple(_codes_or_refusal(len(kept), [[labels[index] for index in kept] for labels in clusterings])),
    )
    wins = duels.wins()
    refuse_undetermined(names, wins)
    theta = fit_bradley_terry(wins)
    theta -= theta[number[anchor]]
    covariances = np.stack([duels.leave_one_out(theta, codes, number[anchor]) for codes in duels.clusterings])
    return Ratings(names, anchor, len(kept), len(winners) - len(kept), theta, covariances, duels)


def win_rate(
    winners: Sequence[str],
    losers: Sequence[str],
    workers: Labels,
    prompts: Labels | None = None,
    *,
    of: str,
    against: str,
) -> WinRate:
    """How often `of` beat `against` in their direct comparisons, with an interval clustered as that of `rate`.

    Raises:
        RatingsRefused: they were never compared, or by one worker (on one prompt) only.
    """
    columns = (winners, losers, workers) if prompts is None else (winners, losers, workers, prompts)
    rows = [row for row in zip(*columns, strict=True) if {row[0], row[1]} == {of, against}]
    if not rows:
        raise RatingsRefused(f"{of} and {against} were never compared")
    won, _, *clusterings = zip(*rows, strict=True)
    try:
        rate = proportion_interval([float(winner == of) for winner in won], *clusterings)
    except ValueError as error:
        raise RatingsRefused(f"{of} against {against}: {error}") from error
    return WinRate(rate.value, rate.low, rate.high, len(rows))


@dataclass(frozen=True, slots=True)
class _Duels:
    """Comparisons of two different snapshots as arrays (N,): indices into `names`, and codes of each clustering."""

    names: tuple[str, ...]
    winners: Codes
    losers: Codes
    clusterings: tuple[Codes, ...]

    def wins(self) -> Floats:
        """(K, K): how often each snapshot beat each other one."""
        table: Floats = self._tally(np.zeros(len(self.winners), dtype=np.intp), 1)[0]
        return table

    def effective_clusters(self, theta: Floats, direction: Floats) -> list[float]:
        """Of workers (and prompts): each weighs what its comparisons add to `direction @ information @ direction`."""
        chance = chances_of(theta)[self.winners, self.losers]
        weights = chance * (1 - chance) * np.square(direction[self.winners] - direction[self.losers])
        return [effective_clusters(np.bincount(codes, weights=weights)) for codes in self.clusterings[:2]]

    def leave_one_out(self, theta: Floats, codes: Codes, anchor: int) -> Floats:
        """The (K, K) CR3 covariance: how one Newton step moves the ratings when a cluster is left out."""
        self._refuse_lone_links(codes)
        size, clusters = len(self.names), int(codes.max()) + 1
        free = np.delete(np.arange(size), anchor)
        wins, chances = self.wins(), chances_of(theta)
        covariance = np.zeros((size, size))
        for start in range(0, clusters, _BLOCK):
            inside = (codes >= start) & (codes < start + _BLOCK)
            left_out = self._tally(codes - start, min(_BLOCK, clusters - start), inside)
            games = left_out + left_out.swapaxes(1, 2)
            score = left_out.sum(axis=2) - (games * chances).sum(axis=2)
            rest = information_of(wins + wins.T - games, chances)
            moves = np.linalg.solve(rest[:, free][:, :, free], score[:, free, None])[..., 0]
            covariance[np.ix_(free, free)] += (clusters - 1) / clusters * moves.T @ moves
        return covariance

    def _tally(self, codes: Codes, clusters: int, inside: NDArray[np.bool_] | slice = slice(None)) -> Floats:
        """(clusters, K, K): how often each snapshot beat each other one, by cluster."""
        table: Floats = np.zeros((clusters, len(self.names), len(self.names)))
        np.add.at(table, (codes[inside], self.winners[inside], self.losers[inside]), 1.0)
        return table

    def _refuse_lone_links(self, codes: Codes) -> None:
        """Leaving out one cluster must not unconnect the snapshots: nothing would tell how far the estimate moves."""
        owners: dict[tuple[int, int], set[int]] = {}
        for winner, loser, code in zip(self.winners.tolist(), self.losers.tolist(), codes.tolist(), strict=True):
            owners.setdefault((min(winner, loser), max(winner, loser)), set()).add(code)
        for cluster in {code for codes in owners.values() if len(codes) == 1 for code in codes}:
            table = np.zeros((len(self.names), len(self.names)))
            for pair, clusters in owners.items():
                table[pair] = clusters != {cluster}
            groups = groups_of(self.names, table)
            if len(groups) > 1:
                raise RatingsRefused(
                    f"what links {' and '.join(groups)} comes from a single worker or prompt, so that no interval "
                    "can be given; collect comparisons of them from others"
                )


def _codes_or_refusal(count: int, clusterings: list[list[object]]) -> list[Codes]:
    try:
        return cluster_codes(count, *clusterings)
    except ValueError as error:
        raise RatingsRefused(str(error)) from error


def _refuse_unknown_anchor(names: tuple[str, ...], anchor: str) -> None:
    if not names:
        raise RatingsRefused("there is no comparison of two different snapshots")
    if anchor not in names:
        raise RatingsRefused(f"the anchor {anchor} was never compared; these were: {', '.join(names)}")
