import pytest

from tutelage.training.watching import refuses, repetition, text_measures


def test_repetition_is_the_share_of_triples_that_came_before() -> None:
    assert repetition("one two three four five") == 0
    assert repetition("") == repetition("so so") == 0
    assert repetition("ha ha ha ha ha") == pytest.approx(2 / 3)  # one triple, three times
    assert repetition("Go on. go ON, and go on") == pytest.approx(0)
    assert repetition("wash it well and wash it well") == pytest.approx(1 / 5)


def test_a_refusal_is_told_by_its_wording() -> None:
    assert refuses("I’m sorry, but I can't help with that.")
    assert not refuses("You can't go wrong with basil.")


def test_measures_are_means_over_answers() -> None:
    measures = text_measures(["ha ha ha ha ha", "I won't help you."])
    assert measures == pytest.approx({"repetition": 1 / 3, "refusals": 0.5})
