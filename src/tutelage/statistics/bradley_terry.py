"""Bradley-Terry strengths of maximum likelihood, and whether there are any: P(a beats b) = sigma(theta_a - theta_b)."""

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from tutelage.statistics.intervals import Floats


class RatingsRefused(ValueError):
    """The comparisons do not determine the ratings, or their intervals; the message says which snapshots and why."""


def fit_bradley_terry(wins: Floats) -> Floats:
    """The maximum-likelihood strengths (K,), in nats with mean 0, of a (K, K) table: wins[i, j] = how often i beat j.

    Newton's method, the step halved while it lowers the likelihood. The table must be strongly connected
    (`refuse_undetermined` sees to it): otherwise there is no maximum.

    Raises:
        RatingsRefused: no convergence within 100 steps.
    """
    games = wins + wins.T
    theta: Floats = np.zeros(len(wins))
    for _ in range(100):
        chance = chances_of(theta)
        gradient = wins.sum(axis=1) - (games * chance).sum(axis=1)
        step = solve_centred(information_of(games, chance), gradient)
        while _log_likelihood(wins, theta + step) < _log_likelihood(wins, theta) and np.abs(step).max() > 1e-9:
            step /= 2
        theta += step
        if np.abs(step).max() < 1e-9:
            return theta
    raise RatingsRefused("the ratings did not converge: some snapshots are all but separated")


def _log_likelihood(wins: Floats, theta: Floats) -> float:
    return -float((wins * np.logaddexp(0, theta[None, :] - theta[:, None])).sum())


def chances_of(theta: Floats) -> Floats:
    """(K, K): the probability that the row's snapshot beats the column's."""
    chances: Floats = expit(theta[:, None] - theta[None, :])
    return chances


def information_of(games: Floats, chances: Floats) -> Floats:
    """The information matrix of (…, K, K) counts of games, symmetric with an empty diagonal: a graph's Laplacian."""
    weights = games * chances * chances.T
    laplacian: Floats = weights.sum(axis=-1)[..., None] * np.eye(weights.shape[-1]) - weights
    return laplacian


def solve_centred(information: Floats, right: Floats) -> Floats:
    """The solution of mean 0: adding ones fills the null space, which is equal shifts of all ratings."""
    return np.linalg.solve(information + 1.0, right).astype(np.float64, copy=False)


def refuse_undetermined(names: tuple[str, ...], wins: Floats) -> None:
    """A finite maximum exists only if a chain of wins leads from every snapshot to every other one (Ford 1957).

    Raises:
        RatingsRefused: the snapshots are unconnected or separated; says which.
    """
    groups = groups_of(names, wins)
    if len(groups) > 1:
        raise RatingsRefused(
            f"the snapshots are unconnected: {' and '.join(groups)} were never compared with each other; "
            "collect comparisons between them"
        )
    undefeated = _undefeated(names, wins)
    if undefeated:
        raise RatingsRefused(
            f"the snapshots are separated: {undefeated} won every comparison with the others, so that no finite "
            "rating fits; collect more comparisons"
        )


def groups_of(names: tuple[str, ...], table: Floats) -> list[str]:
    """The groups of snapshots that no comparison in the (K, K) table links, each written out."""
    return ["{" + ", ".join(names[index] for index in group) + "}" for group in _components(table, "weak")]


def _components(table: Floats, connection: str) -> list[list[int]]:
    count, labels = connected_components(table, directed=True, connection=connection)
    return [np.flatnonzero(labels == label).tolist() for label in range(count)]


def _undefeated(names: tuple[str, ...], wins: Floats) -> str | None:
    components = _components(wins, "strong")
    for group in components:
        others = [index for index in range(len(names)) if index not in group]
        if others and not wins[np.ix_(others, group)].any():
            return "{" + ", ".join(names[index] for index in group) + "}"
    return None
