"""Two ways from comparisons to a preference model, as studies compare them: adapters that are fine-tuned, and linear
probes of the frozen base, whose features are the same for all and computed once.

P comparisons that models are tried on, F features.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.corpus.splits import bucket
from tutelage.dialogue import Comparison
from tutelage.evaluation.preference import score_in_parts
from tutelage.modeling.heads import ScoreHead
from tutelage.modeling.snapshot import load_snapshot
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.progress import progress_bar
from tutelage.studies.features import comparison_features
from tutelage.studies.material import Material
from tutelage.studies.points import Point
from tutelage.training.preference import PreferenceSettings, aims, train_preference_model
from tutelage.training.probe import Judged, fit_chosen_probe
from tutelage.training.rollouts import PreferenceModel

ADAPTER = "study"
FOLDS = 5  # parts of a probe's own comparisons, by first human turn, on which its penalty is chosen


class Learner(Protocol):
    """What makes a preference model of comparisons, and tries it."""

    def differences(
        self, comparisons: Sequence[Comparison], seed: int, title: str, pretrained: bool = False, **changes: Any
    ) -> tuple[NDArray[np.float64], Point]:
        """(P,) by how much the model scores the chosen response above the rejected one; and what is to be noted, among
        it the `seconds` that making and trying it took.

        Args:
            pretrained: begin with the model of the votes.
            changes: settings that differ for this model.
        """


@dataclass(frozen=True)
class FineTuned:
    """Adapters, each trained from scratch or from the model of the votes."""

    trunk: Trunk
    material: Material
    settings: PreferenceSettings
    initial: Path | None = None

    def differences(
        self, comparisons: Sequence[Comparison], seed: int, title: str, pretrained: bool = False, **changes: Any
    ) -> tuple[NDArray[np.float64], Point]:
        started = time.perf_counter()
        settings, initial = replace(self.settings, **changes), self.initial if pretrained else None
        with progress_bar(title, len(comparisons), "pairs") as bar:
            trained = train_preference_model(
                self.trunk, ADAPTER, comparisons, settings, seed, lambda pairs, _: bar.advance(pairs), initial=initial
            )
        with progress_bar(f"{title}, tried", len(self.material.tried), "pairs") as bar:
            model = PreferenceModel(ADAPTER, trained.head)
            scores_P2, _ = score_in_parts(self.trunk, model, self.material.tried, settings.max_tokens, bar.advance)
        return scores_P2[:, 0] - scores_P2[:, 1], {"seconds": time.perf_counter() - started}


@dataclass(frozen=True)
class Probed:
    """Linear probes of the frozen base; the pretrained one keeps near the weights of the votes' probe.

    Each has the penalty, of those given, whose probes do best on parts of its own comparisons that they did not see.
    """

    trunk: Trunk
    material: Material
    settings: PreferenceSettings
    penalties: Sequence[float]
    kept: Path
    """directory of computed features"""
    initial: Path | None = None
    _gaps: dict[int | None, "Gaps"] = field(default_factory=dict)

    def differences(
        self, comparisons: Sequence[Comparison], seed: int, title: str, pretrained: bool = False, **changes: Any
    ) -> tuple[NDArray[np.float64], Point]:
        settings = replace(self.settings, **changes)
        gaps = self.gaps(settings.layers)
        started = time.perf_counter()
        pairs = Judged(gaps.of(comparisons), *aims(comparisons, settings))
        folds_P = torch.tensor([int(FOLDS * bucket(one.prompt, f"penalty {seed}")) for one in comparisons])
        centre_F = self._votes() * gaps.scale_F if pretrained else torch.zeros_like(gaps.scale_F)
        weights_F, penalty = fit_chosen_probe(pairs, self.penalties, folds_P, centre_F.double())
        differences_P = (gaps.of(self.material.tried).double() @ weights_F).numpy()
        noted = {"penalty": penalty, "features": [settings.layers, gaps.seconds]}
        return differences_P, {**noted, "seconds": time.perf_counter() - started}

    def gaps(self, layers: int | None) -> "Gaps":
        """Of all the material, at this depth; computed when first asked for."""
        if layers not in self._gaps:
            self._gaps[layers] = self._computed(layers)
        return self._gaps[layers]

    def _computed(self, layers: int | None) -> "Gaps":
        sides = self.material.train, self.material.tried
        parts = [[one for one in side if one.kind == kind] for side in sides for kind in self.material.kinds]
        title = f"features after {layers} layers" if layers else "features after all layers"
        with progress_bar(title, sum(map(len, parts)), "pairs") as bar:
            found = [
                comparison_features(
                    self.trunk, part, layers, self.settings.pooling, self.settings.max_tokens, self.kept, bar.advance
                )
                for part in parts
            ]
        head = ScoreHead(self.trunk.width, self.settings.pooling)
        head.fit_scale(torch.cat([features.values_P2F for features in found[: len(parts) // 2]]).flatten(0, 1))
        by_comparison = {
            id(one): (chosen_F - rejected_F) / head.scale
            for part, features in zip(parts, found, strict=True)
            for one, (chosen_F, rejected_F) in zip(part, features.values_P2F, strict=True)
        }
        return Gaps(head.scale, by_comparison, sum(features.seconds for features in found))

    def _votes(self) -> Tensor:
        """What a unit of each feature adds to the score of the votes' probe (F,)."""
        assert self.initial is not None
        head = load_snapshot(self.initial, self.trunk, ADAPTER)
        updates = self.trunk.adapter_tensors(ADAPTER)
        self.trunk.drop_adapter(ADAPTER)
        if head is None or any(update.any() for key, update in updates.items() if key.endswith("lora_B")):
            raise InputError(
                f"{self.initial}: no probe of the frozen base; make one by `train pmp --epochs 0 --probe 1`"
            )
        return head.direction.detach()


@dataclass(frozen=True)
class Gaps:
    """Of comparisons: features of the chosen response less those of the rejected one, in units of their spread over the
    responses of the part that is trained on."""

    scale_F: Tensor
    by_comparison: Mapping[int, Tensor]
    """by identity"""
    seconds: float
    """what computing the features took"""

    def of(self, comparisons: Sequence[Comparison]) -> Tensor:
        """(comparisons, F)"""
        return torch.stack([self.by_comparison[id(one)] for one in comparisons])
