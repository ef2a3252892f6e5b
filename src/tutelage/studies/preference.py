"""Studies of preference models on comparisons of both kinds, after Bai et al. 2022: scaling (eq. A.1), pretraining on
votes, the tension between helpful and harmless, and the agreement of two models.

Every point makes preference models anew and tries them on the same held-out prompts.
P comparisons that models are tried on.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tutelage.corpus.splits import split_by_prompt
from tutelage.dialogue import Comparison
from tutelage.modeling.snapshot import read_card
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError
from tutelage.statistics.calibration import right
from tutelage.statistics.concordance import same_preference
from tutelage.statistics.intervals import proportion_interval, share_interval
from tutelage.studies.learners import FineTuned, Learner, Probed
from tutelage.studies.material import KINDS, SALT, Material
from tutelage.studies.points import Point, Wanted, measure_points
from tutelage.training.mixture import mix
from tutelage.training.preference import PreferenceSettings

Study = Literal["size", "pmp", "mixture", "weight", "agreement"]
QUARTERS = 4


@dataclass(frozen=True)
class Scale:
    """How large a study is."""

    pairs: int = 400
    """comparisons a preference model is trained on, where they are not what is varied"""
    sizes: tuple[int, ...] = (100, 200, 400, 800, 1600)
    """numbers of comparisons of the studies `size` and `pmp`, those that there are enough for"""
    shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    """shares of harmless comparisons of the study `mixture`"""
    weights: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0, 10.0)
    """λ of the study `weight`"""
    depths: tuple[int | None, ...] = (None,)
    """layers below the score head, of the study `size`; None: all"""
    penalties: tuple[float, ...] = ()
    """of linear probes of the frozen base: every probe has the one that does best on parts of its own comparisons; none
    given: adapters are fine-tuned"""
    seeds: int = 1
    """runs of every point, each on other comparisons in another order"""


def run_study(
    study: Study,
    trunk: Trunk,
    material: Material,
    scale: Scale,
    settings: PreferenceSettings,
    file: Path,
    initial: Path | None = None,
) -> list[Point]:
    """The points of a study; those that the file holds are not measured again.

    Args:
        initial: the pretrained preference model that the study `pmp` compares with none; of no use to the others.

    Raises:
        InputError: the file holds points of other data or settings, the comparisons are not of the kinds that the study
            needs, or `initial` is missing, useless or of another rank, depth or pooling.
    """
    _require_kinds(study, material)
    if (initial is None) == (study == "pmp"):
        raise InputError(
            "the study pmp, and no other, compares with a model that was pretrained: make one by "
            "`tutelage train pmp`, and give its directory by --init"
        )
    origin = {
        "study": study, "base": trunk.weights_hash, "dtype": str(trunk.dtype), "format": asdict(trunk.encoder.format),
        "settings": asdict(settings), "files": material.files, "held_out": material.held_out,
        "initial": read_card(initial).weights_hash if initial else None,
        **({"penalties": scale.penalties} if scale.penalties else {}),
        **({} if study in ("size", "pmp") else {"pairs": scale.pairs}),
    }  # fmt: skip
    learner: Learner = FineTuned(trunk, material, settings, initial)
    if scale.penalties:
        learner = Probed(trunk, material, settings, scale.penalties, file.parent / "features", initial)
    return measure_points(file, origin, _POINTS[study](Bench(learner, material), scale))


@dataclass(frozen=True)
class Bench:
    """What every point of a study is made with."""

    learner: Learner
    material: Material

    def point(self, comparisons: Sequence[Comparison], seed: int, title: str, **how: Any) -> Point:
        """A model of the comparisons; its accuracy by kind, with intervals over first human turns."""
        differences_P, noted = self.learner.differences(comparisons, seed, title, **how)
        return {**self.accuracies(differences_P), **noted, "pairs": len(comparisons)}

    def accuracies(self, differences_P: NDArray[np.float64]) -> Point:
        """By kind: the accuracy with its interval, and the differences themselves."""
        result: Point = {}
        for kind in self.material.kinds:
            mine = differences_P[[one.kind == kind for one in self.material.tried]]
            interval = share_interval(right(mine), self.material.prompts([kind]))
            result[kind] = {**asdict(interval), "differences": mine.tolist()}
        return result


def _sizes(bench: Bench, scale: Scale) -> Wanted:
    """Accuracy against the number of comparisons, and the depth of the model (eq. A.1)."""
    for depth in scale.depths:
        for seed in range(scale.seeds):
            for size in _enough(scale.sizes, bench.material):
                chosen = mix(bench.material.train, size, None, seed)
                yield (
                    {"layers": depth, "size": size, "seed": seed},
                    lambda chosen=chosen, seed=seed, depth=depth: bench.point(  # type: ignore[misc]
                        chosen, seed, f"{len(chosen)} pairs", layers=depth
                    ),
                )


def _pretrained(bench: Bench, scale: Scale) -> Wanted:
    """Accuracy on both kinds with and without pretraining, on the same comparisons of both kinds."""
    for seed in range(scale.seeds):
        for size in _enough(scale.sizes, bench.material):
            chosen = mix(bench.material.train, size, None, seed)
            for pretrained in (False, True):
                title = f"{size} pairs, {'pretrained' if pretrained else 'from the base'}"
                yield (
                    {"pretrained": pretrained, "size": size, "seed": seed},
                    lambda chosen=chosen, seed=seed, title=title, pretrained=pretrained: bench.point(  # type: ignore[misc]
                        chosen, seed, title, pretrained=pretrained
                    ),
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
    halves = split_by_prompt(bench.material.train, 0.5, f"{SALT} {seed}")
    columns, seconds = [], 0.0
    for name, half in zip(("train-PM", "test-PM"), halves, strict=True):
        chosen = mix(half, min(scale.pairs, len(half)), None, seed)
        differences_P, noted = bench.learner.differences(chosen, seed, name)
        columns.append(differences_P)
        seconds += noted["seconds"]
    first, second = columns
    prompts, apart = np.array(bench.material.prompts()), np.abs(first)
    same = same_preference(first, second)
    quarters = np.array_split(np.argsort(apart, kind="stable"), QUARTERS)
    return {
        "correlation": float(np.corrcoef(first, second)[0, 1]),
        "agreement": asdict(proportion_interval(same, prompts.tolist())),
        "by_quarter": [
            {"apart": float(apart[part].mean()), **asdict(proportion_interval(same[part], prompts[part].tolist()))}
            for part in quarters
        ],
        "train_pm": bench.accuracies(first), "test_pm": bench.accuracies(second),
        **noted, "seconds": seconds,
    }  # fmt: skip


def _require_kinds(study: Study, material: Material) -> None:
    """Raises InputError where comparisons are not of the kinds that the study is about."""
    kinds = material.kinds
    if study in ("mixture", "weight") and len(kinds) < len(KINDS):
        raise InputError(f"the study {study} needs comparisons of both kinds: give --helpful and --harmless")


def _enough(sizes: Sequence[int], material: Material) -> list[int]:
    """The sizes that there are comparisons for.

    Raises:
        InputError: there are none.
    """
    enough = [size for size in sizes if size <= len(material.train)]
    if not enough:
        raise InputError(
            f"--sizes: the least is {min(sizes)}, but there are {len(material.train)} comparisons to train on; "
            "give more, or smaller sizes"
        )
    return enough


_POINTS: Mapping[Study, Callable[[Bench, Scale], Wanted]] = {
    "size": _sizes,
    "pmp": _pretrained,
    "mixture": _mixtures,
    "weight": _weights,
    "agreement": _agreements,
}


def paper_accuracy(parameters: float, comparisons: float) -> float:
    """The paper's fit of a helpful preference model's accuracy (eq. A.1; natural logarithms).

    Args:
        parameters: of the model's layers; embeddings do not count.
    """
    if min(parameters, comparisons) <= 0:
        raise InputError("the fit of eq. A.1 needs at least one parameter and one comparison")
    return 0.72 + 0.007 * math.log(parameters / 1e11) + 0.015 * math.log(comparisons / 8e4)


def parameters_below(trunk: Trunk, layers: int | None) -> int:
    """Weights of the linear maps of the first `layers` layers (None: all), which is how the paper counts its sizes."""
    depth = int(trunk.model.config.num_hidden_layers)
    return sum(layer.base.weight.numel() for layer in trunk.adapted_layers) * (layers or depth) // depth
