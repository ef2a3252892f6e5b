"""Context distillation: the KL over 51 classes and its slope, and that a student comes nearer to the prompted base."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.dialogue import Message
from tutelage.modeling.folding import FrozenMap
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed, InputError
from tutelage.training import distillation
from tutelage.training.distillation import (
    DistillationSettings,
    FrozenHeadKL,
    passage_kls,
    stored_kl,
    stored_kl_slope,
    train_student,
)
from tutelage.training.passages import Frame, Passage
from tutelage.training.teacher import Teacher, class_logprobs, teach

SETTINGS = DistillationSettings(learning_rate=1e-2, batch_passages=8, rank=4, token_budget=512)
PROMPT = tuple(
    Message("assistant" if place % 2 else "human", text)
    for place, text in enumerate(("WHO ARE YOU?", "I AM LOUD!", "WHY?", "BECAUSE I CAN!"))
)


def lesson(trunk: Trunk, count: int = 64, temperature: float = 1.0) -> Teacher:
    """Passages of random lower-case words, every fourth held out."""
    rng, frame = np.random.default_rng(0), Frame(trunk.encoder)

    def text() -> str:
        return "".join(map(chr, rng.choice([*range(97, 123), 32], rng.integers(10, 30)))).strip() or "a"

    passages = [Passage(frame.ids(text()) or (), "text", place % 4 == 0) for place in range(count)]
    return teach(trunk, PROMPT, passages, temperature, {})


def held_out_kl(trunk: Trunk, adapter: str | None, teacher: Teacher, settings: DistillationSettings) -> float:
    places = [place for place, passage in enumerate(teacher.passages) if passage.held_out]
    return float(np.concatenate(passage_kls(trunk, adapter, teacher, places, settings)).mean())


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.floats(0.1, 6))
def test_the_kl_is_that_of_the_classes_by_hand(seed: int, kept_count: int, loudness: float) -> None:
    rng = np.random.default_rng(seed)
    student, teacher = rng.normal(0, loudness, (2, 3, 9))
    kept = np.argsort(-teacher, axis=1)[:, :kept_count].copy()

    def classes(logits: np.ndarray) -> np.ndarray:
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        top = np.take_along_axis(p, kept, 1)
        return np.concatenate([top, 1 - top.sum(1, keepdims=True)], 1)

    p, q = classes(teacher), classes(student)
    ids = torch.from_numpy(kept)
    found = stored_kl(class_logprobs(torch.from_numpy(student), ids), class_logprobs(torch.from_numpy(teacher), ids))
    assert found.numpy() == pytest.approx((p * np.log(p / q)).sum(1), rel=1e-6, abs=1e-9)


def test_the_kl_is_0_exactly_where_the_student_is_the_teacher() -> None:
    logits = torch.randn(5, 200, generator=torch.Generator().manual_seed(0)) * 5
    kept = logits.topk(50).indices
    classes = class_logprobs(logits, kept)
    assert stored_kl(classes, class_logprobs(logits.clone(), kept)).tolist() == [0.0] * 5
    slope = stored_kl_slope(logits, kept, classes, classes)
    assert slope.abs().max() < 1e-6


def test_the_slope_is_the_kls() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = (3 * torch.randn(2, 12, generator=generator)).double()
    other = (3 * torch.randn(2, 12, generator=generator)).double()
    kept = other.topk(4).indices
    teacher = class_logprobs(other, kept)
    slope = stored_kl_slope(logits, kept, class_logprobs(logits, kept), teacher)
    for token in range(12):
        step = torch.zeros(2, 12).double()
        step[:, token] = 1e-6
        up, down = (stored_kl(class_logprobs(logits + sign * step, kept), teacher) for sign in (1, -1))
        assert slope[:, token].tolist() == pytest.approx(((up - down) / 2e-6).tolist(), abs=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_the_frozen_head_gives_the_gradient_of_the_plain_way(
    temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distillation, "HEAD_CHUNK", 3)  # several chunks, the last one short
    generator = torch.Generator().manual_seed(2)
    states, weight, other = (torch.randn(*shape, generator=generator) for shape in ((7, 6), (20, 6), (7, 20)))
    kept = other.topk(5).indices
    teacher = class_logprobs(other, kept)
    weights_T = torch.rand(7, generator=generator)
    plain, ours = states.clone().requires_grad_(), states.clone().requires_grad_()
    expected = stored_kl(class_logprobs(plain @ weight.T / temperature, kept), teacher)
    (expected * weights_T).sum().backward()
    found = FrozenHeadKL.apply(ours, FrozenMap(weight, None), kept, teacher, temperature)  # type: ignore[no-untyped-call]
    (found * weights_T).sum().backward()
    torch.testing.assert_close(found, expected.detach(), atol=1e-6, rtol=1e-5)
    assert plain.grad is not None
    torch.testing.assert_close(ours.grad, plain.grad, atol=1e-6, rtol=1e-5)


def test_the_students_kl_is_that_of_the_plain_passes(talker: Trunk) -> None:
    teacher = lesson(talker, 8, temperature=0.8)
    found = passage_kls(talker, None, teacher, range(8), SETTINGS)
    for place, passage in enumerate(teacher.passages):
        kept, classes = teacher.classes([place])
        with torch.no_grad():
            ids = torch.tensor([teacher.opening + passage.ids])
            logits = talker.model(input_ids=ids, use_cache=False).logits[0].float() / 0.8
        student = class_logprobs(logits[len(teacher.opening) - 1 : -1], kept)
        assert found[place] == pytest.approx(stored_kl(student, classes).numpy(), abs=1e-5)


def test_without_a_prompt_there_is_nothing_to_learn(talker: Trunk) -> None:
    teacher = teach(talker, (), lesson(talker, 8).passages, 1.0, {})
    kls = np.concatenate(passage_kls(talker, None, teacher, range(8), SETTINGS))
    assert np.abs(kls).max() < 1e-4  # the rounding of the file to fp16


def test_a_student_comes_nearer_to_the_prompted_base(talker: Trunk) -> None:
    """The golden run: on held-out passages the KL falls to less than half."""
    teacher = lesson(talker)
    before = held_out_kl(talker, None, teacher, SETTINGS)
    metrics = train_student(talker, "student", teacher, SETTINGS, seed=0)
    after = held_out_kl(talker, "student", teacher, SETTINGS)
    assert before > 0.002
    assert after < 0.5 * before
    assert metrics[0]["loss"] == pytest.approx(before, rel=0.3)
    assert [step["passages"] for step in metrics] == [8] * 6
    trained = [len(passage.ids) for passage in teacher.passages if not passage.held_out]
    assert sum(step["tokens"] for step in metrics) == sum(trained)


def test_several_sizes_learn_from_one_teacher(talker: Trunk) -> None:
    teacher = lesson(talker)
    small = replace(SETTINGS, layers=1)
    before = held_out_kl(talker, None, teacher, small)
    train_student(talker, "small", teacher, small, seed=0)
    assert held_out_kl(talker, "small", teacher, small) < 0.7 * before
    untouched = [name for name in talker.adapter_parameters("small") if name.startswith("layers.1.")]
    assert untouched
    assert not any(talker.adapter_parameters("small")[name].any() for name in untouched if name.endswith("lora_B"))


def test_held_out_passages_do_not_teach(talker: Trunk) -> None:
    teacher = lesson(talker, 24)
    train_student(talker, "student", teacher, SETTINGS, seed=0)
    turned = [replace(p, ids=p.ids[::-1]) if p.held_out else p for p in teacher.passages]
    train_student(talker, "again", replace(teacher, passages=turned), SETTINGS, seed=0)
    one, other = talker.adapter_tensors("student"), talker.adapter_tensors("again")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_order_of_rows_changes_no_sum(talker: Trunk) -> None:
    teacher = lesson(talker, 16)
    losses = [
        train_student(talker, "student", teacher, replace(SETTINGS, token_budget=budget), seed=0)[0]
        for budget in (64, 4096)
    ]
    assert losses[0]["loss"] == pytest.approx(losses[1]["loss"], rel=1e-5)
    assert losses[0]["gradient_norm"] == pytest.approx(losses[1]["gradient_norm"], rel=1e-4)


def test_what_cannot_be_trained_on_is_refused(talker: Trunk) -> None:
    teacher = lesson(talker, 4)
    apart = replace(teacher, passages=[replace(passage, held_out=True) for passage in teacher.passages])
    with pytest.raises(InputError, match="all are held out"):
        train_student(talker, "student", apart, SETTINGS, seed=0)
    lost = replace(teacher, logprobs_TC=torch.full_like(teacher.logprobs_TC, float("nan")))
    with pytest.raises(CheckFailed, match="the distillation loss is nan"):
        train_student(talker, "student", lost, SETTINGS, seed=0)
    with pytest.raises(ValueError, match="batch_passages must be above 0"):
        DistillationSettings(batch_passages=0)
