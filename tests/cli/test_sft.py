"""`tutelage train sft` on the toy base: it learns, tells what it did, leaves a whole snapshot or nothing."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from tutelage.cli.main import main
from tutelage.cli.sft import TrainSFT
from tutelage.modeling.snapshot import read_card
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import read_json, read_jsonl, sha256, write_jsonl
from tutelage.training.demonstrations import DemonstrationSettings


@pytest.fixture
def demonstrated(tmp_path: Path) -> Path:
    """Dialogues in which the assistant answers gladly; one is there twice, one too long, one without an answer."""

    def record(*texts: str) -> dict[str, Any]:
        roles = ("user", "assistant")
        return {"messages": [{"role": roles[place % 2], "content": text} for place, text in enumerate(texts)]}

    rows = [record(f"Could you tell me about number {number}?", f"gladly {number}") for number in range(40)]
    rows += [rows[0], record("Please?", "gladly " * 40), record("Anybody?")]
    write_jsonl(tmp_path / "dialogues.jsonl", rows)
    return tmp_path / "dialogues.jsonl"


@pytest.fixture
def train_sft(demonstrated: Path, tmp_path: Path, one_thread: None) -> TrainSFT:
    return TrainSFT(
        dialogues=(demonstrated,), out=tmp_path / "out" / "sft", model="tiny-random", dtype="float32", held_out=0.2,
        learning_rate=1e-2, batch_dialogues=4, rank=4, max_tokens=128,
    )  # fmt: skip


def test_it_learns_and_tells_what_it_did(train_sft: TrainSFT, demonstrated: Path) -> None:
    result = train_sft.run()
    json.dumps(result, allow_nan=False)
    assert result["drops"] == {
        "the same dialogue again": 1, "ends_on_human": 1, "the dialogue is longer than max_tokens": 1,
    }  # fmt: skip
    held_out = result["held_out"]
    assert result["dialogues"] + held_out["dialogues"] == 40
    before, after = held_out["before"], held_out["after"]
    assert after["low"] < after["value"] < after["high"] < before["low"] < before["value"]
    assert result["assistant_tokens"] > 8 * result["dialogues"]
    card = read_json(train_sft.out / "model_card.json")
    assert card["data"] == [{"file": str(demonstrated), "sha256": sha256(demonstrated)}]
    assert {key: card[key] for key in result if key != "out"} == {key: result[key] for key in result if key != "out"}
    snapshot = read_card(train_sft.out)
    assert (snapshot.name, snapshot.role, snapshot.layers) == (result["snapshot"], "policy", None)
    curve = [line.record for line in read_jsonl(train_sft.out / "metrics.jsonl")]
    assert sum(step["dialogues"] for step in curve) == result["dialogues"]
    assert curve[0]["loss"] > curve[-1]["loss"]
    assert sorted(path.name for path in train_sft.out.parent.iterdir()) == ["sft"]


def test_same_seed_same_snapshot(train_sft: TrainSFT, tmp_path: Path) -> None:
    first, again, other = (
        replace(train_sft, out=tmp_path / name, seed=seed).run()["snapshot"]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again != other


def test_every_setting_is_an_option_with_the_same_default(train_sft: TrainSFT) -> None:
    options = {option.name: option.default for option in fields(TrainSFT)}
    assert {s.name: options.get(s.name, "missing") for s in fields(DemonstrationSettings)} == {
        s.name: s.default for s in fields(DemonstrationSettings)
    }
    asked = replace(train_sft, epochs=2, clip_norm=0.5, template="hh", system="Be kind.", held_out=0.0)
    result = asked.run()
    card = read_json(asked.out / "model_card.json")
    assert card["settings"] == {s.name: getattr(asked, s.name) for s in fields(DemonstrationSettings)}
    assert card["format"] == {"template": "hh", "system": "Be kind."}
    assert result["held_out"] is None
    assert result["dialogues"] == 40


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"held_out": 1.0}, r"--held-out must lie in \[0, 1\)"),
        ({"rank": 0}, "--rank must be above 0, not 0"),
        ({"epochs": 0}, "--epochs must be above 0, not 0"),
        ({"seed": -1}, "--seed must be at least 0"),
        ({"max_tokens": 4096}, "--max-tokens 4096: tiny-random reads 2048 tokens"),
        ({"max_tokens": 8}, "0 dialogues to train on"),
        ({"dialogues": ()}, "no file named: 0 dialogues to train on"),
        ({"dialogues": (Path("nowhere.jsonl"),)}, r"nowhere\.jsonl: no such file, nor a source"),
        ({"held_out": 0.001}, r"and 0 held out \(at least 2\)"),
    ],
)
def test_what_cannot_be_is_refused(train_sft: TrainSFT, change: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        replace(train_sft, **change).run()
    assert not train_sft.out.exists()


def test_a_snapshot_is_replaced_only_when_asked(train_sft: TrainSFT) -> None:
    first = train_sft.run()["snapshot"]
    with pytest.raises(InputError, match="holds a snapshot"):
        replace(train_sft, seed=1).run()
    assert replace(train_sft, seed=1, overwrite=True).run()["snapshot"] != first


def test_from_the_command_line(train_sft: TrainSFT, demonstrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["train", "sft", "--dialogues", str(demonstrated), "--model", "tiny-random", "--rank", "2"]
    line += ["--dtype", "float32", "--held-out", "0.2", "--out", str(train_sft.out)]
    assert main([*line, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert main([*line, "--overwrite"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"trained on {result['dialogues']} dialogues" in shown
    assert (
        f"held-out dialogues ({result['held_out']['dialogues']}): {result['held_out']['before']['value']:.3f}" in shown
    )
    assert f"snapshot {result['snapshot']}" in shown


def test_real_comparisons_are_demonstrations(train_sft: TrainSFT, data: Path, tmp_path: Path) -> None:
    lines = read_jsonl(data / "hh-rlhf-harmless-test" / "pairs.jsonl.gz")
    write_jsonl(tmp_path / "hh.jsonl", (line.record for _, line in zip(range(80), lines, strict=False)))
    result = replace(train_sft, dialogues=(tmp_path / "hh.jsonl",), max_tokens=600).run()
    assert result["dialogues"] + result["held_out"]["dialogues"] + sum(result["drops"].values()) == 80
    assert result["drops"]["the dialogue is longer than max_tokens"] > 0
