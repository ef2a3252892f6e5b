"""`tutelage train`: one model, from files of comparisons."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro
from rich.console import Console

from tutelage.cli.options import require_place, require_room, settings_from
from tutelage.cli.score import show_drops, show_quality
from tutelage.dialogue import Comparison, Kind
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.progress import Bar, progress_bar

if TYPE_CHECKING:
    from tutelage.corpus.rules import DropCounts
    from tutelage.modeling.trunk import Trunk
    from tutelage.training.checkpoint import Checkpoints
    from tutelage.training.preference import PreferenceSettings, Trained

SPLIT_SALT = "train pm --held-out"  # the same always: a prompt never changes its side
LATE_STEPS = 20  # the loss of a single step is mostly noise; what is shown is the mean of so many
ADAPTER = "preference"


@dataclass(frozen=True)
class TrainingData:
    """What was read: comparisons to train on, those kept apart by prompt, test sets by name, the files, and what was
    left out."""

    train: list[Comparison] = field(default_factory=list)
    held_out: list[Comparison] = field(default_factory=list)
    tests: dict[str, list[Comparison]] = field(default_factory=dict)
    files: list[dict[str, Any]] = field(default_factory=list)
    drops: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class TrainPM:
    """Train a preference model: a pass over comparisons, an adapter and a score head on a frozen base.

    Writes a snapshot directory with the loss curve (metrics.jsonl) and a card (model_card.json), or nothing. What was
    interrupted, by Ctrl-C or worse, goes on from its last checkpoint with --resume, to the same bits on CPU.
    """

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The snapshot directory to write."""
    comparisons: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE...")] = ()
    """JSONL or JSONL.gz files of comparisons, or names of sources (`tutelage data list`)."""
    feedback: Annotated[str | None, tyro.conf.arg(metavar="URL")] = None
    """The database of what people judged, a file of SQLite or postgresql://USER@HOST/NAME; with or without files."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Where sources that are named are looked for; None: $TUTELAGE_DATA."""
    test: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE...")] = ()
    """Files or sources to measure on at the end, each by itself; they decide nothing."""
    allow_overlap: bool = False
    """Measure on --test even where it shares first human turns with what is trained on."""
    model: Annotated[str, tyro.conf.arg(metavar="NAME|DIR|HUB")] = "smollm2-135m-instruct"
    """The base: smollm2-135m-instruct (embedded), a directory or a hub id; tiny-random: a toy for tests."""
    init: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Start from this preference model (one that was pretrained on votes, say); keep its rank, layers and pooling."""
    kind: Kind = "helpful"
    """The kind of the comparisons of hh and trl files, which do not say it."""
    held_out: float = 0.1
    """Share of first human turns whose comparisons are kept out of training and measured at the end; 0: none."""
    pairs: int | None = None
    """Train on so many comparisons, drawn at random; None: on all."""
    harmless_share: float | None = None
    """Share of harmless ones among them, 0 to 1; None: as it is."""
    learning_rate: float = 5e-4
    """Learning rate of the adapter, reached after --warmup steps."""
    head_learning_rate: float = 2e-3
    """Learning rate of the score head, likewise."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Of both learning rates, besides the warm-up: constant, or towards 0 on a line or half a cosine."""
    warmup: int = 3
    """Steps over which the learning rates rise."""
    epochs: int = 1
    """Passes over the comparisons; a second one mostly learns them by heart. 0: the --probe is all."""
    probe: float = 0.0
    """Begin the score head as a linear probe of the base, with an L2 penalty of this strength; 0: at zero."""
    batch_pairs: int = 16
    """Comparisons a step (at least; a prompt's comparisons stay together)."""
    rank: int = 16
    """Rank of the LoRA adapter; 0: whole weights (full fine-tuning)."""
    pooling: Literal["last", "mean"] = "last"
    """Where the score is read: last, the end-of-context token; mean, also the response's mean state."""
    layers: int | None = None
    """Layers of the base below the score head; None: all. Fewer are faster."""
    max_tokens: int = 1024
    """Longest prompt with its responses, in tokens; over-long prompts keep their end, responses are never cut."""
    token_budget: int = 2048
    """Tokens that pass the base at once: less memory if smaller."""
    min_strength: Literal[1, 2, 3, 4] = 2
    """Comparisons of lower strength (1 barely to 4 much) are left out; hh and trl files do not say it."""
    strength_labels: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    """Soft labels: the chance that the chosen response is the better one, by strength 1 to 4."""
    label_smoothing: float = 0.0
    """How likely a judgment is taken to be the wrong way round, 0 to 0.5."""
    harmless_weight: float = 1.0
    """What a harmless comparison counts in the loss, a helpful one counting 1 (λ of the paper's loss weighting)."""
    clip_norm: float = 1.0
    """Largest norm of a step's gradient."""
    eval_every: int = 0
    """Steps between two measurements on the held-out comparisons; 0: only at the end."""
    patience: int = 0
    """Stop after so many measurements without a lower held-out loss; 0: never."""
    checkpoint_every: int = 20
    """Steps between two checkpoints."""
    resume: bool = False
    """Go on from the checkpoint that an interrupted training has left beside --out."""
    seed: int = 0
    """Draws the adapter's first weights and the order of the comparisons."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Number format of the base and of the passes; what is trained has fp32 masters in either."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where it runs."""
    template: Literal["chat", "hh"] = "chat"
    """How a dialogue becomes text: chat, the base's own chat template; hh, the plain marks of the HH-RLHF files."""
    system: str = ""
    """What stands before the first turn."""
    overwrite: bool = False
    """Replace the snapshot that is at --out."""
    json: bool = False
    """Print one JSON object on standard output."""

    when_stopped: ClassVar[str] = "the same command with --resume goes on from the last checkpoint, where there is one"

    def run(self) -> dict[str, Any]:
        from tutelage.plumbing.machine import keep_freed_memory

        keep_freed_memory()
        import torch

        from tutelage.modeling.base import load_base
        from tutelage.modeling.encoding import DialogueFormat
        from tutelage.training.preference import train_preference_model

        settings = self._settings()
        require_place(self.out, self.overwrite)
        data = self._read()
        dialogue_format = DialogueFormat(self.template, self.system)
        trunk = load_base(self.model, dialogue_format, getattr(torch, self.dtype), self.device)
        _require_depth(trunk, settings)
        checkpoints = self._checkpoints(trunk, settings, data)
        started = time.perf_counter()
        with progress_bar("preference model", settings.passes * len(data.train), "pairs") as bar:
            trained = train_preference_model(
                trunk, ADAPTER, data.train, settings, self.seed, _reporting(bar), data.held_out,
                checkpoints, self.init,
            )  # fmt: skip
        seconds = time.perf_counter() - started
        held_out, too_long = _measure(trunk, trained, data.held_out, settings.max_tokens)
        tests = {name: _measure(trunk, trained, rows, settings.max_tokens) for name, rows in data.tests.items()}
        result = {
            "pairs": trained.pairs,
            "drops": dict(sum((drops for _, drops in tests.values()), data.drops + Counter(trained.drops) + too_long)),
            "final_loss": _mean_loss(trained.metrics[-LATE_STEPS:]),
            "seconds": seconds,
            "pairs_per_second": trained.pairs / seconds,
            "held_out": held_out,
            "tests": {name: quality for name, (quality, _) in tests.items()},
        }
        name = self._save(trunk, trained, settings, data, result)
        checkpoints.clear()
        return {"snapshot": name, "out": str(self.out), **result}

    def show(self, result: dict[str, Any]) -> None:
        console = Console()
        console.print(
            f"trained on {result['pairs']} pairs in {result['seconds']:.0f} s ({result['pairs_per_second']:.1f} "
            f"pairs/s); loss of the last steps {result['final_loss']:.3f} (0.693: cannot tell)"
        )
        if result["held_out"]:
            chose = ", which said when to stop" if self.patience else ""
            console.print(f"held-out prompts{chose}:")
            show_quality(console, result["held_out"])
        for name, quality in result["tests"].items():
            console.print(f"{name}:", highlight=False)
            if quality:
                show_quality(console, quality)
        show_drops(console, result["drops"])
        console.print(f"snapshot {result['snapshot']}: {result['out']}", highlight=False)

    def _settings(self) -> "PreferenceSettings":
        from tutelage.modeling.snapshot import read_card
        from tutelage.training.preference import PreferenceSettings

        if self.checkpoint_every < 1:
            raise InputError(f"--checkpoint-every must be at least 1, not {self.checkpoint_every}")
        if self.harmless_share is not None and not 0 <= self.harmless_share <= 1:
            raise InputError(f"--harmless-share must lie between 0 and 1, not {self.harmless_share}")
        if self.patience and not (self.eval_every and self.held_out):
            raise InputError("--patience needs --eval-every and --held-out: without measurements nothing can stall")
        if self.init is None:
            return settings_from(self, PreferenceSettings)
        card = read_card(self.init)
        if card.pooling is None:
            raise InputError(f"--init {self.init}: a policy; give a preference model")
        its = {"rank": card.rank, "layers": card.layers, "pooling": card.pooling}
        for name, value in its.items():
            if getattr(self, name) not in (getattr(type(self), name), value):
                raise InputError(
                    f"--{name} {getattr(self, name)}: the {name} of --init {self.init} is {value}, and stays"
                )
        return settings_from(self, PreferenceSettings, **its)

    def _read(self) -> TrainingData:
        """The comparisons that are strong enough, split by first human turn.

        Raises:
            InputError: a file that cannot be read, or too few comparisons for what was asked.
        """
        from tutelage.corpus.locate import DataFile, locate_all
        from tutelage.corpus.rules import DropCounts
        from tutelage.corpus.splits import overlap, split_by_prompt
        from tutelage.plumbing.files import sha256
        from tutelage.training.mixture import mix
        from tutelage.training.pairs import drop_weakest

        if not self.comparisons and self.feedback is None:
            raise InputError("nothing to train on: give --comparisons or --feedback")
        counts, files = DropCounts(), []

        def usable(names: tuple[Path, ...], **noted: bool) -> Iterator[Comparison]:
            own = DataFile(Path(), "auto", self.kind)
            for file in locate_all(names, self.data, own):
                rows = list(counts.sift(file.rows()))
                files.append(
                    {
                        "file": str(file.path),
                        "sha256": sha256(file.path),
                        "usable": len(rows),
                        "licence": file.licence,
                        **noted,
                    }
                )
                yield from rows

        collected, left_out = self._feedback(counts, files)
        kept, weak = drop_weakest(chain(usable(self.comparisons), collected), self.min_strength)
        tests = {str(name): list(usable((name,), test=True)) for name in self.test}
        drops = Counter(counts.by_key()) + Counter({"strength below min_strength": weak}) + left_out
        train, held_out = split_by_prompt(kept, self.held_out, SPLIT_SALT)
        mixed = mix(train, self.pairs, self.harmless_share, self.seed)
        shared = overlap(mixed, list(chain.from_iterable(tests.values())))
        if shared.prompts and not self.allow_overlap:
            raise InputError(
                f"--test shares {shared.prompts} first human turns with what is trained on ({shared.test} of its "
                f"comparisons; {shared.examples[0][:60]!r}, say): a model is measured too kindly on these; train on "
                "other comparisons, or say --allow-overlap"
            )
        apart = {name: self._forms(rows) for name, rows in tests.items()}
        data = TrainingData(self._forms(mixed), self._forms(held_out), apart, files, drops)
        if not data.train or (self.held_out and not held_out):
            names = ", ".join(map(str, filter(None, (*self.comparisons, self.feedback)))) or "no file named"
            raise InputError(
                f"{names}: {len(data.train)} comparisons to train on and {len(data.held_out)} held out "
                f"(left out: {dict(drops)}); give more comparisons or another --held-out (0: none)"
            )
        return data

    def _feedback(self, counts: "DropCounts", files: list[dict[str, Any]]) -> tuple[list[Comparison], Counter[str]]:
        """The comparisons of the database (noted among the files by the hash of what was read), and what gave none."""
        if self.feedback is None:
            return [], Counter()
        from tutelage.cli.feedback import known
        from tutelage.feedback.database.collected import conversations_in
        from tutelage.feedback.database.source import FeedbackSource, hash_of

        source = FeedbackSource(known(self.feedback))
        with progress_bar("feedback", conversations_in(source.database), "conversations") as bar:
            rows = list(counts.sift(source.rows(bar.advance)))
        files.append({"file": source.database.name, "sha256": hash_of(rows), "usable": len(rows), "licence": None})
        return rows, Counter({reason.key: count for reason, count in source.left_out.items()})

    def _forms(self, comparisons: list[Comparison]) -> list[Comparison]:
        """What is made of the comparisons before they are trained on and tried."""
        return comparisons

    @property
    def _binarised(self) -> bool:
        """Whether that is the GOOD:/BAD: forms."""
        return False

    def _checkpoints(self, trunk: "Trunk", settings: "PreferenceSettings", data: TrainingData) -> "Checkpoints":
        """Where this training leaves its checkpoints: beside --out, so that a snapshot appears there only when whole.

        Raises:
            InputError: one lies there and it was not said what to do with it, or none does that --resume could take up.
        """
        from tutelage.modeling.snapshot import read_card
        from tutelage.training.checkpoint import Checkpoints

        out = self.out.resolve()
        place = out.with_name(f".{out.name}.checkpoint")
        identity = {
            "base": trunk.weights_hash, "fingerprint": trunk.encoder.fingerprint, "dtype": self.dtype,
            "device": self.device, "settings": asdict(settings), "seed": self.seed, "data": data.files,
            "binarised": self._binarised, "kind": self.kind, "held_out": self.held_out, "pairs": self.pairs,
            "harmless_share": self.harmless_share, "init": read_card(self.init).weights_hash if self.init else None,
        }  # fmt: skip
        checkpoints = Checkpoints(place, identity, self.checkpoint_every)
        if self.resume and not checkpoints.there:
            raise InputError(f"--resume: no checkpoint at {place}; leave --resume out to start anew")
        if checkpoints.there and not self.resume:
            if not self.overwrite:
                raise InputError(f"{place}: an interrupted training; go on by --resume, or start anew by --overwrite")
            checkpoints.clear()
        return checkpoints

    def _save(
        self,
        trunk: "Trunk",
        trained: "Trained",
        settings: "PreferenceSettings",
        data: TrainingData,
        result: Mapping[str, Any],
    ) -> str:
        """Write the snapshot with its loss curve and card, whole or not at all; returns its name."""
        from tutelage.loop.run import versions
        from tutelage.modeling.snapshot import read_card, save_snapshot
        from tutelage.plumbing.files import replacing, write_json, write_jsonl

        origin = {
            "data": data.files, "settings": asdict(settings), "seed": self.seed, "dtype": self.dtype,
            "binarised": self._binarised, "initial": read_card(self.init).name if self.init else None,
            "initial_data": read_card(self.init).read if self.init else [],
        }  # fmt: skip
        with replacing(self.out.resolve()) as beside:
            snapshot = save_snapshot(beside, trunk, ADAPTER, settings.rank, trained.head, origin)
            write_jsonl(beside / "metrics.jsonl", trained.metrics)
            card = {
                "snapshot": snapshot.name, "base": trunk.name, "format": asdict(trunk.encoder.format), **origin,
                "held_out_share": self.held_out, "pairs_asked": self.pairs, "harmless_share": self.harmless_share,
                "reference": {"prompts": trained.reference, "mean_taken_off": float(trained.head.offset)},
                **result, "versions": versions(),
            }  # fmt: skip
            write_json(beside / "model_card.json", card)
        return snapshot.name


