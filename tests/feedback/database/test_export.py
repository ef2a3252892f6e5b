"""What an export holds, what it leaves out and why, and that it comes back."""

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tutelage.corpus.hh import parse_hh, render_hh
from tutelage.corpus.records import comparison_from_record
from tutelage.corpus.rules import DropReason, same_texts
from tutelage.corpus.sources import read_comparisons
from tutelage.dialogue import Comparison, Prompt, Response
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.export import export, faults_of
from tutelage.feedback.database.lossless import read_conversations
from tutelage.feedback.database.reviews import Reviews
from tutelage.feedback.database.schema import upgrade
from tutelage.feedback.database.source import FeedbackSource, LeftOut
from tutelage.feedback.database.tables import Export
from tutelage.feedback.database.verify import faults
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import sha256

from .flow import acting, deploy, end, judged, new_key, start, worker
from .many import collect

HELPFUL, HARMLESS = ("good advice", "bad advice"), ("a refusal", "a recipe")


def lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as stream:
        return [json.loads(line) for line in stream]


def everything(database: Database) -> None:
    """Conversations of every kind that an export treats apart."""
    deploy(database)
    me, other, judge = (
        worker(database, "worker", "red_team_worker", may_edit=True),
        worker(database),
        worker(database, "reviewer"),
    )
    helpful = start(database, me)
    judged(database, me, helpful, "a", 4, texts=HELPFUL)
    judged(database, me, helpful, "b", 1, "and weakly?", HELPFUL)
    turn = judged(database, me, helpful, "a", 2, "marks?", ("x\n\nHuman: y", "z"))
    with acting(database, me) as mine:
        mine.edit(turn, "edited", key=new_key())
    end(database, me, helpful, rating=4)
    red = start(database, other, "red_team")
    judged(database, other, red, "b", 3, texts=HARMLESS)
    end(database, other, red, success=4)
    out = start(database, me)
    judged(database, me, out)
    with database.writing() as session:
        Reviews(session, judge).set_excluded("conversation", out, True, "copied from a web page")
    back = start(database, me)
    judged(database, me, back)
    with acting(database, me) as mine:
        mine.withdraw(back, key=new_key())


def test_an_export_holds_what_the_paper_keeps(database: Database, tmp_path: Path) -> None:
    everything(database)
    manifest = export(database, tmp_path / "out", test_share=0.0)
    counts = manifest["counts"]
    assert counts["hh"] == {"helpful/train": 1, "harmless/train": 1}
    assert counts["not_in_hh"] == {"weakest": 1, "turn_marks": 2}
    assert counts["left_out"] == counts["conversations_left_out"] == {"conversation_excluded": 1, "withdrawn": 1}
    assert counts["judgments"] == counts["comparisons"] + sum(counts["left_out"].values())
    assert counts["comparisons"] == sum(counts["hh"].values()) + sum(counts["not_in_hh"].values())
    (row,) = lines(tmp_path / "out/helpful/train.jsonl.gz")
    assert row["chosen"] == "\n\nHuman: How do I whistle?\n\nAssistant: good advice"
    assert faults_of(tmp_path / "out") == []
    assert "canary" not in (tmp_path / "out/README.md").read_text()


def test_what_a_reviewer_has_excluded_stands_in_no_later_prompt(database: Database, tmp_path: Path) -> None:
    deploy(database)
    me, judge = worker(database), worker(database, "reviewer")
    for mode in ("helpful", "red_team"):
        chat = start(database, me, mode)  # type: ignore[arg-type]
        turns = [judged(database, me, chat, text=text) for text in ("Before.", "A telephone", "After.", "Last.")]
        end(database, me, chat)
        with database.writing() as session:
            Reviews(session, judge).set_excluded("turn", str(turns[1]), True, "personal data")
    manifest = export(database, tmp_path / "out", test_share=0.0)
    counts = manifest["counts"]
    assert counts["left_out"] == {"turn_excluded": 2, "prompt_excluded": 4}
    assert counts["attempts_left_out"] == {"prompt_excluded": 1}
    assert "goes through a turn" in manifest["reasons"]["prompt_excluded"]
    read = [row for row in FeedbackSource(database).rows() if isinstance(row, Comparison)]
    assert [row.prompt.last_human_turn for row in read] == ["Before."] * 2
    for place in ("helpful/train", "harmless/train", "comparisons"):
        assert "telephone" not in str(lines(tmp_path / f"out/{place}.jsonl.gz"))
    assert lines(tmp_path / "out/red-team-attempts/red_team_attempts.jsonl.gz") == []


