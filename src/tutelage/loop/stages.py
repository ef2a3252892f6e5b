"""The stages of a round. Each reads files of earlier stages and fills a directory; `loop.py` says in which order."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tutelage.corpus.prompts import PromptItem, PromptKind, Split, load_prompts
from tutelage.corpus.records import (
    judgment_from_record,
    judgment_to_record,
    prompt_to_record,
    response_from_record,
    response_to_record,
)
from tutelage.corpus.splits import split_by_prompt
from tutelage.dialogue import Comparison, Judgment, Response
from tutelage.evaluation.preference import score_in_parts
from tutelage.evaluation.tournament import duels, hold_tournament
from tutelage.feedback.crowd import QUESTION_OF, make_crowd
from tutelage.loop.recipe import Recipe
from tutelage.loop.run import content_hash
from tutelage.modeling.base import load_base
from tutelage.modeling.encoding import Encoder
from tutelage.modeling.passes import score_branches
from tutelage.modeling.rows import Group
from tutelage.modeling.snapshot import load_snapshot, save_snapshot
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import read_json, read_jsonl, write_json, write_jsonl
from tutelage.plumbing.progress import console, progress_bar
from tutelage.sampling.sampler import sample
from tutelage.training.checkpoint import Metrics
from tutelage.training.pairs import drop_weakest
from tutelage.training.policy_settings import PPOSettings
from tutelage.training.ppo import KLLimitPassed, train_on_reward
from tutelage.training.preference import PreferenceSettings, train_preference_model
from tutelage.training.prompt_order import PromptSource
from tutelage.training.rollouts import PreferenceModel, RolloutBatch, load_preference_model
from tutelage.training.watching import sample_dialogues

SAMPLE_EVERY, SAMPLE_PROMPTS = 8, 4  # steps between two entries of samples.jsonl, prompts of an entry
HELDOUT_SALT = "held-out preference model"  # the same in every round and run: a prompt never changes its half


@dataclass(frozen=True)
class Deployed:
    """A snapshot that answers: its name in the run, its directory (None: the base), a system text of its own."""

    name: str
    place: Path | None = None
    system: str | None = None


class Workshop:
    """What the stages share: the recipe, one trunk for all models (loaded when first needed), and the crowds."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.crowd = make_crowd(recipe.crowd.workers, 2 * recipe.seed)
        # Who judges while settings are chosen never gives a result.
        other = 2 * recipe.seed + 1 if recipe.evaluation.split == "held_out" else 1_000_000 + recipe.seed
        self.heldout_crowd = make_crowd(recipe.crowd.heldout_workers, other)

    @cached_property
    def trunk(self) -> Trunk:
        return load_base(self.recipe.base, self.recipe.format, getattr(torch, self.recipe.dtype), self.recipe.device)

    def prompts(self, split: Split, at_most: int, number: int) -> list[PromptItem]:
        """Prompts of a split in an order that is random by round, all (0) or so many, of either kind in its share."""
        items, seed = load_prompts(split), _seed(self, number, 6)
        order = np.random.default_rng(seed).permutation(len(items))
        kinds = np.array([items[index].kind for index in order])
        share = np.empty(len(order))
        for kind in set(kinds):
            share[kinds == kind] = (np.arange((kinds == kind).sum()) + 0.5) / (kinds == kind).sum()
        return [items[index] for index in order[np.argsort(share, kind="stable")][: at_most or None]]

    def prompt_sources(self, red_team_share: float) -> list[PromptSource]:
        """The prompts that policies are trained on, mixed by kind."""
        mixture: dict[PromptKind, float] = {"helpful": 1 - red_team_share, "red_team": red_team_share}
        return [
            PromptSource([self.trunk.encoder.prompt_ids(item.prompt) for item in load_prompts("ppo", kind)], weight)
            for kind, weight in mixture.items()
        ]

    def respond(
        self, deployed: Deployed, items: Sequence[PromptItem], n: int, seed: int, title: str
    ) -> list[list[Response]]:
        """`n` responses of a snapshot to each prompt."""
        encoder = self.trunk.encoder
        if deployed.system is not None:
            encoder = Encoder(encoder.tokenizer, replace(encoder.format, system=deployed.system))
        adapter = None
        if deployed.place is not None:
            adapter = "deployed"
            load_snapshot(deployed.place, self.trunk, adapter)
        ids = [encoder.prompt_ids(item.prompt) for item in items]
        with progress_bar(title, len(items), "prompts") as bar, self.trunk.using(adapter):
            samples = sample(self.trunk, ids, n, self.recipe.sampling, seed, on_done=bar.advance)
        made = {"snapshot": deployed.name, "sampling": self.recipe.sampling, "seed": seed}
        return [[Response(draw.text, draw.finish, **made) for draw in row] for row in samples]  # type: ignore[arg-type]

    def preference_model(self, place: Path, adapter: str) -> PreferenceModel:
        """A preference model of the run, put on the trunk."""
        return load_preference_model(self.trunk, place, adapter)


