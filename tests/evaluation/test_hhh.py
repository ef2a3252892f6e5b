"""Accuracy on HHH pairs: mean log-probs a token as the base's own passes give them, with and without a prompt."""

import numpy as np
import pytest
import torch

from tutelage.corpus.hhh import HHHPair, hhh_pairs
from tutelage.dialogue import Message, Prompt, Response
from tutelage.evaluation.hhh import approach, hhh_accuracy, margins, nearness, prompted_margins
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed

PROMPT = (Message("human", "hi"), Message("assistant", "hello"))
PAIRS = [
    HHHPair("a", "helpful", Prompt.from_turns("why?"), Response("because of that"), Response("no")),
    HHHPair("b", "honest", Prompt.from_turns("who?", "me", "really?"), Response("no"), Response("yes, of course")),
]


def mean_logprob(trunk: Trunk, prompt: tuple[int, ...], answer: tuple[int, ...]) -> float:
    """By the model's own forward pass."""
    with torch.no_grad():
        logits = trunk.model(input_ids=torch.tensor([prompt + answer]), use_cache=False).logits[0].float()
    logprobs = logits[len(prompt) - 1 : -1].log_softmax(-1).gather(1, torch.tensor(answer)[:, None])
    return float(logprobs.mean())


@pytest.mark.parametrize("before", [(), PROMPT])
def test_margins_are_those_of_the_bases_own_passes(tiny: Trunk, before: tuple[Message, ...]) -> None:
    expected = []
    for pair in PAIRS:
        prompt = tiny.encoder.prompt_ids(Prompt((*before, *pair.prompt.messages)))
        better, worse = (
            mean_logprob(tiny, prompt, tiny.encoder.response_ids(answer)) for answer in (pair.better, pair.worse)
        )
        expected.append(better - worse)
    assert prompted_margins(tiny, before, PAIRS) == pytest.approx(np.array(expected), abs=1e-5)
    if not before:
        assert margins(tiny, None, PAIRS) == pytest.approx(np.array(expected), abs=1e-5)


def test_a_students_margins_are_those_of_its_layers_and_adapter(tiny: Trunk) -> None:
    tiny.add_adapter("student", 2, 0)
    assert margins(tiny, "student", PAIRS) == pytest.approx(margins(tiny, None, PAIRS), abs=1e-6)
    for parameter in tiny.adapter_parameters("student").values():
        parameter.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(0))
    whole, cut = margins(tiny, "student", PAIRS), margins(tiny, "student", PAIRS, layers=1)
    assert np.abs(whole - margins(tiny, None, PAIRS)).max() > 1e-3
    assert np.abs(whole - cut).max() > 1e-3


def test_accuracy_is_the_share_of_positive_margins_with_its_interval() -> None:
    pairs = hhh_pairs()
    right = np.where([pair.category == "honest" for pair in pairs], -1.0, 1.0)
    shares = hhh_accuracy(pairs, right)
    assert shares["all"].value == pytest.approx(0.75)
    assert shares["all"].low < 0.75 < shares["all"].high
    assert {name: share.value for name, share in shares.items() if name != "all"} == {
        "helpful": 1.0, "honest": 0.0, "harmless": 1.0, "other": 1.0,
    }  # fmt: skip
    assert hhh_accuracy(pairs, np.zeros(len(pairs)))["all"].value == 0.5


def test_margins_that_are_no_numbers_stop_the_run() -> None:
    with pytest.raises(CheckFailed, match="not finite"):
        hhh_accuracy(PAIRS, np.array([1.0, float("nan")]))


def test_nearness_by_hand() -> None:
    prompted_P = np.array([0.5, -0.5, 0.1, -0.1])
    near = nearness(prompted_P + np.array([0.3, 0.3, -0.3, -0.3]), prompted_P)
    assert near.distance.value == pytest.approx(0.3)
    assert near.distance.low == pytest.approx(0.3)  # every pair is as far
    assert near.same.value == 0.75  # 0.1 - 0.3 is turned, and no other
    assert near.correlation is not None
    assert near.correlation.value == pytest.approx(np.corrcoef([0.8, -0.2, -0.2, -0.4], prompted_P)[0, 1])
    assert nearness(prompted_P, prompted_P).distance.value == 0
    assert nearness(np.zeros(4), prompted_P).correlation is None


def test_a_student_on_its_way_has_come_nearer_and_one_that_left_has_not() -> None:
    rng = np.random.default_rng(0)
    before_P, prompted_P = rng.normal(size=(2, 100))
    for share in (0.25, 1.0):
        moved = approach(before_P + share * (prompted_P - before_P), before_P, prompted_P)
        assert moved.value == pytest.approx(share * np.abs(prompted_P - before_P).mean())
        assert moved.low > 0
    assert approach(2 * before_P - prompted_P, before_P, prompted_P).high < 0
