"""Preference-model training, DPO and scoring against TRL, on the same machine, model, dtype, data and updates.

`make bench-pm` sets the peer up in an environment of its own and runs this file. Every measurement is a process of its
own, one after the other; every figure that is claimed is a ratio of two of them. Peers get the batch layout that is
fastest for them among those tried. Results: benchmarks/results/.
"""

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PEER = HERE / "peer_trl.py"
OURS = HERE / "ours_pm.py"
Line = tuple[str, float, str, str]  # of a table: what, value, unit, bar
TASKS = ["pm", "dpo", "score", "same_losses"]


def measure(python: str, script: Path, **options: Any) -> dict[str, Any]:
    """One process; its last line of output is its result."""
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    print(f"  {script.name} {' '.join(arguments)}", file=sys.stderr)
    done = subprocess.run([python, script, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"    {json.dumps(result)}", file=sys.stderr)
    return result


def best_layout(python: str, task: str, pairs: int, **common: Any) -> int:
    """The micro-batch of length-grouped pairs with which the peer is fastest, by a short trial of each."""
    rates = {
        size: measure(python, PEER, task=task, pairs=pairs, micro_batch=size, **common)["pairs_per_second"]
        for size in (1, 2, 4, 8)
    }
    return max(rates, key=rates.__getitem__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="an HH-RLHF file (JSONL or JSONL.gz, full dialogues)")
    parser.add_argument("--peer-python", required=True, help="the Python of the environment that holds TRL")
    parser.add_argument("--pairs", type=int, default=512, help="pairs of preference-model training; DPO: a quarter")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "pm-cpu.json")
    options = parser.parse_args()
    pairs = {"pm": options.pairs, "dpo": options.pairs // 4, "score": options.pairs}
    common = {"data": options.data, "dtype": options.dtype, "device": options.device}
    subprocess.run([sys.executable, OURS, "--task=export", f"--data={options.data}"], check=True)

    setting = {"pairs": pairs, "dtype": options.dtype, "device": device_name(options.device)}
    results = {**earlier(options.out, setting), **setting}

    def keep(task: str, found: dict[str, Any]) -> None:
        results[task] = found
        save(results, options.out)

    for task in ("pm", "dpo"):
        if task not in options.tasks:
            continue
        ours = measure(sys.executable, OURS, task=task, pairs=pairs[task], **common)
        size = best_layout(options.peer_python, task, max(16, pairs[task] // 8), **common)
        best = measure(options.peer_python, PEER, task=task, pairs=pairs[task], micro_batch=size, **common)
        defaults = measure(options.peer_python, PEER, task=task, pairs=pairs[task], **common)
        keep(task, {
            "ours": ours, "trl_best": {**best, "micro_batch": size}, "trl_defaults": defaults,
            "speed_ratio_best": ours["pairs_per_second"] / best["pairs_per_second"],
            "speed_ratio_defaults": ours["pairs_per_second"] / defaults["pairs_per_second"],
            "memory_ratio_best": ours["peak_memory_bytes"] / best["peak_memory_bytes"],
            "memory_ratio_defaults": ours["peak_memory_bytes"] / defaults["peak_memory_bytes"],
        })  # fmt: skip
    if "score" in options.tasks:
        rows = measure(sys.executable, OURS, task="score", pairs=pairs["score"], **common)
        padded = measure(sys.executable, OURS, task="score-padded", pairs=pairs["score"], **common)
        keep("score", {
            "ours": rows, "padded": padded, "speed_ratio": rows["pairs_per_second"] / padded["pairs_per_second"],
        })  # fmt: skip
    if "same_losses" in options.tasks:
        in_fp32 = {**common, "dtype": "float32"}
        keep("same_losses", measure(sys.executable, OURS, task="pm-padded", pairs=48, **in_fp32))
    print(table(results))


def earlier(file: Path, setting: dict[str, Any]) -> dict[str, Any]:
    """Results of tasks that were measured before in the same setting; those that are measured now replace them."""
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found if setting.items() <= found.items() else {}


def save(results: dict[str, Any], file: Path) -> None:
    """After every task: a run that is stopped keeps what it has."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=2) + "\n")


def table(results: dict[str, Any]) -> str:
    """The rows of what was measured, with their bars."""
    lines: list[Line] = []
    if "pm" in results:
        pm = results["pm"]
        lines += [
            ("training, pairs/s", pm["speed_ratio_defaults"], "times TRL's RewardTrainer, its defaults", "at least 4"),
            ("training, pairs/s", pm["speed_ratio_best"], "times TRL's RewardTrainer at its best", "at least 1.5"),
            ("peak memory of training", pm["memory_ratio_defaults"], "of TRL's, its defaults", "at most 0.7"),
            ("peak memory of training", pm["memory_ratio_best"], "of TRL's at its best", "at most 0.7"),
            ("tokens through the trunk", pm["ours"]["token_ratio"], "of prompt + chosen + rejected", "at most 1.06"),
            ("arithmetic", pm["ours"]["peak_share"], "of the measured matrix-product peak", "at least 0.5"),
        ]
    if "dpo" in results:
        dpo = results["dpo"]
        lines += [
            ("DPO, pairs/s", dpo["speed_ratio_defaults"], "times TRL's DPOTrainer, its defaults", "at least 3"),
            ("DPO, pairs/s", dpo["speed_ratio_best"], "times TRL's DPOTrainer at its best", "at least 3"),
        ]
    if "score" in results:
        ratio = results["score"]["speed_ratio"]
        lines.append(("scoring, pairs/s", ratio, "times padded texts in random batches", "at least 3"))
    if "same_losses" in results:
        gap = results["same_losses"]["largest_gap"]
        lines.append(("step losses, rows against padded texts, fp32", gap, "at most", "float error"))
    return written(lines)


def written(lines: Sequence[Line]) -> str:
    return "\n".join(f"| {what} | {value:.3g} {unit} | {bar} |" for what, value, unit, bar in lines)


def device_name(device: str) -> str:
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    cpu = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), platform.processor()
    )
    return cpu.split(":")[-1].strip()


if __name__ == "__main__":
    main()