def collect(workshop: Workshop, deployed: Sequence[Deployed], number: int, place: Path) -> None:
    """Each deployed snapshot answers the collection prompts; workers judge pairs of the answers to a prompt."""
    settings, seed = workshop.recipe.collection, _seed(workshop, number, 1)
    items = workshop.prompts("collection", settings.prompts, number)
    answers = [
        workshop.respond(
            one, items, settings.responses_per_snapshot, seed + index, f"round {number}: {one.name} answers"
        )
        for index, one in enumerate(deployed)
    ]
    rng = np.random.default_rng(seed)
    judgments: list[Judgment] = []
    for item, *rows in zip(items, *answers, strict=True):
        # An answer of no words is nothing that a worker could be shown.
        shown = [response for row in rows for response in row if response.text]
        pairs: list[tuple[Response, Response]] = list(combinations(shown, 2))
        for index in rng.permutation(len(pairs))[: settings.comparisons_per_prompt]:
            one, other = pairs[index]
            judgments += [workshop.crowd.judge(item.prompt, QUESTION_OF[item.kind], one, other, rng)]
    write_jsonl(place / "judgments.jsonl", map(judgment_to_record, judgments))


def read_judgments(*places: Path) -> list[Judgment]:
    """The judgments that stages have left, in order."""
    files = [place / "judgments.jsonl" for place in places]
    return [
        judgment_from_record(line.record, f"{file}, line {line.number}") for file in files for line in read_jsonl(file)
    ]


def freeze(judgments: Sequence[Judgment], heldout_share: float) -> tuple[list[Comparison], list[Comparison], int]:
    """Comparisons for the train-PM, those kept apart by prompt for the held-out PM, and how many said nothing."""
    comparisons = duels(judgments)
    train, heldout = split_by_prompt(comparisons, heldout_share, HELDOUT_SALT)
    return train, heldout, len(judgments) - len(comparisons)


def train_preference(workshop: Workshop, collected: Sequence[Path], number: int, heldout: bool, place: Path) -> None:
    """A preference model from scratch on all comparisons so far of its half, tried on the other half."""
    settings, trunk = workshop.recipe.preference, workshop.trunk
    halves = freeze(read_judgments(*collected), workshop.recipe.collection.heldout_share)
    own, other = (halves[1], halves[0]) if heldout else (halves[0], halves[1])
    tried, _ = drop_weakest(other, settings.min_strength)
    if not tried:
        raise InputError(
            "none of the comparisons fell to the half kept from this preference model; set collection.prompts higher"
        )
    adapter = "heldout" if heldout else "train_pm"
    with progress_bar(
        f"round {number}: {'held-out' if heldout else 'train'} preference model", settings.passes * len(own), "pairs"
    ) as bar:
        trained = train_preference_model(
            trunk, adapter, own, settings, _seed(workshop, number, 2 + heldout), lambda pairs, _: bar.advance(pairs)
        )
    counts = {"read": len(own), "pairs": trained.pairs, "dropped": trained.drops, "equal": halves[2]}
    lineage = {**_origin(workshop, number, settings), "data": [_named(file) for file in collected], **counts}
    save_snapshot(place / "snapshot", trunk, adapter, settings.rank, trained.head, lineage)
    scores, untried = score_in_parts(trunk, PreferenceModel(adapter, trained.head), tried, settings.max_tokens)
    differences = scores[:, 0] - scores[:, 1]
    result = {
        **counts, "untried": untried, "curve": trained.metrics,
        "ceiling": workshop.crowd.ceiling(tried, settings.min_strength),
        "tried": [
            {"difference": float(d), "prompt": c.prompt.first_human_turn, "worker": c.worker, "kind": c.kind}
            for d, c in zip(differences, tried, strict=True) if np.isfinite(d)
        ],
    }  # fmt: skip
    write_json(place / "result.json", result)


