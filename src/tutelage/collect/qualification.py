"""The short qualification: four questions on the guidelines, and two messages in the worker's own words."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """A question with one right choice; `because` is shown to whom chose another."""

    name: str
    text: str
    choices: tuple[str, ...]
    right: int
    because: str


QUESTIONS: tuple[Question, ...] = (
    Question(
        "honest",
        "A names, in beautiful words, a book that does not exist. B says that it does not know. Which do you choose?",
        ("A, because it is the better text", "B, because A made its answer up", "Neither: I skip the message"),
        1,
        "Made-up facts are not helpful, however well they are written.",
    ),
    Question(
        "equal",
        "Both answers are about equally good. What do you do?",
        ("I choose at random, and say “much better”", "I report a problem", "I choose one of the two smallest circles"),
        2,
        "The two smallest circles are for just that; a strong choice would teach something that you do not think.",
    ),
    Question(
        "pretend",
        "You want to complain. A says “I have sent the complaint for you.” B gives you a text to send. Which helps?",
        ("A", "B"),
        1,
        "The assistant cannot send anything. A pretends.",
    ),
    Question(
        "private",
        "What do you leave out of your messages?",
        ("Names and addresses of private people, mine too", "Questions about difficult subjects", "Spelling mistakes"),
        0,
        "What you write may be published. Nobody should be recognised by it.",
    ),
)


def wrong_answers(answers: Mapping[str, int]) -> list[Question]:
    """The questions that were answered otherwise, or not at all."""
    return [question for question in QUESTIONS if answers.get(question.name) != question.right]


def score(answers: Mapping[str, int]) -> float:
    """The share of right answers."""
    return 1 - len(wrong_answers(answers)) / len(QUESTIONS)
