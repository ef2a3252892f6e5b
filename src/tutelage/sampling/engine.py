"""The project's own sampler: a batch that requests join and leave at any step (see `protocol`).

A request's prompt passes the trunk once, also for several samples of it; then all running responses go on together, a
token a step. One that has ended gives its slot to one that waits, or the last one moves into it, so that no step
computes what nobody needs.
B running responses.
"""

from collections import deque
from collections.abc import Sequence
from itertools import count

import torch
from torch import Tensor

from tutelage.dialogue import SamplingParameters
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed, InputError
from tutelage.sampling.cache import SlotCache, prefill, unseen
from tutelage.sampling.draft import Draft
from tutelage.sampling.draw import draw
from tutelage.sampling.protocol import Event, Seed

# Rows that are drawn from at once, so that what is made of their logits stays in a CPU's cache; on a GPU not measured.
ROWS_DRAWN = 16
ADMITTED_SHARE = 8  # those that wait come in once 1/8 of the slots are free: several prompts make a pass cheaper


class Engine:
    """A `Sampler` on a trunk with one of its adapters (None: the bare base), as it is when the engine is made.

    `slots`: responses that run at once. `columns`: longest prompt with its response, in tokens. Memory is taken for
    all slots, for as many columns as the longest text has needed, and for a copy of the weights with the adapter folded
    in. Several engines may share a trunk, each with its adapter, as long as one thread calls them.
    """

    def __init__(self, trunk: Trunk, adapter: str | None = None, slots: int = 16, columns: int = 1024) -> None:
        self._trunk, self._folded = trunk, trunk.fold(adapter)
        self._cache = SlotCache(slots, min(columns, trunk.context or columns))
        self._numbers = count()
        self._waiting: deque[Draft] = deque()
        self._running: list[Draft] = []  # by slot
        self._cancelled: list[Draft] = []  # not told yet
        self._prompt_states: dict[tuple[int, ...], Tensor] = {}  # at the ends of the running ones' prompts

    def submit(self, prompt: tuple[int, ...], parameters: SamplingParameters, seed: Seed, streamed: bool = True) -> int:
        """See `Sampler.submit`."""
        if not prompt:
            raise InputError("a prompt is empty; its last token is what the first token of a response is drawn from")
        if len(prompt) + parameters.max_tokens > self._cache.columns:
            raise InputError(
                f"a prompt of {len(prompt)} tokens and max_tokens = {parameters.max_tokens} exceed the "
                f"{self._cache.columns} tokens that there is room for; shorten the prompt or lower max_tokens"
            )
        self._require_stops(parameters)
        draft = Draft(next(self._numbers), self._trunk.encoder, prompt, parameters, seed, streamed)
        self._waiting.append(draft)
        return draft.request

    def _require_stops(self, parameters: SamplingParameters) -> None:
        """Refuse what could never end a response."""
        encoder = self._trunk.encoder
        for mark in parameters.stop:
            for token in encoder.special:
                if token in mark:
                    number = encoder.tokenizer.convert_tokens_to_ids(token)
                    raise InputError(
                        f"the stop text {mark!r} holds the special token {token!r}, which no text shows; stop at the "
                        f"token {number} instead (--stop-tokens {number})"
                    )
        tokens = len(encoder.tokenizer)
        for number in parameters.stop_tokens:
            if not 0 <= number < tokens:
                raise InputError(f"the stop token {number} is none of the {tokens} tokens that there are")

    def cancel(self, request: int) -> None:
        """See `Sampler.cancel`."""
        for draft in (*self._waiting, *self._running):
            if draft.request == request:
                draft.cancel()
                self._cancelled.append(draft)
        self._waiting = deque(draft for draft in self._waiting if draft.finish is None)
        self._leave()

    @property
    def busy(self) -> bool:
        """See `Sampler.busy`."""
        return bool(self._waiting or self._running or self._cancelled)

    def step(self) -> list[Event]:
        """See `Sampler.step`."""
        cancelled, self._cancelled = self._cancelled, []
        with self._trunk.holding(self._folded):
            self._draw(self._decode() + self._admit())
        told = [draft.news() for draft in (*cancelled, *self._running)]
        self._leave()
        return [event for event in told if event is not None]

    def _decode(self) -> list[Tensor]:
        """The newest tokens of all running responses through the trunk; the states there."""
        if not self._running:
            return []
        device = self._trunk.device
        ids_B1 = torch.tensor([draft.ids[-1:] for draft in self._running], device=device)
        columns_B = torch.tensor([draft.length - 1 for draft in self._running], device=device)
        shown = self._cache.at(columns_B, max(draft.length for draft in self._running))
        mask_B11L = unseen(torch.arange(shown, device=device) > columns_B[:, None], self._trunk.dtype)[:, None, None]
        return list(self._trunk.decode_BQD(ids_B1, columns_B[:, None], mask_B11L, self._cache)[:, 0])

    def _admit(self) -> list[Tensor]:
        """Those that wait into free slots, behind the running ones; the states at the ends of their prompts."""
        free = self._cache.slots - len(self._running)
        if not self._waiting or free < min(len(self._waiting), max(1, self._cache.slots // ADMITTED_SHARE)):
            return []
        new = [self._waiting.popleft() for _ in range(min(free, len(self._waiting)))]
        holders = {draft.prompt: slot for slot, draft in enumerate(self._running)}
        slots = range(len(self._running), len(self._running) + len(new))
        fresh = {draft.prompt: slot for slot, draft in zip(slots, new, strict=True) if draft.prompt not in holders}
        self._prefill(fresh)
        holders |= fresh
        pairs = [(holders[draft.prompt], slot) for slot, draft in zip(slots, new, strict=True)]
        self._cache.copy([(one, other) for one, other in pairs if one != other], max(draft.length for draft in new))
        self._running += new
        return [self._prompt_states[draft.prompt] for draft in new]

    def _prefill(self, slots: dict[tuple[int, ...], int]) -> None:
        """Prompts through the trunk and into these slots."""
        prompts = list(slots)
        for places, cache, states_PD in prefill(self._trunk, prompts):
            chosen = [prompts[place] for place in places]
            self._cache.put(torch.tensor([slots[prompt] for prompt in chosen], device=self._trunk.device), cache)
            self._prompt_states |= zip(chosen, states_PD, strict=True)

    def _draw(self, states: Sequence[Tensor]) -> None:
        """A token for each running response; those of the same parameters together."""
        alike: dict[SamplingParameters, list[int]] = {}
        for slot, draft in enumerate(self._running):
            alike.setdefault(draft.parameters, []).append(slot)
        for parameters, slots in alike.items():
            drafts = [self._running[slot] for slot in slots]
            states_BD = torch.stack([states[slot] for slot in slots])
            if not states_BD.isfinite().all():
                raise CheckFailed(
                    "the policy's hidden states are not numbers: its weights are damaged, or it overflows its dtype; "
                    "try another snapshot, or float32"
                )
            uniforms_B = torch.tensor([draft.uniform for draft in drafts], device=states_BD.device)
            parts = self._trunk.logits_by_parts(states_BD, parameters.temperature or 1, ROWS_DRAWN)
            drawn = [draw(*part, parameters) for part in zip(parts, uniforms_B.split(ROWS_DRAWN), strict=True)]
            tokens_B, logprobs_B = map(torch.cat, zip(*drawn, strict=True))
            for draft, token, logprob in zip(drafts, tokens_B.tolist(), logprobs_B.tolist(), strict=True):
                draft.append(token, logprob)

    def _leave(self) -> None:
        """Those that have ended give up their slots; the last ones move into the gaps."""
        alive = [slot for slot, draft in enumerate(self._running) if draft.finish is None]
        gaps = [slot for slot in range(len(alive)) if self._running[slot].finish is not None]
        movers = alive[len(alive) - len(gaps) :]
        pairs = list(zip(movers, gaps, strict=True))
        self._cache.copy(pairs, max((self._running[slot].length for slot in movers), default=0))
        for mover, gap in pairs:
            self._running[gap] = self._running[mover]
        del self._running[len(alive) :]
        prompts = {draft.prompt for draft in self._running}
        self._prompt_states = {prompt: state for prompt, state in self._prompt_states.items() if prompt in prompts}