@dataclass(frozen=True)
class TrainPMP(TrainPM):
    """Pretrain a preference model on what is not people's judgments of two answers: votes, ranked trees, edits.

    Every pair becomes two, GOOD:A over BAD:A and BAD:B over GOOD:B: that transfers better to what comes after (Askell
    et al. 2021). Train on people's comparisons next: `tutelage train pm --init DIR`. All else is as in `train pm`.
    """

    plain: bool = False
    """Take the pairs as they are."""

    def _forms(self, comparisons: list[Comparison]) -> list[Comparison]:
        from tutelage.corpus.binarised import binarised

        return [form for one in comparisons for form in binarised(one)] if self._binarised else comparisons

    @property
    def _binarised(self) -> bool:
        return not self.plain


def _require_depth(trunk: "Trunk", settings: "PreferenceSettings") -> None:
    """Refuse what the base cannot do and what would otherwise be cut down in silence."""
    depth = trunk.model.config.num_hidden_layers
    if settings.layers and settings.layers > depth:
        raise InputError(f"--layers {settings.layers}: {trunk.name} has {depth} layers")
    require_room(trunk, settings.max_tokens)


def _reporting(bar: Bar) -> Callable[[int, Mapping[str, Any]], None]:
    """What moves the bar by each step's pairs and notes the mean loss of late."""
    late: deque[Mapping[str, Any]] = deque(maxlen=LATE_STEPS)

    def on_step(pairs: int, metrics: Mapping[str, Any]) -> None:
        bar.advance(pairs)
        if metrics:  # none while a probe's features are taken
            late.append(metrics)
            bar.note(f"loss {_mean_loss(late):.3f}")

    return on_step


def _mean_loss(steps: "deque[Mapping[str, Any]] | list[dict[str, Any]]") -> float:
    """Mean over the pairs of these steps."""
    return float(sum(step["loss"] * step["pairs"] for step in steps) / sum(step["pairs"] for step in steps))


def _measure(
    trunk: "Trunk", trained: "Trained", held_out: list[Comparison], max_tokens: int
) -> tuple[dict[str, Any] | None, Counter[str]]:
    """What the model is worth on the held-out comparisons, and those that were dropped, by reason."""
    if not held_out:
        return None, Counter()
    from tutelage.evaluation.preference import quality, score_in_parts
    from tutelage.training.rollouts import PreferenceModel

    with progress_bar("held-out pairs", len(held_out), "pairs") as bar:
        model = PreferenceModel(ADAPTER, trained.head)
        scores_P2, drops = score_in_parts(trunk, model, held_out, max_tokens, bar.advance)
    worth = quality(held_out, scores_P2)
    return (asdict(worth) if worth else None), drops
