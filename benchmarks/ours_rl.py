"""Our side of `bench_rl.py`: one task, one line of JSON."""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import torch
from ours_pm import WORK, matmul_peak, timed

from tutelage.corpus.prompts import load_prompts
from tutelage.dialogue import SamplingParameters
from tutelage.modeling.base import embedded_directory, load_base
from tutelage.modeling.encoding import DialogueFormat
from tutelage.modeling.heads import ScoreHead
from tutelage.modeling.hub import EMBEDDED
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.machine import keep_freed_memory, peak_memory_bytes
from tutelage.sampling.engine import Engine
from tutelage.sampling.sampler import sample
from tutelage.training.policy_settings import CriticStart, PPOSettings
from tutelage.training.ppo import train_on_reward
from tutelage.training.prompt_order import PromptSource
from tutelage.training.rollouts import PreferenceModel

PROMPTS, SAMPLES, TOKENS, TEMPERATURE, SINGLE = 32, 4, 64, 0.7, 4
ROWS = {"sample": PROMPTS * SAMPLES, "single": 1}  # of a step
PPO_TOKEN_BUDGET = 512  # as fast as more, and half the memory of activations of 1,024
PPO_PROMPTS, PPO_TOKENS, RANK, LEARNING_RATE, KL_WEIGHT = 8, 48, 16, 1e-4, 0.05


def export() -> None:
    """The prompts' ids as the peer reads them, and where the base lies."""
    trunk = load_base(EMBEDDED, DialogueFormat(), torch.float32)
    ids = [trunk.encoder.prompt_ids(item.prompt) for item in load_prompts("validation")[:PROMPTS]]
    WORK.mkdir(exist_ok=True)
    (WORK / "prompts.json").write_text(json.dumps(ids))
    (WORK / "base").write_text(str(embedded_directory()))


def read_prompts() -> list[tuple[int, ...]]:
    return [tuple(ids) for ids in json.loads((WORK / "prompts.json").read_text())]


def never_ending(trunk: Trunk) -> Trunk:
    """Every response goes on to its last token, as the peer's does."""
    trunk.encoder.end = -1
    return trunk


def sampling(trunk: Trunk) -> dict[str, Any]:
    parameters = SamplingParameters(TEMPERATURE, max_tokens=TOKENS)
    prompts = read_prompts()
    with never_ending(trunk).using(None):
        sample(trunk, prompts[:2], 1, SamplingParameters(max_tokens=2), 0)
        before = time.process_time()
        seconds = timed(lambda: sample(trunk, prompts, SAMPLES, parameters, 0))
        busy = time.process_time() - before
    tokens = PROMPTS * SAMPLES * TOKENS
    return {"seconds": seconds, "processor_seconds": busy, "tokens_per_second": tokens / seconds}


def single(trunk: Trunk) -> dict[str, Any]:
    """One prompt after the other, one sample each, as an engine that stays answers them."""
    parameters = SamplingParameters(TEMPERATURE, max_tokens=TOKENS)
    engine = Engine(never_ending(trunk), None, slots=1, columns=1024)

    def answer(prompt: tuple[int, ...], asked: SamplingParameters) -> None:
        engine.submit(prompt, asked, 0)
        while engine.busy:
            engine.step()

    prompts = read_prompts()[:SINGLE]
    answer(prompts[0], SamplingParameters(max_tokens=2))
    before = time.process_time()
    seconds = timed(lambda: [answer(prompt, parameters) for prompt in prompts]) / SINGLE
    busy = (time.process_time() - before) / SINGLE
    return {"seconds": seconds, "processor_seconds": busy, "seconds_per_token": seconds / TOKENS}


def limits(trunk: Trunk, seconds: float, rows: int) -> dict[str, float]:
    """What a step of so many rows must take at least: the weights read once from memory, and their products.

    Prompts, attention and drawing come on top in truth.
    """
    weights = sum(parameter.numel() for parameter in trunk.model.parameters())  # the output layer is the embedding
    by_memory = weights * trunk.dtype.itemsize / bandwidth(trunk.device)
    by_arithmetic = 2.0 * weights * rows / matmul_peak(trunk)
    return {
        "memory_seconds_per_step": by_memory, "arithmetic_seconds_per_step": by_arithmetic,
        "share_of_limit": max(by_memory, by_arithmetic) * TOKENS / seconds,
    }  # fmt: skip


