"""A preference that is planted, and what learns it: who prefers lower-case letters to capitals."""

import numpy as np
import torch

from tutelage.dialogue import Comparison, Prompt, Response
from tutelage.modeling.heads import ScoreHead
from tutelage.modeling.trunk import Trunk
from tutelage.training.policy_settings import PPOSettings
from tutelage.training.preference import PreferenceSettings
from tutelage.training.rollouts import PreferenceModel

PREFERENCE = PreferenceSettings(
    rank=4, batch_pairs=8, learning_rate=3e-3, head_learning_rate=3e-3, pooling="mean", max_tokens=64
)
PPO = PPOSettings(
    steps=14, prompts_per_step=8, samples_per_prompt=4, learning_rate=2e-2, rank=4, kl_weight=0.02, token_budget=512
)


def planted(count: int, seed: int) -> list[Comparison]:
    """Half the characters of a chosen text are lower-case letters, half those of a rejected one capitals."""
    rng = np.random.default_rng(seed)

    def text(first: int) -> str:
        letters, others = rng.integers(first, first + 26, 8), rng.integers(33, 127, 8)
        return "".join(map(chr, np.where(rng.random(8) < 0.5, letters, others)))

    def comparison() -> Comparison:
        prompt = Prompt.from_turns("".join(map(chr, rng.integers(97, 123, 5))))
        chosen, rejected = Response(text(ord("a")), "length"), Response(text(ord("A")), "length")
        return Comparison(prompt, chosen, rejected, "helpful", strength=3)

    return [comparison() for _ in range(count)]


def prompts(trunk: Trunk, count: int, seed: int) -> list[tuple[int, ...]]:
    return [trunk.encoder.prompt_ids(comparison.prompt) for comparison in planted(count, seed)]


def utility(trunk: Trunk, samples: list[tuple[int, ...]]) -> float:
    """What is planted, itself: the share of lower-case letters among all tokens, less that of capitals."""
    tokens = trunk.encoder.tokenizer.convert_ids_to_tokens([token for ids in samples for token in ids])
    return float(np.mean([("a" <= token <= "z") - ("A" <= token <= "Z") for token in tokens if len(token) == 1]))


def random_preference_model(trunk: Trunk, name: str, seed: int = 0) -> PreferenceModel:
    """One that was never trained, and scores all the same."""
    generator = torch.Generator().manual_seed(seed)
    trunk.add_adapter(name, 2, seed)
    for parameter in trunk.adapter_parameters(name).values():
        parameter.data.normal_(0, 0.1, generator=generator)
    head = ScoreHead(trunk.width, "mean")
    head.weight.data.normal_(0, 0.2, generator=generator)
    return PreferenceModel(name, head)
