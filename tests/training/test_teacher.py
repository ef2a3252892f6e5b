"""The teacher file: its numbers are those of the base behind the prompt, and what is not its own is refused."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tutelage.corpus.hhh import hhh_prompt
from tutelage.dialogue import Dialogue, Message, Prompt, Response
from tutelage.modeling.base import load_base
from tutelage.modeling.encoding import DialogueFormat, Encoder
from tutelage.modeling.hub import TINY
from tutelage.modeling.tiny import tiny_tokenizer
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError
from tutelage.training.passages import Frame, Passage, around_turn, choose_passages
from tutelage.training.teacher import KEPT, Prompted, class_logprobs, load_teacher, save_teacher, teach

PROMPT = (Message("human", "hi"), Message("assistant", "HELLO!"))
ANSWERED = Dialogue((Message("human", "why?"), Message("assistant", "because"), *PROMPT))


def plain_logprobs(trunk: Trunk, ids: tuple[int, ...], temperature: float) -> torch.Tensor:
    """(L, V) by the model's own forward pass."""
    with torch.no_grad():
        logits: torch.Tensor = trunk.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float()
    return (logits / temperature).log_softmax(-1)


def passages(trunk: Trunk) -> list[Passage]:
    frame = Frame(trunk.encoder)
    found = [frame.ids(text) for text in ("the quick brown fox", "x", "jumps")] + [frame.ids(ANSWERED)]
    return [Passage(ids, "text", place == 1) for place, ids in enumerate(found) if ids]


@pytest.mark.parametrize("template", ["chat", "hh"])
def test_a_passage_has_the_same_tokens_behind_other_turns(template: str) -> None:
    encoder = Encoder(tiny_tokenizer(), DialogueFormat(template, "Be kind."))  # type: ignore[arg-type]
    text, answered = Frame(encoder).ids("so it goes"), Frame(encoder).ids(ANSWERED)
    assert text is not None
    assert answered is not None
    for before in ((), PROMPT):
        opening, closing = around_turn(encoder, before)
        fresh = (*before, Message("human", "so it goes"))
        assert opening + text + closing == encoder.prompt_ids(Prompt(fresh))
        *turns, answer = (*before, *ANSWERED.messages)
        assert opening + answered == encoder.prompt_ids(Prompt(tuple(turns))) + encoder.response_ids(
            Response(answer.text)
        )


def test_behind_the_shipped_prompt_the_embedded_bases_tokens_are_the_same(embedded: Trunk) -> None:
    ids = Frame(embedded.encoder).ids(ANSWERED)
    assert ids is not None
    turns = (*hhh_prompt(), *ANSWERED.messages)
    whole = embedded.encoder.prompt_ids(Prompt(turns[:-1])) + embedded.encoder.response_ids(Response(turns[-1].text))
    assert around_turn(embedded.encoder, hhh_prompt())[0] + ids == whole


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_what_is_stored_is_what_the_base_says_behind_the_prompt(talker: Trunk, temperature: float) -> None:
    teacher = teach(talker, PROMPT, passages(talker), temperature, {})
    opening = around_turn(talker.encoder, PROMPT)[0]
    for place, passage in enumerate(teacher.passages):
        kept, classes = teacher.classes([place])
        plain = plain_logprobs(talker, opening + passage.ids, temperature)[len(opening) - 1 : -1]
        assert kept.shape == (len(passage.ids), KEPT)
        torch.testing.assert_close(classes[:, :-1], plain.gather(1, kept), atol=3e-3, rtol=0)
        rest = plain.scatter(1, kept, float("-inf")).logsumexp(-1)
        torch.testing.assert_close(classes[:, -1], rest, atol=3e-3, rtol=0)
        torch.testing.assert_close(classes.exp().sum(-1), torch.ones(len(passage.ids)))
        assert (plain.topk(KEPT).values - plain.gather(1, kept)).abs().max() < 1e-4


def test_states_behind_an_opening_do_not_depend_on_the_batch(talker: Trunk) -> None:
    texts = [passage.ids for passage in passages(talker)]
    behind = Prompted(talker, around_turn(talker.encoder, PROMPT)[0])
    for text, state in zip(texts, behind.states(texts), strict=True):
        torch.testing.assert_close(behind.states([text])[0], state, atol=1e-5, rtol=1e-5)


