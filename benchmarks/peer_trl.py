"""TRL's side of `bench_pm.py`, run by the Python of an environment that holds TRL: one task, one line of JSON."""

import argparse
import json
import random
import resource
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer

WORK = Path(__file__).parent / ".work"
LEARNING_RATE, BATCH, MAX_TOKENS, BETA, RANK = 1e-4, 8, 1024, 0.1, 16


def grouped_by_length(rows: list[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    """Rows of like length beside each other, so that batches of `size` need little padding, the batches in random
    order. (The trainers' own grouping looks for a column that their preparation does not make.)"""
    rows = sorted(rows, key=lambda row: len(json.dumps(row)))
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    random.Random(0).shuffle(batches)
    return [row for batch in batches for row in batch]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", choices=["pm", "dpo"], required=True)
    parser.add_argument("--data")
    parser.add_argument("--pairs", type=int, default=512)
    parser.add_argument("--micro-batch", type=int, default=0, help="0: the trainer's own defaults")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()

    rows = [json.loads(line) for line in (WORK / "pairs.jsonl").open()][: options.pairs]
    base, dtype = (WORK / "base").read_text(), getattr(torch, options.dtype)
    tokenizer = AutoTokenizer.from_pretrained(base)
    settings: dict[str, Any] = {
        "output_dir": str(WORK / "trl"), "learning_rate": LEARNING_RATE, "max_length": MAX_TOKENS,
        "num_train_epochs": 1, "save_strategy": "no", "report_to": [], "logging_steps": 8, "disable_tqdm": True,
        "lr_scheduler_type": "constant", "use_cpu": options.device == "cpu", "bf16": options.dtype == "bfloat16",
    }  # fmt: skip
    if options.micro_batch:
        size = min(options.micro_batch, BATCH)
        settings |= {
            "per_device_train_batch_size": size, "gradient_accumulation_steps": BATCH // size,
            "gradient_checkpointing": False, "train_sampling_strategy": "sequential",
        }  # fmt: skip
        rows = grouped_by_length(rows, size)
    lora = LoraConfig(
        r=RANK, lora_alpha=2 * RANK, target_modules="all-linear",
        task_type="SEQ_CLS" if options.task == "pm" else "CAUSAL_LM",
    )  # fmt: skip
    if options.task == "pm":
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=dtype)
        model.config.pad_token_id = tokenizer.pad_token_id or tokenizer.eos_token_id
        trainer: Any = RewardTrainer(
            model, args=RewardConfig(**settings), train_dataset=Dataset.from_list(rows), processing_class=tokenizer,
            peft_config=lora,
        )  # fmt: skip
    else:
        model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
        trainer = DPOTrainer(
            model, args=DPOConfig(beta=BETA, **settings), train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer, peft_config=lora,
        )  # fmt: skip
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    memory = (
        torch.cuda.max_memory_allocated()
        if options.device == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print(json.dumps({
        "seconds": seconds, "pairs_per_second": len(trainer.train_dataset) / seconds,
        "updates": trainer.state.global_step, "losses": losses, "peak_memory_bytes": memory,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
