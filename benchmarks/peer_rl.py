"""The peers of `bench_rl.py`, run by the Python of an environment that holds TRL 1.12.0: `generate` of transformers,
and PPO of TRL. One task, one line of JSON."""

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

WORK = Path(__file__).parent / ".work"
PROMPTS, SAMPLES, TOKENS, TEMPERATURE, SINGLE = 32, 4, 64, 0.7, 4
PPO_PROMPTS, PPO_TOKENS, RANK, LEARNING_RATE, KL_WEIGHT = 8, 48, 16, 1e-4, 0.05


def load(options: Any) -> Any:
    model = AutoModelForCausalLM.from_pretrained((WORK / "base").read_text(), dtype=getattr(torch, options.dtype))
    model.generation_config.eos_token_id = None  # every response goes on to its last token
    return model.to(options.device).eval()


def generate(model: Any, prompts: list[list[int]], samples: int, tokens: int, cache: str) -> None:
    """A batch, padded on the left."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts], device=model.device)
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
    with torch.inference_mode():
        made = model.generate(
            input_ids=ids, attention_mask=mask, do_sample=True, temperature=TEMPERATURE, top_k=0, top_p=1.0,
            num_return_sequences=samples, max_new_tokens=tokens, pad_token_id=0, cache_implementation=cache,
        )  # fmt: skip
    assert made.shape == (len(prompts) * samples, longest + tokens)
    if model.device.type == "cuda":
        torch.cuda.synchronize()


def sampling(options: Any) -> dict[str, Any]:
    """All prompts in batches of `--batch` of like length."""
    model, prompts = load(options), sorted(json.loads((WORK / "prompts.json").read_text()), key=len)
    generate(model, prompts[:2], 1, 2, options.cache)
    started, before = time.perf_counter(), time.process_time()
    for start in range(0, len(prompts), options.batch):
        generate(model, prompts[start : start + options.batch], SAMPLES, TOKENS, options.cache)
    seconds, busy = time.perf_counter() - started, time.process_time() - before
    return {"seconds": seconds, "processor_seconds": busy, "tokens_per_second": PROMPTS * SAMPLES * TOKENS / seconds}


def single(options: Any) -> dict[str, Any]:
    model, prompts = load(options), json.loads((WORK / "prompts.json").read_text())[:SINGLE]
    generate(model, prompts[:1], 1, 2, options.cache)
    started, before = time.perf_counter(), time.process_time()
    for prompt in prompts:
        generate(model, [prompt], 1, TOKENS, options.cache)
    seconds, busy = (time.perf_counter() - started) / SINGLE, (time.process_time() - before) / SINGLE
    return {"seconds": seconds, "processor_seconds": busy, "seconds_per_token": seconds / TOKENS}


def ppo(options: Any) -> dict[str, Any]:
    """Steps of TRL's PPO after the first, each on as many responses of as many tokens as ours: TRL draws one response
    to a prompt, so that every prompt is given `SAMPLES` times. The value model has LoRA of its own, as ours has; TRL's
    `peft_config` reaches the policy alone."""
    from datasets import Dataset
    from peft import LoraConfig, inject_adapter_in_model
    from transformers import AutoModelForSequenceClassification, TrainerCallback
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    base, dtype, rows = (WORK / "base").read_text(), getattr(torch, options.dtype), PPO_PROMPTS * SAMPLES
    tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    scorers = [AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=dtype) for _ in range(2)]
    policy = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    # The reference is the policy without its adapter; or, for the memory of four separate models, one of its own.
    reference = AutoModelForCausalLM.from_pretrained(base, dtype=dtype) if options.models == 4 else None
    lora = {"r": RANK, "lora_alpha": 2 * RANK}
    maps = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    inject_adapter_in_model(LoraConfig(**lora, target_modules=maps), scorers[1])
    scorers[1].score.requires_grad_(True)
    prompts = json.loads((WORK / "prompts.json").read_text())[:PPO_PROMPTS]
    steps = options.steps + 1
    settings = PPOConfig(
        output_dir=str(WORK / "trl-ppo"), learning_rate=LEARNING_RATE, lr_scheduler_type="constant", report_to=[],
        per_device_train_batch_size=options.batch, gradient_accumulation_steps=rows // options.batch,
        num_ppo_epochs=1, num_mini_batches=1, total_episodes=steps * rows, response_length=PPO_TOKENS,
        temperature=TEMPERATURE, kl_coef=KL_WEIGHT, num_sample_generations=0, save_strategy="no", disable_tqdm=True,
        local_rollout_forward_batch_size=options.batch, use_cpu=options.device == "cpu", stop_token=None,
        bf16=options.dtype == "bfloat16", gradient_checkpointing=False, logging_steps=1,
    )  # fmt: skip
    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    trainer = PPOTrainer(
        args=settings, processing_class=tokenizer, model=policy, ref_model=reference, reward_model=scorers[0],
        value_model=scorers[1], callbacks=[Clock()],
        train_dataset=Dataset.from_list([{"input_ids": ids} for ids in prompts for _ in range(SAMPLES)] * steps),
        eval_dataset=Dataset.from_list([{"input_ids": prompts[0]}]),
        peft_config=LoraConfig(**lora, target_modules=maps, task_type="CAUSAL_LM"),
    )  # fmt: skip
    trainer.train()
    seconds = ends[-1] - ends[0]
    return {"seconds_per_step": seconds / options.steps, "samples_per_second": options.steps * rows / seconds}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", required=True, choices=["sample", "single", "ppo"])
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, default=32, help="prompts a batch; PPO: responses a forward pass")
    parser.add_argument("--cache", default="dynamic", choices=["dynamic", "static"])
    parser.add_argument("--models", type=int, default=3, choices=[3, 4], help="of PPO: 4: a reference of its own")
    parser.add_argument("--steps", type=int, default=2, help="steps of PPO that are measured")
    options = parser.parse_args()
    result = {"sample": sampling, "single": single, "ppo": ppo}[options.task](options)
    if options.device == "cuda":
        memory = torch.cuda.max_memory_allocated()
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({**result, "peak_memory_bytes": memory}))


if __name__ == "__main__":
    main()