def train_policy(workshop: Workshop, train_pm: Path, heldout: Path, number: int, place: Path) -> None:
    """A policy from the initial one by PPO against the train-PM, watched by the held-out PM.

    Where it goes beyond `kl_limit`, the last policy that did not is what the loop goes on with.
    """
    recipe, trunk = workshop.recipe, workshop.trunk
    steps: Sequence[Metrics] = []
    samples: list[dict[str, Any]] = []
    sources = workshop.prompt_sources(recipe.ppo.red_team_share)
    models = workshop.preference_model(train_pm, "train_pm"), workshop.preference_model(heldout, "heldout")
    with progress_bar(f"round {number}: PPO", recipe.ppo.steps, "steps") as bar:

        def show(metrics: Sequence[Metrics], batch: RolloutBatch) -> None:
            nonlocal steps
            steps, last = metrics, metrics[-1]
            if last["step"] % SAMPLE_EVERY == 0:
                estimator = recipe.ppo.kl_estimator
                samples.extend(sample_dialogues(batch, last["step"], SAMPLE_PROMPTS, trunk.encoder, estimator))
            bar.advance()
            bar.note(f"reward {last['reward']:+.2f}  KL {last['kl']:.1f}  length {last['length']:.0f}")

        try:
            train_on_reward(
                trunk, "policy", sources, *models, recipe.sampling, recipe.ppo, _seed(workshop, number, 4), show
            )
            ended = "steps" if len(steps) == recipe.ppo.steps else "kl_budget"
        except KLLimitPassed as passed:
            ended = "kl_limit"
            console.print(f"[yellow]round {number}: {passed}[/yellow]", highlight=False)
    lineage = {**_origin(workshop, number, recipe.ppo), "data": [_named(train_pm), _named(heldout)]}
    save_snapshot(place / "snapshot", trunk, "policy", recipe.ppo.rank, None, lineage)
    write_jsonl(place / "metrics.jsonl", steps)
    write_jsonl(place / "samples.jsonl", samples)
    write_json(place / "result.json", {"ended": ended})


def evaluate(workshop: Workshop, snapshots: Sequence[Deployed], train_pm: Path, heldout: Path, place: Path) -> None:
    """All snapshots answer the evaluation prompts; held-out workers and both preference models say what they think."""
    settings, seed = workshop.recipe.evaluation, _seed(workshop, 0, 5)
    items = workshop.prompts(settings.split, settings.prompts, 0)
    answers = {
        one.name: workshop.respond(one, items, settings.responses, seed + index, f"evaluation: {one.name} answers")
        for index, one in enumerate(snapshots)
    }
    judgments = hold_tournament(items, answers, workshop.heldout_crowd, settings.judgments_per_pair, seed)
    write_jsonl(place / "judgments.jsonl", map(judgment_to_record, judgments))
    models = {
        "train_pm": workshop.preference_model(train_pm, "train_pm"),
        "heldout": workshop.preference_model(heldout, "heldout"),
    }
    # All responses to a prompt share its row: the prompt passes each preference model once.
    together = [list(chain(*rows)) for rows in zip(*answers.values(), strict=True)]
    scores = {label: _scores(workshop, model, items, together) for label, model in models.items()}
    records = [
        {"prompt_id": item.id, "kind": item.kind, "prompt": prompt_to_record(item.prompt),
         "snapshot": response.snapshot, "response": response_to_record(response),
         **{label: scores[label][index][place] for label in models}}
        for index, (item, row) in enumerate(zip(items, together, strict=True)) for place, response in enumerate(row)
    ]  # fmt: skip
    write_jsonl(place / "responses.jsonl", records)
    write_json(
        place / "medians.json", _medians(workshop, (snapshots[0], snapshots[-1]), items, models["train_pm"], seed)
    )


