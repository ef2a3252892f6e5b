"""The sampler draws from the distribution that the trainer sees, whatever batch a sample is in."""

import copy
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from tutelage.dialogue import Prompt, SamplingParameters
from tutelage.modeling.encoding import DialogueFormat, Encoder
from tutelage.modeling.passes import branch_logprobs
from tutelage.modeling.rows import Group
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError
from tutelage.sampling import sampler
from tutelage.sampling.cache import KeyValueCache
from tutelage.sampling.sampler import Sample, draw, sample

PROMPTS = [tuple(text.encode()) for text in ("hello", "a much longer prompt than the others", "hi", "so it is", "x")]
GREEDY = 1e-6  # a temperature at which nothing but the likeliest token is ever drawn
LETTERS = ("a", "e", "i", "o", "u", "t", "n", "s", "r", "d", "E", "T", "A", "0", "1", "2", "3")


@pytest.fixture
def policy(tiny: Trunk) -> Iterator[Trunk]:
    """The tiny base with an adapter in use that gives its tokens unequal chances."""
    tiny.add_adapter("policy", 4, seed=0)
    generator = torch.Generator().manual_seed(0)
    for parameter in tiny.adapter_parameters("policy").values():
        parameter.data.normal_(0, 0.3, generator=generator)
    with tiny.using("policy"):
        yield tiny


# One draw


@pytest.mark.parametrize("top_p", [1.0, 0.75])
def test_tokens_are_drawn_with_their_probabilities(top_p: float) -> None:
    draws = 40_000
    probabilities = np.array([0.3, 0.02, 0.25, 0.01, 0.12, 0.0, 0.2, 0.1])
    logits = torch.tensor(probabilities).log().float().expand(draws, -1)
    uniforms = torch.from_numpy(np.random.default_rng(0).random(draws))
    tokens, logprobs = draw(logits, uniforms, top_p)
    if top_p < 1:  # the smallest set of likeliest tokens with a mass of 0.75: 0.3 + 0.25 + 0.2
        probabilities = np.where(probabilities >= 0.2, probabilities, 0) / 0.75
    seen = np.bincount(tokens, minlength=8)
    assert seen[probabilities == 0].sum() == 0
    possible = probabilities > 0
    assert chisquare(seen[possible], draws * probabilities[possible]).pvalue > 1e-3
    np.testing.assert_allclose(logprobs, np.log(probabilities[tokens]), atol=1e-5)


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.4, {2}), (0.6, {2, 0}), (0.85, {2, 0, 3}), (0.97, {2, 0, 3, 1}), (1.0, {0, 1, 2, 3})]
)
def test_top_p_keeps_the_smallest_set_of_that_mass(top_p: float, kept: set[int]) -> None:
    probabilities = torch.tensor([0.3, 0.05, 0.5, 0.15])
    uniforms = torch.linspace(0, 1, 501, dtype=torch.float64)[:-1]
    tokens, logprobs = draw(probabilities.log().expand(500, -1), uniforms, top_p)
    assert set(tokens.tolist()) == kept
    mass = sum(float(probabilities[token]) for token in kept)
    torch.testing.assert_close(logprobs, (probabilities[tokens] / mass).log())


@pytest.mark.parametrize("top_p", [1.0, 0.9])
@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_the_ends_of_the_unit_interval_draw_tokens_that_have_mass(uniform: float, top_p: float) -> None:
    logits = torch.randn(4, 49_152, generator=torch.Generator().manual_seed(0))
    logits[:, :100] = logits[:, -100:] = float("-inf")
    tokens, logprobs = draw(logits, torch.full((4,), uniform, dtype=torch.float64), top_p)
    assert torch.isfinite(logits.gather(1, tokens[:, None])).all()
    assert torch.isfinite(logprobs).all()


# Whole responses


def test_the_reported_log_probs_are_the_trainers(policy: Trunk) -> None:
    samples = sample(policy, PROMPTS, 3, SamplingParameters(temperature=0.7, max_tokens=20), seed=0)
    groups = [Group(prompt, tuple(s.ids for s in row)) for prompt, row in zip(PROMPTS, samples, strict=True)]
    trainers = branch_logprobs(policy, "policy", groups, temperature=0.7)
    for row, own in zip(samples, trainers, strict=True):
        for drawn, logprobs in zip(row, own, strict=True):
            np.testing.assert_allclose(drawn.logprobs, logprobs, atol=1e-4)
    assert np.std(np.concatenate([own for row in trainers for own in row])) > 0.1  # tokens of unequal chances


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


