"""Our side of `bench_pm.py`: one task, one line of JSON."""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tutelage.corpus.rules import DropCounts
from tutelage.corpus.sources import read_comparisons
from tutelage.dialogue import Comparison
from tutelage.modeling.base import embedded_directory, load_base
from tutelage.modeling.encoding import DialogueFormat
from tutelage.modeling.folding import product
from tutelage.modeling.heads import ScoreHead
from tutelage.modeling.hub import EMBEDDED
from tutelage.modeling.passes import branch_logprobs, closed, score_branches
from tutelage.modeling.rows import Group
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.machine import keep_freed_memory, peak_memory_bytes
from tutelage.training.losses import dpo_loss, preference_loss
from tutelage.training.optimizer import MasterAdamW
from tutelage.training.pairs import PairedGroup, numbered, paired_groups
from tutelage.training.preference import REFERENCE_GROUPS, PreferenceSettings, step_batches, train_preference_model

WORK = Path(__file__).parent / ".work"
LEARNING_RATE, BATCH, MAX_TOKENS, BETA, RANK = 1e-4, 8, 1024, 0.1, 16


def read(data: Path, count: int) -> list[Comparison]:
    return list(DropCounts().sift(read_comparisons([data])))[:count]


def export(data: Path) -> None:
    """The pairs as the peer reads them, and where the base lies."""
    WORK.mkdir(exist_ok=True)
    roles = {"human": "user", "assistant": "assistant"}
    with (WORK / "pairs.jsonl").open("w") as stream:
        for one in read(data, 10**9):
            prompt = [{"role": roles[m.role], "content": m.text} for m in one.prompt.messages]
            answers = [[{"role": "assistant", "content": r.text}] for r in (one.chosen, one.rejected)]
            stream.write(json.dumps({"prompt": prompt, "chosen": answers[0], "rejected": answers[1]}) + "\n")
    (WORK / "base").write_text(str(embedded_directory()))


def train_pm(trunk: Trunk, comparisons: list[Comparison], device: str) -> dict[str, Any]:
    settings = PreferenceSettings(
        learning_rate=LEARNING_RATE, head_learning_rate=LEARNING_RATE, batch_pairs=BATCH, rank=RANK,
        max_tokens=MAX_TOKENS, min_strength=1, token_budget=4096 if device == "cpu" else 32768,
    )  # fmt: skip
    groups, _ = paired_groups(comparisons, trunk.encoder, MAX_TOKENS)
    ideal = sum(
        len(group.prompt) + len(group.branches[a]) + len(group.branches[b]) + 2
        for group in groups for a, b in group.pairs
    )  # fmt: skip
    lengths = [[paired.group.length + len(paired.branches) for paired in batch] for batch in batches_of(groups)]
    laid = sum(
        len(places) * max(step[place] for place in places)
        for step in lengths for places in trunk.batches(step, settings.token_budget)
    )  # fmt: skip
    seconds = timed(lambda: train_preference_model(trunk, "pm", comparisons, settings, 0))
    return {
        "seconds": seconds,
        "pairs_per_second": len(comparisons) / seconds,
        "token_ratio": laid / ideal,
        "peak_share": arithmetic(trunk, [paired.group for paired in groups]) / seconds / matmul_peak(trunk),
    }


def batches_of(groups: Sequence[PairedGroup]) -> list[list[PairedGroup]]:
    return list(step_batches(groups, BATCH, np.random.default_rng(0)))


