"""A model writes prompts: it goes on with a list of queries that people asked."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from tutelage.corpus.generated import SHOWN, WrittenLine, few_shot
from tutelage.dialogue import SamplingParameters
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError
from tutelage.sampling.sampler import sample

LINES_A_CONTEXT = 8  # drafts from one choice of queries: they share its pass through the trunk
CONTEXTS_AT_ONCE = 4
LINE_END = "\n"


def write_drafts(
    trunk: Trunk,
    queries: Sequence[str],
    parameters: SamplingParameters,
    seed: int,
) -> Iterator[WrittenLine]:
    """Drafts without end, each behind `SHOWN` of the queries in an order drawn by lot.

    The text goes to the model plainly, without a chat template: what continues a list is a language model. A draft ends
    with its line.

    Raises:
        InputError: fewer than `SHOWN` queries, or they leave no room in the base's context.
    """
    if len(queries) < SHOWN:
        raise InputError(f"{len(queries)} queries to show; a model needs at least {SHOWN} different ones as examples")
    line = replace(parameters, stop=(LINE_END,))
    rng = np.random.default_rng(seed)
    turn = 0
    while True:
        contexts = [_context(trunk, queries, rng) for _ in range(CONTEXTS_AT_ONCE)]
        for row in sample(trunk, contexts, LINES_A_CONTEXT, line, seed * 1_000_003 + turn):
            yield from (WrittenLine(draw.text, draw.finish == "stop") for draw in row)
        turn += 1


def _context(trunk: Trunk, queries: Sequence[str], rng: np.random.Generator) -> tuple[int, ...]:
    shown = [queries[place] for place in rng.choice(len(queries), SHOWN, replace=False)]
    return trunk.encoder.plain_ids(few_shot(shown))