def bandwidth(device: torch.device) -> float:
    """Bytes a second that are read from memory, the best of several sums over 512 MB."""
    many = torch.ones(2**27, device=device)
    return many.numel() * 4 / min(timed(many.sum) for _ in range(5))


def ppo(trunk: Trunk, steps: int, critic: CriticStart) -> dict[str, Any]:
    """Whole steps after the first, with a preference model that was never trained: what it says costs the same."""
    trunk.add_adapter("pm", RANK, 0)
    head = ScoreHead(trunk.width, "last").to(trunk.device)
    torch.nn.init.normal_(head.weight)
    model = PreferenceModel("pm", head)
    settings = PPOSettings(
        steps=steps + 1, prompts_per_step=PPO_PROMPTS, samples_per_prompt=SAMPLES, learning_rate=LEARNING_RATE,
        rank=RANK, kl_weight=KL_WEIGHT, critic=critic, token_budget=PPO_TOKEN_BUDGET,
    )  # fmt: skip
    parameters = SamplingParameters(TEMPERATURE, max_tokens=PPO_TOKENS)
    sources = [PromptSource(read_prompts()[:PPO_PROMPTS])]
    # The peer has no held-out preference model, so ours goes without.
    metrics = train_on_reward(never_ending(trunk), "policy", sources, model, None, parameters, settings, 0)[1:]
    seconds = sum(step["seconds"] for step in metrics)
    return {
        "seconds_per_step": seconds / steps,
        "samples_per_second": steps * PPO_PROMPTS * SAMPLES / seconds,
        "sampling_share": sum(step["sampling_seconds"] for step in metrics) / seconds,
        "rollout_share": sum(step["rollout_seconds"] for step in metrics) / seconds,
    }


def ppo_limit(trunk: Trunk, seconds: float) -> dict[str, float]:
    """What a step's products with weights must take at least, at the peak of a large one. Adapters, attention and all
    else come on top in truth."""
    head = trunk.frozen_head.weight_OI.numel()
    linear = sum(layer.base.weight.numel() for layer in trunk.adapted_layers)
    drawn = PPO_PROMPTS * SAMPLES * PPO_TOKENS
    asked = sum(map(len, read_prompts()[:PPO_PROMPTS]))
    through_layers = 7 * (asked + drawn)  # sampling, scores, reference; critic and policy forward and backward
    through_head = 4 * drawn  # sampling, reference, policy forward and backward
    least = 2.0 * (linear * through_layers + head * through_head) / matmul_peak(trunk)
    return {"arithmetic_seconds_per_step": least, "share_of_limit": least / seconds}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", required=True, choices=["export", "sample", "single", "ppo"])
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--critic", default="pm", choices=["pm", "policy", "head"], help="of PPO; TRL's is like pm")
    parser.add_argument("--steps", type=int, default=2, help="steps of PPO that are measured")
    options = parser.parse_args()
    keep_freed_memory()
    if options.task == "export":
        export()
        return
    trunk = load_base(EMBEDDED, DialogueFormat(), getattr(torch, options.dtype), options.device)
    tasks: dict[str, Callable[[], dict[str, Any]]] = {
        "sample": lambda: sampling(trunk), "single": lambda: single(trunk),
        "ppo": lambda: ppo(trunk, options.steps, options.critic),
    }  # fmt: skip
    result = tasks[options.task]()
    memory = torch.cuda.max_memory_allocated() if options.device == "cuda" else peak_memory_bytes()
    if options.task in ROWS:  # behind the peak: what measures the limits takes memory of its own
        result |= limits(trunk, result["seconds"], ROWS[options.task])
    if options.task == "ppo":
        result |= ppo_limit(trunk, result["seconds_per_step"])
    print(json.dumps({**result, "peak_memory_bytes": memory}))


if __name__ == "__main__":
    main()
