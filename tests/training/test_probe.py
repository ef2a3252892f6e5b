"""The linear probe: the minimum it claims, found from any data; and what a preference model does with it."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tutelage.modeling.snapshot import save_snapshot
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed, InputError
from tutelage.training.checkpoint import Checkpoints
from tutelage.training.losses import preference_loss
from tutelage.training.preference import (
    Metrics,
    PreferenceSettings,
    Trained,
    score_comparisons,
    train_preference_model,
)
from tutelage.training.probe import Judged, fit_chosen_probe, fit_probe

from .planted import PREFERENCE, planted

PROBED = replace(PREFERENCE, probe=0.1, epochs=0)


@given(
    st.integers(1, 30), st.integers(1, 8), st.floats(1e-3, 10), st.floats(0.5, 1), st.floats(0.1, 30), st.integers(0, 9)
)
def test_the_probe_is_where_the_penalised_loss_is_level(
    pairs: int, features: int, penalty: float, label: float, spread: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    gaps_PF = spread * torch.randn(pairs, features, generator=generator, dtype=torch.double)
    labels_P = torch.full((pairs,), label, dtype=torch.double)
    weights_P = torch.rand(pairs, generator=generator, dtype=torch.double) + 0.1
    weights_F = fit_probe(gaps_PF, labels_P, weights_P, penalty).requires_grad_()
    gap_P = gaps_PF @ weights_F
    loss = preference_loss(gap_P, torch.zeros_like(gap_P), labels_P, weights_P)
    (loss.total / loss.count + penalty / 2 * weights_F.square().sum()).backward()
    assert weights_F.grad is not None
    assert weights_F.grad.abs().max() < 1e-8 * (1 + spread)


@given(st.integers(2, 12), st.integers(1, 20), st.floats(1e-2, 10), st.integers(0, 9))
def test_within_the_span_of_few_pairs_lies_the_same_probe(pairs: int, features: int, penalty: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    gaps_PF, centre_F = torch.randn(pairs + 1, features, generator=generator, dtype=torch.double).split([pairs, 1])
    judged = Judged(gaps_PF, torch.ones(pairs), torch.ones(pairs))
    found_F, chosen = fit_chosen_probe(judged, [penalty], torch.arange(pairs), centre_F[0])
    whole_F = fit_probe(gaps_PF, judged.labels_P, judged.weights_P, penalty, centre_F[0])
    assert chosen == penalty
    assert (found_F - whole_F).abs().max() < 1e-7


def test_the_penalty_is_chosen_on_pairs_that_a_probe_has_not_seen() -> None:
    """Noise wants a strong one, a plain rule a weak one; with nothing to choose it on, the strongest."""
    generator = torch.Generator().manual_seed(0)
    noise_PF = torch.randn(60, 40, generator=generator)
    rule_PF = noise_PF * torch.sign(noise_PF[:, :1])
    ones, folds_P, penalties = torch.ones(60), torch.arange(60) % 5, [0.001, 100.0]
    for gaps_PF, folds, expected in ((noise_PF, folds_P, 100), (rule_PF, folds_P, 0.001), (rule_PF, ones, 100)):
        judged = Judged(gaps_PF, ones, ones)
        assert fit_chosen_probe(judged, penalties, folds, torch.zeros(40).double())[1] == expected


def test_without_much_evidence_a_probe_stays_at_its_centre() -> None:
    centre_F = torch.tensor([1.0, -2.0], dtype=torch.double)
    gaps_PF = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    weights_F = fit_probe(gaps_PF, torch.ones(5), torch.ones(5), 1e6, centre_F)
    assert (weights_F - centre_F).abs().max() < 1e-4


def test_what_is_not_a_number_is_refused() -> None:
    with pytest.raises(CheckFailed, match="does not settle"):
        fit_probe(torch.tensor([[float("nan")]]), torch.ones(1), torch.ones(1), 1.0)


def test_a_head_may_be_its_probe_alone(tiny: Trunk) -> None:
    trained = train_preference_model(tiny, "pm", planted(160, 0), PROBED, seed=0)
    (fit,) = trained.metrics
    assert fit["pairs"] == trained.pairs
    assert fit["loss"] < 0.5 * math.log(2)
    scores, _ = score_comparisons(tiny, "pm", trained.head, planted(100, 1), 64)
    assert (scores[:, 0] > scores[:, 1]).mean() >= 0.9
    assert all(not update.any() for key, update in tiny.adapter_parameters("pm").items() if key.endswith("lora_B"))


def test_training_goes_on_from_the_probe(tiny: Trunk) -> None:
    seen: list[int] = []
    settings = replace(PROBED, epochs=1)
    trained = train_preference_model(
        tiny, "pm", planted(160, 0), settings, seed=0, on_step=lambda pairs, _: seen.append(pairs)
    )
    assert trained.metrics[0]["loss"] < 0.5 * math.log(2)
    assert sum(seen) == settings.passes * trained.pairs


def test_resumed_the_probe_is_not_fitted_again_and_the_bits_are_the_same(
    tiny: Trunk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, seen = replace(PROBED, epochs=2), list[int]()
    checkpoints = Checkpoints(tmp_path / "c", {}, every=2)

    def train(on_step: Callable[[int, Metrics], None], kept: Checkpoints | None) -> Trained:
        return train_preference_model(tiny, "pm", planted(80, 0), settings, 0, on_step, checkpoints=kept)

    def killed(pairs: int, metrics: Metrics) -> None:
        if metrics.get("step") == 3:
            raise KeyboardInterrupt

    whole = train(lambda pairs, metrics: None, None)
    expected = [*tiny.adapter_tensors("pm").values(), *whole.head.state_dict().values()]
    expected = [tensor.clone() for tensor in expected]
    with pytest.raises(KeyboardInterrupt):
        train(killed, checkpoints)
    monkeypatch.delattr("tutelage.training.preference.fit_probe")
    resumed = train(lambda pairs, metrics: seen.append(pairs), checkpoints)
    found = [*tiny.adapter_tensors("pm").values(), *resumed.head.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert resumed.metrics == whole.metrics
    assert sum(seen) == settings.passes * 80


def test_a_probe_of_flipped_kinds_weighs_them(tiny: Trunk) -> None:
    """Harmless comparisons want the opposite; what they count decides."""
    both = planted(60, 0) + [
        replace(one, kind="harmless", chosen=one.rejected, rejected=one.chosen) for one in planted(60, 1)
    ]
    for weight, lowest, highest in ((0.1, 0.8, 1.0), (10.0, 0.0, 0.2)):
        trained = train_preference_model(tiny, "pm", both, replace(PROBED, harmless_weight=weight), seed=0)
        scores, _ = score_comparisons(tiny, "pm", trained.head, planted(50, 2), 64)
        assert lowest <= (scores[:, 0] > scores[:, 1]).mean() <= highest


def test_contradictions_are_refused(tiny: Trunk, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="epochs 0 needs a probe"):
        PreferenceSettings(epochs=0)
    with pytest.raises(ValueError, match="epochs is 0"):
        PreferenceSettings(epochs=0, probe=1.0, eval_every=5)
    with pytest.raises(ValueError, match="probe must be at least 0"):
        PreferenceSettings(probe=math.nan)
    with pytest.raises(ValueError, match="eval_every is 0"):
        PreferenceSettings(patience=2)
    trained = train_preference_model(tiny, "pm", planted(20, 0), PROBED, seed=0)
    save_snapshot(tmp_path / "pm", tiny, "pm", PROBED.rank, trained.head, {})
    tiny.drop_adapter("pm")
    with pytest.raises(InputError, match=r"would begin the head of .* anew"):
        train_preference_model(tiny, "pm", planted(20, 0), PROBED, seed=0, initial=tmp_path / "pm")
