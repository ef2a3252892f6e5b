from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from tutelage.report.charts import CHARTS, write_figures
from tutelage.report.figures import Estimate, interval_plot, to_inline_svg, to_svg

Summary = dict[str, Any]


def _lines(figure: Any, panel: int) -> dict[str, Any]:
    return {line.get_label(): line for line in figure.axes[panel].get_lines()}


def test_gains_begin_at_the_first_step_that_both_models_scored(summary: Summary) -> None:
    steps = summary["rounds"][0]["steps"]
    steps[0]["heldout_reward"] = None
    figure = CHARTS["reward-against-kl"](summary)
    assert figure is not None
    train, heldout = list(_lines(figure, 0).values())[:2]
    np.testing.assert_allclose(train.get_xdata(), [step["sqrt_kl"] for step in steps])
    np.testing.assert_allclose(train.get_ydata(), [step["reward"] - steps[1]["reward"] for step in steps])
    assert np.isnan(heldout.get_ydata()[0])
    assert heldout.get_ydata()[1] == 0


def test_scores_in_another_unit_say_so(summary: Summary) -> None:
    figure = CHARTS["reward-against-kl"]({**summary, "score_unit": "SD"})
    assert figure is not None
    assert figure.axes[0].get_ylabel() == "gain (SD)"
    assert "SD per √nat" in figure.axes[0].texts[0].get_text()


def test_every_round_has_its_panel_on_the_same_scale(summary: Summary) -> None:
    summary["rounds"][1]["steps"][-1]["reward"] = 9.0
    figure = CHARTS["pm-scores"](summary)
    assert figure is not None
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["round 1", "round 2"]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert figure.axes[0].get_ylim()[1] > 9


def test_a_field_that_no_step_has_gets_no_panel(summary: Summary) -> None:
    for record in summary["rounds"]:
        for step in record["steps"]:
            del step["length"]
    figure = CHARTS["entropy-and-length"](summary)
    assert figure is not None
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["entropy"]


def test_the_ceiling_stands_beside_the_accuracy(summary: Summary) -> None:
    figure = CHARTS["accuracy"](summary)
    assert figure is not None
    assert list(_lines(figure, 0)["ceiling 74.2%"].get_xdata()) == [0.742, 0.742]


def test_an_interval_with_an_unknown_end_is_drawn_as_a_bare_dot() -> None:
    estimates = [Estimate("known", 1, 0.5, 2), Estimate("unknown", 1, float("nan"), float("nan"))]
    (bars,) = interval_plot(estimates, "x", lambda e: e.label).axes[0].collections
    spans = [segment[:, 0].tolist() for segment in bars.get_segments()]  # type: ignore[attr-defined]
    assert spans == [[0.5, 2], [1, 1]]


def test_names_are_shown_as_they_are_and_never_read_as_mathematics() -> None:
    name = "$x^2$ <b> & \\frac"
    svg = to_svg(interval_plot([Estimate(name, 0, -1, 1)], "Elo", lambda e: ""))
    assert name in {element.text for element in ElementTree.fromstring(svg).iter()}


def test_a_figure_alone_keeps_its_colours_and_one_in_a_page_takes_the_page_s() -> None:
    figure = interval_plot([Estimate("base", 0, -1, 1)], "Elo", lambda e: "0")
    assert "#2a6fb0" in to_svg(figure)
    assert "#2a6fb0" not in to_inline_svg(figure, "ratings")
    assert "var(--c1)" in to_inline_svg(figure, "ratings")


def test_the_figures_for_a_readme_are_files(summary: Summary, tmp_path: Path) -> None:
    names = ["ratings.svg", "ratings.png", "reward-against-kl.svg", "reward-against-kl.png"]
    assert [path.name for path in write_figures(summary, tmp_path / "new")] == names
    first = {name: (tmp_path / "new" / name).read_bytes() for name in names}
    write_figures(summary, tmp_path / "new")
    assert first == {name: (tmp_path / "new" / name).read_bytes() for name in names}
    assert first["ratings.png"].startswith(b"\x89PNG")
    assert ElementTree.fromstring(first["ratings.svg"]).tag.endswith("svg")


def test_a_run_without_data_gives_no_figure_files(tmp_path: Path) -> None:
    assert write_figures({"ratings": []}, tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_the_steps_at_which_two_scores_part_are_marked_and_lines_have_their_r_squared(summary: Summary) -> None:
    steps = summary["rounds"][0]["steps"]
    for step in steps:
        step["heldout_reward"] = step["reward"] - 0.5 * max(0, step["step"] - 9)
    for step in summary["rounds"][1]["steps"]:
        step["heldout_reward"] = step["reward"] - 3
    parted = CHARTS["pm-scores"](summary)
    against_kl = CHARTS["reward-against-kl"](summary)
    assert parted is not None
    assert against_kl is not None
    assert list(_lines(parted, 0)["_part"].get_xdata()) == [9, 9]
    assert "they part at step 9 [9, 9]" in {text.get_text() for text in parted.axes[0].texts}
    assert "_part" not in _lines(parted, 1)
    notes = "".join(text.get_text() for text in against_kl.axes[0].texts)
    assert notes.count("R²") == 2
