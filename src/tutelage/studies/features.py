"""What the frozen base makes of comparisons: the features that probes are fitted to, the same for every probe, so
computed once and kept.

P comparisons, 2: of the chosen and of the rejected response, F features.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tutelage.corpus.records import comparison_to_record
from tutelage.dialogue import Comparison
from tutelage.modeling.heads import Pooling, ScoreHead
from tutelage.modeling.passes import branch_features
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import replacing
from tutelage.training.pairs import numbered, paired_groups

PART = 128  # comparisons a file: what is lost at most when a study is broken off


@dataclass(frozen=True)
class Features:
    """Of comparisons (P, 2, F), in their order, and how long it took to compute them, now or before."""

    values_P2F: Tensor
    seconds: float


def comparison_features(
    trunk: Trunk,
    comparisons: Sequence[Comparison],
    layers: int | None,
    pooling: Pooling,
    max_tokens: int,
    kept: Path,
    on_done: Callable[[int], None] = lambda count: None,
) -> Features:
    """Read from the directory `kept` where they are there, else computed and left there.

    All comparisons must fit a row of `max_tokens`.

    Raises:
        InputError: a file in `kept` is damaged, or none can be written there.
    """
    parts = []
    for start in range(0, len(comparisons), PART):
        part = comparisons[start : start + PART]
        file = kept / f"{_name(trunk, part, layers, pooling, max_tokens)}.safetensors"
        if not file.exists():
            started = time.perf_counter()
            values_P2F = _computed(trunk, part, layers, pooling, max_tokens)
            with replacing(file) as beside:
                save_file({"features": values_P2F}, beside, {"seconds": str(time.perf_counter() - started)})
        parts.append(_read(file))
        on_done(len(part))
    return Features(torch.cat([part.values_P2F for part in parts]), sum(part.seconds for part in parts))


def _name(trunk: Trunk, part: Sequence[Comparison], layers: int | None, pooling: Pooling, max_tokens: int) -> str:
    """One that says all on which the features depend."""
    made_of = [
        trunk.weights_hash, trunk.encoder.fingerprint, str(trunk.dtype), layers, pooling, max_tokens,
        *([record["prompt"], record["chosen"], record["rejected"]] for record in map(comparison_to_record, part)),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]


def _computed(
    trunk: Trunk, part: Sequence[Comparison], layers: int | None, pooling: Pooling, max_tokens: int
) -> Tensor:
    groups, _ = paired_groups(part, trunk.encoder, max_tokens)
    head = ScoreHead(trunk.width, pooling, layers)
    features_NF = branch_features(trunk, None, head, [paired.group for paired in groups]).cpu()
    places = [place for paired in groups for place in paired.places]
    features_P2F = torch.empty(len(part), 2, features_NF.shape[1])
    features_P2F[places] = features_NF[torch.stack(numbered(groups), 1)]
    return features_P2F


def _read(file: Path) -> Features:
    try:
        with safe_open(file, "pt") as tensors:
            return Features(tensors.get_tensor("features"), float(tensors.metadata()["seconds"]))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: damaged ({error}); remove it") from error