def test_an_adapter_that_is_in_use_is_not_asked(talker: Trunk) -> None:
    before = teach(talker, PROMPT, passages(talker), 1.0, {})
    talker.add_adapter("other", 2, 0)
    for parameter in talker.adapter_parameters("other").values():
        parameter.data.fill_(0.1)
    with talker.using("other"):
        after = teach(talker, PROMPT, passages(talker), 1.0, {})
    assert torch.equal(before.logprobs_TC, after.logprobs_TC)


def test_the_rest_is_precise_where_the_kept_tokens_have_nearly_all_the_mass() -> None:
    logits = torch.full((1, 60), -30.0)
    logits[0, :3] = torch.tensor([20.0, 1.0, 0.0])
    kept = logits.topk(KEPT).indices
    classes = class_logprobs(logits, kept)
    assert classes[0, -1].item() == pytest.approx(math.log(10) - 30 - 20, abs=1e-4)


def test_a_passage_that_does_not_fit_is_refused(talker: Trunk) -> None:
    with pytest.raises(InputError, match="exceed the base's context of 2048"):
        teach(talker, PROMPT, [Passage((7,) * 2040, "text")], 1.0, {})


def test_a_file_gives_back_what_was_saved(talker: Trunk, tmp_path: Path) -> None:
    teacher = teach(talker, PROMPT, passages(talker), 0.7, {"seed": 3})
    save_teacher(tmp_path / "teacher.safetensors", teacher)
    again = load_teacher(tmp_path / "teacher.safetensors", talker)
    assert again.passages == teacher.passages
    assert again.manifest == teacher.manifest
    assert again.manifest.turns == PROMPT
    assert torch.equal(again.kept_TK, teacher.kept_TK)
    assert torch.equal(again.logprobs_TC, teacher.logprobs_TC)
    assert again.logprobs_TC.dtype == torch.float16


def test_a_file_of_another_base_or_a_damaged_one_is_refused(talker: Trunk, tmp_path: Path) -> None:
    place = tmp_path / "teacher.safetensors"
    teacher = teach(talker, PROMPT, passages(talker), 1.0, {})
    save_teacher(place, replace(teacher, manifest=replace(teacher.manifest, base="other", base_hash="1")))
    with pytest.raises(InputError, match="made on base 'other', not on 'tiny-random'"):
        load_teacher(place, talker)
    save_teacher(place, teacher)
    with pytest.raises(InputError, match="another tokenizer or dialogue format"):
        load_teacher(place, load_base(TINY, DialogueFormat("hh"), torch.float32))
    place.write_bytes(place.read_bytes()[:-10])
    with pytest.raises(InputError, match="not a teacher file of this version"):
        load_teacher(place, talker)
    with pytest.raises(InputError, match="not a teacher file of this version"):
        load_teacher(tmp_path / "nowhere.safetensors", talker)


def test_half_the_passages_are_text_and_half_dialogues(tiny: Trunk) -> None:
    texts = [" ".join(f"word {number}" for number in range(2000))]
    dialogues = [Dialogue((Message("human", f"number {n}"), Message("assistant", "yes " * 40))) for n in range(50)]
    chosen, drops = choose_passages(tiny.encoder, texts, dialogues, 40, 64, held_out=0.3, seed=0)
    assert [passage.kind for passage in chosen] == ["text"] * 20 + ["dialogue"] * 20
    assert all(len(passage.ids) <= 64 for passage in chosen)
    assert {len(passage.ids) for passage in chosen if passage.kind == "dialogue"} == {64}
    assert 3 <= sum(passage.held_out for passage in chosen) <= 25
    assert not drops
    assert chosen != choose_passages(tiny.encoder, texts, dialogues, 40, 64, held_out=0.3, seed=1)[0]
    few, _ = choose_passages(tiny.encoder, [], dialogues, 40, 64, held_out=0.0, seed=0)
    assert [(passage.kind, passage.held_out) for passage in few] == [("dialogue", False)] * 40
