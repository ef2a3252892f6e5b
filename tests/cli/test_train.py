"""`tutelage train pm` on the toy base: it learns, tells what it did, leaves a whole snapshot or nothing."""

import errno
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tutelage.cli.main import main
from tutelage.cli.train import SPLIT_SALT, TrainPM, TrainPMP
from tutelage.corpus.records import comparison_to_record
from tutelage.corpus.sources import read_comparisons
from tutelage.corpus.splits import bucket
from tutelage.dialogue import Comparison
from tutelage.modeling.snapshot import read_card, save_snapshot
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import read_json, read_jsonl, sha256, write_jsonl
from tutelage.training.preference import PreferenceSettings

from .conftest import write_planted


def test_it_learns_a_planted_preference_and_tells_what_it_did(train_pm: TrainPM, planted: Path) -> None:
    result = train_pm.run()
    json.dumps(result, allow_nan=False)
    assert result["drops"] == {"strength below min_strength": 8}
    held_out = result["held_out"]
    assert result["pairs"] + held_out["pairs"] == 80 - 8
    assert result["final_loss"] < 0.5 < math.log(2)
    accuracy = held_out["accuracy"]
    assert 0.5 < accuracy["low"] < accuracy["value"] <= accuracy["high"] <= 1
    assert accuracy["value"] > 0.9
    assert held_out["brier"] < 0.2
    assert result["pairs_per_second"] == pytest.approx(result["pairs"] / result["seconds"])

    card = read_json(train_pm.out / "model_card.json")
    assert card["data"] == [{"file": str(planted), "sha256": sha256(planted), "usable": 80, "licence": None}]
    assert {key: card[key] for key in result if key != "out"} == {key: result[key] for key in result if key != "out"}
    assert read_card(train_pm.out).name == result["snapshot"] == card["snapshot"]
    curve = [line.record for line in read_jsonl(train_pm.out / "metrics.jsonl")]
    assert curve[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert sum(step["pairs"] for step in curve) == result["pairs"]
    assert sorted(path.name for path in train_pm.out.parent.iterdir()) == ["pm"]


def test_same_seed_same_snapshot(train_pm: TrainPM, tmp_path: Path) -> None:
    first, again, other = (
        replace(train_pm, out=tmp_path / name, seed=seed).run() for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    timed = {"out", "seconds", "pairs_per_second"}
    assert {key: first[key] for key in first.keys() - timed} == {key: again[key] for key in again.keys() - timed}
    assert first["snapshot"] != other["snapshot"]


def test_killed_and_resumed_it_is_the_same_snapshot(train_pm: TrainPM, planted: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "tutelage.cli.main", "train", "pm", "--comparisons", str(planted), "--out",
        str(tmp_path / "killed"), "--model", "tiny-random", "--dtype", "float32", "--held-out", "0.3",
        "--learning-rate", "5e-3", "--head-learning-rate", "1e-2", "--batch-pairs", "2", "--rank", "4",
        "--checkpoint-every", "1",
    ]  # fmt: skip
    checkpoint = tmp_path / ".killed.checkpoint"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (checkpoint / "progress.json").exists():
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert checkpoint.exists()
    assert not (tmp_path / "killed").exists()
    same = replace(train_pm, batch_pairs=2, checkpoint_every=1)
    with pytest.raises(InputError, match="an interrupted training; go on by --resume"):
        replace(same, out=tmp_path / "killed").run()
    with pytest.raises(InputError, match="another training \\(seed differ"):
        replace(same, out=tmp_path / "killed", resume=True, seed=1).run()
    resumed = replace(same, out=tmp_path / "killed", resume=True).run()
    assert resumed["snapshot"] == replace(same, out=tmp_path / "whole").run()["snapshot"]
    assert not checkpoint.exists()


def test_held_out_comparisons_do_not_teach(train_pm: TrainPM, tmp_path: Path) -> None:
    """Turning the labels of held-out prompts round turns their accuracy round, and leaves the weights as they were."""
    rows = [row for row in read_comparisons(train_pm.comparisons) if isinstance(row, Comparison)]
    turned = [
        replace(row, chosen=row.rejected, rejected=row.chosen) if bucket(row.prompt, SPLIT_SALT) < 0.3 else row
        for row in rows
    ]
    write_jsonl(tmp_path / "turned.jsonl", map(comparison_to_record, turned))
    right = train_pm.run()
    wrong = replace(train_pm, comparisons=(tmp_path / "turned.jsonl",), out=tmp_path / "turned").run()
    assert right["snapshot"] == wrong["snapshot"]
    assert right["held_out"]["accuracy"]["value"] == pytest.approx(1 - wrong["held_out"]["accuracy"]["value"])


def test_files_are_taken_together_and_what_is_left_out_is_counted(
    train_pm: TrainPM, planted: Path, tmp_path: Path
) -> None:
    turns = "\n\nHuman: Hi\n\nAssistant:"
    rows = [{"chosen": turns, "rejected": f"{turns} No."}, {"chosen": f"{turns} Hello.", "rejected": f"{turns} No."}]
    write_jsonl(tmp_path / "hh.jsonl", rows)
    result = replace(train_pm, comparisons=(planted, tmp_path / "hh.jsonl"), kind="harmless").run()
    assert result["drops"] == {"empty_answer": 1, "strength below min_strength": 8}
    assert result["pairs"] + result["held_out"]["pairs"] == 80 - 8 + 1
    assert [file["usable"] for file in read_json(train_pm.out / "model_card.json")["data"]] == [80, 1]


def test_without_held_out_share_all_is_trained_on(train_pm: TrainPM) -> None:
    result = replace(train_pm, held_out=0.0).run()
    assert result["pairs"] == 72
    assert result["held_out"] is None


def test_every_setting_is_an_option_with_the_same_default(train_pm: TrainPM) -> None:
    options = {option.name: option.default for option in fields(TrainPM)}
    assert {s.name: options.get(s.name, "missing") for s in fields(PreferenceSettings)} == {
        s.name: s.default for s in fields(PreferenceSettings)
    }
    asked = replace(train_pm, layers=1, pooling="mean", min_strength=3, clip_norm=0.5, template="hh", system="Be kind.")
    asked.run()
    card = read_json(asked.out / "model_card.json")
    settings = {s.name: getattr(asked, s.name) for s in fields(PreferenceSettings)}
    assert card["settings"] == {**settings, "strength_labels": list(asked.strength_labels)}
    assert card["format"] == {"template": "hh", "system": "Be kind."}
    assert (read_card(asked.out).layers, read_card(asked.out).pooling) == (1, "mean")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"held_out": 1.0}, r"--held-out must lie in \[0, 1\)"),
        ({"rank": -1}, "--rank must be at least 0, not -1"),
        ({"harmless_share": 1.5}, "--harmless-share must lie between 0 and 1"),
        ({"harmless_share": 0.5}, "a harmless share of 0.5 cannot be had from"),
        ({"label_smoothing": 0.5}, "--label-smoothing must lie in"),
        ({"strength_labels": (1.0, 1.0, 1.0, 0.4)}, "--strength-labels must be four chances"),
        ({"patience": 2}, "--patience needs --eval-every and --held-out"),
        ({"resume": True}, "--resume: no checkpoint at"),
        ({"checkpoint_every": 0}, "--checkpoint-every must be at least 1"),
        ({"layers": 0}, "--layers must be above 0, not 0"),
        ({"layers": 3}, "--layers 3: tiny-random has 2 layers"),
        ({"max_tokens": 4096}, "--max-tokens 4096: tiny-random reads 2048 tokens"),
        ({"seed": -1}, "--seed must be at least 0"),
        ({"head_learning_rate": float("nan")}, "--head-learning-rate must be above 0"),
        ({"comparisons": ()}, "nothing to train on: give --comparisons or --feedback"),
        ({"comparisons": (Path("nowhere.jsonl"),)}, r"nowhere\.jsonl: no such file, nor a source"),
        ({"held_out": 0.001}, "and 0 held out .* another --held-out"),
        ({"max_tokens": 8}, "no comparison to train on"),
        ({"model": "nowhere/nothing"}, "nowhere/nothing"),
    ],
)
def test_what_cannot_be_is_refused(
    train_pm: TrainPM, change: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=says):
        replace(train_pm, **change).run()
    assert not train_pm.out.exists()


