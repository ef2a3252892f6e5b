"""Studies of preference models on comparisons of both kinds, after Bai et al. 2022: scaling (eq. A.1), the
tension between helpful and harmless, and the agreement of two models.

Every point trains one preference model from scratch and tries it on the same held-out prompts of both kinds.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tutelage.corpus.rules import DropCounts
from tutelage.corpus.sources import read_comparisons
from tutelage.corpus.splits import normalised, split_by_prompt
from tutelage.dialogue import Comparison, Kind
from tutelage.evaluation.preference import score_in_parts
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import sha256
from tutelage.plumbing.progress import progress_bar
from tutelage.statistics.calibration import accuracy
from tutelage.statistics.intervals import proportion_interval
from tutelage.studies.points import Point, measure_points
from tutelage.training.mixture import mix
from tutelage.training.preference import PreferenceSettings, Trained, train_preference_model
from tutelage.training.rollouts import PreferenceModel

Study = Literal["size", "mixture", "weight", "agreement"]
STUDIES: tuple[Study, ...] = get_args(Study)
KINDS: tuple[Kind, Kind] = ("helpful", "harmless")
SALT = "studies"  # the same always: a prompt never changes its side
QUARTERS = 4

Wanted = Iterator[tuple[Mapping[str, Any], Callable[[], Point]]]


@dataclass(frozen=True)
class Scale:
    """How large a study is."""

    pairs: int = 400
    """comparisons a preference model is trained on, where they are not what is varied"""
    sizes: tuple[int, ...] = (100, 200, 400, 800, 1600)
    """numbers of comparisons of the study `size`, those that there are enough for"""
    shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    """shares of harmless comparisons of the study `mixture`"""
    weights: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0, 10.0)
    """λ of the study `weight`"""
    seeds: int = 1
    """runs of every point, each on other comparisons in another order"""
    held_out: float = 0.2
    """share of first human turns on which the models are tried"""


@dataclass(frozen=True)
class Material:
    """Comparisons of both kinds to train on and to try models on, without a common first human turn."""

    train: list[Comparison]
    tried: list[Comparison]
    files: dict[str, str]
    """hash of each file by its kind"""


def read_material(helpful: Path, harmless: Path, held_out: float) -> Material:
    """Both files, split by first human turn.

    Raises:
        InputError: a file cannot be read.
    """
    read: list[Comparison] = []
    for path, kind in ((helpful, "helpful"), (harmless, "harmless")):
        read += DropCounts().sift(read_comparisons([path], kind=kind))  # type: ignore[arg-type]
    train, tried = split_by_prompt(read, held_out, SALT)
    return Material(train, tried, {"helpful": sha256(helpful), "harmless": sha256(harmless)})


def run_study(
    study: Study, trunk: Trunk, material: Material, scale: Scale, settings: PreferenceSettings, file: Path
) -> list[Point]:
    """The points of a study; those that the file holds are not measured again."""
    origin = {
        "study": study, "base": trunk.weights_hash, "format": asdict(trunk.encoder.format),
        "settings": asdict(settings), "files": material.files, "held_out": scale.held_out,
    }  # fmt: skip
    bench = Bench(trunk, material, settings)
    wanted = {"size": _sizes, "mixture": _mixtures, "weight": _weights, "agreement": _agreements}[study]
    return measure_points(file, origin, wanted(bench, scale))


@dataclass(frozen=True)
class Bench:
    """What every point of a study is made with."""

    trunk: Trunk
    material: Material
    settings: PreferenceSettings

    def train(self, comparisons: Sequence[Comparison], seed: int, title: str, **changes: Any) -> Trained:
        settings = replace(self.settings, **changes)
        with progress_bar(title, len(comparisons), "pairs") as bar:
            return train_preference_model(
                self.trunk, "study", comparisons, settings, seed, lambda pairs, _: bar.advance(pairs)
            )

    def scores(self, trained: Trained, title: str) -> NDArray[np.float64]:
        """(P, [chosen, rejected]) of the comparisons that models are tried on."""
        with progress_bar(f"{title}, tried", len(self.material.tried), "pairs") as bar:
            model = PreferenceModel("study", trained.head)
            return score_in_parts(self.trunk, model, self.material.tried, self.settings.max_tokens, bar.advance)[0]

    def point(self, comparisons: Sequence[Comparison], seed: int, title: str, **changes: Any) -> Point:
        """Train on the comparisons; accuracy by kind, with intervals over first human turns."""
        started = time.perf_counter()
        trained = self.train(comparisons, seed, title, **changes)
        scores_P2 = self.scores(trained, title)
        return {**self.accuracies(scores_P2), "pairs": trained.pairs, "seconds": time.perf_counter() - started}

    def accuracies(self, scores_P2: NDArray[np.float64]) -> Point:
        differences = scores_P2[:, 0] - scores_P2[:, 1]
        result: Point = {}
        for kind in KINDS:
            inside = [
                i for i, one in enumerate(self.material.tried) if one.kind == kind and np.isfinite(differences[i])
            ]
            prompts = [normalised(self.material.tried[i].prompt.first_human_turn) for i in inside]
            result[kind] = asdict(accuracy(differences[inside], prompts))
        return result


def _sizes(bench: Bench, scale: Scale) -> Wanted:
    """Accuracy against the number of helpful comparisons (eq. A.1)."""
    helpful = [one for one in bench.material.train if one.kind == "helpful"]
    for seed in range(scale.seeds):
        for size in (size for size in scale.sizes if size <= len(helpful)):
            chosen = mix(helpful, size, None, seed)
            yield (
                {"size": size, "seed": seed},
                lambda chosen=chosen, seed=seed: bench.point(chosen, seed, f"{len(chosen)} helpful pairs"),  # type: ignore[misc]
            )


def _mixtures(bench: Bench, scale: Scale) -> Wanted:
    """Accuracy on both kinds against the share of harmless comparisons, at equal size."""
    for seed in range(scale.seeds):
        for share in scale.shares:
            chosen = mix(bench.material.train, scale.pairs, share, seed)
            yield (
                {"share": share, "seed": seed},
                lambda chosen=chosen, seed=seed, share=share: bench.point(chosen, seed, f"{share:.0%} harmless"),  # type: ignore[misc]
            )


def _weights(bench: Bench, scale: Scale) -> Wanted:
    """Accuracy on both kinds against λ, what a harmless comparison counts in the loss."""
    for seed in range(scale.seeds):
        chosen = mix(bench.material.train, scale.pairs, 0.5, seed)
        for weight in scale.weights:
            yield (
                {"weight": weight, "seed": seed},
                lambda chosen=chosen, seed=seed, weight=weight: bench.point(  # type: ignore[misc]
                    chosen, seed, f"λ = {weight:g}", harmless_weight=weight
                ),
            )


def _agreements(bench: Bench, scale: Scale) -> Wanted:
    """How often two models of disjoint halves prefer the same response, by how far the first holds the two apart."""
    for seed in range(scale.seeds):
        yield {"seed": seed}, lambda seed=seed: _agreement(bench, scale, seed)  # type: ignore[misc]


def _agreement(bench: Bench, scale: Scale, seed: int) -> Point:
    started = time.perf_counter()
    halves = split_by_prompt(bench.material.train, 0.5, f"{SALT} {seed}")
    columns = []
    for name, half in zip(("train-PM", "test-PM"), halves, strict=True):
        trained = bench.train(mix(half, min(scale.pairs, len(half)), None, seed), seed, name)
        columns.append(bench.scores(trained, name))
    first, second = (scores[:, 0] - scores[:, 1] for scores in columns)
    there = np.isfinite(first) & np.isfinite(second)
    prompts = np.array([normalised(one.prompt.first_human_turn) for one in bench.material.tried])[there]
    same, apart = (np.sign(first) == np.sign(second))[there].astype(float), np.abs(first)[there]
    quarters = np.array_split(np.argsort(apart, kind="stable"), QUARTERS)
    return {
        "correlation": float(np.corrcoef(first[there], second[there])[0, 1]),
        "agreement": asdict(proportion_interval(same, prompts.tolist())),
        "by_quarter": [
            {"apart": float(apart[part].mean()), **asdict(proportion_interval(same[part], prompts[part].tolist()))}
            for part in quarters
        ],
        "train_pm": bench.accuracies(columns[0]), "test_pm": bench.accuracies(columns[1]),
        "seconds": time.perf_counter() - started,
    }  # fmt: skip


def paper_accuracy(parameters: float, comparisons: float) -> float:
    """The paper's fit of a helpful preference model's accuracy (eq. A.1; natural logarithms)."""
    if min(parameters, comparisons) <= 0:
        raise InputError("the fit of eq. A.1 needs at least one parameter and one comparison")
    return 0.72 + 0.007 * math.log(parameters / 1e11) + 0.015 * math.log(comparisons / 8e4)
