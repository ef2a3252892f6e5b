"""The calibration page: every figure that there is data for, and nothing that acts."""

import copy
import struct
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tutelage.dialogue import Comparison, Prompt, Response
from tutelage.evaluation.scorecard import ScoredPairs, agreement, by_file, scorecard
from tutelage.report.score_charts import CHARTS, agreement_plot, scores_plot, short_names
from tutelage.report.score_page import headline, render_scores, write_score_page

from .pages import HOSTILE, Page

Record = dict[str, Any]


def _record(pairs: ScoredPairs, other: Any = None) -> Record:
    """What `tutelage score` makes of such pairs."""
    found = None if other is None else agreement(pairs.comparisons, pairs.scores_P2, other)
    files = [{"file": file, **asdict(scorecard(part))} for file, part in by_file(pairs).items()]
    return {
        **asdict(scorecard(pairs)),
        "files": files,
        "against": found and {"model": "other-pm", "snapshot": "0123456789ab", **asdict(found), "drops": {}},
        "drops": {"empty_answer": 3},
        "snapshot": "ba9876543210",
        "model": "my-pm",
        "out": "scores.jsonl",
    }


@pytest.fixture(scope="session")
def whole() -> Record:
    rng = np.random.default_rng(0)
    comparisons = [
        Comparison(
            Prompt.from_turns(f"prompt {number // 3}", *["go on"] * (2 * (number % 4))),
            Response("yes"),
            Response("no"),
            "helpful" if number % 2 else "harmless",
            1 + number % 4,
            ("ann", "bob", f"w{number}")[number % 3],
        )
        for number in range(240)
    ]
    scores = rng.normal(0, 1, (240, 2)) + [0.8, 0]
    lengths = rng.integers(1, 150, (240, 2))
    pairs = ScoredPairs(comparisons, scores, lengths, ["a/pairs.jsonl"] * 120 + ["b/pairs.jsonl"] * 120)
    return _record(pairs, scores + rng.normal(0, 1, (240, 2)))


@pytest.fixture
def result(whole: Record) -> Record:
    return copy.deepcopy(whole)


@pytest.fixture(scope="session")
def html(whole: Record) -> str:
    return render_scores(whole)


def test_a_full_result_has_every_figure_for_all_pairs_and_for_each_file(result: Record, html: str) -> None:
    Page(html)
    assert html.count("<svg") == 3 * len(CHARTS) + 3  # the files', and two against the other model
    assert "not measured" not in html
    assert headline(result) in html
    assert "a/pairs.jsonl" in html


def test_the_page_loads_nothing_runs_nothing_and_its_ids_are_unique(html: str) -> None:
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    for attribute in ("src", "href", "xlink:href", "action", "srcset"):
        assert all(value.startswith("#") for value in page.values(attribute)), attribute
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {value[1:] for value in page.values("href")} <= set(ids)


def test_hostile_names_are_shown_as_plain_text(result: Record, html: str) -> None:
    result["model"] += HOSTILE
    result["against"]["snapshot"] += HOSTILE
    for card in (result, *result["files"]):
        card["by_worker"][0]["label"] += HOSTILE
    result["files"][0]["file"] += HOSTILE
    page = Page(render_scores(result))
    assert set(page.tags) == set(Page(html).tags)
    assert "<script>alert(1)</script>" in page.text
    assert not {"\0", "\u202e", "\ud800"} & set(page.text)


def test_a_bare_result_gives_a_page_that_says_what_is_missing() -> None:
    """One file, one prompt, constant scores; neither strengths nor workers nor another model."""
    comparisons = [Comparison(Prompt.from_turns("hi"), Response("yes"), Response("no"), "helpful")] * 3
    html = render_scores(_record(ScoredPairs(comparisons, np.zeros((3, 2)), np.full((3, 2), 5), ["f.jsonl"] * 3)))
    page = Page(html)
    assert "no pair says how strong the choice was" in page.text
    assert "no pair says whose choice it was" in page.text
    assert "Another model" not in page.text
    assert "Data set by data set" not in page.text
    assert "It is not shown that the preference model is better than chance" in page.text


