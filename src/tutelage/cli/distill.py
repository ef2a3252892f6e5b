"""`tutelage train distill`: a policy that behaves without the HHH prompt as the base does behind it."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Column, Table

from tutelage.cli import policies
from tutelage.cli.options import require_place, require_writable, settings_from
from tutelage.cli.policies import ADAPTER
from tutelage.cli.score import show_drops
from tutelage.dialogue import Message
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.progress import progress_bar
from tutelage.report.plain import MISSING, bracketed

if TYPE_CHECKING:
    from tutelage.modeling.trunk import Trunk
    from tutelage.training.distillation import DistillationSettings
    from tutelage.training.teacher import Teacher

TEACHER_FILE = "teacher.safetensors"
# Options of making a teacher file:
MAKING = ("texts", "dialogues", "data", "prompt", "passages", "held_out", "max_tokens", "temperature")


@dataclass(frozen=True)
class TrainDistill:
    """Train a policy by context distillation: the shipped HHH prompt goes into a LoRA adapter on a frozen base.

    The teacher is the base behind the prompt. What it says of every token is stored once, in a file from which students
    of several sizes can be trained. Writes a snapshot directory with the loss curve (metrics.jsonl) and a card
    (model_card.json), or nothing.
    """

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The snapshot directory to write."""
    texts: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE...")] = ()
    """Plain text, placed after a fresh human turn: text files, or JSONL with a field "text"; .gz is unpacked."""
    dialogues: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE...")] = ()
    """Questions with answers: JSONL with "messages", or comparisons, whose chosen answer is taken; or names of sources
    of comparisons (`tutelage data list`)."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Where sources that are named are looked for; None: $TUTELAGE_DATA."""
    teacher: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The teacher file: read if it is there, otherwise made from --texts and --dialogues; None: made, kept in --out."""
    prompt: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Dialogues (JSONL with "messages") that stand before every passage for the teacher; None: the 14 shipped ones."""
    model: Annotated[str, tyro.conf.arg(metavar="NAME|DIR|HUB")] = "smollm2-135m-instruct"
    """The base: smollm2-135m-instruct (embedded), a directory or a hub id; tiny-random: a toy for tests."""
    layers: int | None = None
    """The student is so many of the base's first layers, with its norm and output layer; None: all."""
    passages: int = 512
    """Passages to make, half text and half dialogues where both are given."""
    held_out: float = 0.1
    """Share of the passages that are kept out of training and measured before and after it; 0: none."""
    max_tokens: int = 192
    """Longest passage, in tokens; texts are cut into pieces of that length, longer dialogues keep their beginning."""
    temperature: float = 1.0
    """Teacher's and student's logits are divided by it."""
    learning_rate: float = 5e-4
    """Learning rate of the LoRA adapter; rises over --warmup steps and falls linearly to 0."""
    warmup: int = 3
    """Steps over which the learning rate rises."""
    batch_passages: int = 16
    """Passages a step."""
    rank: int = 16
    """Rank of the LoRA adapter."""
    token_budget: int = 2048
    """Tokens that pass the base at once: less memory if smaller."""
    clip_norm: float = 1.0
    """Largest norm of a step's gradient."""
    seed: int = 0
    """Draws the passages, the adapter's first weights and the order of training."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Number format of the base and of the passes; what is trained has fp32 masters in either."""
    template: Literal["chat", "hh"] = "chat"
    """How a dialogue becomes text: chat, the base's own chat template; hh, the plain marks of the HH-RLHF files."""
    system: str = ""
    """What stands before the first turn."""
    overwrite: bool = False
    """Replace the snapshot that is at --out."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.plumbing.machine import keep_freed_memory

        keep_freed_memory()
        import torch

        from tutelage.modeling.base import load_base
        from tutelage.modeling.encoding import DialogueFormat
        from tutelage.plumbing.files import replacing
        from tutelage.training.distillation import DistillationSettings, train_student
        from tutelage.training.teacher import save_teacher

        settings = settings_from(self, DistillationSettings)
        require_place(self.out, self.overwrite)
        self._require_source()
        trunk = load_base(self.model, DialogueFormat(self.template, self.system), getattr(torch, self.dtype))
        self._require_depth(trunk)
        teacher, drops = self._teacher(trunk)
        before = _held_out_kl(trunk, None, teacher, settings)
        training = [passage for passage in teacher.passages if not passage.held_out]
        started = time.perf_counter()
        with progress_bar("distillation", len(training), "passages") as bar:
            metrics = train_student(trunk, ADAPTER, teacher, settings, self.seed, policies.reporting(bar))
        seconds = time.perf_counter() - started
        result = {
            "passages": dict(Counter(passage.kind for passage in training)),
            "tokens": sum(step["tokens"] for step in metrics),
            "drops": dict(drops),
            "final_kl": policies.late_loss(metrics),
            "seconds": seconds,
            "held_out": _paired(before, _held_out_kl(trunk, ADAPTER, teacher, settings)),
            **_hhh(trunk, teacher.manifest.turns, self.layers),
        }
        with replacing(self.out.resolve()) as beside:
            origin = {"teacher": _described(teacher), "seed": self.seed, "dtype": self.dtype}
            name = policies.write_policy(beside, trunk, settings, metrics, origin, result)
            if self.teacher is None:
                save_teacher(beside / TEACHER_FILE, teacher)
        place = self.teacher or self.out / TEACHER_FILE
        return {"snapshot": name, "out": str(self.out), "teacher": str(place), **result}

    def show(self, result: dict[str, Any]) -> None:
        console = Console()
        passages = " and ".join(f"{count} passages of {kind}" for kind, count in result["passages"].items())
        console.print(
            f"trained on {passages}, {result['tokens']} tokens, in {result['seconds']:.0f} s; "
            f"KL to the teacher in the last steps {result['final_kl']:.4f} nats a token"
        )
        if result["held_out"]:
            console.print(_kl_table(result["held_out"]))
        console.print(_hhh_table(result["hhh"]))
        console.print(_nearness_table(result["hhh_nearness"]))
        nearer = bracketed(result["hhh_approach"], "+.4f")
        console.print(f"the student is nearer to the prompted base than it began, by {nearer} nats a token")
        show_drops(console, result["drops"])
        console.print(f"teacher file: {result['teacher']}", highlight=False)
        console.print(f"snapshot {result['snapshot']}: {result['out']}", highlight=False)

    def _require_source(self) -> None:
        """Refuse what would be ignored or cannot be, before any work.

        Raises:
            InputError: nothing to make a teacher file of, or options of its making where it is there already.
        """
        for name in ("passages", "max_tokens", "temperature"):
            if not getattr(self, name) > 0:
                raise InputError(f"--{name.replace('_', '-')} must be above 0, not {getattr(self, name)}")
        if self.teacher is not None and self.teacher.resolve().is_relative_to(self.out.resolve()):
            raise InputError(
                f"--teacher {self.teacher}: lies in --out, which is written anew; name another, or leave --teacher out "
                "to have one made and kept there"
            )
        if self.teacher is not None and self.teacher.exists():
            defaults = {option.name: option.default for option in fields(self)}
            given = [name for name in MAKING if getattr(self, name) != defaults[name]]
            if given:
                option = given[0].replace("_", "-")
                raise InputError(f"--{option}: {self.teacher} is there already; leave it out or name another --teacher")
        elif not self.texts and not self.dialogues:
            missing = f" ({self.teacher}: no such file)" if self.teacher else ""
            raise InputError(f"nothing to learn from{missing}: give --texts or --dialogues, or a --teacher file")
        elif self.teacher is not None:
            require_writable(self.teacher.resolve().parent)

    def _require_depth(self, trunk: "Trunk") -> None:
        depth = trunk.model.config.num_hidden_layers
        if self.layers and self.layers > depth:
            raise InputError(f"--layers {self.layers}: {trunk.name} has {depth} layers")

    def _teacher(self, trunk: "Trunk") -> tuple["Teacher", Counter[str]]:
        """The teacher file's content, read or made (and then kept, where --teacher says so), and what was left out."""
        from tutelage.training.teacher import load_teacher, save_teacher

        if self.teacher is not None and self.teacher.exists():
            return load_teacher(self.teacher, trunk), Counter()
        teacher, drops = self._make(trunk)
        if self.teacher is not None:
            save_teacher(self.teacher, teacher)
        return teacher, drops

    def _make(self, trunk: "Trunk") -> tuple["Teacher", Counter[str]]:
        from tutelage.corpus.dialogues import read_dialogues
        from tutelage.corpus.texts import read_texts
        from tutelage.training.passages import choose_passages
        from tutelage.training.teacher import teach

        files = policies.dialogue_files(self.dialogues, self.data)
        dialogues, drops = read_dialogues(files)
        passages, entangled = choose_passages(
            trunk.encoder, read_texts(self.texts), dialogues, self.passages, self.max_tokens, self.held_out, self.seed
        )
        apart = sum(passage.held_out for passage in passages)
        if apart == len(passages) or (self.held_out and apart < 2):
            raise InputError(
                f"{len(passages) - apart} passages to train on and {apart} held out (at least 2); give more texts or "
                "dialogues, more --passages, or another --held-out (0: none)"
            )
        origin = {
            "texts": policies.data_files(self.texts), "dialogues": policies.data_files([file.path for file in files]),
            "held_out_share": self.held_out, "max_tokens": self.max_tokens, "seed": self.seed, "dtype": self.dtype,
        }  # fmt: skip
        with progress_bar("teacher", len(passages), "passages") as bar:
            return teach(trunk, self._prompt(), passages, self.temperature, origin, bar.advance), drops + entangled

    def _prompt(self) -> tuple[Message, ...]:
        from tutelage.corpus.dialogues import read_dialogues
        from tutelage.corpus.hhh import hhh_prompt
        from tutelage.corpus.locate import DataFile

        if self.prompt is None:
            return hhh_prompt()
        dialogues, _ = read_dialogues([DataFile(self.prompt)])
        if not dialogues:
            raise InputError(f"--prompt {self.prompt}: no dialogue that ends on the assistant")
        return tuple(message for dialogue in dialogues for message in dialogue.messages)


