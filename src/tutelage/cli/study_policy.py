"""`tutelage study-policy`: measure what the paper's figures on reinforcement learning show, on the planted crowd."""

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.markdown import Markdown

from tutelage.dialogue import Kind
from tutelage.plumbing.errors import InputError

OF_ONE_STUDY = {"sizes": "robustness", "weights": "kl-weight", "methods": "methods", "seconds": "methods"}


@dataclass(frozen=True)
class StudyPolicy:
    """Train policies under varied conditions on the simulated crowd; writes a page with plots, numbers and command.

    robustness: from which step on the train-PM's score rises away from the held-out PM's, by the number of comparisons.
    kl: reward against √KL, fitted. kl-weight: what λ_KL does. methods: PPO, RLOO, GRPO and best-of-n in equal
    processor time. tension: helpful only against helpful and harmless, judged on both. Points that were measured are
    kept: the same command goes on with a study that was broken off.
    """

    study: Annotated[Literal["robustness", "kl", "kl-weight", "methods", "tension"], tyro.conf.Positional]
    """Which one."""
    recipe: str = "laptop"
    """The recipe of the loop whose settings are taken, and whose first round gives the comparisons."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("studies")
    """Where STUDY.md, its plots, STUDY.jsonl, the comparisons and the preference models are written."""
    seeds: int = 3
    """Runs of every point."""
    steps: int | None = None
    """Steps of a run; None: the recipe's."""
    sizes: tuple[int, ...] = (100, 400)
    """Comparisons a preference model, of the study robustness."""
    weights: tuple[float, ...] = (0.001, 0.02, 0.05, 0.2)
    """λ_KL, of the study kl-weight."""
    methods: tuple[Literal["ppo", "rloo", "grpo", "best-of-n"], ...] = ("ppo", "rloo", "grpo", "best-of-n")
    """Of the study methods."""
    seconds: float = 240.0
    """Processor time that each method may take, all cores together; of the study methods."""
    answers: int = 4
    """Answers to each of the 57 validation prompts by which a policy is judged."""
    pairs: int | None = None
    """Comparisons a preference model is trained on, where they are not what is varied; None: all of its half."""
    helpful: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """JSONL or JSONL.gz file of people's helpful comparisons, in place of the simulated crowd's."""
    harmless: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Likewise, of harmless ones. With either, policies are judged by the held-out preference model alone."""
    json: bool = False
    """Print one JSON object on standard output."""

    def run(self) -> dict[str, Any]:
        from tutelage.plumbing.machine import keep_freed_memory

        keep_freed_memory()
        from tutelage.loop.recipe import load_recipe
        from tutelage.studies.policies import PolicyScale, run_policy_study
        from tutelage.studies.policy_page import write_policy_page

        self._require_sensible()
        recipe = load_recipe(self.recipe)
        if self.steps is not None:
            recipe = replace(recipe, ppo=replace(recipe.ppo, steps=self.steps))
        scale = PolicyScale(self.seeds, self.sizes, self.weights, self.methods, self.seconds, self.answers, self.pairs)
        named: dict[Kind, Path | None] = {"helpful": self.helpful, "harmless": self.harmless}
        files = {kind: path for kind, path in named.items() if path is not None}
        points = run_policy_study(self.study, recipe, scale, self.out, files)
        page = write_policy_page(self.study, points, recipe, "tutelage " + shlex.join(sys.argv[1:]), self.out)
        return {"study": self.study, "points": points, "page": str(page)}

    def show(self, result: dict[str, Any]) -> None:
        console = Console()
        console.print(Markdown(Path(result["page"]).read_text(encoding="utf-8")))
        console.print(f"page: {result['page']}", highlight=False)

    def _require_sensible(self) -> None:
        for name, study in OF_ONE_STUDY.items():
            if self.study != study and getattr(self, name) != getattr(StudyPolicy, name):
                raise InputError(f"--{name} is of the study {study}, not of {self.study}; leave it out")
        if self.study == "methods" and self.steps is not None:
            raise InputError(
                "--steps: processor time (--seconds) ends the runs of the study methods; leave --steps out"
            )
        if self.study == "robustness" and self.pairs is not None:
            raise InputError("--pairs: the study robustness varies the comparisons; give --sizes")
        counts = {"--seeds": self.seeds, "--answers": self.answers, "--steps": self.steps, "--pairs": self.pairs}
        for flag, count in {**counts, "--sizes": min(self.sizes, default=0)}.items():
            if count is not None and count < 1:
                raise InputError(f"{flag} must be at least 1, not {count}")
        if not (self.weights and self.methods):
            raise InputError("--weights and --methods need a value each")
        if min(self.weights) < 0 or self.seconds <= 0:
            raise InputError(f"--weights must be at least 0 and --seconds above 0, not {self.weights}, {self.seconds}")
