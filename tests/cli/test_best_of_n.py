"""`tutelage train best-of-n`: the curve of the best of k, and a policy that has learnt from it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tutelage.cli.best_of_n import TrainBestOfN
from tutelage.cli.main import main
from tutelage.modeling.base import load_base
from tutelage.modeling.encoding import DialogueFormat
from tutelage.modeling.heads import ScoreHead
from tutelage.modeling.snapshot import read_card, save_snapshot
from tutelage.plumbing.errors import CheckFailed, InputError


@pytest.fixture
def command(preference_model: Path, tmp_path: Path) -> TrainBestOfN:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(
        json.dumps({"id": f"p{number}", "kind": "helpful", "category": "a", "split": "ppo",
                    "turns": [f"Could you tell me about letter {number}?"]}) + "\n"
        for number in range(24)
    ))  # fmt: skip
    return TrainBestOfN(
        preference_model, tmp_path / "policy", heldout_pm=preference_model, prompts=(prompts,), n=4, max_tokens=8,
        held_out=0.3, batch_dialogues=4, rank=2, learning_rate=1e-2, dtype="float32",
    )  # fmt: skip


def test_a_snapshot_with_its_curve_and_what_it_is_worth(
    command: TrainBestOfN, capsys: pytest.CaptureFixture[str]
) -> None:
    result = command.run()
    command.show(result)
    shown = capsys.readouterr().out
    assert "best of" in shown
    assert "policy on" in shown
    assert read_card(command.out).role == "policy"
    assert [row["k"] for row in result["best_of"]] == [1, 2, 3, 4]
    rows = [json.loads(line) for line in (command.out / "best_of.jsonl").read_text().splitlines()]
    assert rows == result["best_of"]
    assert all(row["reward"] == row["heldout_reward"] for row in rows)  # the same model watches
    card = json.loads((command.out / "model_card.json").read_text())
    assert card["held_out"]["before"]["kl"] == pytest.approx(0, abs=1e-3)
    assert card["data"][0]["sha256"]
    assert main(["runs", "rl", str(command.out)]) == 0
    page = (command.out / "rl.html").read_text()
    assert "Best of n" in page
    assert "The best of 4 answers scores" in page
    assert "held-out prompts, the base" in page
    assert "not measured" not in page
    assert "No samples were kept" not in page


def test_rows_that_are_left_out_are_counted(command: TrainBestOfN) -> None:
    (prompts,) = command.prompts
    with prompts.open("a") as file:
        file.write(prompts.read_text().splitlines()[0].replace('"p0"', '"again"') + "\n")
    assert command.run()["drops"] == {"the same prompt again": 1}


def test_prompts_that_do_not_fit_are_refused_before_anything_is_drawn(
    command: TrainBestOfN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tutelage.training.best_of_n.sample", None)
    long = tmp_path / "long.jsonl"
    long.write_text(command.prompts[0].read_text().replace("letter 3", 3000 * "x"))
    with pytest.raises(
        InputError, match=r"long\.jsonl: a prompt of \d+ tokens and --max-tokens 8 exceed the \d+ tokens"
    ):
        replace(command, prompts=(long,)).run()


def test_a_preference_model_that_tells_nothing_apart_chooses_nothing(command: TrainBestOfN, tmp_path: Path) -> None:
    trunk = load_base("tiny-random", DialogueFormat(), torch.float32)
    trunk.add_adapter("pm", 2, 0)
    save_snapshot(tmp_path / "blank", trunk, "pm", 2, ScoreHead(trunk.width, "last"), {})
    with pytest.raises(CheckFailed, match="gives every answer the same score"):
        replace(command, pm=tmp_path / "blank").run()


def test_what_cannot_be_is_refused_before_anything_is_drawn(command: TrainBestOfN, tmp_path: Path) -> None:
    for changes, said in (
        ({"n": 1}, "--n must be at least 2"),
        ({"temperature": -1.0}, "temperature"),
        ({"held_out": 1.0}, "--held-out"),
        ({"held_out": 0.01}, "two of each"),
        ({"pm": tmp_path}, "snapshot.json"),
    ):
        with pytest.raises(InputError, match=said):
            replace(command, **changes).run()  # type: ignore[arg-type]
    assert not command.out.exists()
