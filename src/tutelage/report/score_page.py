"""The calibration page: what `tutelage score` measured, as one HTML file that needs no network and no script."""

from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from tutelage.plumbing.files import write_text
from tutelage.report.figures import to_inline_svg
from tutelage.report.page import drawn, environment
from tutelage.report.plain import cleaned, percent
from tutelage.report.score_charts import CHARTS, agreement_plot, files_plot, scores_plot, short_names

Record = dict[str, Any]


def write_score_page(result: Record, path: Path) -> None:
    """Write the page for the result of `tutelage score`.

    Names of files, workers and snapshots count as hostile and are shown as plain text. Equal results give equal bytes.

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, render_scores(result))


def render_scores(result: Record) -> str:
    """The page as HTML text."""
    safe = cleaned(result)
    figures: dict[str, Any] = {"all": drawn(CHARTS, safe, "all-"), "files": _svg(files_plot(safe), "files")}
    if safe["against"]:
        figures["agreement"] = _svg(agreement_plot(safe["against"]), "agreement")
        figures["scores"] = _svg(scores_plot(safe["against"]), "scores")
    names = short_names([card["file"] for card in safe["files"]])
    cards = [
        {**card, "name": name, "figures": drawn(CHARTS, card, f"file-{number}-")}
        for number, (name, card) in enumerate(zip(names, safe["files"], strict=True), start=1)
    ]
    template = environment().get_template("scores.html.j2")
    return template.render(result=safe, figures=figures, cards=cards, headline=headline(safe))


def headline(result: Record) -> str:
    """What the accuracy shows in one sentence, as strong as its interval allows and no stronger."""
    accuracy = result["accuracy"]
    told = f"{percent(accuracy['value'])} of {result['pairs']} pairs"
    interval = f"95% interval {percent(accuracy['low'])} to {percent(accuracy['high'])}"
    if accuracy["low"] > 0.5:
        return f"The preference model prefers the chosen response in {told} ({interval})."
    if accuracy["high"] < 0.5:
        return f"The preference model is worse than chance: it prefers the chosen response in {told} ({interval})."
    return f"It is not shown that the preference model is better than chance: it is right in {told} ({interval})."


def _svg(figure: Figure | None, name: str) -> Markup | None:
    return None if figure is None else Markup(to_inline_svg(figure, name))