def arithmetic(trunk: Trunk, groups: Sequence[Group]) -> float:
    """Floating-point operations of products in training a LoRA adapter on these groups: the frozen weights once forward
    and once backward (to the states; they have no gradient of their own), the adapter and attention forward, and
    backward to both; and twice forward for the scale and the zero of scores. Attention: over what may be looked at."""
    trained, scored = closed(groups, 0), closed(groups[:REFERENCE_GROUPS], 0)
    linear = sum(layer.base.weight.numel() for layer in trunk.adapted_layers)
    low_rank = sum(RANK * sum(layer.base.weight.shape) for layer in trunk.adapted_layers)
    config: Any = trunk.model.config
    a_look = 4.0 * config.num_hidden_layers * config.num_attention_heads * config.head_dim
    training = tokens(trained) * (4.0 * linear + 6.0 * low_rank) + 3 * a_look * looks(trained)
    return training + 2 * (tokens(scored) * 2.0 * (linear + low_rank) + a_look * looks(scored))


def tokens(groups: Sequence[Group]) -> int:
    return sum(group.length for group in groups)


def looks(groups: Sequence[Group]) -> int:
    """Pairs of a token and one that it may look at, itself included."""

    def among(count: int) -> int:
        return count * (count + 1) // 2

    prompts = sum(among(len(group.prompt)) for group in groups)
    branches = ((len(branch), len(group.prompt)) for group in groups for branch in group.branches)
    return prompts + sum(own * prompt + among(own) for own, prompt in branches)


def matmul_peak(trunk: Trunk) -> float:
    """Operations a second of a large square matrix product in the trunk's number format, the best of several; on a CPU
    also with a weight that is laid out beforehand, as ours are."""
    size = 8192 if trunk.device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, dtype=trunk.dtype, device=trunk.device) for _ in range(2))
    laid = product(b, None)
    with torch.no_grad():
        laid(a)
        return 2 * size**3 / min(timed(work) for work in (lambda: a @ b, lambda: laid(a)) for _ in range(8))


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def train_dpo(trunk: Trunk, comparisons: list[Comparison], device: str) -> dict[str, Any]:
    """DPO on the same rows; the reference is the trunk without its adapter."""
    trunk.add_adapter("policy", RANK, 0)
    budget = 4096 if device == "cpu" else 32768

    def run() -> None:
        groups, _ = paired_groups(comparisons, trunk.encoder, MAX_TOKENS)
        optimizer = MasterAdamW((trunk.adapter_parameters("policy").values(), LEARNING_RATE), clip_norm=1.0)
        for batch in batches_of(groups):
            reference = [
                torch.tensor([float(branch.sum()) for branch in row], device=trunk.device)
                for row in branch_logprobs(trunk, None, [paired.group for paired in batch], 1.0)
            ]
            with trunk.using("policy", trained=True):
                for places in trunk.batches([paired.group.length for paired in batch], budget):
                    rows = trunk.lay([batch[place].group for place in places])
                    logprobs_T, _ = trunk.logprobs_T(trunk.hidden_RLD(rows), rows, 1.0)
                    sums_N = torch.stack([part.sum() for part in logprobs_T.split(rows.lengths_N.tolist())])
                    chosen, rejected = numbered([batch[place] for place in places])
                    expected_N = torch.cat([reference[place] for place in places])
                    loss = dpo_loss(sums_N[chosen], sums_N[rejected], expected_N[chosen], expected_N[rejected], BETA)
                    optimizer.accumulate(loss.total)
                optimizer.step(sum(len(paired.pairs) for paired in batch))

    seconds = timed(run)
    return {"seconds": seconds, "pairs_per_second": len(comparisons) / seconds}


