"""`tutelage judge` on the pairs of the base model, on a file of another format, and on bad input."""

import json
import shutil
from pathlib import Path

import pytest

from tutelage.cli.judge import Judge
from tutelage.corpus.records import judgment_from_record
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import read_jsonl

PAIRS = Path(__file__).parents[1] / "feedback" / "base_comparisons.jsonl"


def test_it_tells_the_crowds_view_by_kind(capsys: pytest.CaptureFixture[str]) -> None:
    command = Judge(files=(PAIRS,))
    result = json.loads(json.dumps(command.run(), allow_nan=False))
    assert result["pairs"] == sum(kind["pairs"] for kind in result["kinds"].values()) == 80
    for kind in result["kinds"].values():
        # The crowd chose them: it prefers them again, and finds them better.
        assert 0.5 < kind["preferred"]["low"] < kind["preferred"]["value"] < kind["preferred"]["high"]
        assert kind["utility_chosen"] > kind["utility_rejected"]
        gap = sum(row["weight"] * (row["chosen"] - row["rejected"]) for row in kind["features"].values())
        assert gap == pytest.approx(kind["utility_chosen"] - kind["utility_rejected"])
    command.show(result)
    assert "on_topic" in capsys.readouterr().out


def test_the_judgments_are_written_and_can_be_read_back(tmp_path: Path) -> None:
    out = tmp_path / "judgments.jsonl"
    Judge(files=(PAIRS,), out=out, seed=1).run()
    judgments = [judgment_from_record(line.record, str(line.number)) for line in read_jsonl(out)]
    assert len(judgments) == 80
    assert {judgment.question for judgment in judgments} == {"more_helpful", "more_harmful"}
    assert all(judgment.worker.startswith("w1-") for judgment in judgments)


def test_one_pair_is_enough(tmp_path: Path) -> None:
    row = {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello.", "rejected": "\n\nHuman: Hi\n\nAssistant: What?"}
    path = tmp_path / "one.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    kinds = Judge(files=(path,), kind="harmless").run()["kinds"]
    assert list(kinds) == ["harmless"]
    assert kinds["harmless"]["preferred"]["value"] in (0.0, 1.0)


def test_the_file_that_is_judged_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    shutil.copy(PAIRS, file)
    before = file.read_bytes()
    with pytest.raises(InputError, match="one of the files that are judged"):
        Judge((file,), out=tmp_path / "." / "pairs.jsonl").run()
    assert file.read_bytes() == before


def test_bad_input_is_named(tmp_path: Path) -> None:
    path = tmp_path / "equal.jsonl"
    row = {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello.", "rejected": "\n\nHuman: Hi\n\nAssistant: Hello."}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"equal\.jsonl: expected comparisons, found none"):
        Judge(files=(path,)).run()
    with pytest.raises(InputError, match="--workers, --seed: a crowd has at least 5 workers"):
        Judge(files=(PAIRS,), workers=3).run()


def test_people_and_crowd_mostly_see_helpfulness_alike(data: Path) -> None:
    """On published comparisons by people the crowd's choices are above chance: it is not about something else."""
    result = Judge(files=(data / "hh-rlhf-helpful-test" / "pairs.jsonl.gz",), kind="helpful").run()
    assert result["kinds"]["helpful"]["preferred"]["low"] > 0.5
