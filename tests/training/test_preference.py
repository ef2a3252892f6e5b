"""The preference model: its start is checked, it learns what is planted, and the same seed gives the same bits."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tutelage.dialogue import Comparison, Prompt, Response
from tutelage.modeling.heads import Pooling, ScoreHead
from tutelage.modeling.passes import score_branches
from tutelage.modeling.rows import Group
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed, InputError
from tutelage.training import preference
from tutelage.training.pairs import PairedGroup, paired_groups
from tutelage.training.preference import (
    REFERENCE_GROUPS,
    PreferenceSettings,
    Trained,
    aims,
    score_comparisons,
    step_batches,
    train_preference_model,
)

from .planted import PREFERENCE, planted


def accuracy(trunk: Trunk, trained: Trained, comparisons: list[Comparison]) -> float:
    scores, drops = score_comparisons(trunk, "pm", trained.head, comparisons, 64)
    assert not drops
    return float((scores[:, 0] > scores[:, 1]).mean())


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_planted_preference_is_learnt(tiny: Trunk, pooling: Pooling) -> None:
    trained = train_preference_model(tiny, "pm", planted(160, 0), replace(PREFERENCE, pooling=pooling), seed=0)
    losses = [step["loss"] for step in trained.metrics]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-6)
    assert np.mean(losses[-3:]) < 0.25
    assert accuracy(tiny, trained, planted(100, 1)) >= 0.95


def test_whole_weights_learn_it_too_and_leave_the_base_alone(tiny: Trunk) -> None:
    before = {key: value.clone() for key, value in tiny.model.state_dict().items()}
    trained = train_preference_model(
        tiny, "pm", planted(160, 0), replace(PREFERENCE, rank=0, learning_rate=1e-3), seed=0
    )
    assert accuracy(tiny, trained, planted(100, 1)) >= 0.95
    after = tiny.model.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_a_heavier_harmless_weight_gives_the_harmless_side_its_way(tiny: Trunk) -> None:
    """Helpful comparisons want lower-case letters, as many harmless ones capitals."""
    both = planted(60, 0) + [
        replace(one, kind="harmless", chosen=one.rejected, rejected=one.chosen) for one in planted(60, 1)
    ]
    helpful = [
        accuracy(
            tiny, train_preference_model(tiny, "pm", both, replace(PREFERENCE, harmless_weight=w), 0), planted(50, 2)
        )
        for w in (0.1, 10.0)
    ]
    assert helpful[0] > 0.8
    assert helpful[1] < 0.2


def test_smoothed_labels_keep_scores_apart_by_no_more_than_they_say(tiny: Trunk) -> None:
    def spread(**changes: object) -> float:
        settings = replace(PREFERENCE, epochs=4, **changes)  # type: ignore[arg-type]
        trained = train_preference_model(tiny, "pm", planted(80, 0), settings, seed=0)
        scores, _ = score_comparisons(tiny, "pm", trained.head, planted(50, 1), 64)
        return float((scores[:, 0] - scores[:, 1]).mean())

    certain, smoothed = spread(), spread(label_smoothing=0.2)
    soft = spread(strength_labels=(0.5, 0.6, 0.8, 0.9))  # all planted ones are of strength 3
    assert certain > 4
    assert smoothed == pytest.approx(math.log(0.8 / 0.2), abs=0.5)
    assert soft == pytest.approx(smoothed, abs=1e-4)


def test_held_out_comparisons_are_measured_and_can_end_the_training(tiny: Trunk) -> None:
    settings = replace(PREFERENCE, eval_every=3)
    trained = train_preference_model(tiny, "pm", planted(80, 0), settings, 0, held_out=planted(30, 1))
    measured = [step for step in trained.metrics if "held_out_loss" in step]
    assert [step["step"] for step in measured] == [2, 5, 8]
    assert measured[-1]["held_out_loss"] < measured[0]["held_out_loss"]
    assert measured[-1]["held_out_accuracy"] > 0.8
    turned = [replace(one, chosen=one.rejected, rejected=one.chosen) for one in planted(30, 1)]
    stopped = train_preference_model(tiny, "pm", planted(80, 0), replace(settings, patience=1), 0, held_out=turned)
    assert len(stopped.metrics) == 6  # it grew at the second measurement


def test_a_measurement_changes_nothing_of_the_training(tiny: Trunk) -> None:
    def curve(eval_every: int) -> list[tuple[float, float]]:
        settings = replace(PREFERENCE, eval_every=eval_every)
        trained = train_preference_model(tiny, "pm", planted(80, 0), settings, 0, held_out=planted(30, 1))
        return [(step["loss"], step["gradient_norm"]) for step in trained.metrics]

    assert curve(2) == curve(0)


def test_a_heavier_pair_moves_more_also_where_it_is_alone_in_its_step(tiny: Trunk) -> None:
    both = planted(12, 0) + [replace(one, kind="harmless") for one in planted(12, 1)]

    def norms(harmless_weight: float) -> list[float]:
        settings = replace(PREFERENCE, batch_pairs=1, harmless_weight=harmless_weight, learning_rate=1e-12)
        trained = train_preference_model(tiny, "pm", both, replace(settings, head_learning_rate=1e-12), seed=0)
        return [step["gradient_norm"] for step in trained.metrics]

    ratios = sorted({round(heavy / alike, 3) for heavy, alike in zip(norms(3.0), norms(1.0), strict=True)})
    assert ratios == [0.5, 1.5]  # over the mean weight, 2


def test_a_choice_of_unknown_strength_is_taken_for_certain() -> None:
    settings = replace(PREFERENCE, strength_labels=(0.6, 0.7, 0.8, 0.9))
    unknown, strong = planted(1, 0)[0], replace(planted(1, 0)[0], strength=4)
    labels, _ = aims([replace(unknown, strength=None), strong], settings)
    assert labels.tolist() == pytest.approx([1.0, 0.9])


def test_several_epochs_pass_over_the_comparisons_again_in_another_order(tiny: Trunk) -> None:
    trained = train_preference_model(tiny, "pm", planted(24, 0), replace(PREFERENCE, epochs=2), seed=0)
    assert [step["pairs"] for step in trained.metrics] == [8] * 6
    assert trained.pairs == 48


def test_where_nothing_is_planted_nothing_is_learnt(tiny: Trunk) -> None:
    rng = np.random.default_rng(0)
    tossed = [
        replace(c, chosen=c.rejected, rejected=c.chosen) if heads else c
        for c, heads in zip(planted(160, 0), rng.random(160) < 0.5, strict=True)
    ]
    trained = train_preference_model(tiny, "pm", tossed, PREFERENCE, seed=0)
    assert np.mean([step["loss"] for step in trained.metrics[-8:]]) > 0.6


def test_scores_have_mean_0_over_the_responses_to_the_first_prompts(tiny: Trunk) -> None:
    comparisons = planted(REFERENCE_GROUPS, 0)
    trained = train_preference_model(tiny, "pm", comparisons, PREFERENCE, seed=0)
    groups, _ = paired_groups(comparisons, tiny.encoder, 64)
    scores = score_branches(tiny, "pm", trained.head, [paired.group for paired in groups])
    flat = [score for row in scores for score in row]
    assert np.mean(flat) == pytest.approx(0, abs=1e-5)
    assert np.std(flat) > 0.1


def test_an_untrained_model_that_is_not_at_ln_2_stops_the_run(tiny: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    class Prejudiced(ScoreHead):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            self.weight.data.fill_(0.1)

    monkeypatch.setattr(preference, "ScoreHead", Prejudiced)
    with pytest.raises(CheckFailed, match="not ln 2"):
        train_preference_model(tiny, "pm", planted(10, 0), PREFERENCE, seed=0)


def test_a_run_that_flies_apart_stops(tiny: Trunk) -> None:
    with pytest.raises(
        CheckFailed, match=r"first human turn begins '.+'; the last checkpoint stays; lower the learning"
    ):
        train_preference_model(tiny, "pm", planted(40, 0), replace(PREFERENCE, learning_rate=1e30), seed=0)


@pytest.mark.parametrize("budget", [1, 150])
def test_the_token_budget_changes_no_step(tiny: Trunk, budget: int) -> None:
    def curve(token_budget: int) -> list[tuple[float, float]]:
        settings = replace(PREFERENCE, token_budget=token_budget)
        trained = train_preference_model(tiny, "pm", planted(24, 0), settings, seed=0)
        return [(step["loss"], step["gradient_norm"]) for step in trained.metrics]

    np.testing.assert_allclose(curve(budget)[:2], curve(10_000)[:2], rtol=1e-5)


def test_a_step_is_divided_by_its_pairs_not_its_prompts(tiny: Trunk) -> None:
    def first_norm(times: int) -> float:
        settings = replace(PREFERENCE, batch_pairs=8 * times)
        return float(train_preference_model(tiny, "pm", planted(8, 0) * times, settings, 0).metrics[0]["gradient_norm"])

    assert first_norm(3) == pytest.approx(first_norm(1), rel=1e-5)


def test_the_learning_rate_rises_over_the_first_steps(tiny: Trunk) -> None:
    def moved(warmup: int) -> torch.Tensor:
        return train_preference_model(tiny, "pm", planted(8, 0), replace(PREFERENCE, warmup=warmup), 0).head.weight.data

    torch.testing.assert_close(moved(8), moved(1) / 8)  # of a single step, Adam's first, which is as long as its rate


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tiny: Trunk) -> None:
    def run(seed: int, name: str) -> tuple[Trained, list[torch.Tensor]]:
        trained = train_preference_model(tiny, name, planted(30, 0), PREFERENCE, seed)
        return trained, [*tiny.adapter_tensors(name).values(), trained.head.weight.data, trained.head.offset]

    (one, weights), (again, same), (_, others) = run(0, "a"), run(0, "b"), run(1, "c")
    assert one.metrics == again.metrics
    assert all(torch.equal(a, b) for a, b in zip(weights, same, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(weights[-2:], others[-2:], strict=True))


def test_training_leaves_the_base_and_other_adapters_as_they_were(tiny: Trunk) -> None:
    tiny.add_adapter("other", 2, seed=5)
    before = {key: value.clone() for key, value in tiny.model.state_dict().items()}
    train_preference_model(tiny, "pm", planted(10, 0), PREFERENCE, seed=0)
    after = {key: value for key, value in tiny.model.state_dict().items() if not key.endswith(".pm")}
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_layers_above_the_head_learn_nothing(tiny: Trunk) -> None:
    trained = train_preference_model(tiny, "pm", planted(20, 0), replace(PREFERENCE, layers=1), seed=0)
    ups = {key: value for key, value in tiny.adapter_tensors("pm").items() if "lora_B" in key}
    moved = {key for key, value in ups.items() if value.abs().max() > 0}
    assert moved == {key for key in ups if "layers.0." in key}
    assert trained.head.layers == 1


# What is trained on


def test_every_drop_is_counted(tiny: Trunk) -> None:
    comparisons = planted(10, 0)
    comparisons[0] = replace(comparisons[0], strength=1)
    comparisons[1] = replace(comparisons[1], strength=None)
    comparisons[2] = replace(comparisons[2], chosen=Response("x" * 70))
    trained = train_preference_model(tiny, "pm", comparisons, PREFERENCE, seed=0)
    assert trained.drops == {"strength below min_strength": 1, "the responses are longer than max_tokens": 1}
    assert trained.pairs == sum(step["pairs"] for step in trained.metrics) == 8


def test_nothing_to_train_on_is_an_error_that_says_why(tiny: Trunk) -> None:
    weak = [replace(comparison, strength=1) for comparison in planted(3, 0)]
    with pytest.raises(InputError, match="no comparison to train on: 3 read, 3 too weak"):
        train_preference_model(tiny, "pm", weak, PREFERENCE, seed=0)


def test_progress_is_told_at_every_step(tiny: Trunk) -> None:
    told: list[int] = []
    trained = train_preference_model(
        tiny, "pm", planted(20, 0), PREFERENCE, seed=0, on_step=lambda pairs, _: told.append(pairs)
    )
    assert sum(told) == trained.pairs == 20
    assert len(told) == len(trained.metrics)


@pytest.mark.parametrize(("sizes", "steps"), [([1] * 9, [4, 5]), ([1] * 10, [4, 4, 2]), ([3] * 3, [6, 3]), ([1], [1])])
def test_steps_have_at_least_so_many_pairs_and_a_short_rest_joins_the_last(sizes: list[int], steps: list[int]) -> None:
    groups = [PairedGroup((index,), [(1,), (2,)], [(0, 1)] * size) for index, size in enumerate(sizes)]
    batches = list(step_batches(groups, 4, np.random.default_rng(0)))
    assert [sum(len(group.pairs) for group in batch) for batch in batches] == steps
    assert sorted(group.prompt[0] for batch in batches for group in batch) == list(range(len(sizes)))


# Scoring


def test_scores_stand_at_their_comparisons_and_a_dropped_one_is_nan(tiny: Trunk) -> None:
    comparisons = planted(6, 0)
    comparisons.append(replace(comparisons[0], rejected=comparisons[3].rejected))
    comparisons[2] = Comparison(Prompt.from_turns("p"), Response("x" * 70), Response("y"), "helpful")
    trained = train_preference_model(tiny, "pm", planted(20, 1), PREFERENCE, seed=0)
    scores, drops = score_comparisons(tiny, "pm", trained.head, comparisons, 64)
    assert drops == {"the responses are longer than max_tokens": 1}
    assert np.isnan(scores[2]).all()
    for index in (0, 1, 3, 4, 5, 6):
        encoder, comparison = tiny.encoder, comparisons[index]
        branches = tuple(encoder.response_ids(response) for response in (comparison.chosen, comparison.rejected))
        alone = score_branches(tiny, "pm", trained.head, [Group(encoder.prompt_ids(comparison.prompt), branches)])
        np.testing.assert_allclose(scores[index], alone[0], rtol=1e-4, atol=1e-5)


def test_the_settings_that_are_given_are_the_ones_that_are_used(tiny: Trunk) -> None:
    settings = PreferenceSettings(rank=3, pooling="last", layers=2, batch_pairs=5, max_tokens=64, warmup=1)
    trained = train_preference_model(tiny, "pm", planted(20, 0), settings, seed=0)
    assert {min(value.shape) for value in tiny.adapter_tensors("pm").values()} == {3}
    assert (trained.head.pooling, trained.head.layers, len(trained.metrics)) == ("last", 2, 4)