def _described(teacher: "Teacher") -> dict[str, Any]:
    """What the card tells of a teacher."""
    manifest = teacher.manifest
    return {
        "prompt_hash": manifest.prompt_hash, "temperature": manifest.temperature, "passages": len(teacher.passages),
        "tokens": len(teacher.kept_TK), **manifest.origin,
    }  # fmt: skip


def _held_out_kl(
    trunk: "Trunk", adapter: str | None, teacher: "Teacher", settings: "DistillationSettings"
) -> dict[str, Any]:
    """Mean KL a token to the teacher on held-out passages, with intervals over passages: of all, and of each kind."""
    from tutelage.training.distillation import passage_kls

    places = [place for place, passage in enumerate(teacher.passages) if passage.held_out]
    if not places:
        return {}
    kls = passage_kls(trunk, adapter, teacher, places, settings)
    kinds = [teacher.passages[place].kind for place in places]
    parts = {kind: [kl for kl, its in zip(kls, kinds, strict=True) if its == kind] for kind in dict.fromkeys(kinds)}
    named: list[tuple[str, list[Any]]] = [("all", kls), *parts.items()]
    return {name: {"passages": len(part), **policies.mean_over(part)} for name, part in named if len(part) > 1}


def _paired(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any] | None:
    return {name: {"before": before[name], "after": after[name]} for name in before} or None


