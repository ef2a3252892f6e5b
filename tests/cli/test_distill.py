"""`tutelage train distill` on the toy base: one teacher file, students of two sizes, and what is refused."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from tutelage.cli.distill import TrainDistill
from tutelage.cli.main import main
from tutelage.modeling.snapshot import read_card
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import read_json, read_jsonl, sha256, write_jsonl
from tutelage.training.distillation import DistillationSettings


def write_dialogues(path: Path, *dialogues: tuple[str, str]) -> Path:
    rows = [
        {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]}
        for asked, said in dialogues
    ]
    write_jsonl(path, rows)
    return path


@pytest.fixture
def distill(tmp_path: Path, one_thread: None) -> TrainDistill:
    """A short prompt of its own: the shipped one is longer than the toy base's context."""
    (tmp_path / "text.txt").write_text(" ".join(f"word {number}" for number in range(600)))
    answers = [(f"number {number}?", f"it is {number * number}") for number in range(40)]
    return TrainDistill(
        out=tmp_path / "out" / "student", texts=(tmp_path / "text.txt",),
        dialogues=(write_dialogues(tmp_path / "dialogues.jsonl", *answers),),
        prompt=write_dialogues(tmp_path / "prompt.jsonl", ("WHO ARE YOU?", "I AM LOUD!"), ("WHY?", "BECAUSE!")),
        model="tiny-random", dtype="float32", passages=60, max_tokens=32, held_out=0.3, learning_rate=1e-2,
        batch_passages=4, rank=4,
    )  # fmt: skip


def test_the_student_comes_nearer_and_all_is_told(distill: TrainDistill) -> None:
    result = distill.run()
    json.dumps(result, allow_nan=False)
    kl = result["held_out"]["all"]
    assert kl["after"]["value"] < 0.7 * kl["before"]["value"]
    assert kl["after"]["low"] < kl["after"]["value"] < kl["after"]["high"]
    parts = [result["held_out"][kind]["before"]["passages"] for kind in ("text", "dialogue")]
    assert sum(parts) == kl["before"]["passages"]
    assert sum(result["passages"].values()) + sum(parts) == 60
    assert set(result["hhh"]) == {"plain", "prompted", "student"}
    assert set(result["hhh"]["student"]) == {"all", "helpful", "honest", "harmless", "other"}
    assert set(result["hhh_nearness"]) == {"plain", "student"}
    assert result["hhh_approach"]["low"] < result["hhh_approach"]["value"] < result["hhh_approach"]["high"]
    assert result["drops"] == {}

    card = read_json(distill.out / "model_card.json")
    told = ("held_out", "hhh", "hhh_nearness", "hhh_approach", "final_kl")
    assert {name: card[name] for name in told} == {name: result[name] for name in told}
    assert card["teacher"]["dialogues"] == [{"file": str(distill.dialogues[0]), "sha256": sha256(distill.dialogues[0])}]
    assert (read_card(distill.out).role, read_card(distill.out).layers) == ("policy", None)
    curve = [line.record for line in read_jsonl(distill.out / "metrics.jsonl")]
    assert sum(step["tokens"] for step in curve) == result["tokens"]
    assert sorted(path.name for path in distill.out.iterdir()) == [
        "metrics.jsonl", "model_card.json", "snapshot.json", "teacher.safetensors", "weights.safetensors",
    ]  # fmt: skip