def test_a_red_team_click_is_inverted_once(database: Database, tmp_path: Path) -> None:
    everything(database)
    export(database, tmp_path / "out", test_share=0.0)
    (row,) = lines(tmp_path / "out/harmless/train.jsonl.gz")  # side b, "a recipe", was clicked as the more harmful
    assert row["chosen"].endswith("a refusal")
    assert row["rejected"].endswith("a recipe")
    (read,) = read_comparisons([tmp_path / "out/harmless/train.jsonl.gz"], "hh", "harmless")
    assert isinstance(read, Comparison)
    assert read.chosen.text == "a refusal"


def test_attempts_have_the_released_schema(database: Database, tmp_path: Path) -> None:
    everything(database)
    export(database, tmp_path / "out")
    (row,) = lines(tmp_path / "out/red-team-attempts/red_team_attempts.jsonl.gz")
    assert list(row) == [
        "transcript", "min_harmlessness_score_transcript", "num_params", "model_type", "rating", "task_description",
        "task_description_harmlessness_score", "red_team_member_id", "is_upworker", "tags",
    ]  # fmt: skip
    assert row["rating"] == 3  # 4 of 5 on the screen
    assert row["transcript"] == "\n\nHuman: How do I whistle?\n\nAssistant: a recipe"


def test_the_comparisons_say_what_made_them(database: Database, tmp_path: Path) -> None:
    everything(database)
    export(database, tmp_path / "out")
    read = [comparison_from_record(row, "here") for row in lines(tmp_path / "out/comparisons.jsonl.gz")]
    assert [one.strength for one in read] == [4, 1, 2, None, 3]
    assert str(read[0].chosen.snapshot).startswith("canary")
    assert read[3].chosen.text == "edited"
    assert read[3].rejected.text == "x\n\nHuman: y"
    assert read == [one for one in FeedbackSource(database).rows() if isinstance(one, Comparison)]


def test_an_export_comes_back_the_same(database: Database, fresh_url: str, tmp_path: Path) -> None:
    everything(database)
    first = export(database, tmp_path / "one")
    copy = Database(fresh_url)
    upgrade(copy)
    assert read_conversations(copy, tmp_path / "one/conversations.jsonl.gz") == 2
    again = export(copy, tmp_path / "two")
    name = "conversations.jsonl.gz"
    assert first["files"][name] == again["files"][name]
    assert list(faults(copy)) == []
    with pytest.raises(InputError, match="holds conversations"):
        read_conversations(copy, tmp_path / "one" / name)
    copy.close()


def test_what_is_left_out_is_in_no_file_and_a_turn_stays_out_when_it_comes_back(
    database: Database, fresh_url: str, tmp_path: Path
) -> None:
    deploy(database)
    me, judge = worker(database), worker(database, "reviewer")
    words = {}
    for what in ("withdrawn", "excluded", "practised", "kept"):
        words[what] = start(database, me, "practice" if what == "practised" else "helpful")
        turn = judged(database, me, words[what], text=f"the words that were {what}")
    with acting(database, me) as mine:
        mine.withdraw(words["withdrawn"], key=new_key())
    with database.writing() as session:
        Reviews(session, judge).set_excluded("conversation", words["excluded"], True, "copied")
        Reviews(session, judge).set_excluded("turn", str(turn), True, "a name in it")
    export(database, tmp_path / "one")
    (record,) = lines(tmp_path / "one/conversations.jsonl.gz")
    assert record["id"] == words["kept"]
    upgrade(copy := Database(fresh_url))
    read_conversations(copy, tmp_path / "one/conversations.jsonl.gz")
    again = export(copy, tmp_path / "two")
    assert again["counts"]["left_out"] == {"turn_excluded": 1}
    assert again["counts"]["comparisons"] == 0
    copy.close()


def test_a_bad_conversation_is_refused_with_its_line(database: Database, tmp_path: Path) -> None:
    everything(database)
    export(database, tmp_path / "one")
    record = lines(tmp_path / "one/conversations.jsonl.gz")[0]
    record["turns"][0]["judgments"][0]["strength"] = 9
    (tmp_path / "bad.jsonl").write_text(json.dumps(record))
    upgrade(new := Database(str(tmp_path / "new.db")))
    with pytest.raises(InputError, match="line"):
        read_conversations(new, tmp_path / "bad.jsonl")
    del record["turns"][0]["judgments"][0]["strength"]
    (tmp_path / "bad.jsonl").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"line 1.*strength"):
        read_conversations(new, tmp_path / "bad.jsonl")
    new.close()


