"""`tutelage sample`: a line a response, the same in any batch, and bad input."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tutelage.cli.main import main
from tutelage.corpus.records import prompt_from_record, response_from_record
from tutelage.modeling.base import load_base
from tutelage.modeling.encoding import DialogueFormat
from tutelage.modeling.hub import TINY
from tutelage.modeling.snapshot import save_snapshot
from tutelage.plumbing.files import read_jsonl

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    file = tmp_path / "prompts.jsonl"
    lines = ({"id": name, "messages": [{"role": "user", "content": f"Hello, {name}!"}]} for name in ("ann", "bob"))
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def run(capsys: pytest.CaptureFixture[str], prompts: Path, *options: object) -> tuple[int, Any, str]:
    """Exit code, the JSON object, and what was complained of."""
    arguments = ["sample", "--model", TINY, "--dtype", "float32", "--prompts", prompts, "--max-tokens", 8, "--json"]
    code = main([str(part) for part in (*arguments, *options)])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else None, said.err


def test_a_line_a_response(capsys: pytest.CaptureFixture[str], prompts: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "samples.jsonl"
    code, result, _ = run(capsys, prompts, "--n", 3, "--out", out, "--seed", 5, "--logprobs", "--top-k", 9)
    assert code == 0
    assert (result["prompts"], result["responses"], result["policy"], result["samples"]) == (2, 6, TINY, None)
    records = [line.record for line in read_jsonl(out)]
    assert [(record["prompt_id"], record["sample"]) for record in records] == [
        (name, number) for name in ("ann", "bob") for number in range(3)
    ]
    assert result["tokens"] == sum(len(record["ids"]) for record in records)
    for record in records:
        assert prompt_from_record(record["prompt"], "here").last_human_turn == f"Hello, {record['prompt_id']}!"
        response = response_from_record(record["response"], "here")
        assert (response.snapshot, response.seed) == (TINY, 5)
        assert response.sampling is not None
        assert (response.sampling.top_k, response.sampling.max_tokens) == (9, 8)
        assert len(record["logprobs"]) == len(record["ids"])
        assert all(logprob < 0 for logprob in record["logprobs"])


def test_responses_are_the_same_in_any_batch(capsys: pytest.CaptureFixture[str], prompts: Path) -> None:
    rows = [run(capsys, prompts, "--n", 4, "--rows-at-once", size)[1]["samples"] for size in (1, 3, 64)]
    assert rows[0] == rows[1] == rows[2]
    assert "logprobs" not in rows[0][0]


def test_a_snapshot_is_sampled(capsys: pytest.CaptureFixture[str], prompts: Path, tmp_path: Path) -> None:
    trunk = load_base(TINY, DialogueFormat(), torch.float32)
    trunk.add_adapter("mine", 4, seed=0)
    for parameter in trunk.adapter_parameters("mine").values():
        parameter.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(0))
    name = save_snapshot(tmp_path / "policy", trunk, "mine", 4, None, {}).name
    _, base, _ = run(capsys, prompts)
    _, result, _ = run(capsys, prompts, "--model", tmp_path / "policy")
    assert result["policy"] == result["samples"][0]["response"]["snapshot"] == name
    assert result["samples"][0]["ids"] != base["samples"][0]["ids"]


def test_it_is_shown_to_people(capsys: pytest.CaptureFixture[str], prompts: Path) -> None:
    assert main(["sample", "--model", TINY, "--prompts", str(prompts), "--max-tokens", "4"]) == 0
    shown = capsys.readouterr().out
    assert "2 responses of tiny-random to 2 prompts" in shown
    assert not [character for character in shown if not (character.isprintable() or character == "\n")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--n", 0], "--n must be at least 1"),
        (["--n", 2, "--temperature", 0], "all responses to a prompt are the same"),
        (["--temperature", 0, "--top-p", 0.5], "--temperature 0 leaves one token anyway"),
        (["--top-p", 2], "--top-p must lie in (0, 1], not 2.0"),
        (["--seed", -1], "--seed must be at least 0"),
        (["--max-tokens", 2040], "prompt 'ann': 14 tokens and --max-tokens 2040 exceed"),
        (["--model", "/nowhere/at/all"], "base model '/nowhere/at/all'"),
        (["--prompts", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_bad_input_is_named(
    capsys: pytest.CaptureFixture[str], prompts: Path, options: list[object], said: str
) -> None:
    code, result, complaint = run(capsys, prompts, *options)
    assert (code, result) == (2, None)
    assert said in complaint


def test_the_file_of_prompts_is_not_written_over(capsys: pytest.CaptureFixture[str], prompts: Path) -> None:
    before = prompts.read_bytes()
    code, _, complaint = run(capsys, prompts, "--out", prompts)
    assert code == 2
    assert "is the file of prompts" in complaint
    assert prompts.read_bytes() == before