def naive_logits(trunk: Trunk, ids: Sequence[int]) -> Tensor:
    """By the plain attention of `transformers`, no cache."""
    model = copy.deepcopy(trunk.model)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        logits: Tensor = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].float()
    return logits


def test_greedy_is_token_for_token_the_naive_decode(policy: Trunk) -> None:
    samples = sample(policy, PROMPTS, 1, SamplingParameters(GREEDY, max_tokens=16), seed=0)
    for prompt, (drawn,) in zip(PROMPTS, samples, strict=True):
        ids = prompt
        for token in drawn.ids:
            assert token == int(naive_logits(policy, ids)[-1].argmax())
            ids += (token,)
        assert len(drawn.ids) == 16 or drawn.ids[-1] == policy.encoder.end


def test_greedy_is_what_transformers_generates_with_the_embedded_base(embedded: Trunk) -> None:
    asked = ["What is the capital of France?", "Hi!", "Write one sentence about the sea, please, and make it short."]
    prompts = [embedded.encoder.prompt_ids(Prompt.from_turns(text)) for text in asked]
    with embedded.using(None):
        samples = sample(embedded, prompts, 1, SamplingParameters(GREEDY, max_tokens=20), seed=0)
    embedded.model.set_attn_implementation("sdpa")
    try:
        for prompt, (drawn,) in zip(prompts, samples, strict=True):
            ids = torch.tensor([prompt])
            made = embedded.model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=20,
                pad_token_id=embedded.encoder.end,
            )  # fmt: skip
            assert drawn.ids == tuple(made[0, len(prompt) :].tolist())
    finally:
        embedded.model.set_attn_implementation("tutelage")
    assert "Paris" in samples[0][0].text


def test_the_embedded_bases_log_probs_are_the_trainers(embedded: Trunk) -> None:
    prompts = [embedded.encoder.prompt_ids(Prompt.from_turns(text)) for text in ("Tell me a story.", "Why?")]
    with embedded.using(None):
        samples = sample(embedded, prompts, 2, SamplingParameters(temperature=0.9, max_tokens=16), seed=1)
    groups = [Group(prompt, tuple(s.ids for s in row)) for prompt, row in zip(prompts, samples, strict=True)]
    trainers = branch_logprobs(embedded, None, groups, temperature=0.9)
    for row, own in zip(samples, trainers, strict=True):
        for drawn, logprobs in zip(row, own, strict=True):
            np.testing.assert_allclose(drawn.logprobs, logprobs, atol=1e-3)


# The same sample in any batch

PARAMETERS = SamplingParameters(temperature=0.9, max_tokens=24, stop=LETTERS)


def assert_equal(one: Sequence[Sample], other: Sequence[Sample]) -> None:
    assert [(s.ids, s.text, s.finish) for s in one] == [(s.ids, s.text, s.finish) for s in other]
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-5)


def test_a_sample_is_the_same_whatever_batch_it_is_in(policy: Trunk) -> None:
    whole = sample(policy, PROMPTS, 4, PARAMETERS, seed=3)
    fewer = sample(policy, PROMPTS, 2, PARAMETERS, seed=3)
    apart = sample(policy, PROMPTS, 4, PARAMETERS, seed=3, rows_at_once=1)
    among_others = sample(policy, [PROMPTS[0], (70,) * 50, PROMPTS[2]], 4, PARAMETERS, seed=3)
    for index in range(len(PROMPTS)):
        assert_equal(fewer[index], whole[index][:2])
        assert_equal(apart[index], whole[index])
    assert_equal(among_others[0], whole[0])
    assert_equal(among_others[2], whole[2])


def test_samples_prompts_and_seeds_draw_different_numbers(policy: Trunk) -> None:
    one = sample(policy, [PROMPTS[0]] * 2, 2, SamplingParameters(max_tokens=12), seed=0)
    other = sample(policy, [PROMPTS[0]] * 2, 2, SamplingParameters(max_tokens=12), seed=1)
    assert len({s.ids for row in one + other for s in row}) == 8


