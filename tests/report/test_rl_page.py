"""The page of one training of a policy, and the same in a terminal."""

import copy
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import write_json, write_jsonl
from tutelage.report.rl_charts import CHARTS
from tutelage.report.rl_page import findings, headline, read_run, render_rl, write_rl_page
from tutelage.report.terminal import live_view, sparkline

from .pages import HOSTILE, Page

Record = dict[str, Any]


def _step(number: int, noise: float) -> Record:
    """Reward rises on a line with √KL; from step 20 on the held-out PM no longer believes it."""
    kl = 0.5 * number
    common = 0.8 * np.sqrt(kl) + noise
    return {
        "step": number, "reward": common + 0.2 * max(0, number - 20), "heldout_reward": common - 2, "kl": kl,
        "sqrt_kl": float(np.sqrt(kl)), "entropy": 2.0 - 0.03 * number, "length": 40.0, "truncated": 0.3,
        "repetition": 0.01 * number, "refusals": 0.1, "clip_fraction": 0.1, "explained_variance": 0.5, "seconds": 7.0,
        "sampling_seconds": 3.0, "rollout_seconds": 5.0, "gradient_norm": 0.6, "learning_rate": 1e-4,
        "kl_weight": 0.05,
    }  # fmt: skip


@pytest.fixture(scope="session")
def whole() -> Record:
    noise = np.random.default_rng(0).normal(0, 0.05, 40)
    sample = {"step": 0, "prompt": "How do I keep basil alive?", "response": "With light.", "reward": 0.4,
              "heldout_reward": 0.1, "kl": 3.2}  # fmt: skip
    return {
        "name": "policy",
        "steps": [_step(number, float(noise[number])) for number in range(40)],
        "samples": [sample, {**sample, "step": 39, "response": "Water it when it is dry."}],
        "best_of": [{"k": k, "kl": 0.0, "reward": {"value": 0.3 * k, "low": 0.0, "high": 1.0}} for k in (1, 2, 4)],
        "card": {"snapshot": "0123456789ab", "base": "b", "seed": 3, "settings": {"clip": 0.2}, "finished": True,
                 "versions": {"torch": "2"}},
    }  # fmt: skip


@pytest.fixture
def run(whole: Record) -> Record:
    return copy.deepcopy(whole)


@pytest.fixture(scope="session")
def html(whole: Record) -> str:
    return render_rl(whole)


def test_a_full_run_has_every_figure_and_its_samples_the_last_first(run: Record, html: str) -> None:
    page = Page(html)
    assert html.count("<svg") == len(CHARTS)
    assert "not measured" not in html
    assert page.text.index("Water it when") < page.text.index("With light.")


def test_what_is_shown_is_found_where_it_was_put(run: Record) -> None:
    shows = findings(run["steps"])
    assert abs(shows["parting"]["step"] - 20) <= 2
    assert shows["parting"]["growth"] == pytest.approx(0.2, rel=0.1)
    assert shows["parting"]["sqrt_kl"] == pytest.approx(np.sqrt(0.5 * shows["parting"]["step"]))
    assert shows["heldout_line"]["slope"] == pytest.approx(0.8, abs=0.03)
    assert shows["heldout_line"]["r_squared"] > 0.97
    assert "rises faster than the second" in headline(shows)


def test_the_headline_claims_no_more_than_was_measured(run: Record) -> None:
    assert headline(findings([])) == "No step with a reward has been made yet."
    early = findings(run["steps"][:18])
    assert "It is not shown that the two part." in headline(early)
    for step in run["steps"]:
        del step["heldout_reward"]
    assert "nothing says whether that is real" in headline(findings(run["steps"]))


def test_a_gap_that_grows_from_the_start_is_one_of_scale(run: Record) -> None:
    for step in run["steps"]:
        step["heldout_reward"] = 0.3 * step["kl"] - 2
        step["reward"] = 0.9 * step["kl"] + 0.01 * (step["step"] % 3)
    shows = findings(run["steps"])
    assert shows["parting"]["low"] < 1
    assert "from the start: the two share no scale" in headline(shows)
    assert "not all that is gained" not in headline(shows)


def test_the_page_loads_nothing_runs_nothing_and_its_ids_are_unique(html: str) -> None:
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {value[1:] for value in page.values("href") if value.startswith("#")} <= set(ids)


def test_hostile_text_is_shown_as_plain_text(run: Record, html: str) -> None:
    run["name"] += HOSTILE
    for sample in run["samples"]:
        sample["prompt"] += HOSTILE
        sample["response"] += HOSTILE
    run["card"]["base"] += HOSTILE
    page = Page(render_rl(run))
    assert set(page.tags) == set(Page(html).tags)
    assert "<script>alert(1)</script>" in page.text
    assert not {"\0", "\u202e", "\ud800"} & set(page.text)


def test_a_run_that_has_hardly_begun_gives_a_page_that_says_what_is_missing(run: Record) -> None:
    bare = {"name": "policy", "steps": [{"step": 0, "loss": 2.0}], "samples": [], "best_of": [], "card": None}
    text = Page(render_rl(bare)).text
    assert "it may still be running" in text
    assert "No samples were kept" in text
    assert "not measured in this run" in text


def test_equal_runs_give_equal_bytes_and_a_directory_is_read_as_it_was_written(run: Record, tmp_path: Path) -> None:
    for name in ("steps", "samples", "best_of"):
        write_jsonl(tmp_path / "policy" / f"{'metrics' if name == 'steps' else name}.jsonl", run[name])
    write_json(tmp_path / "policy" / "model_card.json", {**run["card"]})
    assert read_run(tmp_path / "policy") == run
    write_rl_page(run, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == render_rl(run)
    with pytest.raises(InputError, match=r"metrics\.jsonl: not there"):
        read_run(tmp_path)


def test_the_line_in_the_figure_is_the_fitted_one(run: Record) -> None:
    figure = CHARTS["reward-against-kl"](run)
    assert figure is not None
    lines = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == "--"]
    x, y = lines[1].get_data(orig=False)
    assert (y[1] - y[0]) / (x[1] - x[0]) == pytest.approx(findings(run["steps"])["heldout_line"]["slope"])


def test_the_terminal_shows_first_last_and_curve_of_what_there_is(run: Record) -> None:
    for step in run["steps"]:
        del step["clip_fraction"]
    console = Console(file=io.StringIO(), width=120)
    console.print(live_view(run["steps"]))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "entropy (nats a token)" in text
    assert "clip fraction" not in text
    assert "▁" in text
    assert "rises faster" in text
    assert f"held-out PM: {findings(run['steps'])['heldout_line']['slope']:+.2f} [" in text
    assert "→" not in text


def test_the_terminal_shows_the_latest_answer_and_none_of_its_control_characters(run: Record) -> None:
    run["samples"][-1]["prompt"] = "far away " * 100 + "And basil?"
    run["samples"].append({**run["samples"][-1], "response": "another to the same batch"})
    console = Console(file=io.StringIO(), width=400)
    run["samples"][1]["response"] = "Water it.\x1b[2J[bold]"
    console.print(live_view(run["steps"], run["samples"]))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "step 39, train-PM 0.40" in shown
    assert "And basil?\n→ Water it.⟨U+001B⟩[2J[bold]" in shown
    assert len(next(line for line in shown.splitlines() if line.startswith("…"))) < 210


def test_a_sparkline_is_lowest_to_highest() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([5, 5, 5]) == "▁▁▁"
    assert len(sparkline(list(range(1000)), width=30)) == 30
