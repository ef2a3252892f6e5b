"""Supervised finetuning on demonstrations: the policy learns to say what the assistant says in whole dialogues.

The loss is the mean negative log-prob of the assistant's tokens, every turn of its in every dialogue; what the human
says is read and never learnt. Several dialogues share a row without seeing each other (`packing.py`).
T tokens, A assistant tokens.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.dialogue import Dialogue, Prompt, Response
from tutelage.modeling.encoding import Encoder, Ids
from tutelage.modeling.rows import Rows, shared_beginning
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed, InputError, require_positive
from tutelage.training.checkpoint import Metrics
from tutelage.training.optimizer import MasterAdamW
from tutelage.training.packing import equal_steps, packed_rows
from tutelage.training.schedule import rate_factor

TOO_LONG = "the dialogue is longer than max_tokens"


@dataclass(frozen=True)
class DemonstrationSettings:
    """How a policy is trained on demonstrations."""

    learning_rate: float = 3e-4
    """of the LoRA adapter; rises over `warmup` steps and falls linearly to 0"""
    batch_dialogues: int = 16
    """dialogues an optimizer step"""
    epochs: int = 1
    """passes over the dialogues"""
    rank: int = 16
    """rank of the LoRA adapter"""
    max_tokens: int = 1024
    """longest dialogue; longer ones are left out"""
    token_budget: int = 2048
    """tokens that pass the trunk at once"""
    clip_norm: float = 1.0
    """largest norm of a step's gradient"""
    warmup: int = 3
    """steps over which the learning rate rises"""

    def __post_init__(self) -> None:
        require_positive(
            self, "learning_rate", "batch_dialogues", "epochs", "rank", "max_tokens", "token_budget", "clip_norm",
            "warmup",
        )  # fmt: skip


@dataclass(frozen=True)
class Demonstration:
    """A dialogue as ids, and which of them the assistant spoke."""

    ids: Ids
    spoken: tuple[bool, ...]

    @property
    def first_spoken(self) -> int:
        return self.spoken.index(True)


def demonstrations(dialogue: Dialogue, encoder: Encoder) -> list[Demonstration]:
    """A dialogue that ends on the assistant, each answer behind exactly the prompt that it would be sampled from.

    One demonstration where every prompt goes on from the answer before it, as in chat templates; otherwise as many as
    have to stand apart.
    """
    found: list[Demonstration] = []
    for turn in range(1, len(dialogue.messages), 2):
        prompt = encoder.prompt_ids(Prompt(dialogue.messages[:turn]))
        answer = encoder.response_ids(Response(dialogue.messages[turn].text))
        goes_on = bool(found) and prompt[: len(found[-1].ids)] == found[-1].ids
        spoken = found.pop().spoken if goes_on else ()
        heard = (False,) * (len(prompt) - len(spoken))
        found.append(Demonstration(prompt + answer, (*spoken, *heard, *(True,) * len(answer))))
    return found


def usable_demonstrations(
    dialogues: Sequence[Dialogue], encoder: Encoder, max_tokens: int
) -> tuple[list[list[Demonstration]], Counter[str]]:
    """The demonstrations of each dialogue, without the dialogues of which one is too long, and how many those were."""
    whole = [demonstrations(dialogue, encoder) for dialogue in dialogues]
    kept = [parts for parts in whole if all(len(part.ids) <= max_tokens for part in parts)]
    return kept, Counter({TOO_LONG: len(whole) - len(kept)} if len(kept) < len(whole) else {})