@pytest.mark.parametrize("below", [0.0, 0.5, 1.1], ids=["never", "half", "always"])
def test_rows_that_are_done_leave_and_the_others_do_not_notice(
    policy: Trunk, below: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, keep = [], KeyValueCache.keep
    monkeypatch.setattr(KeyValueCache, "keep", lambda cache, rows: (kept.append(len(rows)), keep(cache, rows)))
    usual = sample(policy, PROMPTS, 6, PARAMETERS, seed=5)
    assert len({len(s.ids) for row in usual for s in row}) > 8  # they end at different times
    kept.clear()
    monkeypatch.setattr(sampler, "SHRINK_BELOW", below)
    for one, other in zip(sample(policy, PROMPTS, 6, PARAMETERS, seed=5), usual, strict=True):
        assert_equal(one, other)
    assert kept[0] == 30
    assert kept == sorted(kept, reverse=True)
    assert (len(kept) == 1) == (below == 0.0)


def test_the_adapter_in_use_is_what_is_sampled(policy: Trunk) -> None:
    adapted = sample(policy, PROMPTS[:1], 1, SamplingParameters(max_tokens=12), seed=0)
    with policy.using(None):
        assert sample(policy, PROMPTS[:1], 1, SamplingParameters(max_tokens=12), seed=0) != adapted


def test_no_prompts_are_no_samples_and_every_finished_prompt_is_told(policy: Trunk) -> None:
    assert sample(policy, [], 2, PARAMETERS, seed=0) == []
    told: list[int] = []
    sample(policy, PROMPTS, 2, PARAMETERS, seed=0, rows_at_once=4, on_done=told.append)
    assert told == [2, 2, 1]


def test_a_prompt_that_leaves_no_room_in_the_context_is_refused(policy: Trunk) -> None:
    with pytest.raises(InputError, match="prompt of 2040 tokens and max_tokens = 12 exceed the base's context of 2048"):
        sample(policy, [(1,) * 2040], 1, SamplingParameters(max_tokens=12), seed=0)


# How a response ends


def spoken(trunk: Trunk, text: str, monkeypatch: pytest.MonkeyPatch, then: int = 97, **parameters: Any) -> Sample:
    """What is made of a model that says these bytes, then `then` again and again."""
    said = trunk.encoder.tokenizer(text, add_special_tokens=False).input_ids
    steps = count()

    def scripted(logits: Tensor, uniforms: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
        step = next(steps)
        return torch.tensor([said[step] if step < len(said) else then]), torch.tensor([-0.5 * (step + 1)])

    monkeypatch.setattr(sampler, "draw", scripted)
    ((drawn,),) = sample(trunk, PROMPTS[:1], 1, SamplingParameters(**parameters), seed=0)
    assert drawn.logprobs == tuple(-0.5 * (step + 1) for step in range(len(drawn.ids)))
    return drawn


def test_the_end_token_ends_and_is_among_the_ids(tiny: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = spoken(tiny, " hi there ", monkeypatch, then=tiny.encoder.end)
    assert (drawn.text, drawn.finish) == ("hi there", "stop")
    assert len(drawn.ids) == 11
    assert drawn.ids[-1] == tiny.encoder.end


def test_an_end_token_as_the_very_last_still_is_an_end(tiny: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert spoken(tiny, "hi", monkeypatch, then=tiny.encoder.end, max_tokens=3).finish == "stop"
    assert spoken(tiny, "hi", monkeypatch, then=tiny.encoder.end, max_tokens=2).finish == "length"


def test_a_response_is_cut_off_at_max_tokens(tiny: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = spoken(tiny, "hello", monkeypatch, max_tokens=4)
    assert (drawn.text, drawn.finish, len(drawn.ids)) == ("hell", "length", 4)


def test_a_stop_string_ends_across_token_borders_and_is_no_text(tiny: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = spoken(tiny, "so it ended, and more", monkeypatch, stop=("zzz", "ended"))
    assert (drawn.text, drawn.finish) == ("so it", "stop")
    assert len(drawn.ids) == len("so it ended")


def test_stop_strings_of_characters_of_several_tokens(tiny: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = spoken(tiny, "größer als ß und mehr", monkeypatch, stop=("ß u",))
    assert (drawn.text, drawn.finish) == ("größer als", "stop")


def test_in_the_plain_format_speaking_for_the_human_ends(tiny: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.encoder = Encoder(tiny.encoder.tokenizer, DialogueFormat(template="hh"))
    drawn = spoken(tiny, " Yes.\n\nHuman: no", monkeypatch)
    assert (drawn.text, drawn.finish) == ("Yes.", "stop")
