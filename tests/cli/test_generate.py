"""`tutelage data generate-prompts`: a file of prompts that training reads, with a card of how it was made."""

import json
from pathlib import Path

import pytest

from tutelage.cli import generate
from tutelage.cli.main import main
from tutelage.corpus.generated import WrittenLine
from tutelage.corpus.prompts import load_prompts, read_prompts


def written(monkeypatch: pytest.MonkeyPatch, *texts: str) -> None:
    """The toy writes nothing that is fit to be asked; here something else writes."""
    from tutelage.sampling import prompt_writer

    monkeypatch.setattr(prompt_writer, "write_drafts", lambda *_: iter([WrittenLine(text, True) for text in texts]))


def test_prompts_and_their_card(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held_out = load_prompts("held_out", "helpful")[0].prompt.last_human_turn
    written(monkeypatch, held_out, "What is rain made of?", "Why?", "How do bees find home?", "Who wrote this line?")
    command = ["data", "generate-prompts", "--model", "tiny-random", "--count", "2", "--out", str(tmp_path / "p.jsonl")]
    assert main([*command, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["drops"] == {"copy": 1, "short": 1}  # what is kept for evaluation is never trained on
    items = read_prompts(tmp_path / "p.jsonl")
    assert [item.prompt.last_human_turn for item in items] == ["What is rain made of?", "How do bees find home?"]
    card = json.loads((tmp_path / "p.card.json").read_text())
    assert card["seed"] == 0
    assert set(card["examples"]) <= {item.id for item in load_prompts("ppo", "helpful")}
    assert len(card["sha256"]) == 64


def test_a_model_whose_lines_are_not_fit_fails_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "DRAFTS_A_PROMPT", 8)
    command = ["data", "generate-prompts", "--model", "tiny-random", "--count", "4", "--max-tokens", "6"]
    assert main([*command, "--out", str(tmp_path / "p.jsonl")]) == 1
    assert "of 32 lines by tiny-random only" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["data", "generate-prompts", "--model", "tiny-random", "--out", str(tmp_path / "p.jsonl")]
    for option, said in (
        (["--count", "0"], "--count"),
        (["--top-p", "0"], "--top-p must lie in (0, 1]"),
        (["--seed", "-1"], "--seed"),
    ):
        assert main([*command, *option]) == 2
        assert said in capsys.readouterr().err
