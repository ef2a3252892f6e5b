"""Responses to prompts, drawn from the policy with the log-probs of the very distribution they were drawn from.

Each prompt passes the trunk once for all its samples (`cache.py`); then all samples go on together, one column of the
key/value cache a step; rows that are done leave the batch.
B rows (samples), P prompts, L prompt length (padded on the left, so that all rows write the same column), V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tutelage.dialogue import Finish, SamplingParameters
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError
from tutelage.sampling.cache import KeyValueCache, prefill

ROWS_DRAWN = 32  # rows whose logits are made and drawn from at once
SHRINK_BELOW = 0.75  # rows that are done are dropped from the cache once fewer than this share of its rows still run


@dataclass(frozen=True)
class Sample:
    """A drawn response: its ids (the end token included if it ended), their log-probs, its text and why it ended."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    finish: Finish


def sample(
    trunk: Trunk,
    prompts: Sequence[tuple[int, ...]],
    n: int,
    parameters: SamplingParameters,
    seed: int,
    rows_at_once: int = 192,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[list[Sample]]:
    """`n` samples of each prompt from the trunk with the adapter in use.

    Sample j of prompt i draws the random numbers of (seed, i, j), whatever batch it is in. Prompts of like length are
    sampled together, at most `rows_at_once` samples at a time; `on_done` hears how many prompts were finished.

    Raises:
        InputError: a prompt leaves no room for `max_tokens` in the base's context.
    """
    longest = max(map(len, prompts), default=0)
    if trunk.context is not None and longest + parameters.max_tokens > trunk.context:
        raise InputError(
            f"a prompt of {longest} tokens and max_tokens = {parameters.max_tokens} exceed the base's context of "
            f"{trunk.context}; shorten the prompt or lower max_tokens"
        )
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    batches = -(-len(order) // max(1, rows_at_once // n))
    at_once = -(-len(order) // max(1, batches)) or 1  # batches of one size: a small last one would cost as much
    results: list[list[Sample]] = [[] for _ in prompts]
    with trunk.merged():
        for start in range(0, len(order), at_once):
            chosen = order[start : start + at_once]
            uniforms = np.stack([_uniforms(seed, i, j, parameters.max_tokens) for i in chosen for j in range(n)])
            uniforms_BS = torch.from_numpy(uniforms).float().to(trunk.device)
            samples = _sample_batch(trunk, [prompts[i] for i in chosen], n, parameters, uniforms_BS)
            for place, index in enumerate(chosen):
                results[index] = samples[place * n : (place + 1) * n]
            on_done(len(chosen))
    return results


def _uniforms(seed: int, prompt: int, number: int, count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, prompt, number)))).random(count)


@torch.no_grad()
def _sample_batch(
    trunk: Trunk, prompts: Sequence[tuple[int, ...]], n: int, parameters: SamplingParameters, uniforms_BS: Tensor
) -> list[Sample]:
    drafts = [_Draft(trunk, parameters) for _ in range(len(prompts) * n)]
    cache, hidden_BD, lengths = prefill(trunk, prompts, n, parameters.max_tokens)
    padded = cache.length
    running = np.arange(len(drafts))  # which draft each row of the cache belongs to
    rows = torch.from_numpy(running).to(trunk.device)
    for step in range(parameters.max_tokens):
        tokens_B, logprobs_B = _next_tokens(trunk, hidden_BD, uniforms_BS[rows, step], parameters)
        for draft, token, logprob in zip(running, tokens_B.tolist(), logprobs_B.tolist(), strict=True):
            drafts[draft].append(token, logprob)
        alive = np.array([drafts[draft].finish is None for draft in running])
        if not alive.any():
            break
        if alive.mean() < SHRINK_BELOW:
            kept = torch.from_numpy(np.flatnonzero(alive)).to(trunk.device)
            running, tokens_B = running[alive], tokens_B[kept]
            rows = rows[kept]
            cache.keep(kept)
        hidden_BD = _decode(trunk, cache, tokens_B, lengths[rows], padded)
    return [draft.sample() for draft in drafts]


