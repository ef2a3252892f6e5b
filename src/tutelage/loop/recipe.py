"""A recipe: a TOML file that holds every setting of a run. An unknown key is an error."""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from importlib.resources import files
from math import isfinite
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from tutelage.dialogue import SamplingParameters
from tutelage.modeling.base import Device
from tutelage.modeling.encoding import DialogueFormat
from tutelage.plumbing.errors import InputError, require_positive
from tutelage.training.ppo import PPOSettings
from tutelage.training.preference import PreferenceSettings


@dataclass(frozen=True)
class Needs:
    """What a run needs of a machine with two cores, from measurement; `tutelage doctor` reads it."""

    minutes: float
    memory_gib: float
    disk_gib: float


@dataclass(frozen=True)
class CrowdSettings:
    """The simulated crowd. Its held-out workers judge only in the evaluation."""

    workers: int = 24
    heldout_workers: int = 24

    def __post_init__(self) -> None:
        for name in ("workers", "heldout_workers"):
            if getattr(self, name) < 5:
                raise ValueError(f"{name} must be at least 5, not {getattr(self, name)}")


@dataclass(frozen=True)
class CollectionSettings:
    """How comparisons are collected in a round."""

    responses_per_snapshot: int = 2
    """responses that each of the two deployed snapshots gives to a prompt"""
    comparisons_per_prompt: int = 4
    """pairs of these that are judged, each by one worker"""
    prompts: int = 0
    """prompts a round, at most; 0: all of the split"""
    guided_system: str = ""
    """system text under which the base is deployed beside itself in round 1, so that the pool holds what the base
    alone would never say (a stand-in for the paper's context distillation)"""
    heldout_share: float = 0.5
    """share of the prompts whose comparisons go to the held-out preference model only"""

    def __post_init__(self) -> None:
        require_positive(self, "responses_per_snapshot", "comparisons_per_prompt")
        if self.prompts < 0:
            raise ValueError(f"prompts must be at least 0, not {self.prompts}")
        if not 0 < self.heldout_share < 1:
            raise ValueError(f"heldout_share must lie between 0 and 1, not {self.heldout_share}")


@dataclass(frozen=True)
class EvaluationSettings:
    """How snapshots are rated."""

    split: Literal["held_out", "validation"] = "held_out"
    """`held_out` for results; `validation` while settings are being chosen"""
    prompts: int = 0
    """at most; 0: all of the split"""
    responses: int = 1
    """responses of each snapshot to each prompt"""
    judgments_per_pair: int = 3
    """judgments of each two snapshots' responses to a prompt, by different held-out workers"""
    sample_prompts: int = 6
    """prompts whose median responses of base and final are shown in the report"""
    sample_of: int = 5
    """responses of which the median by preference-model score is shown"""

    def __post_init__(self) -> None:
        require_positive(self, "responses", "judgments_per_pair", "sample_prompts", "sample_of")
        if self.prompts < 8 and self.prompts != 0:  # two of the rarer kind
            raise ValueError(f"prompts must be 0 (all) or at least 8, not {self.prompts}: intervals are over prompts")


@dataclass(frozen=True)
class Recipe:
    """All settings of a run of the loop."""

    name: str
    base: str
    needs: Needs
    seed: int = 0
    rounds: int = 2
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    device: Device = "cpu"
    format: DialogueFormat = field(default_factory=DialogueFormat)
    sampling: SamplingParameters = field(default_factory=SamplingParameters)
    crowd: CrowdSettings = field(default_factory=CrowdSettings)
    collection: CollectionSettings = field(default_factory=CollectionSettings)
    preference: PreferenceSettings = field(default_factory=PreferenceSettings)
    ppo: PPOSettings = field(default_factory=PPOSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)

    def __post_init__(self) -> None:
        require_positive(self, "rounds")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, not {self.seed}")
        if not self.sampling.trainable:
            raise ValueError("sampling must be without top_p, top_k and min_p, at a temperature above 0, for PPO")


def load_recipe(name: str) -> Recipe:
    """A recipe by the name of a shipped one (`laptop`, `smoke`) or by the path of a TOML file.

    Raises:
        InputError: no such recipe, not TOML, an unknown or missing key, a value of the wrong type.
    """
    shipped = Path(str(files("tutelage"))) / "recipes"
    place = shipped / f"{name}.toml" if not name.endswith(".toml") else Path(name)
    try:
        content = tomllib.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        names = ", ".join(sorted(path.stem for path in shipped.glob("*.toml")))
        raise InputError(f"no recipe {name!r}: give one of {names}, or the path of a .toml file") from error
    except (OSError, ValueError) as error:
        raise InputError(f"recipe {place}: {error}") from error
    recipe: Recipe = _record(Recipe, content, f"recipe {place}", "")
    return recipe


def _record(kind: Any, content: Mapping[str, Any], where: str, prefix: str) -> Any:
    """A settings dataclass from a TOML table."""
    known, types = {f.name: f for f in fields(kind)}, get_type_hints(kind)
    for key in content:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            cure = f"did you mean {prefix}{near[0]}?" if near else f"known here: {', '.join(known)}"
            raise InputError(f"{where}: unknown key {prefix}{key}; {cure}")
    for setting in known.values():
        if setting.name not in content and setting.default is MISSING and setting.default_factory is MISSING:
            raise InputError(f"{where}: the key {prefix}{setting.name} is missing")
    values = {key: _value(types[key], value, where, prefix + key) for key, value in content.items()}
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        table = f" [{prefix.rstrip('.')}]" if prefix else ""
        raise InputError(f"{where}{table}: {error}") from error


def _value(kind: Any, value: Any, where: str, key: str) -> Any:
    if is_dataclass(kind):
        if not isinstance(value, dict):
            raise InputError(f"{where}: {key} must be a table [{key}]")
        return _record(kind, value, where, f"{key}.")
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise InputError(f"{where}: {key} must be one of {', '.join(map(repr, get_args(kind)))}, not {value!r}")
        return value
    if get_origin(kind) is tuple:
        part = get_args(kind)[0]
        if not isinstance(value, list) or not all(type(one) is part for one in value):
            names = {str: "texts", int: "whole numbers"}
            raise InputError(f"{where}: {key} must be a list of {names[part]}, not {value!r}")
        return tuple(value)
    allowed = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if isinstance(value, float) and not isfinite(value):
        raise InputError(f"{where}: {key} must be a finite number, not {value!r}")
    if float in allowed and type(value) is int:
        return float(value)
    if type(value) not in allowed:
        raise InputError(f"{where}: {key} must be {' or '.join(k.__name__ for k in allowed)}, not {value!r}")
    return value
