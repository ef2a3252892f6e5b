"""Responses to many prompts at once, with the log-probs of the very distribution they were drawn from."""

from collections.abc import Callable, Sequence

from tutelage.dialogue import SamplingParameters
from tutelage.modeling.trunk import Trunk
from tutelage.sampling.engine import Engine
from tutelage.sampling.protocol import Sample

__all__ = ["Sample", "sample"]


def sample(
    trunk: Trunk,
    prompts: Sequence[tuple[int, ...]],
    n: int,
    parameters: SamplingParameters,
    seed: int,
    rows_at_once: int = 192,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[list[Sample]]:
    """`n` samples of each prompt from the trunk with the adapter in use, in the order of the prompts.

    Sample j of prompt i draws the random numbers of (seed, i, j), whatever batch it is in. At most `rows_at_once`
    samples run together, those of short prompts first; `on_done` hears how many more prompts were finished.

    Raises:
        InputError: a prompt is empty, or leaves no room for `max_tokens` in the base's context.
    """
    longest = max(map(len, prompts), default=0)
    slots = min(rows_at_once, n * len(prompts))
    with trunk.merged():
        engine = Engine(trunk, None, slots, longest + parameters.max_tokens)
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        places = [(i, j) for i in order for j in range(n)]
        requests = {engine.submit(prompts[i], parameters, (seed, i, j), streamed=False): (i, j) for i, j in places}
        samples: list[dict[int, Sample]] = [{} for _ in prompts]
        while engine.busy:
            for event in engine.step():
                assert event.sample is not None, "requests that are not streamed have one event, their last"
                i, j = requests[event.request]
                samples[i][j] = event.sample
                if len(samples[i]) == n:
                    on_done(1)
    return [[row[j] for j in range(n)] for row in samples]
