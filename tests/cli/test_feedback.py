"""`tutelage feedback`, `tutelage data export|import` and `train pm --feedback`, as they are run."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tutelage.cli.main import main
from tutelage.cli.train import TrainPM
from tutelage.feedback.database.access import Access
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.principal import principal_of
from tutelage.feedback.database.tables import Judgment

from ..feedback.database.flow import deploy, judged, start, worker


@pytest.fixture
def collected(database_url: str) -> tuple[str, str]:
    """The URL of a database of 30 judgments in which "gladly" was preferred, and the worker who made them."""
    database = Database(database_url)
    deploy(database)
    me = worker(database)
    for number in range(15):
        chat = start(database, me)
        for turn in range(2):
            side = "ab"[(number + turn) % 2]
            texts = (f"gladly {turn}", f"go away {turn}")
            judged(
                database, me, chat, side, 3, f"Could you tell me about number {number}?",  # type: ignore[arg-type]
                texts if side == "a" else texts[::-1],
            )  # fmt: skip
    database.close()
    return database_url, me.worker_id


def run(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    """The result of a command that ends well, after it was shown to a person too."""
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], code: int, *words: object) -> str:
    assert main([*map(str, words)]) == code
    return capsys.readouterr().err.splitlines()[-1]


def test_from_export_to_backup_and_back(
    collected: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, me = collected
    out, copy = tmp_path / "out", tmp_path / "copy.db"
    manifest = run(capsys, "data", "export", "--database", url, "--out", out, "--freeze", "week 1")
    assert manifest["counts"]["comparisons"] == 30
    assert run(capsys, "feedback", "verify", "--database", url)["faults"] == 0
    assert run(capsys, "feedback", "verify", "--export", out)["faults"] == 0
    assert run(capsys, "feedback", "verify", "--export", out, "--database", url)["frozen_in"].endswith(
        url.rpartition("/")[2]
    )
    (out / "more.jsonl").touch()
    assert "more.jsonl: not in the manifest" in refused(capsys, 1, "feedback", "verify", "--export", out)
    (out / "more.jsonl").unlink()
    rows = run(capsys, "feedback", "backup", tmp_path / "b.gz", "--database", url)["rows"]
    assert run(capsys, "feedback", "restore", tmp_path / "b.gz", "--database", copy)["rows"] == rows
    assert run(capsys, "feedback", "upgrade", "--database", copy) == {"before": "0005", "after": "0005"}
    assert "say --yes" in refused(capsys, 2, "feedback", "erase", me, "--database", copy)
    assert run(capsys, "feedback", "erase", me, "--yes", "--database", copy)["erased"]["judgments"] == 30
    assert "no worker" in refused(capsys, 2, "feedback", "erase", "nobody", "--yes", "--database", copy)
    read = tmp_path / "read.db"
    conversations = run(capsys, "data", "import", out / "conversations.jsonl.gz", "--database", read)
    assert conversations == {"conversations": 15}
    assert run(capsys, "data", "import", out / "helpful/train.jsonl.gz", "--database", read)["comparisons"] > 20


def test_what_a_person_is_shown(collected: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url, _ = collected
    assert main(["data", "export", "--database", url, "--out", str(tmp_path / "out")]) == 0
    assert main(["feedback", "verify", "--database", url]) == 0
    assert main(["feedback", "verify", "--export", str(tmp_path / "out")]) == 0
    assert main(["feedback", "admin", "--database", url]) == 0
    shown = capsys.readouterr().out
    assert "15 conversations, 30 comparisons" in shown
    assert "all holds" in shown
    assert "by its own manifest alone" in shown
    token = shown.rpartition("/join/")[2].strip()
    database = Database(url)
    with database.writing() as session:
        assert principal_of(session, Access(session).redeem(token)).has("admin")
    database.close()


def test_refusals_say_what_would_be_right(
    collected: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, _ = collected
    assert "no such database" in refused(capsys, 2, "feedback", "verify", "--database", tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "letter.db").write_text("Dear Sir or Madam, " * 100)
    assert "not a database" in refused(capsys, 2, "feedback", "verify", "--database", tmp_path / "letter.db")
    assert main(["data", "export", "--database", url, "--out", str(tmp_path / "out")]) == 0
    assert "no frozen export None" in refused(
        capsys, 1, "feedback", "verify", "--export", tmp_path / "out", "--database", url
    )
    away = "postgresql://nobody@127.0.0.1:1/none"
    assert "cannot do this now" in refused(capsys, 2, "feedback", "verify", "--database", away)
    assert "new folder" in refused(capsys, 2, "data", "export", "--database", url, "--out", tmp_path)
    assert "between 0 and 1" in refused(
        capsys, 2, "data", "export", "--database", url, "--out", tmp_path / "x", "--test-share", "2"
    )
    database = Database(url)
    with database.writing() as session:
        session.get_one(Judgment, 3).strength = 1
    database.close()
    assert "judgment 3: not as it was made" in refused(capsys, 1, "feedback", "verify", "--database", url)


def test_a_preference_model_is_trained_on_the_database(
    collected: tuple[str, str], train_pm: TrainPM, capsys: pytest.CaptureFixture[str]
) -> None:
    url, _ = collected
    result = replace(train_pm, comparisons=(), feedback=url, held_out=0.3).run()
    assert result["pairs"] + result["held_out"]["pairs"] == 30
    both = replace(train_pm, feedback=url, overwrite=True).run()
    assert both["pairs"] + both["held_out"]["pairs"] == 30 + 72
    assert "give --comparisons or --feedback" in refused(
        capsys, 2, "train", "pm", "--out", str(train_pm.out.parent / "none")
    )