def train_on_demonstrations(
    trunk: Trunk,
    adapter: str,
    dialogues: Sequence[Sequence[Demonstration]],
    settings: DemonstrationSettings,
    seed: int,
    on_step: Callable[[int, Metrics], None] = lambda dialogues, metrics: None,
    temperature: float = 1.0,
) -> list[Metrics]:
    """Train a policy; the adapter is made anew on the trunk.

    `temperature` divides the logits, as in sampling: it is part of the policy that learns.

    Returns the loss curve: of each step the mean loss an assistant token (nats, before the step), tokens, dialogues,
    gradient norm.

    Raises:
        InputError: nothing to train on.
        CheckFailed: the loss is not a number.
    """
    if not dialogues:
        raise InputError("no dialogue to train on")
    trunk.add_adapter(adapter, settings.rank, seed)
    metrics: list[Metrics] = []
    with trunk.using(adapter, trained=True):
        parameters = trunk.adapter_parameters(adapter).values()
        optimizer = MasterAdamW((parameters, settings.learning_rate), clip_norm=settings.clip_norm)
        steps = equal_steps(len(dialogues), settings.batch_dialogues, settings.epochs, np.random.default_rng(seed))
        for step, batch in enumerate(steps):
            rate = rate_factor(step, len(steps), settings.warmup, "linear")
            parts = [part for place in batch for part in dialogues[place]]
            measured = _step(trunk, optimizer, parts, settings.token_budget, rate, temperature)
            metrics.append({"step": step, "dialogues": len(batch), **measured})
            on_step(len(batch), measured)
    return metrics


def _step(
    trunk: Trunk,
    optimizer: MasterAdamW,
    batch: Sequence[Demonstration],
    token_budget: int,
    rate: float,
    temperature: float,
) -> Metrics:
    total, tokens = 0.0, 0
    opening = common_opening(batch)
    for rows, places in packed_rows(trunk, opening, _behind(opening, batch), token_budget):
        loss_A = spoken_losses(trunk, rows, spoken_mask(batch, places, len(opening)), temperature)
        loss = loss_A.sum()
        optimizer.accumulate(loss)
        total, tokens = total + loss.item(), tokens + len(loss_A)
    if not math.isfinite(total):
        raise CheckFailed(f"the loss on demonstrations is {total}; lower the learning rate")
    norm = optimizer.step(tokens, rate)
    return {"loss": total / tokens, "tokens": tokens, "gradient_norm": norm}


def dialogue_losses(
    trunk: Trunk, adapter: str | None, dialogues: Sequence[Sequence[Demonstration]], token_budget: int
) -> list[NDArray[np.float64]]:
    """The loss at each assistant token of each dialogue, for the trunk with this adapter."""
    parts = [part for dialogue in dialogues for part in dialogue]
    losses: list[NDArray[np.float64]] = [np.empty(0)] * len(parts)
    opening = common_opening(parts)
    with trunk.using(adapter):
        for rows, places in packed_rows(trunk, opening, _behind(opening, parts), token_budget):
            loss_A = spoken_losses(trunk, rows, spoken_mask(parts, places, len(opening)))
            counts = [sum(parts[place].spoken) for place in places]
            for place, loss in zip(places, loss_A.split(counts), strict=True):
                losses[place] = loss.double().cpu().numpy()
    remaining = iter(losses)
    return [np.concatenate([next(remaining) for _ in dialogue]) for dialogue in dialogues]


def common_opening(parts: Sequence[Demonstration]) -> Ids:
    """What all begin with, and nobody speaks: it passes the trunk once for all that share a row.

    Raises:
        InputError: they begin differently.
    """
    opening = shared_beginning([part.ids for part in parts], min(part.first_spoken for part in parts))
    if not opening:
        raise InputError("the base's chat template puts nothing before the first turn; use --template hh")
    return opening


def _behind(opening: Ids, parts: Sequence[Demonstration]) -> list[Ids]:
    return [part.ids[len(opening) :] for part in parts]


def spoken_mask(parts: Sequence[Demonstration], places: Sequence[int], opening: int) -> Tensor:
    """Whether each token of the branches of a batch, which are these parts behind the opening, is the assistant's."""
    return torch.tensor([spoken for place in places for spoken in parts[place].spoken[opening:]])


def spoken_losses(trunk: Trunk, rows: Rows, spoken_T: Tensor, temperature: float = 1.0) -> Tensor:
    """-log p (A,) of the assistant's tokens alone, with the adapter in use; no other token takes part."""
    kept_T = spoken_T.to(trunk.device)
    only = replace(rows, before_T=rows.before_T[kept_T], targets_T=rows.targets_T[kept_T])
    logprobs_A, _ = trunk.logprobs_T(trunk.hidden_RLD(rows), only, temperature)
    return -logprobs_A
