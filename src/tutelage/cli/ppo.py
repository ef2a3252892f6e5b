"""`tutelage train ppo`, `train rloo`, `train grpo`: a policy from prompts and a preference model."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Column, Table

from tutelage.cli.options import named_as_options, require_prompt_room, require_writable
from tutelage.cli.policies import ADAPTER
from tutelage.cli.score import show_drops
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.progress import Bar, progress_bar
from tutelage.plumbing.sinks import Send, SinkName, import_sinks, open_sinks
from tutelage.training.policy_settings import GRPOSettings, PolicySettings, PPOSettings, RLOOSettings

if TYPE_CHECKING:
    from tutelage.dialogue import SamplingParameters
    from tutelage.loop.policy_run import PolicyRun
    from tutelage.modeling.snapshot import SnapshotCard
    from tutelage.modeling.trunk import Trunk
    from tutelage.training.checkpoint import Checkpoints
    from tutelage.training.ppo import OnStep
    from tutelage.training.prompt_order import PromptSource
    from tutelage.training.rollouts import PreferenceModel

SHOWN = {"reward": "reward", "heldout_reward": "held-out reward", "kl": "KL (nats)", "length": "length (tokens)",
         "entropy": "entropy (nats a token)"}  # fmt: skip
INITIAL = "initial"  # the initial policy's adapter
TOO_LONG = "the prompt is longer than max_prompt_tokens"


@dataclass(frozen=True)
class TrainOnReward:
    """What the three commands share."""

    prompts: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FILE[:WEIGHT]...")]
    """Files of prompts or comparisons; helpful, red_team: the embedded ones. Mixed by weight (1 if not given)."""
    pm: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The preference model that gives the reward. Base and dialogue format are its own."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Where the training is written: metrics.jsonl, samples.jsonl, snapshots, and the policy as `snapshot`."""
    heldout_pm: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """A preference model trained on other comparisons, which only watches; where the two part, the reward is hollow."""
    model: Annotated[str | None, tyro.conf.arg(metavar="NAME|DIR|HUB")] = None
    """The base; None: the one that the preference model was made on, by the name it had."""
    init: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The initial policy and reference: a snapshot (distilled, say); None: the base itself."""
    temperature: float = 1.0
    """Of the policy, in sampling and in training alike."""
    max_tokens: int = 128
    """Longest response, in tokens."""
    stop: tuple[str, ...] = ()
    """Texts that end a response."""
    stop_tokens: tuple[int, ...] = ()
    """Ids of tokens that end a response, besides the model's end token."""
    max_prompt_tokens: int | None = None
    """Leave longer prompts out; None: a prompt that does not fit into the base's context is an error."""
    snapshot_at: tuple[int, ...] = ()
    """Also keep the policy after so many steps, as DIR/snapshots/step-N."""
    sample_every: int = 10
    """Steps between two entries of responses in samples.jsonl; 0: none."""
    sample_prompts: int = 4
    """Prompts of an entry."""
    log: tuple[SinkName, ...] = ()
    """Also send the numbers of metrics.jsonl there; the package of that name must be installed."""
    checkpoint_every: int = 5
    """Steps between two checkpoints."""
    resume: bool = False
    """Go on with the interrupted training at --out."""
    seed: int = 0
    """Draws the adapter's first weights, the order of the prompts and the responses."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Number format of the base and of the passes; what is trained has fp32 masters in either."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where it runs."""
    overwrite: bool = False
    """Replace the training at --out."""
    json: bool = False
    """Print one JSON object on standard output."""

    settings: Annotated[PolicySettings, tyro.conf.arg(name="")] = field(default_factory=PPOSettings)

    def run(self) -> dict[str, Any]:
        from tutelage.plumbing.machine import keep_freed_memory

        keep_freed_memory()
        import torch

        from tutelage.loop.policy_run import PolicyRun
        from tutelage.modeling.base import load_base
        from tutelage.modeling.snapshot import load_snapshot
        from tutelage.training.rollouts import load_preference_model

        run = PolicyRun(self.out.resolve(), self.snapshot_at, self.sample_every, self.sample_prompts)
        parameters, sinks = self._parameters(), import_sinks(self.log)
        run.begin(self.resume, self.overwrite)
        cards = self._cards()
        trunk = load_base(self.model or cards["pm"].base, cards["pm"].format, getattr(torch, self.dtype), self.device)
        train_pm = load_preference_model(trunk, self.pm, "train_pm")
        heldout = load_preference_model(trunk, self.heldout_pm, "heldout") if self.heldout_pm else None
        if self.init is not None:
            load_snapshot(self.init, trunk, INITIAL)
        sources, read = self._sources(trunk)
        identity = self._identity(trunk, cards, read)
        require_writable(run.place)
        with run.held():
            checkpoints = run.checkpoints(identity, self.checkpoint_every, self.overwrite)
            with open_sinks(sinks, run.place, identity) as send:
                result = self._train(run, trunk, sources, train_pm, heldout, parameters, identity, checkpoints, send)
            result["drops"] = dict(sum((Counter(file["drops"]) for file in read), Counter[str]()))
            run.finish(identity, result)
        return result

    def _train(
        self,
        run: "PolicyRun",
        trunk: "Trunk",
        sources: "Sequence[PromptSource]",
        train_pm: "PreferenceModel",
        heldout: "PreferenceModel | None",
        parameters: "SamplingParameters",
        identity: Mapping[str, Any],
        checkpoints: "Checkpoints",
        send: Send,
    ) -> dict[str, Any]:
        """Train, leave the snapshot, and say how it went."""
        from tutelage.training.ppo import KLLimitPassed, train_on_reward

        lineage = {name: identity[name] for name in ("method", "pm", "init", "settings", "sampling", "seed", "dtype")}
        started = time.perf_counter()
        with progress_bar(self._method, self.settings.steps, "steps") as bar:
            note = self._noting(run, trunk, lineage, bar, send)
            try:
                metrics = train_on_reward(
                    trunk, ADAPTER, sources, train_pm, heldout, parameters, self.settings, self.seed, note,
                    checkpoints, INITIAL if self.init else None,
                )  # fmt: skip
            except KLLimitPassed as passed:
                name = run.save("snapshot", trunk, lineage)
                run.finish(identity, {"ended": "kl_limit", "snapshot": name})
                raise KLLimitPassed(f"{passed}; it is at {self.out / 'snapshot'}") from passed
            except KeyboardInterrupt:
                kept = "a checkpoint is kept" if checkpoints.there else "no step was done yet"
                raise KeyboardInterrupt(f"{kept}; go on with --resume ({self.out})") from None
        few = max(1, len(metrics) // 10)
        return {
            "snapshot": run.save("snapshot", trunk, {**lineage, "steps": len(metrics)}), "out": str(self.out),
            "steps": len(metrics), "responses": metrics[-1]["responses"], "seconds": time.perf_counter() - started,
            "ended": "steps" if len(metrics) == self.settings.steps else "kl_budget",
            "early": _means(metrics[:few]), "late": _means(metrics[-few:]),
        }  # fmt: skip

    def show(self, result: dict[str, Any]) -> None:
        console = Console()
        table = Table("mean over a tenth of the steps", *(Column(name, justify="right") for name in ("first", "last")))
        for name, title in SHOWN.items():
            if name in result["late"]:
                early = result["early"].get(name)
                table.add_row(title, "–" if early is None else f"{early:.3f}", f"{result['late'][name]:.3f}")
        console.print(table)
        show_drops(console, result["drops"])
        ended = "its KL budget was spent" if result["ended"] == "kl_budget" else "all steps are done"
        console.print(
            f"{result['responses']} responses in {result['steps']} steps and {result['seconds']:.0f} s ({ended}); "
            f"snapshot {result['snapshot']}: {self.out / 'snapshot'}",
            highlight=False,
        )

    @property
    def _compares(self) -> bool:
        """Whether scores are held against those of reference responses."""
        return isinstance(self.settings, PPOSettings) and self.settings.delta_reward

    @property
    def _method(self) -> str:
        return type(self.settings).__name__.removesuffix("Settings")

    def _parameters(self) -> "SamplingParameters":
        from tutelage.dialogue import SamplingParameters

        if self.seed < 0:
            raise InputError(f"--seed must be at least 0, not {self.seed}")
        for name in ("checkpoint_every", "sample_prompts", "max_prompt_tokens"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} must be at least 1, not {getattr(self, name)}")
        if not self.temperature > 0:
            raise InputError(f"--temperature must be above 0, not {self.temperature}")
        if self.sample_every < 0:
            raise InputError(f"--sample-every must be at least 0, not {self.sample_every}")
        if late := [step for step in self.snapshot_at if not 1 <= step <= self.settings.steps]:
            raise InputError(f"--snapshot-at {late[0]}: the training has steps 1 to {self.settings.steps}")
        with named_as_options():
            return SamplingParameters(
                temperature=self.temperature, max_tokens=self.max_tokens, stop=self.stop, stop_tokens=self.stop_tokens
            )

    def _cards(self) -> "dict[str, SnapshotCard]":
        """The cards of the models that are named.

        Raises:
            InputError: one is not what it is named for.
        """
        from tutelage.modeling.snapshot import read_card

        places = {"pm": self.pm, "heldout_pm": self.heldout_pm, "init": self.init}
        cards = {name: read_card(place) for name, place in places.items() if place is not None}
        for name, card in cards.items():
            wanted = "policy" if name == "init" else "preference"
            if card.role != wanted:
                raise InputError(
                    f"--{name.replace('_', '-')} {places[name]}: a {card.role} snapshot; give a {wanted} one"
                )
        if "init" in cards and cards["init"].layers is not None:
            raise InputError(
                f"--init {self.init}: a policy of {cards['init'].layers} layers only; give one of all layers"
            )
        return cards

    def _sources(self, trunk: "Trunk") -> "tuple[list[PromptSource], list[dict[str, Any]]]":
        """The prompts as ids by file, and what was read of each."""
        named = [_weighted(text) for text in self.prompts]
        if not named:
            raise InputError("--prompts: name at least one file")
        both = [self._source(trunk, path, weight) for path, weight in named]
        return [source for source, _ in both], [read for _, read in both]

    def _source(self, trunk: "Trunk", path: Path, weight: float) -> "tuple[PromptSource, dict[str, Any]]":
        from tutelage.corpus.training_prompts import read_training_prompts
        from tutelage.plumbing.files import sha256
        from tutelage.training.prompt_order import PromptSource

        asked, drops = read_training_prompts(path)
        encoder = trunk.encoder
        kept = {encoder.prompt_ids(prompt): reference for prompt, reference in asked.items()}
        if self.max_prompt_tokens is not None:
            fitting = {ids: reference for ids, reference in kept.items() if len(ids) <= self.max_prompt_tokens}
            drops, kept = drops + Counter({TOO_LONG: len(kept) - len(fitting)}), fitting
        if not kept:
            raise InputError(f"--prompts {path}: no prompt to train on (left out: {dict(drops)})")
        longest = max(map(len, kept))
        room = (trunk.context or 0) - self.max_tokens
        require_prompt_room(trunk, path, longest, self.max_tokens, f" by --max-prompt-tokens {room}")
        answered = {ids: encoder.response_ids(reference) for ids, reference in kept.items() if reference is not None}
        longest = max((len(ids) + len(reference) for ids, reference in answered.items()), default=0)
        if self._compares and trunk.context is not None and longest > trunk.context:
            raise InputError(
                f"--prompts {path}: a prompt with its reference response has {longest} tokens, and {trunk.name} reads "
                f"{trunk.context}; leave it out of the file"
            )
        references = list(answered.values())
        source = PromptSource(list(kept), weight, references if len(references) == len(kept) else ())
        hashed = sha256(path) if path.exists() else None
        return source, {
            "file": str(path),
            "sha256": hashed,
            "weight": weight,
            "prompts": len(kept),
            "drops": dict(drops),
        }

    def _identity(
        self, trunk: "Trunk", cards: "Mapping[str, SnapshotCard]", read: Sequence[dict[str, Any]]
    ) -> dict[str, Any]:
        """All that decides what the training does."""
        return {
            "method": self._method, "base": trunk.name, "base_hash": trunk.weights_hash,
            **{name: cards[name].name if name in cards else None for name in ("pm", "heldout_pm", "init")},
            "format": asdict(trunk.encoder.format), "prompts": list(read), "settings": asdict(self.settings),
            "sampling": asdict(self._parameters()), "seed": self.seed, "dtype": self.dtype, "device": self.device,
        }  # fmt: skip

    def _noting(self, run: "PolicyRun", trunk: "Trunk", lineage: Mapping[str, Any], bar: Bar, send: Send) -> "OnStep":
        """What is done after each step: files, what is sent elsewhere, and the bar."""
        shown, sent = 0, run.noted

        def note(metrics: Sequence[dict[str, Any]], batch: Any) -> None:
            nonlocal shown, sent
            run.note(metrics, batch, trunk, lineage)
            for step in metrics[sent:]:
                send(step)
            last, sent = metrics[-1], max(sent, len(metrics))
            bar.advance(len(metrics) - shown)
            shown = len(metrics)
            bar.note(f"reward {last['reward']:+.2f}  KL {last['kl']:.1f}  length {last['length']:.0f}")

        return note


@dataclass(frozen=True)
class TrainPPO(TrainOnReward):
    """Train a policy by PPO: reward = score of the preference model - λ_KL · KL from the initial policy.

    Writes a directory with the loss curves and snapshots. What was interrupted, by Ctrl-C or worse, goes on with
    --resume, to the same bits on CPU.
    """

    settings: Annotated[PPOSettings, tyro.conf.arg(name="")] = field(default_factory=PPOSettings)


@dataclass(frozen=True)
class TrainRLOO(TrainOnReward):
    """Train a policy by RLOO: REINFORCE against the mean of the prompt's other responses, without a critic.

    All else is as in `train ppo`.
    """

    settings: Annotated[RLOOSettings, tyro.conf.arg(name="")] = field(default_factory=RLOOSettings)


@dataclass(frozen=True)
class TrainGRPO(TrainOnReward):
    """Train a policy by GRPO: scores relative to the prompt's other responses, the KL penalty in the loss, no critic.

    All else is as in `train ppo`.
    """

    settings: Annotated[GRPOSettings, tyro.conf.arg(name="")] = field(default_factory=GRPOSettings)


def _weighted(text: str) -> tuple[Path, float]:
    """A file and its weight; what follows the last colon is a weight if it is a number."""
    name, colon, weight = text.rpartition(":")
    try:
        value = float(weight)
    except ValueError:
        return Path(text), 1.0
    if not colon or not 0 < value < float("inf"):
        raise InputError(f"--prompts {text}: expected FILE or FILE:WEIGHT with a weight above 0")
    return Path(name), value


def _means(metrics: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Of the figures that are shown, over these steps; those that a step lacks are left out."""
    return {
        name: sum(step[name] for step in metrics) / len(metrics)
        for name in SHOWN
        if all(name in step for step in metrics)
    }
