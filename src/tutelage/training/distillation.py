"""Context distillation: a student without the prompt learns to say what the base says behind it.

Section A.1 of Bai et al. 2022 (after Askell et al. 2021): the loss is KL(teacher || student) over the 50 tokens that
the teacher held likeliest and all others as one class, from a stored teacher file (`teacher.py`). One pass over the
passages, the learning rate falls linearly to 0. A smaller student is the first layers of the base, with its norm and
output layer.
T tokens, K kept tokens, C = K + 1 classes, D width, V vocabulary.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.modeling.folding import FrozenMap
from tutelage.modeling.passes import ragged
from tutelage.modeling.rows import Rows
from tutelage.modeling.trunk import HEAD_CHUNK, Trunk
from tutelage.plumbing.errors import CheckFailed, InputError, require_positive
from tutelage.training.checkpoint import Metrics
from tutelage.training.optimizer import MasterAdamW
from tutelage.training.packing import equal_steps, packed_rows
from tutelage.training.schedule import rate_factor
from tutelage.training.teacher import Teacher, class_logprobs


@dataclass(frozen=True)
class DistillationSettings:
    """How a student is trained."""

    learning_rate: float = 5e-4
    """of the LoRA adapter; rises over `warmup` steps and falls linearly to 0"""
    batch_passages: int = 16
    """passages an optimizer step"""
    rank: int = 16
    """rank of the LoRA adapter"""
    layers: int | None = None
    """the student is so many of the base's first layers; None: all"""
    token_budget: int = 2048
    """tokens that pass the trunk at once"""
    clip_norm: float = 1.0
    """largest norm of a step's gradient"""
    warmup: int = 3
    """steps over which the learning rate rises"""

    def __post_init__(self) -> None:
        require_positive(
            self, "learning_rate", "batch_passages", "rank", "token_budget", "clip_norm", "warmup",
            *(["layers"] if self.layers is not None else []),
        )  # fmt: skip


def train_student(
    trunk: Trunk,
    adapter: str,
    teacher: Teacher,
    settings: DistillationSettings,
    seed: int,
    on_step: Callable[[int, Metrics], None] = lambda passages, metrics: None,
) -> list[Metrics]:
    """One pass over the teacher's passages but the held-out ones; the adapter is made anew on the trunk.

    Returns the loss curve: of each step the mean KL a token (nats, before the step), tokens, passages, gradient norm.

    Raises:
        InputError: no passage to train on.
        CheckFailed: the loss is not a number.
    """
    places = [place for place, passage in enumerate(teacher.passages) if not passage.held_out]
    if not places:
        raise InputError("no passage to train on: all are held out")
    trunk.add_adapter(adapter, settings.rank, seed)
    metrics: list[Metrics] = []
    with trunk.using(adapter, trained=True):
        parameters = trunk.adapter_parameters(adapter).values()
        optimizer = MasterAdamW((parameters, settings.learning_rate), clip_norm=settings.clip_norm)
        steps = equal_steps(len(places), settings.batch_passages, 1, np.random.default_rng(seed))
        for step, batch in enumerate(steps):
            rate = rate_factor(step, len(steps), settings.warmup, "linear")
            measured = _step(trunk, optimizer, teacher, [places[number] for number in batch], settings, rate)
            metrics.append({"step": step, **measured})
            on_step(len(batch), measured)
    return metrics


def _step(
    trunk: Trunk,
    optimizer: MasterAdamW,
    teacher: Teacher,
    places: Sequence[int],
    settings: DistillationSettings,
    rate: float,
) -> Metrics:
    total, tokens = 0.0, 0
    texts = [teacher.passages[place].ids for place in places]
    for rows, numbers in packed_rows(trunk, teacher.opening, texts, settings.token_budget):
        kl_T = student_kl(trunk, rows, teacher, [places[number] for number in numbers], settings.layers)
        loss = kl_T.sum()
        optimizer.accumulate(loss)
        total, tokens = total + loss.item(), tokens + len(kl_T)
    if not math.isfinite(total):
        raise CheckFailed(f"the distillation loss is {total}; lower the learning rate")
    norm = optimizer.step(tokens, rate)
    return {"loss": total / tokens, "tokens": tokens, "passages": len(places), "gradient_norm": norm}


