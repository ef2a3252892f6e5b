"""`tutelage runs rl` and `runs watch`: a training of a policy, finished or still running."""

import json
import threading
import time
from pathlib import Path

import pytest

from tutelage.cli.main import main
from tutelage.cli.watch import RunsWatch
from tutelage.plumbing.files import write_json, write_jsonl


def step(number: int) -> str:
    return json.dumps({"step": number, "reward": 0.1 * number, "heldout_reward": 0.0, "kl": 1.0 * number,
                       "sqrt_kl": number**0.5, "length": 30.0})  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "metrics.jsonl").write_text("".join(f"{step(number)}\n" for number in range(20)))
    return tmp_path


def test_the_page_is_written_beside_the_metrics(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "rl", str(run)]) == 0
    shown = capsys.readouterr().out
    assert "In 20 steps" in shown
    assert "R²" in shown
    assert (run / "rl.html").read_text().startswith("<!DOCTYPE html>")
    assert main(["runs", "rl", str(run), "--json", "--out", str(run / "new" / "page.html")]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["steps"] == 20
    assert result["line"]["r_squared"] > 0.8
    assert (run / "new" / "page.html").exists()


def test_a_directory_that_no_policy_is_trained_in_is_refused(
    tmp_path: Path, preference_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["rl"], ["watch", "--once"]):
        assert main(["runs", *command, str(tmp_path)]) == 2
        assert "metrics.jsonl: not there; name the directory that a training" in capsys.readouterr().err
    assert main(["runs", "rl", str(preference_model)]) == 2
    assert "a preference model, and no training of a policy" in capsys.readouterr().err
    assert not (preference_model / "rl.html").exists()


def test_a_training_before_its_first_step_is_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "training.json").write_text("{}")
    for command in (["rl"], ["watch", "--once"]):
        assert main(["runs", *command, str(tmp_path)]) == 0
        assert "No step with a reward has been made yet." in capsys.readouterr().out


def test_once_shows_it_as_it_stands(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_jsonl(run / "samples.jsonl", [{"step": 8, "prompt": "Basil?", "response": "With light.", "reward": 0.4}])
    assert main(["runs", "watch", str(run), "--once"]) == 0
    shown = capsys.readouterr().out
    assert "score, train-PM" in shown
    assert "nats per √nat" in shown
    assert "→ With light." in shown
    assert "█" in shown


def test_watching_ends_with_the_training(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def train() -> None:
        time.sleep(0.3)
        write_jsonl(run / "metrics.jsonl", [json.loads(step(number)) for number in range(21)])
        write_json(run / "training.json", {"result": {"snapshot": "a"}})

    (run / "training.json").write_text("{}")
    training = threading.Thread(target=train)
    training.start()
    result = RunsWatch(run, every=0.05).run()
    training.join()
    assert result["steps"] == 21
    assert "20" in capsys.readouterr().out