def score(trunk: Trunk, comparisons: list[Comparison], padded: bool) -> dict[str, Any]:
    """Scores of all pairs: by rows, or as separate texts in random batches of 16."""
    trunk.add_adapter("pm", RANK, 0)
    head = ScoreHead(trunk.width, "last").to(trunk.device)
    groups = [paired.group for paired in paired_groups(comparisons, trunk.encoder, MAX_TOKENS)[0]]

    def in_random_batches() -> None:
        texts = [Group(g.prompt, (branch,)) for g in closed(groups, trunk.encoder.context_end) for branch in g.branches]
        with trunk.using("pm"):
            for part in np.array_split(np.random.default_rng(0).permutation(len(texts)), -(-len(texts) // 16)):
                rows = trunk.lay([texts[index] for index in part])
                head(trunk.hidden_RLD(rows), rows).tolist()

    work = in_random_batches if padded else lambda: score_branches(trunk, "pm", head, groups)
    seconds = timed(work)
    return {"seconds": seconds, "pairs_per_second": len(comparisons) / seconds}


def compare_losses(trunk: Trunk, comparisons: list[Comparison], held_out: list[Comparison]) -> dict[str, Any]:
    """Training on rows against training on padded single texts by plain means: step losses and final accuracy."""
    settings = PreferenceSettings(
        learning_rate=LEARNING_RATE, head_learning_rate=LEARNING_RATE, batch_pairs=BATCH, rank=RANK,
        max_tokens=MAX_TOKENS, min_strength=1,
    )  # fmt: skip
    trained = train_preference_model(trunk, "pm", comparisons, settings, 0)
    rowwise = [step["loss"] for step in trained.metrics]
    accuracy = right(trunk, "pm", trained.head, held_out)

    trunk.add_adapter("plain", RANK, 0)
    head = ScoreHead(trunk.width, "last")
    head.scale = trained.head.scale.clone()
    optimizer = MasterAdamW(
        (trunk.adapter_parameters("plain").values(), LEARNING_RATE), (head.parameters(), LEARNING_RATE), clip_norm=1.0
    )
    groups, _ = paired_groups(comparisons, trunk.encoder, MAX_TOKENS)
    plain = []
    with trunk.using("plain", trained=True):
        for step, batch in enumerate(batches_of(groups)):
            total, count = 0.0, 0
            for paired in batch:  # one at a time: all of a step's texts in fp32 take more than 20 GB
                (group,) = closed([paired.group], trunk.encoder.context_end)
                rows = trunk.lay([Group(group.prompt, (branch,)) for branch in group.branches])
                chosen, rejected = numbered([paired])
                scores_N = head(trunk.hidden_RLD(rows), rows)
                loss = preference_loss(scores_N[chosen], scores_N[rejected])
                optimizer.accumulate(loss.total)
                total, count = total + loss.total.item(), count + loss.count
            optimizer.step(count, min(1.0, (step + 1) / settings.warmup))
            plain.append(total / count)
    gaps = np.abs(np.array(rowwise) - np.array(plain))
    return {
        "steps": len(plain), "largest_gap": float(gaps.max()), "accuracy_rows": accuracy,
        "accuracy_padded": right(trunk, "plain", head, held_out),
    }  # fmt: skip


def right(trunk: Trunk, adapter: str, head: ScoreHead, comparisons: list[Comparison]) -> float:
    groups, _ = paired_groups(comparisons, trunk.encoder, MAX_TOKENS)
    scores = score_branches(trunk, adapter, head, [paired.group for paired in groups])
    return float(
        np.mean([row[a] > row[b] for paired, row in zip(groups, scores, strict=True) for a, b in paired.pairs])
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=512)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options = parser.parse_args()
    keep_freed_memory()
    if options.task == "export":
        export(options.data)
        return
    comparisons = read(options.data, options.pairs + 200)
    used, others = comparisons[: options.pairs], comparisons[options.pairs :]
    trunk = load_base(EMBEDDED, DialogueFormat(), getattr(torch, options.dtype), options.device)
    tasks: dict[str, Callable[[], dict[str, Any]]] = {
        "pm": lambda: train_pm(trunk, used, options.device),
        "dpo": lambda: train_dpo(trunk, used, options.device),
        "score": lambda: score(trunk, used, padded=False),
        "score-padded": lambda: score(trunk, used, padded=True),
        "pm-padded": lambda: compare_losses(trunk, used, others),
    }
    result = tasks[options.task]()
    memory = torch.cuda.max_memory_allocated() if options.device == "cuda" else peak_memory_bytes()
    print(json.dumps({**result, "peak_memory_bytes": memory}))


if __name__ == "__main__":
    main()