def test_two_sizes_from_one_teacher_file(distill: TrainDistill, tmp_path: Path) -> None:
    file = tmp_path / "teachers" / "loud.safetensors"
    first = replace(distill, teacher=file).run()
    written = sha256(file)
    student = TrainDistill(
        out=tmp_path / "small", teacher=file, layers=1, model="tiny-random", dtype="float32", learning_rate=1e-2,
        batch_passages=4, rank=4,
    )  # fmt: skip
    second = student.run()
    assert sha256(file) == written
    assert second["tokens"] == first["tokens"]
    assert second["held_out"]["all"]["after"]["value"] < second["held_out"]["all"]["before"]["value"]
    assert second["hhh"]["prompted"] == first["hhh"]["prompted"]
    assert set(second["hhh_nearness"]) == {"plain", "cut", "student"}
    assert second["hhh_nearness"]["plain"] == first["hhh_nearness"]["plain"]
    assert read_card(tmp_path / "small").layers == 1
    assert not (tmp_path / "small" / "teacher.safetensors").exists()
    same = replace(student, out=tmp_path / "same", layers=None).run()
    assert same["snapshot"] == first["snapshot"]


def test_every_setting_is_an_option_with_the_same_default() -> None:
    options = {option.name: option.default for option in fields(TrainDistill)}
    assert {s.name: options.get(s.name, "missing") for s in fields(DistillationSettings)} == {
        s.name: s.default for s in fields(DistillationSettings)
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"texts": (), "dialogues": ()}, "nothing to learn from: give --texts or --dialogues"),
        ({"layers": 3}, "--layers 3: tiny-random has 2 layers"),
        ({"layers": 0}, "--layers must be above 0, not 0"),
        ({"temperature": 0.0}, r"--temperature must be above 0, not 0\.0"),
        ({"passages": 0}, "--passages must be above 0, not 0"),
        ({"held_out": 1.0}, r"--held-out must lie in \[0, 1\)"),
        ({"held_out": 0.001}, r"0 held out \(at least 2\)"),
        ({"prompt": None}, "exceed the base's context of 2048"),
        ({"prompt": Path("nowhere.jsonl")}, r"nowhere\.jsonl: cannot be read"),
        ({"texts": (Path("nowhere.txt"),)}, r"nowhere\.txt: cannot be read"),
    ],
)
def test_what_cannot_be_is_refused(distill: TrainDistill, change: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        replace(distill, **change).run()
    assert not distill.out.exists()


def test_what_belongs_to_a_teacher_file_that_is_there_is_refused(distill: TrainDistill, tmp_path: Path) -> None:
    (tmp_path / "teacher.safetensors").write_text("there")
    bare = TrainDistill(out=distill.out, teacher=tmp_path / "teacher.safetensors", model="tiny-random")
    for change, option in (({"max_tokens": 7}, "--max-tokens"), ({"texts": distill.texts}, "--texts")):
        with pytest.raises(InputError, match=f"{option}: .* is there already"):
            replace(bare, **change).run()  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not a teacher file of this version"):
        bare.run()


def test_a_teacher_file_is_not_looked_for_where_the_student_replaces_it(distill: TrainDistill) -> None:
    result = distill.run()
    for place in (Path(result["teacher"]), distill.out / "new.safetensors"):
        with pytest.raises(InputError, match="lies in --out, which is written anew"):
            TrainDistill(out=distill.out, teacher=place, model="tiny-random", overwrite=True).run()
    assert Path(result["teacher"]).exists()


def test_from_the_command_line(distill: TrainDistill, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["train", "distill", "--out", str(distill.out), "--texts", str(distill.texts[0]), "--model", "tiny-random"]
    line += ["--prompt", str(distill.prompt), "--passages", "20", "--max-tokens", "24", "--dtype", "float32"]
    line += ["--held-out", "0.3"]
    assert main([*line, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["passages"].keys() == {"text"}
    assert main([*line, "--overwrite"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"trained on {result['passages']['text']} passages of text" in shown
    before = result["held_out"]["all"]["before"]["value"]
    assert f"held-out: all │ {result['held_out']['all']['before']['passages']} │ {before:.4f} [" in shown
    assert f"student │ {result['hhh']['student']['all']['value']:.1%} [" in shown
    assert f"student │ {result['hhh_nearness']['student']['distance']['value']:.4f} [" in shown
    assert f"nearer to the prompted base than it began, by {result['hhh_approach']['value']:+.4f} [" in shown
    assert f"snapshot {result['snapshot']}" in shown
