"""What a sampler is: requests come at any time and join the running batch; text and finished samples come step by step.

The project's own is `engine.Engine`; one around vLLM's engine fits the same protocol. `sampler.sample` is the face for
batches: all prompts in, all samples out.
"""

from dataclasses import dataclass
from typing import Protocol

from tutelage.dialogue import Finish, SamplingParameters

Seed = int | tuple[int, ...]
"""What a sample's random numbers are made of: the same seed draws the same numbers, whatever batch the sample is in."""


@dataclass(frozen=True)
class Sample:
    """A drawn response.

    `ids` has the token that ended it, if one did. `logprobs` are nats under the very distribution that each token was
    drawn from, temperature and truncation included. `text` is what a reader sees: without the end token or stop string,
    without white space around it, without half a character.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    finish: Finish


@dataclass(frozen=True)
class Event:
    """What a step brought for a request: more text, or its end, or both."""

    request: int
    """the number that `submit` gave"""
    text: str
    """to be put behind the texts of the events before; all of them together are the sample's text"""
    sample: Sample | None = None
    """given once, with the request's last event"""


class Sampler(Protocol):
    """Draws responses to requests; all methods are called from one thread.

    ```
    request = sampler.submit(prompt, parameters, seed)
    while sampler.busy:
        for event in sampler.step():
            ...
    ```
    """

    def submit(
        self, prompt: tuple[int, ...], parameters: SamplingParameters, seed: Seed, streamed: bool = True
    ) -> int:
        """Ask for a response to a prompt's ids; returns at once with the number of the request.

        `streamed`: text is told as it is settled; otherwise the request has one event, its last.

        Raises:
            InputError: the prompt is empty, or leaves no room for `max_tokens`.
        """

    def cancel(self, request: int) -> None:
        """End a request; its last event, of finish `cancelled`, comes with the next step. One that has ended already is
        left alone."""

    def step(self) -> list[Event]:
        """Take in what waits where there is room, draw a token for every running request, and tell what is new."""

    @property
    def busy(self) -> bool:
        """Whether a step has anything to do."""
