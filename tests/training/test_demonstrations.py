"""Supervised finetuning: the loss is on the assistant's tokens alone, and packing changes no number."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from tutelage.dialogue import Dialogue, Message, Prompt, Response
from tutelage.modeling.encoding import DialogueFormat, Encoder
from tutelage.modeling.rows import Group
from tutelage.modeling.tiny import tiny_tokenizer
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed, InputError
from tutelage.training.demonstrations import (
    Demonstration,
    DemonstrationSettings,
    common_opening,
    demonstrations,
    dialogue_losses,
    spoken_losses,
    spoken_mask,
    train_on_demonstrations,
    usable_demonstrations,
)
from tutelage.training.packing import packed_rows

SETTINGS = DemonstrationSettings(learning_rate=1e-2, batch_dialogues=8, rank=4, max_tokens=128, token_budget=512)


def dialogue(*texts: str) -> Dialogue:
    return Dialogue(tuple(Message("assistant" if place % 2 else "human", text) for place, text in enumerate(texts)))


def some_dialogues(count: int, seed: int = 0) -> list[Dialogue]:
    """The human asks with random small letters, the assistant answers with as many capitals, one to three times."""
    rng = np.random.default_rng(seed)

    def turns() -> list[str]:
        asked = "".join(map(chr, rng.integers(97, 123, rng.integers(3, 9))))
        return [asked, asked.upper()]

    return [dialogue(*(text for _ in range(rng.integers(1, 4)) for text in turns())) for _ in range(count)]


def prepared(trunk: Trunk, dialogues: Sequence[Dialogue]) -> list[list[Demonstration]]:
    found, drops = usable_demonstrations(dialogues, trunk.encoder, 128)
    assert not drops
    return found


def test_every_answer_stands_behind_the_prompt_it_would_be_sampled_from(tiny: Trunk) -> None:
    encoder = tiny.encoder
    talk = dialogue("hi", "hello", "1+1?", "2")
    (found,) = demonstrations(talk, encoder)
    first = encoder.prompt_ids(Prompt(talk.messages[:1])), encoder.response_ids(Response("hello"))
    second = encoder.prompt_ids(Prompt(talk.messages[:3])), encoder.response_ids(Response("2"))
    assert found.ids == sum(second, ())
    assert found.ids[: len(sum(first, ()))] == sum(first, ())
    spoken = [token for token, is_spoken in zip(found.ids, found.spoken, strict=True) if is_spoken]
    assert spoken == [*first[1], *second[1]]
    assert encoder.end in first[1]


def test_where_prompts_do_not_go_on_from_answers_each_answer_stands_apart() -> None:
    encoder = Encoder(tiny_tokenizer(), DialogueFormat("hh"))
    talk = dialogue("hi", "hello", "1+1?", "2")
    found = demonstrations(talk, encoder)
    assert len(found) == 2
    for part, turn in zip(found, (1, 3), strict=True):
        prompt = encoder.prompt_ids(Prompt(talk.messages[:turn]))
        answer = encoder.response_ids(Response(talk.messages[turn].text))
        assert part.ids == prompt + answer
        assert part.spoken == (False,) * len(prompt) + (True,) * len(answer)


def test_long_dialogues_are_left_out_and_counted(tiny: Trunk) -> None:
    dialogues = [dialogue("hi", "hello"), dialogue("hi", "hello " * 40)]
    kept, drops = usable_demonstrations(dialogues, tiny.encoder, 128)
    assert kept == [demonstrations(dialogues[0], tiny.encoder)]
    assert drops == {"the dialogue is longer than max_tokens": 1}


def gradients(trunk: Trunk) -> torch.Tensor:
    parameters = list(trunk.adapter_parameters("policy").values())
    flat = torch.cat([parameter.grad.flatten() for parameter in parameters if parameter.grad is not None])
    for parameter in parameters:
        parameter.grad = None
    return flat


def separate(trunk: Trunk, parts: Sequence[Demonstration]) -> torch.Tensor:
    """The losses, dialogue by dialogue in rows of their own, by the plain log-softmax; gradients are left behind."""
    losses = []
    for part in parts:
        rows = trunk.lay([Group(part.ids[:1], (part.ids[1:],))])
        logprobs = trunk.logits(trunk.hidden_RLD(rows)[0], 1.0).log_softmax(-1)
        spoken = torch.tensor(part.spoken[1:])
        loss = -logprobs[:-1].gather(1, torch.tensor(part.ids[1:])[:, None])[:, 0][spoken]
        loss.sum().backward()
        losses.append(loss.detach())
    return torch.cat(losses)


def test_packed_losses_and_gradients_are_those_of_separate_rows(talker: Trunk) -> None:
    parts = [part for whole in prepared(talker, some_dialogues(12)) for part in whole]
    talker.add_adapter("policy", 4, 0)
    for parameter in talker.adapter_parameters("policy").values():
        parameter.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    opening = common_opening(parts)
    packed: dict[int, torch.Tensor] = {}
    with talker.using("policy", trained=True):
        expected = separate(talker, parts)
        expected_gradient = gradients(talker)
        batches = list(packed_rows(talker, opening, [part.ids[len(opening) :] for part in parts], 1024))
        for rows, places in batches:
            loss = spoken_losses(talker, rows, spoken_mask(parts, places, len(opening)))
            loss.sum().backward()
            packed |= zip(places, loss.detach().split([sum(parts[place].spoken) for place in places]), strict=True)
        gradient = gradients(talker)
    assert sum(len(rows.ids_RL) for rows, _ in batches) < len(parts)  # they do share rows
    torch.testing.assert_close(
        torch.cat([packed[place] for place in range(len(parts))]), expected, atol=1e-5, rtol=1e-5
    )
    assert float(gradient.abs().max()) > 1e-3
    torch.testing.assert_close(gradient, expected_gradient, atol=1e-5 * float(gradient.abs().max()), rtol=1e-4)


def test_what_the_human_says_gets_no_gradient(talker: Trunk) -> None:
    (part,) = demonstrations(dialogue("what is this", "a thing", "and that", "another"), talker.encoder)
    opening = common_opening([part])
    ((rows, places),) = packed_rows(talker, opening, [part.ids[len(opening) :]], 512)
    hidden = talker.hidden_RLD(rows).detach().requires_grad_()
    logprobs: list[torch.Tensor] = []
    original = talker.hidden_RLD
    talker.hidden_RLD = lambda *_: hidden  # type: ignore[method-assign, assignment, misc]
    logprobs.append(spoken_losses(talker, rows, spoken_mask([part], places, len(opening))))
    talker.hidden_RLD = original  # type: ignore[method-assign]
    logprobs[0].sum().backward()
    assert hidden.grad is not None
    moved = hidden.grad[0].abs().sum(-1) > 0
    predicts_assistant = [*part.spoken[1:], False]
    assert moved.tolist() == predicts_assistant


def test_no_dialogue_sees_another(talker: Trunk) -> None:
    dialogues = some_dialogues(4)
    losses = dialogue_losses(talker, None, prepared(talker, dialogues), 1024)
    changed = dialogue_losses(talker, None, prepared(talker, [*dialogues[:3], dialogue("zzzz", "other words")]), 1024)
    for one, other in zip(losses[:3], changed[:3], strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_the_policy_learns_what_the_assistant_says(talker: Trunk) -> None:
    """The golden run: the held-out loss of an assistant that shouts falls by more than a nat."""
    training, held_out = prepared(talker, some_dialogues(64)), prepared(talker, some_dialogues(16, seed=1))
    before = np.concatenate(dialogue_losses(talker, None, held_out, 512)).mean()
    metrics = train_on_demonstrations(talker, "policy", training, replace(SETTINGS, epochs=2), seed=0)
    after = np.concatenate(dialogue_losses(talker, "policy", held_out, 512)).mean()
    assert after < before - 1
    assert [step["dialogues"] for step in metrics] == [8] * 16
    assert sum(step["tokens"] for step in metrics) == 2 * sum(sum(p.spoken) for parts in training for p in parts)


def test_micro_batches_change_no_number(talker: Trunk) -> None:
    training = prepared(talker, some_dialogues(16))
    one, other = (
        train_on_demonstrations(talker, "policy", training, replace(SETTINGS, token_budget=budget), seed=0)[0]
        for budget in (64, 4096)
    )
    assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
    assert one["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-4)


def test_same_seed_same_bits(talker: Trunk) -> None:
    training = prepared(talker, some_dialogues(16))
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train_on_demonstrations(talker, name, training, SETTINGS, seed=seed)
    a, b, c = (talker.adapter_tensors(name) for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


def test_what_cannot_be_trained_on_is_refused(talker: Trunk) -> None:
    with pytest.raises(InputError, match="no dialogue to train on"):
        train_on_demonstrations(talker, "policy", [], SETTINGS, seed=0)
    with pytest.raises(CheckFailed, match="lower the learning rate"):
        train_on_demonstrations(
            talker, "policy", prepared(talker, some_dialogues(40)), replace(SETTINGS, learning_rate=1e30), seed=0
        )
    with pytest.raises(ValueError, match="epochs must be above 0"):
        DemonstrationSettings(epochs=0)
    with pytest.raises(InputError, match="nothing before the first turn"):
        common_opening([Demonstration((7, 8), (False, True)), Demonstration((8, 8), (False, True))])
