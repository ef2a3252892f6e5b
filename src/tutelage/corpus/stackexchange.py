"""Questions of the Stack Exchange sites with voted answers: the material that the paper's preference models are
pretrained on (section 2.3; the rule of the votes is that of Askell et al. 2021, arXiv:2112.00861).

A line is a question: `title`, `body_html`, `answers`, each with `body_html`, `score` (votes for less votes against) and
`accepted`. Votes are human but not blind: what was written first gathers more of them.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from tutelage.corpus.fields import Fields
from tutelage.corpus.html_text import html_text
from tutelage.corpus.ranking import Ranked, ranked_comparisons
from tutelage.corpus.rules import DropReason, Turn
from tutelage.dialogue import Comparison


def read_stackexchange(record: Mapping[str, Any], where: str) -> Iterator[Comparison | DropReason]:
    """The comparisons of a question's answers; the prompt is its title, an empty line and its body.

    Raises:
        InputError: a field is missing or of another type.
    """
    fields = Fields(record, where)
    question = f"{fields.text('title')}\n\n{html_text(fields.text('body_html'))}".strip()
    answers = [
        _answer(Fields(answer, f"{where}, field 'answers', item {number}"))
        for number, answer in enumerate(fields.items("answers"), start=1)
    ]
    origin = {"source": "stackexchange", "site": record.get("site"), "question": record.get("question_id")}
    yield from ranked_comparisons([Turn("human", question)], answers, "helpful", origin)


def vote_level(votes: int, accepted: bool) -> int:
    """How good the votes say that an answer is: round(log2(1 + votes)), one more if the asker accepted it; -1 if the
    votes are negative (Askell et al. 2021, the released preference data's description)."""
    return -1 if votes < 0 else round(math.log2(1 + votes)) + accepted


def _answer(fields: Fields) -> Ranked:
    votes, accepted = fields.integer("score"), fields.one_of("accepted", (True, False))
    about = {
        "answer": fields.maybe("answer_id", fields.integer),
        "author": fields.maybe("author_name", fields.text) or fields.maybe("author_user_id", fields.text),
        "votes": votes,
        "accepted": accepted,
    }
    return Ranked(html_text(fields.text("body_html")), vote_level(votes, accepted), about)
