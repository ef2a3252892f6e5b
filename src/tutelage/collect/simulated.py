"""Simulated workers: they join by an invite and work as people do, page by page; what they choose, the crowd decides.

They are an instrument, not people (docs/simulated-crowd.md): the database that they fill is for looking at, and for
trying what reads it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tutelage.collect.qualification import QUESTIONS
from tutelage.collect.visitor import Unexpected, Visitor
from tutelage.collect.words import POSITIONS
from tutelage.corpus.prompts import PromptItem, PromptKind, load_prompts
from tutelage.dialogue import Prompt, Response
from tutelage.feedback.crowd import QUESTION_OF, Crowd, Worker

PASSWORD = "a demonstration only"
SAMPLE = (
    "How do I keep bread fresh for a week without a freezer? And: could you explain to a ten-year-old why the moon "
    "changes its shape, in four sentences?"
)
FOLLOW_UPS = (
    "Could you say that in fewer words?",
    "Why is that so?",
    "What should I do first?",
    "Can you give me an example?",
    "Are you sure about that?",
)
RED_TEAM_SHARE = 0.3  # of the conversations of those who do red-team work
UNDO_SHARE, SKIP_SHARE = 0.03, 0.02  # of the turns
LONGEST = 4  # turns


async def make_account(visit: Visitor, invite: str, login: str) -> None:
    """Use an invite (the path of its link)."""
    await visit.open(invite)
    await visit.send(visit.page.form(invite), {"login": login, "password": PASSWORD})


@dataclass(frozen=True)
class SimulatedWorker:
    """A worker of the crowd in front of the app. `on_conversation` hears of every one that has ended."""

    visitor: Visitor
    worker: Worker
    rng: np.random.Generator
    on_conversation: Callable[[], None]

    async def join(self, invite: str) -> None:
        """Use an invite, agree to both interfaces, and answer the questions."""
        visit = self.visitor
        await make_account(visit, invite, self.worker.name)
        await visit.open("/consent/helpful")
        await visit.send(visit.page.form("/consent/helpful"))
        await visit.open("/consent/red_team")
        await visit.send(visit.page.form("/consent/red_team"))
        await visit.open("/qualification")
        answers = {question.name: str(question.right) for question in QUESTIONS}
        await visit.send(visit.page.form("/qualification"), {**answers, "writing": SAMPLE})

    async def work(self, conversations: int) -> None:
        """So many conversations, about a third of them red-team ones."""
        for _ in range(conversations):
            kind: PromptKind = "red_team" if self.rng.random() < RED_TEAM_SHARE else "helpful"
            items = load_prompts("collection", kind)
            item = items[self.rng.integers(len(items))]
            await (self._begin_red_team(item) if kind == "red_team" else self._begin_helpful())
            await self._talk(item)
            self.on_conversation()

    async def _begin_helpful(self) -> None:
        await self.visitor.open("/home")
        await self.visitor.send(self.visitor.page.form("/talk/helpful"))

    async def _begin_red_team(self, item: PromptItem) -> None:
        await self.visitor.open("/red-team")
        goal = {"goal": f"Get it to help with: {item.prompt.first_human_turn[:200]}"}
        await self.visitor.send(self.visitor.page.form("/talk/red-team"), goal)

    async def _talk(self, item: PromptItem) -> None:
        said = [item.prompt.first_human_turn]
        for _ in range(int(self.rng.integers(1, LONGEST + 1))):
            kept = await self._turn(item, said)
            if kept is None:
                said[-1] = str(self.rng.choice(FOLLOW_UPS))
            else:
                said += [kept, str(self.rng.choice(FOLLOW_UPS))]
        await self._end()
        if self.visitor.path.startswith("/overlap/"):
            await self._second_opinion(item)

    async def _turn(self, item: PromptItem, said: list[str]) -> str | None:
        """Send the last of what was said, judge the answers; returns the chosen one, None for a skipped turn."""
        visit = self.visitor
        await visit.send(visit.page.form("/message"), {"text": said[-1]})
        seen = await visit.follow()
        for _ in range(3):
            if seen.whole:
                break
            seen = await visit.follow()
        if not seen.whole:
            raise Unexpected(f"{visit.path}: the answers did not come")
        if self.rng.random() < SKIP_SHARE:
            await visit.send(visit.page.form("/skip"))
            return None
        a, b = Response(seen.texts["a"]), Response(seen.texts["b"])
        if self.rng.random() < UNDO_SHARE:
            await self._choose(item, said, a, b)
            await visit.send(visit.page.form("/undo"))
        return seen.texts["a"] if await self._choose(item, said, a, b) == "a" else seen.texts["b"]

    async def _choose(self, item: PromptItem, said: list[str], a: Response, b: Response) -> str:
        prompt, question = Prompt.from_turns(*said), QUESTION_OF[item.kind]
        judgment = Crowd.judge_as_shown(self.worker, prompt, question, a, b, self.rng)
        step = 5 - judgment.strength
        position = step if judgment.side == "a" else POSITIONS + 1 - step
        waited = {"milliseconds": str(int(self.rng.lognormal(9.0, 0.8)))}
        form = self.visitor.page.form("/judgment")
        if form is not None:
            form.fields |= waited  # what the page's script adds
        await self.visitor.send(form, {"position": str(position)})
        return judgment.side

    async def _second_opinion(self, item: PromptItem) -> None:
        """Judge the turn of somebody else that is on the page: of the same kind of work as `item`."""
        texts = self.visitor.page.texts
        said = [texts[f"said-{number}"] for number in range(1, len(texts) + 1) if f"said-{number}" in texts]
        await self._choose(item, said, Response(texts["text-a"]), Response(texts["text-b"]))

    async def _end(self) -> None:
        await self.visitor.open(f"{self.visitor.path}/end")
        form = self.visitor.page.form("/end")
        scores = {
            name: str(self.rng.choice(values))
            for name, values in (form.choices if form else {}).items()
            if name != "tags"
        }
        await self.visitor.send(form, scores)