def _next_tokens(
    trunk: Trunk, hidden_BD: Tensor, uniforms_B: Tensor, parameters: SamplingParameters
) -> tuple[Tensor, Tensor]:
    """A token for each row, and its log-prob; a few rows at a time, so that their logits stay in the cache."""
    parts = zip(hidden_BD.split(ROWS_DRAWN), uniforms_B.split(ROWS_DRAWN), strict=True)
    drawn = [draw(trunk.logits(h, parameters.temperature), u, parameters.top_p) for h, u in parts]
    return torch.cat([tokens for tokens, _ in drawn]), torch.cat([logprobs for _, logprobs in drawn])


def draw(logits_BV: Tensor, uniforms_B: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """One token a row by the inverse of the cumulative distribution, and its log-prob under that distribution.

    With `top_p` < 1 the distribution is the smallest set of likeliest tokens with at least that mass, renormalised.
    """
    probabilities_BV = logits_BV.softmax(-1)
    if top_p < 1:
        probabilities_BV, tokens_BV = probabilities_BV.sort(-1, descending=True)
        before_BV = probabilities_BV.cumsum(-1) - probabilities_BV
        probabilities_BV = probabilities_BV.masked_fill(before_BV >= top_p, 0.0)
    cumulative_BV = probabilities_BV.cumsum(-1)
    total_B1 = cumulative_BV[:, -1:]
    # Rounding must not carry u * total to the total itself: no token lies there.
    targets_B1 = (uniforms_B[:, None].float() * total_B1).minimum(total_B1.nextafter(torch.zeros_like(total_B1)))
    picks_B1 = torch.searchsorted(cumulative_BV, targets_B1, right=True)
    logprobs_B = (probabilities_BV.gather(1, picks_B1) / total_B1).log()[:, 0]
    chosen_B1 = tokens_BV.gather(1, picks_B1) if top_p < 1 else picks_B1
    return chosen_B1[:, 0], logprobs_B


class _Draft:
    """A response in the making."""

    def __init__(self, trunk: Trunk, parameters: SamplingParameters) -> None:
        self._encoder = trunk.encoder
        self._stop = parameters.stop + trunk.encoder.stop_strings
        self._limit = parameters.max_tokens
        self._ids: list[int] = []
        self._logprobs: list[float] = []
        self.finish: Finish | None = None

    def append(self, token: int, logprob: float) -> None:
        if self.finish is not None:
            return
        self._ids.append(token)
        self._logprobs.append(logprob)
        if token == self._encoder.end or self._stop_at() is not None:
            self.finish = "stop"
        elif len(self._ids) == self._limit:
            self.finish = "length"

    def _stop_at(self) -> int | None:
        """Where in the text a stop string begins, across token borders."""
        if not self._stop:
            return None
        text = self._encoder.tokenizer.decode(self._ids, skip_special_tokens=True)
        found = [text.find(mark) for mark in self._stop if mark in text]
        return min(found, default=None)

    def sample(self) -> Sample:
        assert self.finish is not None
        cut = self._stop_at()
        text = self._encoder.tokenizer.decode(self._ids, skip_special_tokens=True)[:cut].strip()
        return Sample(tuple(self._ids), tuple(self._logprobs), text, self.finish)


def _decode(trunk: Trunk, cache: KeyValueCache, tokens_B: Tensor, lengths_B: Tensor, padded: int) -> Tensor:
    """One more column; returns its states (B, D). A row's position is its own length, its column is common."""
    positions_B1 = (lengths_B + cache.length - padded)[:, None]
    mask_B11L = cache.shown_BL[:, None, None, : cache.length + 1]
    hidden_B1D = trunk.decode_BQD(tokens_B[:, None], positions_B1, mask_B11L, cache)
    cache.length += 1
    return hidden_B1D[:, 0]
