"""`tutelage score`: the scores that training saw, in a file, and what they are worth."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tutelage.cli.main import main
from tutelage.cli.score import Score
from tutelage.cli.train import SPLIT_SALT, TrainPM
from tutelage.corpus.sources import read_comparisons
from tutelage.corpus.splits import bucket
from tutelage.dialogue import Comparison
from tutelage.evaluation.preference import quality
from tutelage.modeling.base import load_base
from tutelage.modeling.encoding import DialogueFormat
from tutelage.modeling.snapshot import save_snapshot
from tutelage.plumbing.errors import CheckFailed, InputError
from tutelage.plumbing.files import read_json, read_jsonl, write_json

from .conftest import write_planted

DIRTY = {"chosen": "\n\nHuman: Hi\n\nAssistant: ", "rejected": "\n\nHuman: Hi\n\nAssistant: No."}
HELLO = {"chosen": "\n\nHuman: Hi\n\nAssistant: gladly", "rejected": "\n\nHuman: Hi\n\nAssistant: go away"}


def write_rows(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def score(preference_model: Path, planted: Path, tmp_path: Path) -> Score:
    return Score(files=(planted,), model=preference_model, out=tmp_path / "scores.jsonl", allow_overlap=True)


def test_a_file_that_the_model_was_trained_on_is_refused_unless_that_is_wanted(
    score: Score, train_pm: TrainPM, planted: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "of another name.jsonl"
    copy.write_bytes(planted.read_bytes())
    for file in (planted, copy):
        with pytest.raises(InputError, match=r"was trained on it \(snapshot.json\).*or say --allow-overlap"):
            replace(score, files=(file,), allow_overlap=False).run()
    assert not score.out.exists()
    other = write_rows(tmp_path / "other.jsonl", HELLO)
    later = replace(train_pm, comparisons=(write_planted(tmp_path / "later.jsonl", topic="later"),), init=score.model)
    replace(later, out=tmp_path / "later").run()
    with pytest.raises(InputError, match="later was trained on it"):
        replace(score, model=tmp_path / "later", allow_overlap=False).run()
    tested = replace(train_pm, test=(other,), out=tmp_path / "tested")
    tested.run()
    assert replace(score, files=(other,), model=tested.out, allow_overlap=False).run()["pairs"] == 1  # seen, not learnt


def test_its_scores_are_those_that_training_measured(score: Score, planted: Path) -> None:
    result = score.run()
    assert result["pairs"] == 80
    assert result["drops"] == {}
    records = [line.record for line in read_jsonl(score.out)]
    assert [(record["file"], record["row"]) for record in records] == [(str(planted), row + 1) for row in range(80)]

    comparisons = [row for row in read_comparisons([planted]) if isinstance(row, Comparison)]
    scores_P2 = np.array([[record["chosen"], record["rejected"]] for record in records])
    assert result["accuracy"]["value"] == np.mean(scores_P2[:, 0] > scores_P2[:, 1])
    held_out = [n for n, c in enumerate(comparisons) if c.strength != 1 and bucket(c.prompt, SPLIT_SALT) < 0.3]
    measured = read_json(score.model / "model_card.json")["held_out"]
    again = quality([comparisons[n] for n in held_out], scores_P2[held_out])
    assert again is not None
    assert again.pairs == measured["pairs"] > 0
    assert again.brier == pytest.approx(measured["brier"], abs=1e-6)
    assert again.accuracy.low == pytest.approx(measured["accuracy"]["low"], abs=1e-6)


def test_dropped_rows_are_counted_and_leave_their_number_free(score: Score, tmp_path: Path) -> None:
    long = {key: text + 2000 * "x" for key, text in HELLO.items()}
    rows = write_rows(tmp_path / "rows.jsonl", HELLO, DIRTY, long, HELLO)
    result = replace(score, files=(rows,), kind="harmless").run()
    assert result["drops"] == {"empty_answer": 1, "the responses are longer than max_tokens": 1}
    records = [line.record for line in read_jsonl(score.out)]
    assert [(record["row"], record["kind"]) for record in records] == [(1, "harmless"), (4, "harmless")]
    assert records[0]["chosen"] == records[1]["chosen"] > records[0]["rejected"]
    # One conversation tells nothing about others.
    assert result["accuracy"] == {"value": 1.0, "low": 0.0, "high": 1.0}


def test_it_reads_the_snapshot_in_the_format_and_length_of_its_training(train_pm: TrainPM, tmp_path: Path) -> None:
    command = replace(train_pm, template="hh", system="Be kind.", max_tokens=100)
    command.run()
    rows = write_rows(tmp_path / "rows.jsonl", HELLO, {key: text + 60 * "x" for key, text in HELLO.items()})
    score = Score(files=(rows,), model=command.out, out=tmp_path / "scores.jsonl")
    assert score.run()["drops"] == {"the responses are longer than max_tokens": 1}
    assert replace(score, max_tokens=300).run()["pairs"] == 2


def another_format(model: Path) -> None:
    card = read_json(model / "snapshot.json")
    write_json(model / "snapshot.json", {**card, "format": {"template": "hh", "system": ""}})


def another_base(model: Path) -> None:
    write_json(model / "snapshot.json", {**read_json(model / "snapshot.json"), "base_hash": "seed-1"})


def damaged(model: Path) -> None:
    weights = model / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])


def no_snapshot(model: Path) -> None:
    (model / "snapshot.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (another_format, "another tokenizer or dialogue format"),
        (another_base, "made on base 'tiny-random' (seed-1), not on 'tiny-random' as given"),
        (damaged, "missing or damaged"),
        (no_snapshot, "snapshot.json: cannot be read"),
    ],
)
def test_a_model_that_does_not_fit_is_bad_input(
    score: Score, spoil: Callable[[Path], None], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(score.model)
    assert (
        main(["score", *map(str, score.files), "--allow-overlap", "--model", str(score.model), "--out", str(score.out)])
        == 2
    )
    assert says in capsys.readouterr().err
    assert not score.out.exists()


def test_a_policy_is_no_preference_model(score: Score, tmp_path: Path) -> None:
    trunk = load_base("tiny-random", DialogueFormat(), torch.float32)
    trunk.add_adapter("policy", rank=2, seed=0)
    save_snapshot(tmp_path / "policy", trunk, "policy", 2, None, {})
    with pytest.raises(InputError, match="expected a preference model, found a policy"):
        replace(score, model=tmp_path / "policy").run()


def test_bad_files_and_places_are_named(score: Score, tmp_path: Path) -> None:
    for files, says in {
        (): "no file named: expected comparisons",
        (write_rows(tmp_path / "dirty.jsonl", DIRTY),): r"dirty\.jsonl: expected comparisons, found none",
        (tmp_path / "nowhere.jsonl",): r"nowhere\.jsonl: no such file, nor a source",
    }.items():
        with pytest.raises(InputError, match=says):
            replace(score, files=files).run()
    for out, says in {
        tmp_path: "a directory; name the file",
        score.files[0]: "one of the files to score",
        score.files[0] / "scores.jsonl": "cannot be written",
    }.items():
        with pytest.raises(InputError, match=says):
            replace(score, out=out).run()
    for max_tokens, says in {0: "--max-tokens must be at least 1", 8: "no pair fits into 8 tokens"}.items():
        with pytest.raises(InputError, match=says):
            replace(score, max_tokens=max_tokens).run()


def test_scores_that_are_no_numbers_are_no_result(score: Score, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(trunk: Any, adapter: str, head: Any, comparisons: list[Comparison], max_tokens: int) -> Any:
        return np.full((len(comparisons), 2), np.inf), {}

    monkeypatch.setattr("tutelage.evaluation.preference.score_comparisons", broken)
    with pytest.raises(CheckFailed, match="scores of 80 pairs are not finite"):
        score.run()
    assert not score.out.exists()


def test_from_the_command_line(score: Score, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["score", *map(str, score.files), "--allow-overlap", "--model", str(score.model), "--out", str(score.out)]
    assert main([*line, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {"pairs", "accuracy", "brier", "ece", "drops", "out"} <= result.keys()
    assert set(result["accuracy"]) == {"value", "low", "high"}
    assert main(line) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "80 pairs: the chosen response has the higher score in" in shown
    assert "Brier score" in shown


def test_it_says_what_every_pair_tells(score: Score, tmp_path: Path) -> None:
    other = write_rows(tmp_path / "other.jsonl", HELLO, HELLO)
    result = replace(score, files=(*score.files, other)).run()
    alone = score.run()
    assert [card["file"] for card in result["files"]] == [str(score.files[0]), str(other)]
    first, second = result["files"]
    for key in ("pairs", "accuracy", "ece"):
        assert first[key] == alone[key]
    assert first["brier"] == pytest.approx(alone["brier"], rel=1e-3)
    assert {part["label"]: part["pairs"] for part in first["by_strength"]} == {"1": 8, "3": 72}
    assert second["by_strength"] == []
    assert result["by_turn"][0]["pairs"] == result["pairs"] == 82
    assert result["above_threshold"][0]["pairs"] == 82
    assert result["log_loss"] > 0
    # "gladly" is a letter shorter than "go away", and a token of the toy model is a byte.
    assert first["length"]["longer_chosen"]["value"] == 0
    assert [part["label"] for part in first["by_length_difference"]] == ["-5 to 5"]
    assert result["against"] is None


def test_against_another_model_of_another_format(score: Score, train_pm: TrainPM, tmp_path: Path) -> None:
    other = replace(train_pm, template="hh", max_tokens=100, seed=1, out=tmp_path / "other")
    other.run()
    long = {key: text + 60 * "x" for key, text in HELLO.items()}
    rows = write_rows(tmp_path / "rows.jsonl", HELLO, long, {**HELLO, "rejected": HELLO["rejected"] + "!"})
    command = replace(score, files=(*score.files, rows), against=other.out)
    result = command.run()
    found = result["against"]
    assert result["pairs"] == 83
    assert found["pairs"] == 82
    assert found["drops"] == {"the responses are longer than max_tokens": 1}
    assert found["snapshot"] != result["snapshot"]
    records = [line.record for line in read_jsonl(score.out)]
    assert [(r["against_chosen"], r["against_rejected"]) for r in records if r["file"] == str(rows)][1] == (None, None)
    both = [r for r in records if r["against_chosen"] is not None]
    same = [(r["chosen"] > r["rejected"]) == (r["against_chosen"] > r["against_rejected"]) for r in both]
    assert found["agreement"]["value"] == pytest.approx(np.mean(same))
    own = replace(command, against=score.model).run()["against"]
    assert (own["agreement"]["value"], own["accuracy_gain"]["value"]) == (1.0, 0.0)


def test_the_page_is_written_beside_the_scores(score: Score, tmp_path: Path) -> None:
    page = tmp_path / "pages" / "pm.html"
    result = replace(score, report=page).run()
    assert result["report"] == str(page)
    assert "</html>" in page.read_text()
    assert result["snapshot"] in page.read_text()


def test_the_other_model_and_the_page_have_places_of_their_own(score: Score, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        replace(score, against=tmp_path / "nowhere").run()
    for report, says in {
        score.out: "what --out names",
        score.files[0]: "one of the files",
        tmp_path: "directory",
    }.items():
        with pytest.raises(InputError, match=f"--report .*{says}"):
            replace(score, report=report).run()


def test_the_terminal_shows_every_part(score: Score, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["score", *map(str, score.files), "--allow-overlap", "--model", str(score.model), "--out", str(score.out)]
    assert main([*line, "--against", str(score.model), "--report", str(score.out.with_suffix(".html"))]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for words in (
        "log-loss", "score difference", "both scores at least", "human turns in the prompt",
        "strength (1 barely, 4 much)",
        "the longer response was chosen in 0.0%", "the same response is preferred in 100.0%", "page: ",
    ):  # fmt: skip
        assert words in shown
    assert "worker" not in shown
