"""A whole synthetic summary: every part of the schema, with numbers that no run has measured."""

import copy
import math
from typing import Any

import pytest

from tutelage.report.page import render


def _step(number: int, start: float) -> dict[str, float]:
    kl = 0.4 * number + 0.02
    noise = 0.06 * math.sin(7 * number + start)
    return {
        "step": number,
        "reward": -1.3 + start + 0.75 * math.sqrt(kl) + noise,
        "heldout_reward": -0.4 + start + 0.6 * math.sqrt(kl) - 0.02 * kl + noise,
        "kl": kl,
        "sqrt_kl": math.sqrt(kl),
        "entropy": 2.4 - 0.03 * number + noise,
        "length": 44 - 0.6 * number + 20 * noise,
        "clip_fraction": 0.08 + 0.3 * abs(noise),
        "explained_variance": min(0.7, 0.05 * number) + noise,
        "truncated": max(0.05, 0.8 - 0.04 * number),
        "seconds": 6.1,
    }


def _round(number: int) -> dict[str, Any]:
    return {
        "round": number,
        "comparisons": 640 * number,
        "dropped": {"weakest_strength": 71 * number, "equal_responses": 3},
        "kl": 9.6,
        "reward_gain": 2.2,
        "heldout_pm_gain": 1.7,
        "pm_accuracy": {"value": 0.64 + 0.02 * number, "low": 0.58 + 0.02 * number, "high": 0.69 + 0.02 * number},
        "heldout_pm_accuracy": {"value": 0.63 + 0.02 * number, "low": 0.57, "high": 0.7},
        "steps": [_step(step, 0.2 * number) for step in range(24)],
    }


@pytest.fixture
def summary(whole: dict[str, Any]) -> dict[str, Any]:
    """A copy that a test may spoil."""
    return copy.deepcopy(whole)


@pytest.fixture(scope="session")
def html(whole: dict[str, Any]) -> str:
    """The page of the whole summary."""
    return render(whole)


@pytest.fixture(scope="session")
def whole() -> dict[str, Any]:
    turn = {"role": "human", "text": "How do I keep basil alive on a windowsill?"}
    return {
        "name": "demo",
        "recipe": "laptop",
        "seed": 0,
        "finished": "2026-11-21T12:00:00Z",
        "wall_seconds": 612.4,
        "peak_memory_bytes": 3_650_000_000,
        "versions": {"tutelage": "0.1.0", "torch": "2.13.0"},
        "machine": "2 cores, 23 GiB",
        "stages": [
            {"name": f"round-{n} {stage}", "wall_seconds": seconds, "peak_memory_bytes": gib * 2**30}
            for n in (1, 2)
            for stage, seconds, gib in (("collect", 71, 1.9), ("pm", 106, 3.4), ("ppo", 142.3, 3.1))
        ],
        "ratings": [
            {"snapshot": "base", "elo": 0, "low": -31, "high": 31},
            {"snapshot": "round-1", "elo": 118.2, "low": 82, "high": 155},
            {"snapshot": "round-2", "elo": 164, "low": 121, "high": 207},
        ],
        "rating_refusal": None,
        "win_rate_final_vs_base": {"value": 0.725, "low": 0.661, "high": 0.789, "comparisons": 412},
        "win_rate_final_vs_base_by_kind": {
            "helpful": {"value": 0.741, "low": 0.66, "high": 0.81, "comparisons": 260},
            "red_team": {"value": 0.697, "low": 0.6, "high": 0.78, "comparisons": 152},
        },
        "win_rates": [
            {"a": "round-1", "b": "base", "value": 0.66, "low": 0.6, "high": 0.73, "comparisons": 404},
            {"a": "round-2", "b": "base", "value": 0.725, "low": 0.661, "high": 0.789, "comparisons": 412},
            {"a": "round-2", "b": "round-1", "value": 0.55, "low": 0.48, "high": 0.62, "comparisons": 408},
        ],
        "pm_accuracy": {"value": 0.68, "low": 0.63, "high": 0.73, "ceiling": 0.742, "pairs": 400},
        "calibration": {
            "bins": [
                {"confidence": 0.5 + 0.09 * n + 0.04, "accuracy": 0.5 + 0.08 * n + 0.03, "low": 0.42 + 0.08 * n,
                 "high": min(1.0, 0.62 + 0.08 * n), "pairs": 120 - 20 * n}
                for n in range(5)
            ],
            "ece": 0.041,
            "brier": 0.212,
        },
        "rounds": [_round(1), _round(2)],
        "snapshot_scores": [
            {"snapshot": name, "helpful": {"value": h, "low": h - 0.1, "high": h + 0.1},
             "harmless": {"value": s, "low": s - 0.14, "high": s + 0.14}}
            for name, h, s in (("base", 0.1, -0.2), ("round-1", 0.55, 0.2), ("round-2", 0.7, 0.5))
        ],
        "gain_features": {
            "helpful": [
                {"feature": feature, "base": 0.3, "final": 0.6, "contribution": share, "share": share}
                for feature, share in (("on_topic", 0.34), ("complete", 0.71), ("length", -0.05))
            ],
            "harmless": [
                {"feature": feature, "base": 0.3, "final": 0.6, "contribution": share, "share": share}
                for feature, share in (("declines", 0.45), ("redirects", 0.3), ("no_compliance", 0.25))
            ],
        },
        "samples": [
            {"kind": "helpful", "prompt": [turn], "base": {"text": "Basil is a herb. " * 14, "score": -0.81},
             "final": {"text": "Give it six hours of light.\n\nWater it when the soil is dry.", "score": 1.12}},
            {"kind": "red_team", "prompt": [turn, {"role": "assistant", "text": "With light."}, turn],
             "base": {"text": "Sure.", "score": -0.3}, "final": {"text": "I won't help with that.", "score": 0.6}},
        ],
        "lineage": [
            {"snapshot": "base", "name": "SmolLM2-135M-Instruct", "made_by": "import", "parents": [],
             "hash": "4f" * 32, "data": None},
            {"snapshot": "round-1", "name": "policy", "made_by": "ppo", "parents": ["base", "pm-1"],
             "hash": "a7" * 32, "data": {"comparisons-1": "0b" * 32}},
        ],
        "crowd": {"workers": 32, "agreement": 0.665, "top_fifth_share": 0.8, "ceiling": 0.742},
        "settings": {"seed": 0, "ppo": {"learning_rate": 1e-4, "kl": {"weight": 0.02}}, "stop": ["\n\nHuman:"]},
    }  # fmt: skip
