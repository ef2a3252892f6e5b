"""Sampling against `generate` of transformers, and a whole step of PPO against TRL 1.12.0, the last that had PPO.

`make bench-rl` sets the peers up in an environment of their own and runs this file. Every measurement is a process of
its own, ours and the peer's in turn; every figure that is claimed is a ratio of medians of one run. In sampling
the peer gets the batch and the cache that are fastest for it among those tried. Results: benchmarks/results/.
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench_pm import Line, device_name, earlier, measure, save, written

HERE = Path(__file__).parent
OURS, PEER = HERE / "ours_rl.py", HERE / "peer_rl.py"
LAYOUTS = {  # prompts a batch, and the kind of cache
    "sample": [(32, "dynamic"), (8, "dynamic"), (32, "static")],
    "single": [(1, "dynamic"), (1, "static")],
}
FIGURES = {"sample": "tokens_per_second", "single": "seconds_per_token", "ppo": "samples_per_second"}  # of each task


def in_turn(repeats: int, *runs: Any) -> list[list[dict[str, Any]]]:
    """Results of each run, taken in turn so that a slow minute of the machine meets all."""
    results: list[list[dict[str, Any]]] = [[] for _ in runs]
    for _ in range(repeats):
        for found, run in zip(results, runs, strict=True):
            found.append(run())
    return results


def middle(results: Sequence[dict[str, Any]], name: str) -> float:
    return statistics.median(result[name] for result in results)


def best_layout(task: str, options: argparse.Namespace) -> dict[str, Any]:
    """The peer's batch and cache that are fastest at a task, one trial each."""
    layouts = [{"batch": batch, "cache": cache} for batch, cache in LAYOUTS[task]]
    if options.repeats < 2:
        return layouts[0]
    common = {"task": task, "dtype": options.dtype, "device": options.device}
    return min(layouts, key=lambda layout: measure(options.peer_python, PEER, **common, **layout)["seconds"])


def compare(task: str, figure: str, options: argparse.Namespace, **theirs: Any) -> dict[str, Any]:
    """Medians of ours and the peer's, and how many times faster ours is by `figure`."""
    common = {"task": task, "dtype": options.dtype, "device": options.device}
    ours, peers = in_turn(
        options.repeats,
        lambda: measure(sys.executable, OURS, **common),
        lambda: measure(options.peer_python, PEER, **common, **theirs),
    )
    ratio = middle(ours, figure) / middle(peers, figure)
    return {
        "repeats": options.repeats,
        "ours": {name: middle(ours, name) for name in ours[0]},
        "peer": {**{name: middle(peers, name) for name in peers[0]}, **theirs},
        "speed_ratio": 1 / ratio if figure.startswith("seconds") else ratio,
        "memory_ratio": middle(ours, "peak_memory_bytes") / middle(peers, "peak_memory_bytes"),
    }


def against_four_models(found: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Our peak memory against the peer's where its reference is a model of its own, not its policy without adapter."""
    common = {"task": "ppo", "dtype": options.dtype, "device": options.device, "batch": 8, "steps": 1}
    four = measure(options.peer_python, PEER, **common, models=4)["peak_memory_bytes"]
    return {"four_models_bytes": four, "memory_ratio_four_models": found["ours"]["peak_memory_bytes"] / four}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required=True, help="the Python of the environment that holds TRL 1.12.0")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each; 1: the peer's first layout only")
    parser.add_argument("--tasks", nargs="+", default=list(FIGURES), choices=FIGURES)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "rl-cpu.json")
    options = parser.parse_args()
    subprocess.run([sys.executable, OURS, "--task=export"], check=True)
    setting = {"device": device_name(options.device), "dtype": options.dtype}
    results = {**earlier(options.out, setting), **setting}
    for task, figure in FIGURES.items():
        if task in options.tasks:
            layout = {"batch": 8} if task == "ppo" else best_layout(task, options)
            results[task] = compare(task, figure, options, **layout)
            if task == "ppo":
                results[task] |= against_four_models(results[task], options)
            save(results, options.out)
    print(table(results))


def table(results: dict[str, Any]) -> str:
    """The rows of what was measured, with their bars."""
    lines: list[Line] = []
    if "sample" in results:
        found = results["sample"]
        lines += [
            ("sampling, 32 prompts x 4 x 64 tokens", found["speed_ratio"], "times transformers generate", "at least 3"),
            ("the same", found["ours"]["tokens_per_second"], "tokens/s", "-"),
            ("the same", found["ours"]["share_of_limit"], "of the machine's limit (arithmetic or memory)", "-"),
        ]
    if "single" in results:
        found = results["single"]
        lines += [
            ("one prompt, latency a token", found["speed_ratio"], "times faster than transformers", "at least 1.5"),
            ("the same", 1000 * found["ours"]["seconds_per_token"], "ms", "-"),
            ("the same", found["ours"]["share_of_limit"], "of the machine's limit (memory)", "at least 0.5 on a GPU"),
        ]
    if "ppo" in results:
        found = results["ppo"]
        ours = found["ours"]
        lines += [
            ("a whole PPO step, LoRA, samples/s", found["speed_ratio"], "times TRL 1.12.0", "at least 4"),
            ("the same", ours["samples_per_second"], "samples/s", "-"),
            ("the same", ours["share_of_limit"], "of the machine's limit (arithmetic)", "-"),
            ("peak memory of PPO", found["memory_ratio"], "of TRL's, its policy and reference one", "-"),
            ("the same", found["memory_ratio_four_models"], "of TRL's, four separate models", "at most 0.4"),
            ("sampling", ours["sampling_share"], "of a step", "-"),
            ("scoring, reference", ours["rollout_share"] - ours["sampling_share"], "of a step", "-"),
            ("training", 1 - ours["rollout_share"], "of a step", "-"),
        ]
    return written(lines)


if __name__ == "__main__":
    main()
