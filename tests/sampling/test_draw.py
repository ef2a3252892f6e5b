"""Tokens are drawn with their probabilities, and truncation leaves what it says."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from transformers import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from tutelage.dialogue import SamplingParameters
from tutelage.sampling import draw as module
from tutelage.sampling.draw import draw, likeliest

PROBABILITIES = np.array([0.3, 0.02, 0.25, 0.01, 0.12, 0.0, 0.2, 0.1])
TRUNCATIONS: list[tuple[dict[str, Any], float]] = [  # and the least probability of those that they leave
    ({}, 0.0),
    ({"top_p": 0.75}, 0.2),
    ({"top_k": 5}, 0.1),
    ({"min_p": 0.35}, 0.12),
    ({"top_k": 4, "top_p": 0.9}, 0.12),  # 0.9 of a mass of 0.87 is more than the three likeliest have
    ({"top_p": 0.95, "min_p": 0.5}, 0.2),
]


@pytest.mark.parametrize("block", [2, 3, 128])  # several blocks, the last of them filled up, and one alone
@pytest.mark.parametrize(("truncation", "least"), TRUNCATIONS, ids=str)
def test_tokens_are_drawn_with_their_probabilities(
    truncation: dict[str, Any], least: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    draws = 40_000
    logits = torch.tensor(PROBABILITIES).log().float().expand(draws, -1)
    uniforms = torch.from_numpy(np.random.default_rng(1).random(draws))
    tokens, logprobs = draw(logits, uniforms, SamplingParameters(**truncation))
    left = np.where(least <= PROBABILITIES, PROBABILITIES, 0)
    left /= left.sum()
    seen = np.bincount(tokens, minlength=8)
    assert seen[left == 0].sum() == 0
    assert chisquare(seen[left > 0], draws * left[left > 0]).pvalue > 1e-3
    np.testing.assert_allclose(logprobs, np.log(left[tokens]), atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    top_k=st.sampled_from([0, 1, 2, 7, 50, 5000]),
    top_p=st.sampled_from([0.01, 0.3, 0.9, 0.999, 1.0]),
    min_p=st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    scale=st.sampled_from([0.1, 1.0, 5.0]),
)
def test_truncation_leaves_what_that_of_transformers_leaves(
    seed: int, top_k: int, top_p: float, min_p: float, scale: float
) -> None:
    logits = torch.randn(3, 3000, generator=torch.Generator().manual_seed(seed)) * scale
    theirs = logits
    if top_k:
        theirs = TopKLogitsWarper(top_k)(None, theirs)
    if top_p < 1:
        theirs = TopPLogitsWarper(top_p)(None, theirs)
    if min_p:
        theirs = MinPLogitsWarper(min_p)(None, theirs)
    parameters = SamplingParameters(top_k=top_k, top_p=top_p, min_p=min_p)
    probabilities, tokens = likeliest(logits.softmax(-1), parameters)
    ours = torch.zeros_like(logits).scatter(1, tokens, probabilities / probabilities.sum(-1, keepdim=True))
    torch.testing.assert_close(ours, theirs.softmax(-1), atol=1e-5, rtol=1e-3)


def test_it_looks_further_where_the_first_candidates_do_not_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, parameters = torch.randn(4, 3000), SamplingParameters(top_p=0.97)
    usual, _ = likeliest(logits.softmax(-1), parameters)
    assert (usual > 0).sum(-1).min() > 1024
    monkeypatch.setattr(module, "FIRST_CANDIDATES", 3000)
    assert likeliest(logits.softmax(-1), parameters)[0][:, : usual.shape[1]].equal(usual)


def test_top_k_leaves_no_more_where_tokens_are_equally_likely() -> None:
    probabilities, _ = likeliest(torch.full((1, 100), 0.01), SamplingParameters(top_k=7))
    assert int((probabilities > 0).sum()) == 7


def test_at_temperature_0_it_is_the_likeliest_token() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    tokens, logprobs = draw(logits, torch.tensor([0.99, 0.99]), SamplingParameters(temperature=0))
    assert (tokens.tolist(), logprobs.tolist()) == ([1, 0], [0.0, 0.0])


@pytest.mark.parametrize("truncation", [{}, {"top_p": 0.9}, {"top_k": 40}, {"min_p": 0.01}], ids=str)
@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_the_ends_of_the_unit_interval_draw_tokens_that_have_mass(uniform: float, truncation: dict[str, Any]) -> None:
    logits = torch.randn(4, 49_152, generator=torch.Generator().manual_seed(0))
    logits[:, :100] = logits[:, -100:] = float("-inf")
    uniforms = torch.full((4,), uniform, dtype=torch.float64)
    tokens, logprobs = draw(logits, uniforms, SamplingParameters(**truncation))
    assert torch.isfinite(logits.gather(1, tokens[:, None])).all()
    assert torch.isfinite(logprobs).all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"temperature": -0.1}, "temperature must be at least 0"),
        ({"temperature": float("nan")}, "temperature must be at least 0 and finite"),
        ({"top_p": 0}, r"top_p must lie in \(0, 1\]"),
        ({"top_k": -1}, "top_k must be at least 0"),
        ({"min_p": 1.5}, r"min_p must lie in \[0, 1\]"),
        ({"temperature": 0, "top_k": 5}, "temperature 0 leaves one token anyway"),
        ({"max_tokens": 0}, "max_tokens must be at least 1"),
        ({"stop": ("",)}, "stop has a text that is empty"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SamplingParameters(**wrong)


@pytest.mark.parametrize("left_out", [{"temperature": 0}, {"top_p": 0.9}, {"top_k": 5}, {"min_p": 0.1}], ids=str)
def test_a_trainer_needs_the_whole_distribution(left_out: dict[str, Any]) -> None:
    assert SamplingParameters(temperature=0.7).trainable
    assert not SamplingParameters(**left_out).trainable