def test_a_frozen_export_does_not_change(database: Database, tmp_path: Path) -> None:
    everything(database)
    export(database, tmp_path / "out", name="week 1")
    assert not (tmp_path / "out/comparisons.jsonl.gz").stat().st_mode & 0o222
    with pytest.raises(InputError, match="week 1"):
        export(database, tmp_path / "again", name="week 1")
    assert not (tmp_path / "again").exists()
    (tmp_path / "out/README.md").chmod(0o644)
    (tmp_path / "out/README.md").write_text("other words")
    assert faults_of(tmp_path / "out") == ["README.md: changed"]


def test_a_forged_export_with_a_forged_manifest_is_not_what_was_frozen(database: Database, tmp_path: Path) -> None:
    everything(database)
    export(database, tmp_path / "out", name="week 1")
    assert faults_of(tmp_path / "out", database) == []
    export(database, tmp_path / "loose")
    assert "no frozen export" in faults_of(tmp_path / "loose", database)[0]
    card, manifest = tmp_path / "out/README.md", tmp_path / "out/manifest.json"
    for path in (card, manifest):
        path.chmod(0o644)
    card.write_text("other words")
    forged = json.loads(manifest.read_text())
    forged["files"]["README.md"] = sha256(card)
    manifest.write_text(json.dumps(forged))
    (tmp_path / "out/helpful/more.jsonl.gz").touch()
    assert faults_of(tmp_path / "out", database) == [
        "helpful/more.jsonl.gz: not in the manifest",
        "manifest.json: not the one that was frozen as 'week 1'",
    ]
    with database.writing() as session:
        session.get_one(Export, "week 1").hash = sha256(manifest)
    assert any("export week 1: the hash" in fault for fault in faults(database))


def test_reasons_are_told_by_training_too(database: Database) -> None:
    everything(database)
    source = FeedbackSource(database)
    assert len(list(source.rows())) == 5
    assert source.left_out == {LeftOut.CONVERSATION_EXCLUDED: 1, LeftOut.WITHDRAWN: 1}


TEXTS = st.one_of(
    st.text(min_size=1),
    st.sampled_from(
        ["a\n\nHuman: b", "\n\nAssistant:", "nul \x00", "half \ud800", "\u202eabc", "x\r\ny", "é" * 1_000_000]
    ),
    st.lists(st.sampled_from(["\n", "\n\n", "Human:", "Assistant:", " ", "x"]), min_size=1).map("".join),
).filter(str.strip)


def _identity_or_refusal(turns: list[str], answers: tuple[str, str]) -> None:
    comparison = Comparison(Prompt.from_turns(*turns), Response(answers[0]), Response(answers[1]), "helpful")
    line = render_hh(comparison)
    if isinstance(line, DropReason):
        return
    line.encode("utf-8")
    read = parse_hh(json.loads(line), "helpful", "here")
    assert isinstance(read, Comparison)
    assert same_texts(read, comparison)


PAIRS = st.tuples(TEXTS, TEXTS).filter(lambda both: both[0] != both[1])
TURNS = st.integers(0, 2).flatmap(lambda n: st.lists(TEXTS, min_size=2 * n + 1, max_size=2 * n + 1))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(turns=TURNS, answers=PAIRS)
def test_hh_is_the_identity_or_a_refusal(turns: list[str], answers: tuple[str, str]) -> None:
    _identity_or_refusal(turns, answers)


@pytest.mark.hard
@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(turns=TURNS, answers=PAIRS)
def test_hh_is_the_identity_or_a_refusal_at_length(turns: list[str], answers: tuple[str, str]) -> None:
    _identity_or_refusal(turns, answers)


EXPORT = """
import sys, time
from pathlib import Path
from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.export import export
export(Database(sys.argv[1]), Path(sys.argv[2]))
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(time.process_time(), int(peak.split()[1]) / 1024)
"""


@pytest.mark.hard
def test_a_hundred_thousand_judgments_in_a_minute_and_200_megabytes(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    deploy(database)
    collect(database, 100_000, workers=30)
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", EXPORT, database_url, tmp_path / "out"], check=True, capture_output=True, text=True
    )
    seconds = time.perf_counter() - started
    of_processor, megabytes = map(float, done.stdout.split())
    print(f"100,000 judgments: {seconds:.1f} s ({of_processor:.1f} s of processor), {megabytes:.0f} MB")
    assert megabytes < 200
    assert seconds < 60
