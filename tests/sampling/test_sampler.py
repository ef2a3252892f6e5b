"""The sampler draws from the distribution that the trainer sees, whatever batch a sample is in."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from tutelage.corpus.prompts import load_prompts
from tutelage.dialogue import Prompt, SamplingParameters
from tutelage.modeling.base import load_base
from tutelage.modeling.encoding import DialogueFormat
from tutelage.modeling.hub import EMBEDDED
from tutelage.modeling.passes import branch_logprobs
from tutelage.modeling.rows import Group
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError
from tutelage.sampling.sampler import Sample, sample

PROMPTS = [tuple(text.encode()) for text in ("hello", "a much longer prompt than the others", "hi", "so it is", "x")]
GREEDY = SamplingParameters(temperature=0, max_tokens=16)
LETTERS = ("a", "e", "i", "o", "u", "t", "n", "s", "r", "d", "E", "T", "A", "0", "1", "2", "3")
PARAMETERS = SamplingParameters(temperature=0.9, max_tokens=24, stop=LETTERS)
# Of |sampler - trainer|, nats a token: the mean, then quantiles.
MEANS = {"float32": 1e-4, "bfloat16": 0.1}
QUANTILES = {
    "float32": {0.5: 1e-5, 0.9: 3e-5, 0.99: 1e-4, 1.0: 1e-3},
    "bfloat16": {0.5: 0.04, 0.9: 0.2, 0.99: 0.5, 1.0: 1.0},
}


def gaps(trunk: Trunk, adapter: str | None, prompts: Sequence[tuple[int, ...]], n: int, **parameters: Any) -> Tensor:
    """How far the sampler's log-prob of each token is from the trainer's (nats)."""
    settings = SamplingParameters(**parameters)
    with trunk.using(adapter):
        samples = sample(trunk, prompts, n, settings, seed=0)
    groups = [Group(prompt, tuple(s.ids for s in row)) for prompt, row in zip(prompts, samples, strict=True)]
    trainers = branch_logprobs(trunk, adapter, groups, settings.temperature)
    theirs = np.concatenate([own for row in trainers for own in row])
    ours = np.concatenate([s.logprobs for row in samples for s in row])
    assert np.std(theirs) > 0.1  # tokens of unequal chances
    return torch.from_numpy(np.abs(ours - theirs))


def test_the_reported_log_probs_are_the_trainers(policy: Trunk) -> None:
    assert gaps(policy, "policy", PROMPTS, 3, temperature=0.7, max_tokens=20).max() < 1e-4


def embedded_prompts(trunk: Trunk, count: int) -> list[tuple[int, ...]]:
    return [trunk.encoder.prompt_ids(item.prompt) for item in load_prompts("collection")[:count]]


def test_the_embedded_bases_log_probs_are_the_trainers(embedded: Trunk) -> None:
    found = gaps(embedded, None, embedded_prompts(embedded, 2), 2, temperature=0.9, max_tokens=16)
    assert found.max() < QUANTILES["float32"][1.0]


@pytest.mark.hard
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_mismatch_between_sampler_and_trainer_is_bounded(dtype: str) -> None:
    trunk = load_base(EMBEDDED, DialogueFormat(), getattr(torch, dtype))
    found = gaps(trunk, None, embedded_prompts(trunk, 32), 2, temperature=0.7, max_tokens=48)
    levels = {level: float(found.quantile(level)) for level in QUANTILES[dtype]}
    print(f"{dtype}: mean {found.mean():.2g}, quantiles {levels}, {len(found)} tokens")
    assert found.mean() < MEANS[dtype]
    assert all(levels[level] < bound for level, bound in QUANTILES[dtype].items())


def test_under_top_p_they_are_those_of_what_was_left(policy: Trunk) -> None:
    top_p, temperature = 0.6, 0.7
    (drawn,) = sample(policy, PROMPTS[:1], 1, SamplingParameters(temperature, top_p, max_tokens=20), seed=0)[0]
    logits = naive_logits(policy, PROMPTS[0] + drawn.ids)[len(PROMPTS[0]) - 1 : -1] / temperature
    for probabilities, token, logprob in zip(logits.softmax(-1), drawn.ids, drawn.logprobs, strict=True):
        likelier = probabilities[probabilities > probabilities[token]].sum()
        ordered = probabilities.sort(descending=True).values
        mass = ordered[: int((ordered.cumsum(0) < top_p).sum()) + 1].sum()
        assert likelier < top_p
        assert logprob == pytest.approx(float((probabilities[token] / mass).log()), abs=1e-4)


@pytest.mark.parametrize("truncation", [{}, {"top_p": 0.8}, {"top_k": 20}, {"min_p": 0.2}], ids=str)
def test_tokens_come_as_often_as_the_model_says(policy: Trunk, truncation: dict[str, Any]) -> None:
    count, prompt = 3000, PROMPTS[0]
    parameters = SamplingParameters(temperature=1.5, max_tokens=1, **truncation)
    rows = sample(policy, [prompt], count, parameters, seed=0, rows_at_once=500)[0]
    seen = np.bincount([drawn.ids[0] for drawn in rows], minlength=policy.model.config.vocab_size)
    expected = (naive_logits(policy, prompt)[-1] / 1.5).softmax(-1).double().numpy()
    ordered = np.sort(expected)[::-1]
    least = {
        "top_p": lambda share: ordered[int((ordered.cumsum() < share).sum())],
        "top_k": lambda size: ordered[size - 1],
        "min_p": lambda factor: factor * ordered[0],
    }
    for name, value in truncation.items():
        expected = np.where(expected >= least[name](value), expected, 0)
    expected *= count / expected.sum()
    assert seen[expected == 0].sum() == 0
    often = expected >= 5
    rest = [seen[~often].sum()], [expected[~often].sum()]
    if rest[1][0] < 5:
        rest = [], []
    observed, wanted = np.concatenate([seen[often], rest[0]]), np.concatenate([expected[often], rest[1]])
    assert chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue > 1e-3


def naive_logits(trunk: Trunk, ids: Sequence[int]) -> Tensor:
    """By the plain attention of `transformers`, no cache."""
    model = copy.deepcopy(trunk.model)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        logits: Tensor = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].float()
    return logits


# Greedy


def test_greedy_is_token_for_token_the_naive_decode(policy: Trunk) -> None:
    samples = sample(policy, PROMPTS, 1, GREEDY, seed=0)
    for prompt, (drawn,) in zip(PROMPTS, samples, strict=True):
        ids = prompt
        for token in drawn.ids:
            assert token == int(naive_logits(policy, ids)[-1].argmax())
            ids += (token,)
        assert len(drawn.ids) == 16 or drawn.ids[-1] == policy.encoder.end


def generated(trunk: Trunk, prompts: Sequence[tuple[int, ...]], max_tokens: int) -> list[tuple[int, ...]]:
    """What `transformers` generates greedily, prompts of the same length together, so that nothing is padded."""
    made: dict[tuple[int, ...], tuple[int, ...]] = {}
    trunk.model.set_attn_implementation("sdpa")
    try:
        for length in {len(prompt) for prompt in prompts}:
            ids = torch.tensor([prompt for prompt in prompts if len(prompt) == length])
            both = trunk.model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=max_tokens,
                pad_token_id=trunk.encoder.end,
            )  # fmt: skip
            made |= {tuple(row[:length]): up_to_end(row[length:], trunk.encoder.end) for row in both.tolist()}
        return [made[prompt] for prompt in prompts]
    finally:
        trunk.model.set_attn_implementation("tutelage")


def up_to_end(ids: list[int], end: int) -> tuple[int, ...]:
    return tuple(ids[: ids.index(end) + 1] if end in ids else ids)


def greedy(trunk: Trunk, prompts: Sequence[tuple[int, ...]], max_tokens: int, rows_at_once: int) -> list[Sample]:
    with trunk.using(None):
        parameters = SamplingParameters(temperature=0, max_tokens=max_tokens)
        return [row[0] for row in sample(trunk, prompts, 1, parameters, 0, rows_at_once)]


def test_greedy_is_what_transformers_generates_with_the_embedded_base(embedded: Trunk) -> None:
    asked = ["What is the capital of France?", "Hi!", "Write one sentence about the sea, please, and make it short."]
    prompts = [embedded.encoder.prompt_ids(Prompt.from_turns(text)) for text in asked]
    drawn = greedy(embedded, prompts, 20, rows_at_once=2)
    assert [one.ids for one in drawn] == generated(embedded, prompts, 20)
    assert "Paris" in drawn[0].text


@pytest.mark.hard
def test_greedy_is_what_transformers_generates_over_64_prompts(embedded: Trunk) -> None:
    prompts = embedded_prompts(embedded, 64)
    assert len(prompts) == 64
    drawn = greedy(embedded, prompts, 32, rows_at_once=24)
    assert [one.ids for one in drawn] == generated(embedded, prompts, 32)


# The same sample in any batch


def assert_equal(one: Sequence[Sample], other: Sequence[Sample]) -> None:
    assert [(s.ids, s.text, s.finish) for s in one] == [(s.ids, s.text, s.finish) for s in other]
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-5)


@pytest.mark.parametrize("rows_at_once", [1, 3, 7, 100])
def test_a_sample_is_the_same_whatever_batch_it_is_in(policy: Trunk, rows_at_once: int) -> None:
    whole = sample(policy, PROMPTS, 4, PARAMETERS, seed=3)
    assert len({len(s.ids) for row in whole for s in row}) > 6  # they end at different times
    fewer = sample(policy, PROMPTS, 2, PARAMETERS, seed=3, rows_at_once=rows_at_once)
    again = sample(policy, PROMPTS, 4, PARAMETERS, seed=3, rows_at_once=rows_at_once)
    among_others = sample(policy, [PROMPTS[0], (70,) * 50, PROMPTS[2]], 4, PARAMETERS, 3, rows_at_once)
    for index in range(len(PROMPTS)):
        assert_equal(fewer[index], whole[index][:2])
        assert_equal(again[index], whole[index])
    assert_equal(among_others[0], whole[0])
    assert_equal(among_others[2], whole[2])


def test_samples_prompts_and_seeds_draw_different_numbers(policy: Trunk) -> None:
    one = sample(policy, [PROMPTS[0]] * 2, 2, SamplingParameters(max_tokens=12), seed=0)
    other = sample(policy, [PROMPTS[0]] * 2, 2, SamplingParameters(max_tokens=12), seed=1)
    assert len({s.ids for row in one + other for s in row}) == 8


def test_the_adapter_in_use_is_what_is_sampled(policy: Trunk) -> None:
    adapted = sample(policy, PROMPTS[:1], 1, SamplingParameters(max_tokens=12), seed=0)
    with policy.using(None):
        assert sample(policy, PROMPTS[:1], 1, SamplingParameters(max_tokens=12), seed=0) != adapted


def test_no_prompts_are_no_samples_and_every_finished_prompt_is_told(policy: Trunk) -> None:
    assert sample(policy, [], 2, PARAMETERS, seed=0) == []
    told: list[int] = []
    sample(policy, PROMPTS, 2, PARAMETERS, seed=0, rows_at_once=4, on_done=told.append)
    assert sum(told) == 5


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ((1,) * 2040, "a prompt of 2040 tokens and max_tokens = 12 exceed the 2048 tokens"),
        ((), "a prompt is empty"),
    ],
)
def test_a_prompt_that_cannot_be_answered_is_refused(policy: Trunk, prompt: tuple[int, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        sample(policy, [PROMPTS[0], prompt], 1, SamplingParameters(max_tokens=12), seed=0)
