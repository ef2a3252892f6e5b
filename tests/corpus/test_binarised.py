"""GOOD and BAD: the two forms, and that they are well-formed whatever the comparison."""

from hypothesis import given

from tutelage.corpus.binarised import binarised
from tutelage.dialogue import Comparison, Prompt, Response

from .strategies import comparisons


def test_the_two_forms() -> None:
    comparison = Comparison(Prompt.from_turns("hi"), Response("A"), Response("B"), "helpful", 3, "w", {"site": "beer"})
    good, bad = binarised(comparison)
    assert (good.chosen.text, good.rejected.text) == ("GOOD:A", "BAD:A")
    assert (bad.chosen.text, bad.rejected.text) == ("BAD:B", "GOOD:B")
    for form in (good, bad):
        assert (form.prompt, form.kind, form.strength, form.worker, form.provenance) == (
            comparison.prompt, "helpful", 3, "w", {"site": "beer"},
        )  # fmt: skip


@given(comparisons())
def test_each_form_asks_of_one_answer_alone(comparison: Comparison) -> None:
    for form, answer in zip(binarised(comparison), (comparison.chosen, comparison.rejected), strict=True):
        assert form.chosen.text.endswith(answer.text)
        assert form.rejected.text.endswith(answer.text)
        assert (form.chosen.finish, form.rejected.finish) == (answer.finish, answer.finish)
