"""Snapshots on one trunk as the engine of the model process: one base, and each snapshot an adapter on it, which reads
dialogues behind the system text that it was trained with."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tutelage.collect.answers import SideRequest
from tutelage.collect.engines import Progress
from tutelage.dialogue import Prompt
from tutelage.modeling.encoding import Encoder
from tutelage.modeling.snapshot import load_snapshot, read_card
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError
from tutelage.sampling.engine import Engine
from tutelage.sampling.protocol import Event, Sampler


@dataclass(frozen=True, slots=True)
class _Text:
    ticket: int
    prompt: tuple[int, ...]
    side: SideRequest
    draws: int = 1  # how often it was drawn so far


class SnapshotEngine:
    """A batch a snapshot; a step takes each batch forward by a token, so that all answers grow at one speed.

    An answer without words is nothing to be judged: it is drawn again, with the seed (seed, 1), (seed, 2), …
    """

    def __init__(self, trunk: Trunk, places: Mapping[str, Path | None], slots: int, columns: int) -> None:
        """Puts the snapshots on the trunk, by name; the place None is the base itself. One that is asked for and is not
        there yet is put there from the place that its request names.

        `slots`: answers of a snapshot that run at once. `columns`: longest prompt with its answer, in tokens; of a
        longer thread the end is read.

        Raises:
            InputError: a snapshot of another base, damaged, or no policy.
        """
        self._trunk = trunk
        self._slots = slots
        self._columns = min(columns, trunk.context or columns)
        self._samplers: dict[str, Sampler] = {}
        self._encoders: dict[str, Encoder] = {}
        for name, place in places.items():
            self._add(name, place)
        self._texts: dict[tuple[str, int], _Text] = {}

    @property
    def busy(self) -> bool:
        return any(sampler.busy for sampler in self._samplers.values())

    def submit(self, ticket: int, prompt: Prompt, side: SideRequest) -> None:
        if side.snapshot not in self._samplers:
            self._add_known(side.snapshot, Path(side.place))
        room = self._columns - side.sampling.max_tokens
        if room < 1:
            raise InputError(f"max_tokens = {side.sampling.max_tokens} leaves no room in {self._columns} tokens")
        self._draw(_Text(ticket, self._encoders[side.snapshot].prompt_ids(prompt, room), side))

    def step(self) -> list[Progress]:
        made: list[Progress] = []
        for name, sampler in self._samplers.items():
            if sampler.busy:
                made += [progress for event in sampler.step() if (progress := self._progress(name, event))]
        return made

    def cancel(self, ticket: int) -> None:
        for (name, request), text in list(self._texts.items()):
            if text.ticket == ticket:
                del self._texts[name, request]
                self._samplers[name].cancel(request)

    def _add(self, name: str, place: Path | None) -> None:
        adapter, encoder = None, self._trunk.encoder
        if place is not None:
            adapter = f"snapshot-{len(self._samplers)}"
            encoder = _load(self._trunk, place, adapter)
        self._encoders[name] = encoder
        self._samplers[name] = Engine(self._trunk, adapter, self._slots, self._columns)

    def _add_known(self, name: str, place: Path) -> None:
        """Add a snapshot that was deployed after the start."""
        if not place.is_absolute() or read_card(place).name != name:
            raise InputError(f"the snapshot {name!r} is neither among those of the start nor at {str(place)!r}")
        self._add(name, place)

    def _draw(self, text: _Text) -> None:
        name, seed = text.side.snapshot, text.side.seed
        request = self._samplers[name].submit(
            text.prompt, text.side.sampling, seed if text.draws == 1 else (seed, text.draws - 1)
        )
        self._texts[name, request] = text

    def _progress(self, name: str, event: Event) -> Progress | None:
        text = self._texts.get((name, event.request))
        if text is None:
            return None  # cancelled
        if event.sample is None:
            return Progress(text.ticket, event.text)
        del self._texts[name, event.request]
        if not event.sample.text:
            self._draw(_Text(text.ticket, text.prompt, text.side, text.draws + 1))
            return None
        return Progress(text.ticket, event.text, event.sample.text, event.sample.finish)


def _load(trunk: Trunk, place: Path, adapter: str) -> Encoder:
    """Put a policy on the trunk; returns what dialogues are read with for it."""
    card = read_card(place)
    if card.role != "policy":
        raise InputError(f"{place}: a preference model, where a policy was expected")
    encoder = Encoder(trunk.encoder.tokenizer, replace(trunk.encoder.format, system=card.format.system))
    load_snapshot(place, trunk, adapter, encoder)
    return encoder
