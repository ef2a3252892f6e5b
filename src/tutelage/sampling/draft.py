"""A response in the making: its tokens, the text they spell, and why it ended."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage.dialogue import Finish, SamplingParameters
from tutelage.modeling.encoding import Encoder
from tutelage.sampling.protocol import Event, Sample, Seed
from tutelage.sampling.text import Text


class Draft:
    """One request of a sampler."""

    def __init__(
        self,
        request: int,
        encoder: Encoder,
        prompt: tuple[int, ...],
        parameters: SamplingParameters,
        seed: Seed,
        streamed: bool,
    ) -> None:
        self.request = request
        self.prompt = prompt
        self.parameters = parameters
        self.ids: list[int] = []
        self.finish: Finish | None = None
        self._uniforms = uniforms(seed, parameters.max_tokens)
        self._logprobs: list[float] = []
        stop = parameters.stop + encoder.stop_strings
        self._ends = {encoder.end, *parameters.stop_tokens}
        self._text, self._told = Text(encoder.tokenizer, stop), ""
        self._streamed = streamed
        self._reads = streamed or bool(stop)  # at every token, not only at the end

    @property
    def length(self) -> int:
        """Tokens of prompt and response so far."""
        return len(self.prompt) + len(self.ids)

    @property
    def uniform(self) -> float:
        """The random number that the next token is drawn with."""
        return float(self._uniforms[len(self.ids)])

    def append(self, token: int, logprob: float) -> None:
        self.ids.append(token)
        self._logprobs.append(logprob)
        if token in self._ends:
            self.finish = "stop"
            self._text.read(self.ids[:-1])
            return
        full = len(self.ids) == self.parameters.max_tokens
        if self._reads or full:
            self._text.read(self.ids)
        if self._text.stopped:
            self.finish = "stop"
        elif full:
            self.finish = "length"

    def news(self) -> Event | None:
        """What has not been told yet, if there is anything."""
        if self.finish is None and not self._streamed:
            return None
        text = self._seen
        news, self._told = text[len(self._told) :], text
        return Event(self.request, news, self._sample()) if news or self.finish else None

    def cancel(self) -> None:
        self.finish = "cancelled"
        self._text.read(self.ids)

    @property
    def _seen(self) -> str:
        return self._text.final if self.finish in ("stop", "length") else self._text.certain

    def _sample(self) -> Sample | None:
        if self.finish is None:
            return None
        return Sample(tuple(self.ids), tuple(self._logprobs), self._seen, self.finish)


def uniforms(seed: Seed, count: int) -> NDArray[Any]:
    """The random numbers of a sample in [0, 1], one a token (fp32; rounding may give 1)."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed))).random(count).astype(np.float32)