def _hhh(trunk: "Trunk", prompt: tuple[Message, ...], layers: int | None) -> dict[str, Any]:
    """On the HHH pairs, the accuracy of the plain base, the base behind the prompt, the base cut to the student's
    layers where these are fewer, and the student; and how near they are to the prompted base, pair by pair."""
    from tutelage.corpus.hhh import hhh_pairs
    from tutelage.evaluation.hhh import approach, hhh_accuracy, margins, nearness, prompted_margins

    pairs = hhh_pairs()
    measures: dict[str, Callable[[], Any]] = {
        "plain": lambda: margins(trunk, None, pairs),
        "prompted": lambda: prompted_margins(trunk, prompt, pairs),
        **({"cut": lambda: margins(trunk, None, pairs, layers)} if layers else {}),
        "student": lambda: margins(trunk, ADAPTER, pairs, layers),
    }
    found, accuracies = {}, {}
    with progress_bar("HHH pairs", len(measures), "models") as bar:
        for name, measure in measures.items():
            found[name] = measure()
            accuracies[name] = {part: asdict(share) for part, share in hhh_accuracy(pairs, found[name]).items()}
            bar.advance()
    near = {name: asdict(nearness(its, found["prompted"])) for name, its in found.items() if name != "prompted"}
    moved = asdict(approach(found["student"], found["cut" if layers else "plain"], found["prompted"]))
    return {"hhh": accuracies, "hhh_nearness": near, "hhh_approach": moved}


def _kl_table(held_out: Mapping[str, Any]) -> Table:
    columns = (Column(name, justify="right") for name in ("passages", "before", "after"))
    table = Table("KL to the teacher", *columns)
    for part, when in held_out.items():
        shown = (bracketed(kl, ".4f") for kl in (when["before"], when["after"]))
        table.add_row(f"held-out: {part}", str(when["before"]["passages"]), *shown)
    return table


def _hhh_table(hhh: Mapping[str, Any]) -> Table:
    parts = list(hhh["plain"])
    table = Table("HHH pairs", *(Column(part, justify="right") for part in parts))
    for model, shares in hhh.items():
        table.add_row(model, bracketed(shares["all"], ".1%"), *(f"{shares[part]['value']:.1%}" for part in parts[1:]))
    return table


def _nearness_table(nearness: Mapping[str, Any]) -> Table:
    columns = ("RMS difference, nats a token", "correlation", "same preference")
    table = Table("HHH pairs, against the prompted base", *(Column(name, justify="right") for name in columns))
    for model, its in nearness.items():
        distance, correlation, same = (its[name] for name in ("distance", "correlation", "same"))
        shown = bracketed(correlation, ".3f") if correlation else MISSING
        table.add_row(model, bracketed(distance, ".4f"), shown, bracketed(same, ".1%"))
    return table
