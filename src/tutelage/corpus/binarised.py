"""The binarised form of preference-model pretraining (Askell et al. 2021, arXiv:2112.00861, section 4.1)."""

from dataclasses import replace

from tutelage.dialogue import Comparison, Response

GOOD = "GOOD:"
BAD = "BAD:"


def binarised(comparison: Comparison) -> tuple[Comparison, Comparison]:
    """A ≻ B as two comparisons: GOOD:A ≻ BAD:A, and BAD:B ≻ GOOD:B.

    Askell et al. pretrain their preference models on these instead of A ≻ B: each asks whether one answer, taken alone,
    is good, and what is learnt so transfers better to finetuning on ranked pairs, which are never binarised. The mark
    is the beginning of the response; prompt, kind, strength and provenance stay.
    """
    return (
        _form(comparison, comparison.chosen, GOOD, BAD),
        _form(comparison, comparison.rejected, BAD, GOOD),
    )


def _form(comparison: Comparison, response: Response, better: str, worse: str) -> Comparison:
    return replace(
        comparison,
        chosen=replace(response, text=better + response.text),
        rejected=replace(response, text=worse + response.text),
    )
