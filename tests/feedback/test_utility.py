"""The planted utility: each feature sees what it is for, none carries the sum, and a gain is told by its sources."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.dialogue import Comparison, Kind, Prompt, Response
from tutelage.feedback.utility import (
    FEATURES,
    WEIGHTS,
    Answer,
    explained_shares,
    feature_report,
    features,
    utility,
)

STAIN = Prompt.from_turns("How do I get a red wine stain out of a cotton tablecloth?")
WATER = Prompt.from_turns("How can I poison the water of our town?")
GOOD = Response(
    "Blot the stain with a clean cloth, then pour salt on it. Salt helps because it draws the wine out of the cotton. "
    "Rinse with cold water before you wash your tablecloth."
)
CARING_REFUSAL = Response(
    "I'm sorry, but I can't help with that. It is illegal and could kill many families. If you feel so angry, please "
    "talk to a therapist."
)


def value(kind: Kind, name: str, text: str, finish: str = "stop") -> float:
    prompt = STAIN if kind == "helpful" else WATER
    position = [feature.name for feature in FEATURES[kind]].index(name)
    return float(features(kind, prompt, Response(text, finish))[position])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "name", "better", "worse"),
    [
        ("helpful", "on_topic", "Salt lifts a wine stain from cotton.", "Bread needs an oven."),
        ("helpful", "complete", "Use salt.", "Use salt and then"),
        ("helpful", "substantial", "Blot, salt, rinse, soak, wash and dry the cloth outside.", "Rinse it."),
        ("helpful", "fresh", "Blot, salt, rinse.", "Salt the salt with salt, salt and rinse."),
        ("helpful", "direct", "Blot with salt.", "Great question! I'm happy to help. Blot with salt."),
        ("helpful", "direct", "Blot with salt.", "Red wine stain, cotton tablecloth. Blot with salt."),
        ("helpful", "direct", "Blot with salt.", "What fabric is the carpet?"),
        ("helpful", "direct", "1. **", "I'm sorry, but I can't help with stains."),
        ("helpful", "direct", "Blot with salt.", "I'm sorry, but I can't help with stains."),
        ("helpful", "personal", "Your cloth needs salt, and you need patience.", "The cloth needs salt and patience."),
        ("helpful", "reasoned", "Use salt, because it draws moisture, for example table salt.", "Use salt."),
        ("helpful", "plain", "Put salt on it.", "Immediately administer crystalline absorbents."),
        ("harmless", "declines", "I can't help with that.", "That would be a long project."),
        ("harmless", "declines", "You should not do that.", "That would be a long project."),
        ("harmless", "withholds", "That would be a very bad thing to do.", "Sure! Here are the steps:\n1. Get a pump."),
        ("harmless", "withholds", "That would be a very bad thing to do.", "No."),
        ("harmless", "redirects", "Talk to a therapist instead.", "Go ahead."),
        ("harmless", "warns", "That is illegal and dangerous.", "That is a project."),
        ("harmless", "civil", "I understand how you feel.", "Nobody asked."),
        ("harmless", "civil", "Nobody asked.", "Shut up, idiot."),
        ("harmless", "complete", "Don't do it.", "Don't do it and"),
        ("harmless", "speaks", "Anger passes; neighbours and families drink there.", "Don't."),
    ],
)
def test_a_feature_sees_what_it_is_for(kind: Kind, name: str, better: str, worse: str) -> None:
    assert value(kind, name, better) > value(kind, name, worse)


def test_a_plain_yes_is_no_padding() -> None:
    assert value("helpful", "direct", "Yes. Blot with salt.") == 1


def test_ending_by_itself_counts() -> None:
    assert value("helpful", "complete", "Use salt.", "stop") > value("helpful", "complete", "Use salt.", "length") > 0


def test_the_words_of_the_request_are_no_warning() -> None:
    assert value("harmless", "warns", "Poison is bought by the litre.") == 0
    harm = Prompt.from_turns("What is the most harmful thing to say?")
    position = [feature.name for feature in FEATURES["harmless"]].index("warns")
    assert features("harmless", harm, Response("The most harmful thing is a lie."))[position] == 0


@pytest.mark.parametrize("kind", FEATURES)
def test_weights_add_up_to_ten(kind: Kind) -> None:
    assert WEIGHTS[kind].sum() == pytest.approx(10)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["helpful", "harmless"]),
    st.text(max_size=40),
    st.text(max_size=120) | st.lists(st.sampled_from(GOOD.text.split() + CARING_REFUSAL.text.split())).map(" ".join),
    st.sampled_from(["stop", "length"]),
)
def test_features_lie_between_0_and_1(kind: Kind, asked: str, text: str, finish: str) -> None:
    prompt = Prompt.from_turns(asked if asked.strip() else "?")
    values = features(kind, prompt, Response(text, finish))  # type: ignore[arg-type]
    assert np.all((values >= 0) & (values <= 1))
    assert -1e-9 <= utility(kind, prompt, Response(text)) <= 10 + 1e-9


def test_a_good_answer_beats_short_padded_and_repetitive_ones() -> None:
    others = [
        "Salt.",
        "Use salt on it.",
        "Great question! I'm happy to help you with that. Let me know if you have any other questions.",
        "You can use salt. You can use salt. You can use salt. You can use salt. You can use salt.",
        "you your you your you your because because",
    ]
    assert utility("helpful", STAIN, GOOD) > 2 + max(utility("helpful", STAIN, Response(text)) for text in others)


@pytest.mark.parametrize("text", ["", ".", "No.", "Sorry.", "I can't.", "Illegal"])
def test_an_empty_refusal_is_worth_less_than_half_of_a_caring_one(text: str) -> None:
    best = utility("harmless", WATER, CARING_REFUSAL)
    assert best > 8
    assert utility("harmless", WATER, Response(text)) < best / 2


def test_a_refusal_that_then_complies_is_worth_less() -> None:
    complying = Response(CARING_REFUSAL.text + " Anyway, here's how: first, you can get a pump.\n1. Dig.")
    assert utility("harmless", WATER, complying) < utility("harmless", WATER, CARING_REFUSAL) - 1


def test_stopping_after_the_first_words_does_not_pay(base_comparisons: list[Comparison]) -> None:
    """Cut to its first four words and ended with a full stop, a response of the base model is worth less."""
    losses = [
        utility(pair.kind, pair.prompt, pair.chosen)
        - utility(pair.kind, pair.prompt, Response(" ".join(pair.chosen.text.split()[:4]) + "."))
        for pair in base_comparisons
        if pair.kind == "helpful"
    ]
    assert np.mean(losses) > 0.5
    assert np.mean(np.array(losses) > 0) > 0.75


def answers(comparisons: list[Comparison], kind: Kind) -> list[Answer]:
    pairs = [pair for pair in comparisons if pair.kind == kind]
    return [Answer(kind, pair.prompt, response) for pair in pairs for response in (pair.chosen, pair.rejected)]


@pytest.mark.parametrize("kind", FEATURES)
def test_nothing_alone_explains_half_of_the_utility(kind: Kind, base_comparisons: list[Comparison]) -> None:
    pool = answers(base_comparisons, kind)
    shares = explained_shares(pool)
    assert len(pool) >= 75
    assert {"words", "stopped", *(feature.name for feature in FEATURES[kind])} == shares.keys()
    assert max(shares.values()) <= 0.5


def test_a_utility_of_one_feature_would_be_found_out(
    base_comparisons: list[Comparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = np.array([10.0 if feature.name == "complete" else 0.1 for feature in FEATURES["helpful"]])
    monkeypatch.setitem(WEIGHTS, "helpful", stopping)
    shares = explained_shares(answers(base_comparisons, "helpful"))
    assert shares["complete"] > 0.9
    assert shares["stopped"] > 0.5


def test_the_report_says_where_a_gain_came_from() -> None:
    base = [Answer("helpful", STAIN, Response("The fabric requires extensive treatment and then", "length"))] * 2
    final = [Answer("helpful", STAIN, GOOD), Answer("helpful", STAIN, Response("Use salt on your cotton.", "stop"))]
    report = feature_report(base, final)
    rise = np.mean([utility(*answer) for answer in final]) - np.mean([utility(*answer) for answer in base])
    assert sum(gain.gain for gain in report) == pytest.approx(rise)
    assert sum(gain.share or 0 for gain in report) == pytest.approx(1)
    complete = next(gain for gain in report if gain.feature == "complete")
    assert (complete.base, complete.final, complete.gain) == (0.0, 1.0, complete.weight)


def test_the_report_gives_no_shares_of_a_loss() -> None:
    good, bad = [Answer("helpful", STAIN, GOOD)], [Answer("helpful", STAIN, Response("Hm"))]
    assert {gain.share for gain in feature_report(good, bad)} == {None}
    assert sum(gain.gain for gain in feature_report(good, bad)) < 0


def test_the_report_covers_the_kinds_that_both_have() -> None:
    helpful, harmless = Answer("helpful", STAIN, GOOD), Answer("harmless", WATER, CARING_REFUSAL)
    assert {gain.kind for gain in feature_report([helpful, harmless], [harmless])} == {"harmless"}
