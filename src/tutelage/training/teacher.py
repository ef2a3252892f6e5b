"""The teacher of context distillation: what the base says behind a prompt, stored once for students of every size.

Section A.1 of Bai et al. 2022: at every token of a text behind the prompt, the log-probs of the 50 likeliest tokens and
one class for all the others. Students see the same tokens without the prompt.
B passages at once, S passage length, T tokens over all passages, K = 50 kept tokens, C = K + 1 classes, D width,
V vocabulary.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tutelage.dialogue import Dialogue, Message
from tutelage.modeling.encoding import Ids
from tutelage.modeling.rows import token_batches
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import replacing
from tutelage.sampling.cache import PromptCache, hidden_PSD
from tutelage.training.passages import Passage, PassageKind, around_turn

KEPT = 50
PASS_TOKENS = 2048  # passage tokens that pass the trunk at once


@dataclass(frozen=True)
class Manifest:
    """What a teacher file was made from."""

    base: str
    base_hash: str
    fingerprint: str
    format: Mapping[str, str]
    prompt: list[str]
    """the texts of the prompt's turns, the human's first"""
    opening: list[int]
    """ids before every passage, as students see it"""
    temperature: float
    origin: Mapping[str, Any]
    """data files with their hashes, seed, number format, …"""

    @property
    def turns(self) -> tuple[Message, ...]:
        """The prompt itself."""
        return Dialogue.from_turns(*self.prompt).messages

    @property
    def prompt_hash(self) -> str:
        return hashlib.sha256(json.dumps(self.prompt).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Teacher:
    """Passages with the teacher's word at each of their tokens, in the order of the passages."""

    manifest: Manifest
    passages: list[Passage]
    kept_TK: Tensor
    """int32 ids, the likeliest first"""
    logprobs_TC: Tensor
    """fp16; the last class is all the rest"""

    @property
    def opening(self) -> Ids:
        return tuple(self.manifest.opening)

    def classes(self, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Kept ids (T, K) and log-probs (T, C) of these passages, one behind the other.

        fp32, and made to sum to 1 again, which their rounding to fp16 undid.
        """
        starts = torch.tensor([0, *(len(passage.ids) for passage in self.passages)]).cumsum(0).tolist()
        parts = [slice(starts[place], starts[place + 1]) for place in places]
        kept_TK = torch.cat([self.kept_TK[part] for part in parts]).long()
        return kept_TK, torch.cat([self.logprobs_TC[part] for part in parts]).float().log_softmax(-1)


def teach(
    trunk: Trunk,
    prompt: Sequence[Message],
    passages: Sequence[Passage],
    temperature: float,
    origin: Mapping[str, Any],
    on_done: Callable[[int], None] = lambda count: None,
) -> Teacher:
    """What the bare base says behind `prompt` at each token of the passages; the prompt passes the trunk once.

    Raises:
        InputError: the prompt with a passage exceeds the base's context.
    """
    manifest = Manifest(
        trunk.name, trunk.weights_hash, trunk.encoder.fingerprint, asdict(trunk.encoder.format),
        [message.text for message in prompt], list(around_turn(trunk.encoder)[0]), temperature, origin,
    )  # fmt: skip
    prompted = Prompted(trunk, around_turn(trunk.encoder, prompt)[0])
    kept: list[Tensor] = [torch.empty(0)] * len(passages)
    logprobs = list(kept)
    for places in token_batches([len(passage.ids) for passage in passages], PASS_TOKENS):
        for place, states_SD in zip(places, prompted.states([passages[place].ids for place in places]), strict=True):
            logits_SV = trunk.logits(states_SD, temperature)
            kept_SK = logits_SV.topk(KEPT).indices
            kept[place], logprobs[place] = kept_SK.int().cpu(), class_logprobs(logits_SV, kept_SK).half().cpu()
        on_done(len(places))
    return Teacher(manifest, list(passages), torch.cat(kept), torch.cat(logprobs))


def class_logprobs(logits_TV: Tensor, kept_TK: Tensor) -> Tensor:
    """Log-probs (T, C) of the kept tokens and, last, of all the others together.

    The others' is a sum over their own logits: 1 less the kept ones' would be nothing but rounding where they hold
    nearly all of the mass.
    """
    total_T1 = logits_TV.logsumexp(-1, keepdim=True)
    others_T1 = logits_TV.scatter(1, kept_TK, float("-inf")).logsumexp(-1, keepdim=True)
    return torch.cat([logits_TV.gather(1, kept_TK), others_T1], 1) - total_T1


class Prompted:
    """The bare base behind an opening that has passed it once, whatever number of passages follow."""

    def __init__(self, trunk: Trunk, opening: Ids) -> None:
        self._trunk = trunk
        self._length = len(opening)
        self._opening = PromptCache()
        self._last_D = self._pass(0, [opening], self._opening)[0, -1]

    def states(self, passages: Sequence[Ids]) -> list[Tensor]:
        """Of each passage, the states (S, D) that predict its tokens, the first one's from the opening's last token.

        Raises:
            InputError: the opening with a passage exceeds the base's context.
        """
        width = max(map(len, passages))
        if self._trunk.context is not None and self._length + width > self._trunk.context:
            raise InputError(
                f"a prompt of {self._length} tokens and a passage of {width} exceed the base's context of "
                f"{self._trunk.context}; lower --max-tokens, give a shorter --prompt, or choose another base"
            )
        hidden_BSD = self._pass(self._length, passages, PromptCache(self._opening))
        first_B1D = self._last_D.expand(len(passages), 1, -1)
        ahead_BSD = torch.cat([first_B1D, hidden_BSD[:, :-1]], 1)
        return [ahead_SD[: len(passage)] for ahead_SD, passage in zip(ahead_BSD, passages, strict=True)]

    def _pass(self, before: int, passages: Sequence[Ids], cache: PromptCache) -> Tensor:
        with self._trunk.using(None):
            return hidden_PSD(self._trunk, cache, before, passages)


# The file: one safetensors with the manifest in its header.


def save_teacher(place: Path, teacher: Teacher) -> None:
    """Write a teacher file, whole or not at all."""
    passages = teacher.passages
    tensors = {
        "ids_T": torch.tensor([token for passage in passages for token in passage.ids], dtype=torch.int32),
        "lengths_N": torch.tensor([len(passage.ids) for passage in passages], dtype=torch.int32),
        "kinds_N": torch.tensor([get_args(PassageKind).index(passage.kind) for passage in passages]).byte(),
        "held_out_N": torch.tensor([passage.held_out for passage in passages]),
        "kept_TK": teacher.kept_TK,
        "logprobs_TC": teacher.logprobs_TC,
    }
    with replacing(place) as beside:
        save_file(tensors, beside, {"manifest": json.dumps(asdict(teacher.manifest))})


def load_teacher(place: Path, trunk: Trunk) -> Teacher:
    """A teacher file for students on this trunk.

    Raises:
        InputError: no teacher file, a damaged one, or one made on another base or with another tokenizer or format.
    """
    try:
        with safe_open(place, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            manifest = Manifest(**json.loads((file.metadata() or {})["manifest"]))
        teacher = Teacher(manifest, _passages(tensors), tensors["kept_TK"], tensors["logprobs_TC"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{place}: not a teacher file of this version ({error}); make it anew") from error
    if manifest.base_hash != trunk.weights_hash:
        raise InputError(f"{place}: made on base {manifest.base!r}, not on {trunk.name!r} as given by --model")
    if manifest.fingerprint != trunk.encoder.fingerprint:
        raise InputError(f"{place}: made with another tokenizer or dialogue format ({dict(manifest.format)})")
    return teacher


def _passages(tensors: Mapping[str, Tensor]) -> list[Passage]:
    parts = tensors["ids_T"].split(tensors["lengths_N"].tolist())
    kinds = [get_args(PassageKind)[kind] for kind in tensors["kinds_N"].tolist()]
    held_out = tensors["held_out_N"].tolist()
    rows = zip(parts, kinds, held_out, strict=True)
    return [Passage(tuple(ids_S.tolist()), kind, held) for ids_S, kind, held in rows]
