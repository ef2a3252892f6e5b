"""The practice conversation: ready-made answers, so that a new worker learns the page before any model answers."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from tutelage.collect.answers import SIDES, AnswerEvent, Delta, Finished

PAUSE = 0.03  # seconds between words

ANSWERS: tuple[tuple[str, str], ...] = (
    (
        "Here is a short, honest answer to practise on: I am not a model, only a text that was written beforehand. "
        "Choose me if you like short answers.",
        "As everyone knows, this answer is by far the best that was ever given, and it has been checked by three "
        "professors. It says nothing at all about what you wrote.",
    ),
    (
        "I cannot send e-mails, but I can write one for you to send:\n\n> Dear neighbour, thank you for the cake.",
        "I have just sent the e-mail to your neighbour, and she has already replied that she is very glad.",
    ),
    (
        "Both of these answers say the same thing. Use one of the two smallest circles.",
        "The two answers say the same. Here the two smallest circles are right.",
    ),
)


async def practice_answers(dialogue: Sequence[str]) -> AsyncGenerator[AnswerEvent]:
    """The events of the pair for a turn: the first turn gets the first pair, and after the last they begin again.

    Args:
        dialogue: the texts of its turns, the human's first and last.
    """
    pair = ANSWERS[(len(dialogue) // 2) % len(ANSWERS)]
    words = [text.split(" ") for text in pair]
    for place in range(max(map(len, words))):
        for side, said in zip(SIDES, words, strict=True):
            if place < len(said):
                yield Delta(side, (" " if place else "") + said[place])
        await asyncio.sleep(PAUSE)
    for side, text in zip(SIDES, pair, strict=True):
        yield Finished(side, text, "stop")