def test_a_place_that_will_not_do_is_refused_before_any_work(train_pm: TrainPM, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letters.txt").touch()
    command = replace(train_pm, comparisons=(Path("nowhere.jsonl"),))  # the place is looked at before this
    for place, says in {
        "file": "a file; name a directory",
        "full": "not empty, and not a snapshot",
        "file/pm": "cannot be written .* choose another --out",
    }.items():
        with pytest.raises(InputError, match=says):
            replace(command, out=tmp_path / place, overwrite=True).run()


def test_a_snapshot_is_replaced_only_when_asked(train_pm: TrainPM) -> None:
    first = train_pm.run()["snapshot"]
    with pytest.raises(InputError, match=r"holds a snapshot; .* replace it by --overwrite"):
        replace(train_pm, seed=1).run()
    assert read_card(train_pm.out).name == first
    second = replace(train_pm, seed=1, overwrite=True).run()["snapshot"]
    assert read_card(train_pm.out).name == second != first
    assert sorted(path.name for path in train_pm.out.parent.iterdir()) == ["pm"]


@pytest.mark.parametrize(
    ("broken", "error", "raised"),
    [
        ("tutelage.evaluation.preference.score_in_parts", KeyboardInterrupt(), KeyboardInterrupt),
        ("tutelage.plumbing.files.write_json", OSError(errno.ENOSPC, "No space left on device"), InputError),
    ],
)
def test_a_run_that_breaks_off_leaves_what_was_there(
    train_pm: TrainPM, broken: str, error: BaseException, raised: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = train_pm.run()["snapshot"]

    def breaks(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(broken, breaks)
    with pytest.raises(raised):
        replace(train_pm, seed=1, overwrite=True).run()
    assert read_card(train_pm.out).name == before
    assert sorted(path.name for path in train_pm.out.parent.iterdir()) == ["pm"]


def test_from_the_command_line(train_pm: TrainPM, planted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["train", "pm", "--comparisons", str(planted), str(planted), "--model", "tiny-random", "--rank", "2"]
    line += ["--dtype", "float32", "--held-out", "0.2", "--out", str(train_pm.out)]
    assert main([*line, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["pairs"] + result["held_out"]["pairs"] == 2 * 72
    assert main(line) == 2
    assert "holds a snapshot" in capsys.readouterr().err
    assert main([*line, "--overwrite"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"trained on {result['pairs']} pairs" in shown
    assert f"snapshot {result['snapshot']}" in shown


def test_real_rows(train_pm: TrainPM, data: Path, tmp_path: Path) -> None:
    """Real HH-RLHF rows go through; what is left out is counted."""
    lines = islice(read_jsonl(data / "hh-rlhf-harmless-test" / "pairs.jsonl.gz"), 40)
    write_jsonl(tmp_path / "hh.jsonl", (line.record for line in lines))
    result = replace(train_pm, comparisons=(tmp_path / "hh.jsonl",), kind="harmless", max_tokens=600).run()
    assert result["drops"]["the responses are longer than max_tokens"] > 0
    assert result["pairs"] + result["held_out"]["pairs"] + sum(result["drops"].values()) == 40


def test_a_test_file_is_measured_on_and_refused_where_it_shares_prompts(
    train_pm: TrainPM, planted: Path, tmp_path: Path
) -> None:
    other = write_planted(tmp_path / "other.jsonl", topic="prime")
    alone = train_pm.run()
    both = replace(train_pm, test=(other,), out=tmp_path / "both").run()
    assert both["held_out"] == alone["held_out"]
    assert both["tests"][str(other)]["pairs"] > 0
    with pytest.raises(InputError, match=r"shares \d+ first human turns with what is trained on"):
        replace(train_pm, test=(planted,), out=tmp_path / "refused").run()
    forced = replace(train_pm, test=(planted,), allow_overlap=True, out=tmp_path / "forced").run()
    assert forced["tests"][str(planted)]["pairs"] > alone["held_out"]["pairs"]


def test_what_is_not_ours_is_not_replaced(train_pm: TrainPM) -> None:
    train_pm.run()
    (train_pm.out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"--overwrite would remove notes\.txt, which is not ours"):
        replace(train_pm, overwrite=True).run()
    assert (train_pm.out / "notes.txt").exists()


def test_test_files_say_nothing_of_when_to_stop(train_pm: TrainPM, tmp_path: Path) -> None:
    turned = write_planted(tmp_path / "turned.jsonl", topic="prime", turned=True)
    stopping = replace(train_pm, eval_every=1, patience=1)
    alone = stopping.run()
    tested = replace(stopping, test=(turned,), out=tmp_path / "tested").run()
    assert tested["pairs"] == alone["pairs"]
    assert tested["tests"][str(turned)]["accuracy"]["value"] < 0.5


def test_what_the_pretrained_model_decides_is_not_asked_for_otherwise(train_pm: TrainPM, tmp_path: Path) -> None:
    train_pm.run()
    for name, value in (("rank", 7), ("layers", 1), ("pooling", "mean")):
        with pytest.raises(InputError, match=rf"--{name} {value}: the {name} of --init"):
            replace(train_pm, **{name: value}, init=train_pm.out, out=tmp_path / "next").run()  # type: ignore[arg-type]


def test_forms_are_not_gone_on_with_as_plain_pairs(train_pm: TrainPM, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def reporting(bar: object) -> Callable[[int, Mapping[str, Any]], None]:
        def on_step(pairs: int, metrics: Mapping[str, Any]) -> None:
            if metrics["step"] == 2:
                raise Killed

        return on_step

    forms = TrainPMP(**{**vars(train_pm), "checkpoint_every": 1})
    monkeypatch.setattr("tutelage.cli.train._reporting", reporting)
    with pytest.raises(Killed):
        forms.run()
    with pytest.raises(InputError, match=r"another training \(binarised differ"):
        replace(train_pm, checkpoint_every=1, resume=True).run()


# Pretraining on votes, then people


def test_a_pretrained_model_is_where_training_goes_on_from(train_pm: TrainPM, tmp_path: Path) -> None:
    pretrained = TrainPMP(
        **{**vars(train_pm), "out": tmp_path / "pmp", "layers": 1, "pooling": "mean"}, plain=True
    ).run()
    finetuned = replace(train_pm, init=tmp_path / "pmp", out=tmp_path / "finetuned", learning_rate=1e-9).run()
    card = read_json(tmp_path / "finetuned" / "model_card.json")
    assert card["initial"] == pretrained["snapshot"]
    assert (card["settings"]["layers"], card["settings"]["pooling"]) == (1, "mean")
    curve = [line.record for line in read_jsonl(tmp_path / "finetuned" / "metrics.jsonl")]
    assert curve[0]["loss"] < 0.6 < math.log(2)  # it knows before it has seen one of these
    assert finetuned["held_out"]["accuracy"]["value"] > 0.8


def test_pretraining_makes_two_pairs_of_one_unless_they_are_to_be_taken_plain(
    train_pm: TrainPM, tmp_path: Path
) -> None:
    usual = train_pm.run()
    plain = TrainPMP(**{**vars(train_pm), "out": tmp_path / "plain"}, plain=True).run()
    binarised = TrainPMP(**{**vars(train_pm), "out": tmp_path / "binarised"}).run()
    assert plain["snapshot"] == usual["snapshot"]
    assert binarised["pairs"] == 2 * usual["pairs"]
    assert binarised["held_out"]["accuracy"]["value"] > 0.8


def test_a_policy_is_no_preference_model_to_start_from(train_pm: TrainPM, tiny: Trunk, tmp_path: Path) -> None:
    tiny.add_adapter("policy", 4, 0)
    save_snapshot(tmp_path / "policy", tiny, "policy", 4, None, {})
    with pytest.raises(InputError, match="a policy; give a preference model"):
        replace(train_pm, init=tmp_path / "policy").run()
