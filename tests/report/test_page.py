import re
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tutelage.report.charts import CHARTS
from tutelage.report.page import flattened, headline, render, write_report

from .pages import HOSTILE, Page

Summary = dict[str, Any]


def _everywhere(value: Any, text: str) -> Any:
    """The same summary with `text` after every string in it."""
    if isinstance(value, str):
        return value + text
    if isinstance(value, dict):
        return {key: _everywhere(item, text) for key, item in value.items()}
    return [_everywhere(item, text) for item in value] if isinstance(value, list) else value


def _win(low: float, value: float, high: float) -> Summary:
    rate = {"value": value, "low": low, "high": high, "comparisons": 412}
    return {"rounds": [{}, {}], "wall_seconds": 612.4, "win_rate_final_vs_base": rate}


def test_a_full_summary_has_every_figure_and_lacks_nothing(summary: Summary, html: str) -> None:
    assert html.count("<svg") == len(CHARTS)
    assert "not measured" not in html
    assert headline(summary) in html


def test_the_page_says_that_the_people_are_simulated_and_that_the_median_is_shown(html: str) -> None:
    assert "The people in this run are simulated." in html
    assert "median by PM score is shown, not the best" in " ".join(html.split())


def test_the_page_loads_nothing_and_runs_nothing(html: str) -> None:
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    for attribute in ("src", "href", "xlink:href", "action", "srcset"):
        assert all(value.startswith("#") for value in page.values(attribute)), attribute
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert not re.search(r"@import|url\((?!#)", html)


def test_ids_are_unique_and_what_refers_to_one_finds_it(html: str) -> None:
    page = Page(html)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r"url\(#([^)]+)\)", html)) | {
        v[1:] for v in page.values("href") + page.values("xlink:href")
    }
    assert wanted <= set(ids)


def test_hostile_text_is_shown_as_plain_text_wherever_it_stands(summary: Summary, html: str) -> None:
    page = Page(render(_everywhere(summary, HOSTILE)))
    assert set(page.tags) == set(Page(html).tags)
    assert "<script>alert(1)</script>" in page.text
    assert "⟨U+0000⟩⟨U+202E⟩evil⟨U+D800⟩{{ 7 * 7 }}" in page.text
    assert not {"\0", "\u202e", "\ud800"} & set(page.text)


def test_a_refusal_of_ratings_stands_where_the_ratings_would(summary: Summary) -> None:
    refused = summary | {"ratings": [], "rating_refusal": "round-2 won every comparison with <base>"}
    html = render(refused)
    assert "round-2 won every comparison with &lt;base&gt;" in html
    assert html.count("<svg") == len(CHARTS) - 1


@pytest.mark.parametrize("empty", [{}, {"name": "begun", "rounds": [], "samples": [], "stages": []}])
def test_a_nearly_empty_summary_gives_a_page_that_says_what_is_missing(empty: Summary) -> None:
    html = render(empty)
    Page(html)
    assert "<svg" not in html
    assert html.count("not measured in this run") == len(CHARTS)
    assert "This run has not finished" in html
    assert "people in this run are simulated" not in html


def test_any_part_may_be_missing_or_null(summary: Summary) -> None:
    for key in summary:
        Page(render({key: summary[key]}))
        Page(render(dict.fromkeys(summary) | {key: summary[key]}))


def test_fields_inside_a_part_may_be_missing_or_null(summary: Summary) -> None:
    first, second = summary["rounds"]
    first |= {"steps": None, "pm_accuracy": None, "dropped": None, "kl": None}
    for step in second["steps"]:
        step |= {"heldout_reward": None, "entropy": float("nan")}
    summary["calibration"]["bins"][0] = {"confidence": 0.6}
    summary["snapshot_scores"][1]["harmless"] = None
    summary["samples"][0] |= {"base": None, "prompt": None}
    summary["ratings"][0] |= {"low": None, "high": None}
    summary["pm_accuracy"].pop("ceiling")
    html = render(summary)
    Page(html)
    assert html.count("<svg") == len(CHARTS)
    assert "not measured" in html


def test_equal_summaries_give_equal_bytes(summary: Summary, html: str, tmp_path: Path) -> None:
    write_report(summary, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_bytes() == html.encode()


def test_the_headline_claims_no_more_than_its_interval_allows() -> None:
    assert headline(_win(0.661, 0.725, 0.789)) == (
        "After 2 rounds and 10 min 12 s, the final policy wins 72.5% of 412 comparisons with the base "
        "(95% interval 66.1% to 78.9%)."
    )
    assert "does not show that the final policy is better" in headline(_win(0.48, 0.55, 0.62))
    assert "does not show that the final policy is better" in headline(_win(0.5, 0.56, 0.62))
    assert "is worse than the base" in headline(_win(0.3, 0.4, 0.49))
    assert headline({}) == "After 0 rounds, no win rate of the final policy against the base was measured."


def test_nested_settings_become_dotted_names() -> None:
    recipe = {"seed": 0, "ppo": {"kl": {"weight": 0.02}}}
    assert flattened(recipe) == [("seed", "0"), ("ppo.kl.weight", "0.02")]
    assert flattened(None) == []


def _browse(browser: str, page: Path, *options: str) -> str:
    """Open the page in a headless browser of its own; returns what that prints."""
    fixed = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent / 'profile'}"]
    done = subprocess.run([browser, *fixed, *options, str(page)], check=True, capture_output=True, timeout=60)
    return done.stdout.decode()


@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_draws_the_page(summary: Summary, tmp_path: Path, browser: str, width: int) -> None:
    page, picture = tmp_path / "page.html", tmp_path / "page.png"
    write_report(summary, page)
    _browse(browser, page, "--hide-scrollbars", f"--window-size={width},3000", f"--screenshot={picture}")
    drawn = picture.read_bytes()
    assert struct.unpack(">II", drawn[16:24]) == (width, 3000)
    assert len(drawn) > 100_000  # a blank page of this size takes less than a fifth


def test_a_browser_finds_no_element_in_hostile_text(summary: Summary, tmp_path: Path, browser: str) -> None:
    write_report(_everywhere(summary, HOSTILE), tmp_path / "page.html")
    seen = Page(_browse(browser, tmp_path / "page.html", "--dump-dom"))
    assert "<script>alert(1)</script>" in seen.text
    assert not {"script", "img"} & set(seen.tags)
