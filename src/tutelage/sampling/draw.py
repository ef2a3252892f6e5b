"""One token from logits, with its log-prob under the distribution that it was drawn from.

B rows, V vocabulary, C candidates (the likeliest tokens, in falling order), N blocks of S of them,
M masses of either.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from tutelage.dialogue import SamplingParameters

BLOCK = 128  # candidates whose mass is summed before one of them is looked for
FIRST_CANDIDATES = 1024  # tokens looked at first where probabilities, not a number, say how many are left


def draw(logits_BV: Tensor, uniforms_B: Tensor, parameters: SamplingParameters) -> tuple[Tensor, Tensor]:
    """One token a row by the inverse of the cumulative distribution, and its log-prob (nats).

    Logits are divided by the temperature already. What `top_k`, `top_p` and `min_p` leave is renormalised; at
    temperature 0 the likeliest token is all that is left, and its log-prob is 0.
    """
    if parameters.temperature == 0:
        tokens_B = logits_BV.argmax(-1)
        return tokens_B, torch.zeros_like(tokens_B, dtype=torch.float32)
    probabilities_BV = logits_BV.softmax(-1)
    if not parameters.truncates:
        picks_B1, logprobs_B = _invert(probabilities_BV, uniforms_B)
        return picks_B1[:, 0], logprobs_B
    probabilities_BC, tokens_BC = likeliest(probabilities_BV, parameters)
    picks_B1, logprobs_B = _invert(probabilities_BC, uniforms_B)
    return tokens_BC.gather(1, picks_B1)[:, 0], logprobs_B


def likeliest(probabilities_BV: Tensor, parameters: SamplingParameters) -> tuple[Tensor, Tensor]:
    """The tokens that truncation leaves, the likeliest first: their probabilities (zeros behind them) and ids.

    In this order: the `top_k` likeliest; of those the smallest set with a share of at least `top_p` of their mass; of
    those the ones at least `min_p` times as likely as the likeliest.
    """
    V = probabilities_BV.shape[-1]
    size = min(parameters.top_k or FIRST_CANDIDATES, V)
    while True:
        probabilities_BC, tokens_BC = probabilities_BV.topk(size)
        cumulative_BC = probabilities_BC.cumsum(-1)
        mass_B1 = cumulative_BC[:, -1:] if parameters.top_k else 1.0
        left_BC = probabilities_BC >= parameters.min_p * probabilities_BC[:, :1]
        if parameters.top_p < 1:
            left_BC &= cumulative_BC - probabilities_BC < parameters.top_p * mass_B1
        if size in (parameters.top_k, V) or not left_BC[:, -1].any():
            return probabilities_BC * left_BC, tokens_BC
        size = min(8 * size, V)


def _invert(probabilities_BC: Tensor, uniforms_B: Tensor) -> tuple[Tensor, Tensor]:
    """Where each row's cumulative distribution passes its random number (B, 1), and the log-prob there (B,).

    First the block of candidates in which that is, then the candidate: running sums of a whole vocabulary take longer
    than its softmax.
    """
    blocks_BNS = F.pad(probabilities_BC, (0, -probabilities_BC.shape[-1] % BLOCK)).unflatten(-1, (-1, BLOCK))
    mass_BN = blocks_BNS.sum(-1)
    total_B1 = mass_BN.sum(-1, keepdim=True)
    block_B1, rest_B1 = _passed(mass_BN, uniforms_B[:, None].float() * total_B1)
    place_B1, _ = _passed(blocks_BNS.take_along_dim(block_B1[:, None], 1)[:, 0], rest_B1)
    picks_B1 = block_B1 * BLOCK + place_B1
    return picks_B1, (probabilities_BC.gather(1, picks_B1) / total_B1).log()[:, 0]


def _passed(masses_BM: Tensor, targets_B1: Tensor) -> tuple[Tensor, Tensor]:
    """The first of each row's masses with which their sum exceeds a target, and how far into it the target lies."""
    cumulative_BM = masses_BM.cumsum(-1)
    total_B1 = cumulative_BM[:, -1:]
    # Rounding must carry a target neither to the total itself nor below 0: nothing that can be drawn lies there.
    targets_B1 = targets_B1.clamp_min(0).minimum(total_B1.nextafter(torch.zeros_like(total_B1)))
    places_B1 = torch.searchsorted(cumulative_BM, targets_B1, right=True)
    return places_B1, targets_B1 - (cumulative_BM.gather(1, places_B1) - masses_BM.gather(1, places_B1))
