"""What the commands that draw responses share: which policy, and how."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from tutelage.cli.options import named_as_options
from tutelage.dialogue import SamplingParameters
from tutelage.plumbing.errors import InputError

if TYPE_CHECKING:
    from tutelage.modeling.policy import Policy


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Options of a policy and of how it is sampled."""

    model: Annotated[str, tyro.conf.arg(metavar="DIR|NAME|HUB")] = "smollm2-135m-instruct"
    """The policy: a snapshot directory, or a base (smollm2-135m-instruct, embedded; a directory; a hub id)."""
    temperature: float = 0.7
    """Logits are divided by it; 0: always the likeliest token."""
    top_p: float = 1.0
    """Draw from the likeliest tokens that have this share of the mass; 1: from all."""
    top_k: int = 0
    """Draw from so many of the likeliest tokens; 0: from all."""
    min_p: float = 0.0
    """Draw from tokens at least so many times as likely as the likeliest; 0: from all."""
    max_tokens: int = 128
    """Longest response, in tokens."""
    stop: tuple[str, ...] = ()
    """Texts that end a response; it ends before them."""
    stop_tokens: tuple[int, ...] = ()
    """Ids of tokens that end a response, besides the model's end token."""
    seed: int = 0
    """Makes the random numbers."""
    dtype: Literal["bfloat16", "float32"] | None = None
    """Number format of the model; None: as in training, bfloat16 where nothing says it."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where it runs."""
    template: Literal["chat", "hh"] | None = None
    """How a dialogue becomes text: chat, the base's own chat template; hh, the plain marks of the HH-RLHF files.
    None: as a snapshot was trained, chat for a base."""
    system: str | None = None
    """What stands before the first turn of a base; None: as a snapshot was trained, nothing for a base."""
    json: bool = False
    """Print one JSON object on standard output."""

    def parameters(self) -> SamplingParameters:
        """Raises InputError where an option cannot be."""
        if self.seed < 0:
            raise InputError(f"--seed must be at least 0, not {self.seed}")
        with named_as_options():
            return SamplingParameters(
                self.temperature, self.top_p, self.max_tokens, self.stop, self.top_k, self.min_p, self.stop_tokens
            )

    def policy(self) -> "Policy":
        """The model, loaded."""
        import torch

        from tutelage.modeling.encoding import DialogueFormat
        from tutelage.modeling.policy import load_policy

        asked = self.template is not None or self.system is not None
        dialogue_format = DialogueFormat(self.template or "chat", self.system or "") if asked else None
        return load_policy(self.model, dialogue_format, self.dtype and getattr(torch, self.dtype), self.device)