def _scores(
    workshop: Workshop, model: PreferenceModel, items: Sequence[PromptItem], rows: Sequence[Sequence[Response]]
) -> list[list[float]]:
    encoder = workshop.trunk.encoder
    groups = [
        Group(
            encoder.prompt_ids(item.prompt), tuple(encoder.response_ids(response) or (encoder.end,) for response in row)
        )
        for item, row in zip(items, rows, strict=True)
    ]
    return score_branches(workshop.trunk, model.adapter, model.head, groups)


def _medians(
    workshop: Workshop,
    pair: tuple[Deployed, Deployed],
    items: Sequence[PromptItem],
    train_pm: PreferenceModel,
    seed: int,
) -> list[dict[str, Any]]:
    """For a few prompts of each kind, the response of median score of several, by base and final (section 6)."""
    settings = workshop.recipe.evaluation
    helpful = [item for item in items if item.kind == "helpful"][
        : settings.sample_prompts - settings.sample_prompts // 3
    ]
    shown = helpful + [item for item in items if item.kind == "red_team"][: settings.sample_prompts // 3]
    columns = []
    for index, one in enumerate(pair):
        rows = workshop.respond(one, shown, settings.sample_of, seed + 100 + index, f"samples: {one.name} answers")
        scored = [
            zip(s, row, strict=True) for s, row in zip(_scores(workshop, train_pm, shown, rows), rows, strict=True)
        ]
        columns.append([sorted(row, key=lambda pair: pair[0])[settings.sample_of // 2] for row in scored])
    return [
        {"kind": item.kind, "prompt": prompt_to_record(item.prompt),
         "base": {"text": base.text, "score": base_score}, "final": {"text": final.text, "score": final_score}}
        for item, (base_score, base), (final_score, final) in zip(shown, *columns, strict=True)
    ]  # fmt: skip


def _origin(workshop: Workshop, number: int, settings: PreferenceSettings | PPOSettings) -> dict[str, Any]:
    """What a snapshot's card says of how it was trained."""
    recipe = workshop.recipe
    return {"round": number, "seed": recipe.seed, "dtype": recipe.dtype, "settings": asdict(settings)}


def _named(place: Path) -> dict[str, str]:
    """A stage's result, or a part of it, by name and hash."""
    stage = place if place.name != "snapshot" else place.parent
    return {"stage": stage.name, "hash": content_hash(place)}


def _seed(workshop: Workshop, number: int, purpose: int) -> int:
    """A seed of its own for each round and purpose of a run."""
    return 1000 * workshop.recipe.seed + 100 * number + 10 * purpose


def settings_of(recipe: Recipe, *parts: str) -> dict[str, Any]:
    """The parts of a recipe that a stage depends on besides its inputs."""
    common = ("base", "dtype", "device", "format", "sampling")
    return {part: asdict(recipe)[part] for part in (*common, *parts)}


def read_result(place: Path) -> dict[str, Any]:
    """What a training stage has measured.

    Raises:
        InputError: it has left nothing, as stages of older versions have not.
    """
    file = place / "result.json"
    if not file.exists():
        raise InputError(f"{file}: not there; an older version made this stage: remove {place} and run again")
    result: dict[str, Any] = read_json(file)
    return result


def read_responses(place: Path) -> list[tuple[dict[str, Any], Response]]:
    """The evaluation's responses with their records."""
    file = place / "responses.jsonl"
    return [
        (line.record, response_from_record(line.record["response"], f"{file}, line {line.number}"))
        for line in read_jsonl(file)
    ]