def student_kl(trunk: Trunk, rows: Rows, teacher: Teacher, places: Sequence[int], layers: int | None) -> Tensor:
    """KL (T,) at each token of the rows, whose branches are these passages; the adapter in use is the student's."""
    kept_TK, teacher_TC = (classes.to(trunk.device) for classes in teacher.classes(places))
    states_TD = trunk.hidden_RLD(rows, layers).flatten(0, 1)[rows.before_T]
    kl_T: Tensor = FrozenHeadKL.apply(  # type: ignore[no-untyped-call]
        states_TD, trunk.frozen_head, kept_TK, teacher_TC, teacher.manifest.temperature
    )
    return kl_T


def passage_kls(
    trunk: Trunk, adapter: str | None, teacher: Teacher, places: Sequence[int], settings: DistillationSettings
) -> list[NDArray[np.float64]]:
    """KL to the teacher at each token of each of these passages, for the trunk with this adapter."""
    results: list[NDArray[np.float64]] = [np.empty(0)] * len(places)
    texts = [teacher.passages[place].ids for place in places]
    with trunk.using(adapter):
        for rows, numbers in packed_rows(trunk, teacher.opening, texts, settings.token_budget):
            kl_T = student_kl(trunk, rows, teacher, [places[number] for number in numbers], settings.layers)
            for number, kls in zip(numbers, ragged(kl_T, rows), strict=True):
                results[number] = kls
    return results


def stored_kl(student_TC: Tensor, teacher_TC: Tensor) -> Tensor:
    """KL(teacher || student) (T,) over the classes, nats; both are log-probs. 0 exactly where they are the same."""
    return (teacher_TC.exp() * (teacher_TC - student_TC)).sum(-1)


def stored_kl_slope(logits_TV: Tensor, kept_TK: Tensor, student_TC: Tensor, teacher_TC: Tensor) -> Tensor:
    """The KL's gradient (T, V) in the student's logits.

    q - p at a kept token; at the others, of which the teacher tells the sum only, q less the teacher's rest shared out
    as the student does.
    """
    total_T1 = logits_TV.gather(1, kept_TK[:, :1]) - student_TC[:, :1]
    others_T1 = total_T1 + student_TC[:, -1:]
    slope_TV = (logits_TV - total_T1).exp() - (logits_TV - others_T1 + teacher_TC[:, -1:]).exp()
    return slope_TV.scatter_(1, kept_TK, student_TC[:, :-1].exp() - teacher_TC[:, :-1].exp())


class FrozenHeadKL(torch.autograd.Function):
    """`stored_kl` of W h / temperature, chunk by chunk: no T x V matrix ever exists.

    The slope in h is made in the forward pass, where the logits are at hand. Nothing flows to W, which is frozen.
    """

    @staticmethod
    def forward(
        ctx: Any, states_TD: Tensor, head: FrozenMap, kept_TK: Tensor, teacher_TC: Tensor, temperature: float
    ) -> Tensor:
        wanted, kls, slopes = states_TD.requires_grad, [], []
        chunks = (part.split(HEAD_CHUNK) for part in (states_TD, kept_TK, teacher_TC))
        for states, kept, teacher in zip(*chunks, strict=True):
            logits_CV = head.forward(states).float().div_(temperature)
            student = class_logprobs(logits_CV, kept)
            kls.append(stored_kl(student, teacher))
            if wanted:
                slope_CV = stored_kl_slope(logits_CV, kept, student, teacher)
                slopes.append(head.backward(slope_CV.to(states.dtype)) / temperature)
        if wanted:
            ctx.save_for_backward(torch.cat(slopes))
        return torch.cat(kls)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (slopes_TD,) = ctx.saved_tensors
        return slopes_TD * grads[0][:, None].to(slopes_TD.dtype), None, None, None, None
