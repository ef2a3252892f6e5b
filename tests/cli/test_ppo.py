"""`tutelage train ppo`, `rloo`, `grpo` on the toy base: they learn, tell what they did, refuse what cannot be."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tutelage.cli.main import main
from tutelage.cli.ppo import TrainGRPO, TrainOnReward, TrainPPO, TrainRLOO
from tutelage.cli.train import TrainPM
from tutelage.loop.policy_run import PolicyRun
from tutelage.modeling.base import load_base
from tutelage.modeling.encoding import DialogueFormat
from tutelage.modeling.snapshot import read_card, save_snapshot
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import CheckFailed, InputError
from tutelage.plumbing.files import read_json, read_jsonl, write_jsonl
from tutelage.training.policy_settings import GRPOSettings, PPOSettings, RLOOSettings

from ..plumbing.fake_sinks import fake_sink

SMALL: dict[str, Any] = {
    "steps": 4, "prompts_per_step": 4, "samples_per_prompt": 2, "learning_rate": 1e-2, "rank": 4, "kl_weight": 0.02,
}  # fmt: skip
METRICS = {
    "step", "responses", "reward", "reward_spread", "heldout_reward", "kl", "sqrt_kl", "kl_weight", "length",
    "truncated", "repetition", "refusals", "entropy", "clip_fraction", "gradient_norm", "learning_rate", "seconds",
    "sampling_seconds", "rollout_seconds",
}  # fmt: skip


def prompt_file(path: Path, turns: list[str]) -> Path:
    line = {"kind": "helpful", "category": "facts", "split": "ppo"}
    write_jsonl(path, ({"id": f"p-{n}", **line, "turns": [turn]} for n, turn in enumerate(turns)))
    return path


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    return prompt_file(tmp_path / "asked.jsonl", [f"Could you tell me about number {n}?" for n in range(12)])


@pytest.fixture
def train_ppo(preference_model: Path, asked: Path, tmp_path: Path) -> TrainPPO:
    return TrainPPO(
        prompts=(str(asked),), pm=preference_model, out=tmp_path / "run", dtype="float32", max_tokens=6,
        settings=PPOSettings(**SMALL), checkpoint_every=1, sample_every=2, sample_prompts=1,
    )  # fmt: skip


@pytest.fixture
def initial(tmp_path: Path) -> Path:
    """A policy that is not the base."""
    trunk = load_base("tiny-random", DialogueFormat(), torch.float32)
    trunk.add_adapter("policy", 4, seed=7)
    for key, parameter in trunk.adapter_parameters("policy").items():
        if "lora_B" in key:
            parameter.data.normal_(0, 0.02, generator=torch.Generator().manual_seed(0))
    save_snapshot(tmp_path / "initial", trunk, "policy", 4, None, {})
    return tmp_path / "initial"


def as_method(command: TrainPPO, method: str) -> TrainOnReward:
    given = {name: getattr(command, name) for name in vars(command) if name != "settings"}
    kinds: dict[str, Callable[..., TrainOnReward]] = {
        "RLOO": lambda **more: TrainRLOO(**more, settings=RLOOSettings(**SMALL)),
        "GRPO": lambda **more: TrainGRPO(**more, settings=GRPOSettings(**SMALL)),
    }
    return kinds[method](**given) if method in kinds else command


@pytest.mark.parametrize("method", ["PPO", "RLOO", "GRPO"])
def test_it_trains_and_tells_what_it_did(train_ppo: TrainPPO, method: str) -> None:
    command = replace(as_method(train_ppo, method), heldout_pm=train_ppo.pm, snapshot_at=(2,))
    result = command.run()
    json.dumps(result, allow_nan=False)
    assert (result["steps"], result["responses"], result["ended"]) == (4, 32, "steps")
    assert {path.name for path in command.out.iterdir()} == {
        "training.json", "metrics.jsonl", "samples.jsonl", "snapshot", "snapshots"
    }  # fmt: skip
    steps = [line.record for line in read_jsonl(command.out / "metrics.jsonl")]
    critic = {"explained_variance"} if method == "PPO" else set()
    assert all(METRICS | critic == set(step) - {"mismatch_p50", "mismatch_p90", "mismatch_p99"} for step in steps)
    assert steps[0]["kl"] == pytest.approx(0, abs=1e-4)
    assert [step["responses"] for step in steps] == [8, 16, 24, 32]
    assert steps[1]["reward"] == pytest.approx(steps[1]["heldout_reward"])
    samples = [line.record for line in read_jsonl(command.out / "samples.jsonl")]
    assert [(sample["step"]) for sample in samples] == [0, 0, 2, 2]
    assert "number" in samples[0]["prompt"]
    card = read_card(command.out / "snapshot")
    assert (card.role, card.name) == ("policy", result["snapshot"])
    assert card.lineage["pm"] == read_card(command.pm).name
    assert read_card(command.out / "snapshots" / "step-2").lineage["steps"] == 2
    note = read_json(command.out / "training.json")
    assert note["method"] == method
    assert note["result"]["late"]["reward"] == pytest.approx(steps[-1]["reward"])
    assert [(file["weight"], file["prompts"]) for file in note["prompts"]] == [(1.0, 12)]


def test_the_same_seed_gives_the_same_snapshot_and_methods_differ(train_ppo: TrainPPO, tmp_path: Path) -> None:
    names = [
        replace(command, out=tmp_path / str(number), seed=seed).run()["snapshot"]
        for number, (command, seed) in enumerate(
            [(train_ppo, 0), (train_ppo, 0), (train_ppo, 1), *((as_method(train_ppo, m), 0) for m in ("RLOO", "GRPO"))]
        )
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 4


def command_line(command: TrainPPO, out: Path) -> list[str]:
    return [
        sys.executable, "-m", "tutelage.cli.main", "train", "ppo", "--prompts", *command.prompts, "--pm",
        str(command.pm), "--out", str(out), "--dtype", "float32", "--max-tokens", "6", "--steps", "4",
        "--prompts-per-step", "4", "--samples-per-prompt", "2", "--learning-rate", "1e-2", "--rank", "4",
        "--checkpoint-every", "1", "--sample-every", "2", "--sample-prompts", "1",
    ]  # fmt: skip


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_or_stopped_and_resumed_it_is_the_same_snapshot(
    train_ppo: TrainPPO, tmp_path: Path, how: signal.Signals
) -> None:
    process = subprocess.Popen(command_line(train_ppo, tmp_path / "broken"), stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (tmp_path / "broken" / "metrics.jsonl").exists():
        time.sleep(0.002)
    process.send_signal(how)
    _, said = process.communicate()
    broken = replace(train_ppo, out=tmp_path / "broken")
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "a checkpoint is kept; go on with --resume" in said
        assert (tmp_path / "broken" / "checkpoint" / "progress.json").exists()
    with pytest.raises(InputError, match="an interrupted training: go on by --resume"):
        broken.run()
    with pytest.raises(InputError, match=r"holds another training \(seed differ\)"):
        replace(broken, resume=True, seed=1).run()
    resumed = replace(broken, resume=True).run()
    whole = train_ppo.run()
    assert resumed["snapshot"] == whole["snapshot"]
    for name in ("samples.jsonl", "metrics.jsonl"):
        both = ([timeless(line.record) for line in read_jsonl(run / name)] for run in (broken.out, train_ppo.out))
        assert next(both) == next(both)
    assert not (tmp_path / "broken" / "checkpoint").exists()


def timeless(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if "seconds" not in key}


def test_other_tools_get_the_numbers_of_every_step_once_also_where_it_was_broken_off(
    train_ppo: TrainPPO, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = fake_sink(monkeypatch, "trackio")
    command = replace(train_ppo, log=("trackio",), checkpoint_every=2)
    fake.breaks_at = 2
    with pytest.raises(BrokenPipeError):
        command.run()
    replace(command, resume=True).run()
    steps = [line.record for line in read_jsonl(command.out / "metrics.jsonl")]
    assert [step for _, step in fake.seen] == [0, 1, 2, 3]
    assert [timeless(numbers) for numbers, _ in fake.seen] == [timeless(step) for step in steps]
    first, again = fake.begun
    assert first == again
    assert first["config"]["settings"]["steps"] == 4


def test_a_tool_that_is_not_installed_is_noticed_before_any_work(
    train_ppo: TrainPPO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match="--log wandb: the package wandb is not installed"):
        replace(train_ppo, log=("wandb",)).run()
    assert not train_ppo.out.exists()


def test_it_begins_as_the_initial_policy_and_is_held_near_to_it(train_ppo: TrainPPO, initial: Path) -> None:
    from_base = train_ppo.run()
    result = replace(train_ppo, init=initial, out=train_ppo.out.with_name("on")).run()
    assert result["snapshot"] != from_base["snapshot"]
    steps = [line.record for line in read_jsonl(train_ppo.out.with_name("on") / "metrics.jsonl")]
    assert steps[0]["kl"] == pytest.approx(0, abs=1e-4)
    with pytest.raises(InputError, match="rank is 2, but the initial policy's is 4"):
        replace(train_ppo, init=initial, out=train_ppo.out.with_name("other"), settings=PPOSettings(rank=2)).run()


def test_comparisons_are_prompts_with_references(train_ppo: TrainPPO, planted: Path) -> None:
    settings = replace(train_ppo.settings, delta_reward=True)
    replace(train_ppo, prompts=(str(planted),), settings=settings).run()
    with pytest.raises(InputError, match="delta_reward needs a reference response to every prompt"):
        replace(train_ppo, settings=settings, overwrite=True).run()


def test_under_the_plain_marks_it_trains_and_the_human_mark_is_no_part_of_an_answer(
    train_pm: TrainPM, train_ppo: TrainPPO, tmp_path: Path
) -> None:
    judge = replace(train_pm, out=tmp_path / "hh", template="hh")
    judge.run()
    command = replace(train_ppo, pm=judge.out, stop=("e",), max_tokens=12, sample_every=1, sample_prompts=4)
    command.run()
    samples = [line.record for line in read_jsonl(command.out / "samples.jsonl")]
    assert {sample["finish"] for sample in samples} == {"stop", "length"}
    assert not any("e" in sample["response"] for sample in samples)
    assert read_card(command.out / "snapshot").format.template == "hh"


def test_prompts_are_mixed_by_weight(train_ppo: TrainPPO, tmp_path: Path) -> None:
    other = prompt_file(tmp_path / "other.jsonl", ["Hello there, other one?"])
    command = replace(train_ppo, prompts=(f"{train_ppo.prompts[0]}:3", str(other)), sample_prompts=4)
    command.run()
    shown = [line.record["prompt"] for line in read_jsonl(command.out / "samples.jsonl")]
    assert sum("other" in prompt for prompt in shown) == len(shown) // 4
    assert [file["weight"] for file in read_json(command.out / "training.json")["prompts"]] == [3.0, 1.0]


def test_beyond_the_kl_limit_it_fails_and_keeps_the_last_policy_within(train_ppo: TrainPPO) -> None:
    wild = replace(train_ppo.settings, learning_rate=0.3, kl_limit=0.2, steps=10)
    command = replace(train_ppo, settings=wild, snapshot_at=tuple(range(1, 11)))
    with pytest.raises(CheckFailed, match=r"nats a response from the initial one, beyond kl_limit = 0\.2"):
        command.run()
    steps = [line.record for line in read_jsonl(command.out / "metrics.jsonl")]
    assert max(step["kl"] for step in steps) < 0.2
    kept = read_card(command.out / "snapshot")
    # The policy at the beginning of step N has N steps behind it; the last one measured within the limit is kept.
    if len(steps) > 1:
        assert kept.name == read_card(command.out / "snapshots" / f"step-{len(steps) - 1}").name
    assert read_json(command.out / "training.json")["result"]["ended"] == "kl_limit"
    assert not (command.out / "checkpoint").exists()


def test_when_the_kl_budget_is_spent_it_ends_well(train_ppo: TrainPPO) -> None:
    settings = replace(train_ppo.settings, learning_rate=0.1, kl_budget=0.1, steps=30)
    result = replace(train_ppo, settings=settings).run()
    steps = [line.record for line in read_jsonl(train_ppo.out / "metrics.jsonl")]
    assert result["ended"] == "kl_budget"
    assert result["steps"] == len(steps) < 30
    assert steps[-1]["kl"] > 0.1 >= max(step["kl"] for step in steps[:-1])
    assert "entropy" not in steps[-1]


def test_a_preference_model_that_tells_nothing_apart_stops_the_run(train_ppo: TrainPPO, tmp_path: Path) -> None:
    from tutelage.modeling.heads import ScoreHead

    def blank(value: float) -> Path:
        trunk = load_base("tiny-random", DialogueFormat(), torch.float32)
        trunk.add_adapter("pm", 2, 0)
        head = ScoreHead(trunk.width, "last")
        head.weight.data.fill_(value)
        place = tmp_path / f"pm-{value}"
        save_snapshot(place, trunk, "pm", 2, head, {})
        return place

    with pytest.raises(CheckFailed, match=r"every response was scored -?0: the preference model tells no two"):
        replace(train_ppo, pm=blank(0.0)).run()
    with pytest.raises(InputError, match=r"score_head\.weight holds what is no number"):
        replace(train_ppo, pm=blank(float("nan")), overwrite=True).run()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pm": "POLICY"}, "--pm .*: a policy snapshot; give a preference one"),
        ({"heldout_pm": "POLICY"}, "--heldout-pm .*: a policy snapshot"),
        ({"init": "PM"}, "--init .*: a preference snapshot; give a policy one"),
        ({"heldout_pm": "OTHER_FORMAT"}, "made with another tokenizer or dialogue format"),
        ({"pm": Path("nowhere")}, r"nowhere/snapshot\.json: cannot be read"),
        ({"prompts": ()}, "--prompts: name at least one file"),
        ({"prompts": ("nowhere.jsonl",)}, r"nowhere\.jsonl: cannot be read"),
        ({"prompts": ("helpful:0",)}, "expected FILE or FILE:WEIGHT with a weight above 0"),
        ({"prompts": ("helpful:nan",)}, "with a weight above 0"),
        ({"prompts": ("EMPTY",)}, "found no line"),
        ({"prompts": ("BLANK",)}, r"BLANK\.jsonl, line 1, turns: the human turn is empty"),
        ({"prompts": ("LONG",)}, r"a prompt of \d+ tokens and --max-tokens 6 exceed the 2048 tokens"),
        ({"prompts": ("LONG",), "max_prompt_tokens": 30}, "no prompt to train on"),
        ({"max_prompt_tokens": 0}, "--max-prompt-tokens must be at least 1"),
        ({"temperature": 0.0}, "--temperature must be above 0"),
        ({"max_tokens": 0}, "--max-tokens must be at least 1"),
        ({"snapshot_at": (9,)}, "--snapshot-at 9: the training has steps 1 to 4"),
        ({"checkpoint_every": 0}, "--checkpoint-every must be at least 1"),
        ({"sample_every": -1}, "--sample-every must be at least 0"),
        ({"seed": -1}, "--seed must be at least 0"),
        ({"resume": True}, "--resume: the training at .* was not begun"),
        ({"resume": True, "overwrite": True}, "--resume: the training at .* was not begun"),
        ({"device": "cuda"}, "torch finds no GPU"),
    ],
)
def test_what_cannot_be_is_refused(
    train_ppo: TrainPPO, initial: Path, change: dict[str, Any], says: str, tmp_path: Path, train_pm: TrainPM
) -> None:
    if change.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("a GPU is here")
    (tmp_path / "EMPTY.jsonl").touch()
    prompt_file(tmp_path / "BLANK.jsonl", [" "])
    prompt_file(tmp_path / "LONG.jsonl", ["long " * 500])
    given = {name: stand_in(value, train_ppo, initial, tmp_path) for name, value in change.items()}
    if change.get("heldout_pm") == "OTHER_FORMAT":
        given["heldout_pm"] = replace(train_pm, out=tmp_path / "hh", template="hh").run()["out"]
        given["heldout_pm"] = tmp_path / "hh"
    with pytest.raises(InputError, match=says):
        replace(train_ppo, **given).run()
    assert not train_ppo.out.exists()


def stand_in(value: Any, command: TrainPPO, initial: Path, tmp_path: Path) -> Any:
    """The file or snapshot that a word in capitals stands for."""
    if value in ("POLICY", "PM"):
        return initial if value == "POLICY" else command.pm
    if isinstance(value, tuple) and value and str(value[0]).isupper():
        return (str(tmp_path / f"{value[0]}.jsonl"),)
    return value


def test_a_preference_model_of_another_base_is_refused(train_ppo: TrainPPO, tmp_path: Path) -> None:
    trunk: Trunk = load_base("tiny-random", DialogueFormat(), torch.float32)
    trunk.weights_hash = "another"
    from tutelage.modeling.heads import ScoreHead

    trunk.add_adapter("pm", 2, 0)
    save_snapshot(tmp_path / "foreign", trunk, "pm", 2, ScoreHead(trunk.width, "last"), {})
    with pytest.raises(InputError, match="made on base 'tiny-random'"):
        replace(train_ppo, heldout_pm=tmp_path / "foreign").run()


def test_a_place_that_will_not_do_is_refused(train_ppo: TrainPPO, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letters.txt").touch()
    for place, says in {"file": "a file; name a directory", "full": "not empty, and not a training"}.items():
        with pytest.raises(InputError, match=says):
            replace(train_ppo, out=tmp_path / place, overwrite=True).run()
    first = train_ppo.run()["snapshot"]
    with pytest.raises(InputError, match="holds a training; name another directory, or replace it by --overwrite"):
        train_ppo.run()
    with pytest.raises(InputError, match="is finished"):
        replace(train_ppo, resume=True).run()
    assert replace(train_ppo, seed=1, overwrite=True).run()["snapshot"] != first


def test_two_processes_cannot_train_at_one_place(train_ppo: TrainPPO) -> None:
    train_ppo.run()
    run = PolicyRun(train_ppo.out, (), 0, 1)
    with run.held(), pytest.raises(InputError, match="another process trains there"):
        replace(train_ppo, overwrite=True).run()
    replace(train_ppo, overwrite=True).run()


def test_what_a_killed_process_left_half_written_is_taken_away(train_ppo: TrainPPO) -> None:
    train_ppo.out.mkdir()
    (train_ppo.out / ".training.json.17.part").touch()
    train_ppo.run()
    assert not [path for path in train_ppo.out.iterdir() if path.name.startswith(".")]


def test_options_that_contradict_each_other_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    base = ["train", "ppo", "--prompts", "helpful", "--pm", "pm", "--out", "out"]
    for more, says in (
        (["--value-clip", "0.2"], "--value-clip says nothing to a critic that is solved for"),
        (["--kl-weight", "0", "--kl-target", "5"], "--kl-target means nothing where kl_weight is 0"),
        (["--minibatches", "100"], "--minibatches must lie between 1 and prompts_per_step"),
    ):
        assert main([*base, *more]) == 2
        assert says in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["train", "rloo", *base[2:], "--gae-lambda", "0.9"])  # no option of a method without a critic
    assert stopped.value.code == 2


@pytest.mark.parametrize("method", ["ppo", "rloo", "grpo"])
def test_the_help_names_every_setting_with_its_default(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["train", method, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    for name in ("--kl-weight", "--kl-estimator", "--heldout-pm", "--clip", "default: 0.02"):
        assert name in shown
    assert ("--gae-lambda" in shown) == (method == "ppo")


def test_a_run_is_shown_in_a_table(train_ppo: TrainPPO, capsys: pytest.CaptureFixture[str]) -> None:
    train_ppo.show(train_ppo.run())
    shown = capsys.readouterr().out
    assert "32 responses in 4 steps" in shown
    assert "KL (nats)" in shown