def test_equal_results_give_equal_bytes(result: Record, html: str, tmp_path: Path) -> None:
    write_score_page(result, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_bytes() == html.encode()


def test_the_headline_claims_no_more_than_its_interval_allows() -> None:
    def said(low: float, value: float, high: float) -> str:
        return headline({"pairs": 400, "accuracy": {"value": value, "low": low, "high": high}})

    assert said(0.58, 0.63, 0.68) == (
        "The preference model prefers the chosen response in 63.0% of 400 pairs (95% interval 58.0% to 68.0%)."
    )
    assert "not shown that the preference model is better" in said(0.49, 0.54, 0.59)
    assert "worse than chance" in said(0.3, 0.4, 0.49)


def test_the_reliability_line_is_the_logistic_curve_and_the_dots_are_the_bins(result: Record) -> None:
    figure = CHARTS["reliability"](result)
    assert figure is not None
    expected, dots = figure.axes[0].get_lines()[:2]
    np.testing.assert_allclose(expected.get_ydata(), 1 / (1 + np.exp(-np.asarray(expected.get_xdata()))))
    np.testing.assert_allclose(dots.get_xdata(orig=False), [part["difference"] for part in result["reliability"]])
    np.testing.assert_allclose(
        dots.get_ydata(orig=False), [part["accuracy"]["value"] for part in result["reliability"]]
    )


def test_two_models_are_compared_on_the_diagonal_and_an_interval_may_be_unknown(result: Record) -> None:
    against = result["against"]
    against["by_score"][0] |= {"low": None, "high": None}
    axes = scores_plot(against).axes[0]
    diagonal, dots = axes.get_lines()[:2]
    np.testing.assert_allclose(diagonal.get_xdata(), diagonal.get_ydata())
    np.testing.assert_allclose(dots.get_ydata(orig=False), [part["other"] for part in against["by_score"]])
    (bars,) = axes.collections
    first, second = (np.ptp(segment[:, 1]) for segment in bars.get_segments()[:2])  # type: ignore[attr-defined]
    assert first == 0 < second
    level = agreement_plot(against).axes[0].get_lines()[0]
    assert set(level.get_ydata(orig=False)) == {against["agreement"]["value"]}


def test_a_slice_shows_its_share_and_its_pairs(result: Record) -> None:
    figure = CHARTS["turns"](result)
    assert figure is not None
    first = result["by_turn"][0]
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert shown[0] == f"{100 * first['accuracy']['value']:.1f}% of {first['pairs']}"


def test_paths_are_cut_down_to_what_tells_them_apart() -> None:
    assert short_names(["/data/a/pairs.jsonl", "/data/b/pairs.jsonl"]) == ["a/pairs.jsonl", "b/pairs.jsonl"]
    assert short_names(["x/one.jsonl", "y/two.jsonl"]) == ["one.jsonl", "two.jsonl"]
    assert short_names(["only.jsonl"]) == ["only.jsonl"]
    assert short_names(["a.jsonl", "x/a.jsonl"]) == ["a.jsonl", "x/a.jsonl"]


def test_a_browser_draws_the_page(result: Record, tmp_path: Path, browser: str) -> None:
    page, picture = tmp_path / "page.html", tmp_path / "page.png"
    write_score_page(result, page)
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    options += ["--hide-scrollbars", "--window-size=1200,3000", f"--screenshot={picture}"]
    subprocess.run([browser, *options, str(page)], check=True, capture_output=True, timeout=60)
    drawn = picture.read_bytes()
    assert struct.unpack(">II", drawn[16:24]) == (1200, 3000)
    assert len(drawn) > 100_000  # a blank page of this size takes less than a fifth
