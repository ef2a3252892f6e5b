"""The report of a run: one HTML file that needs no network and no script, for a reader who has not read the paper."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from tutelage.plumbing.files import write_text
from tutelage.report.charts import CHARTS
from tutelage.report.figures import to_inline_svg
from tutelage.report.plain import cleaned, decimal, duration, is_number, memory, percent

SHORT_HASH = 12


def write_report(summary: dict[str, Any], path: Path) -> None:
    """Write the page for the content of a run's `summary.json`; what the summary lacks is said to be missing.

    All text of the summary counts as hostile and is shown as plain text. Equal summaries give equal bytes.

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, render(summary))


def render(summary: dict[str, Any]) -> str:
    """The page as HTML text."""
    safe = cleaned(summary)
    figures, settings = drawn(CHARTS, safe), flattened(safe.get("settings"))
    template = environment().get_template("report.html.j2")
    return template.render(summary=safe, figures=figures, headline=headline(safe), settings=settings)


def drawn(charts: Mapping[str, Callable[[Any], Figure | None]], content: Any, scope: str = "") -> dict[str, Markup]:
    """The figures that the content has data for, as SVG for a page, on which each has the ids of its scope and name."""
    figures = {name: chart(content) for name, chart in charts.items()}
    return {name: Markup(to_inline_svg(figure, scope + name)) for name, figure in figures.items() if figure is not None}


def headline(summary: dict[str, Any]) -> str:
    """The outcome in one sentence, as strong as its interval allows and no stronger."""
    rate = summary.get("win_rate_final_vs_base")
    if not isinstance(rate, dict) or not all(is_number(rate.get(key)) for key in ("value", "low", "high")):
        return f"{_effort(summary)}, no win rate of the final policy against the base was measured."
    won = f"{percent(rate['value'])} of {rate.get('comparisons', 'its')} comparisons with the base"
    interval = f"95% interval {percent(rate['low'])} to {percent(rate['high'])}"
    if rate["low"] > 0.5:
        return f"{_effort(summary)}, the final policy wins {won} ({interval})."
    if rate["high"] < 0.5:
        return f"{_effort(summary)}, the final policy is worse than the base: it wins only {won} ({interval})."
    return (
        f"{_effort(summary)}, the run does not show that the final policy is better than the base: "
        f"it wins {won}, and the interval includes 50% ({interval})."
    )


def _effort(summary: dict[str, Any]) -> str:
    count = len(summary.get("rounds") or [])
    rounds = "1 round" if count == 1 else f"{count} rounds"
    seconds = summary.get("wall_seconds")
    return f"After {rounds} and {duration(seconds)}" if is_number(seconds) else f"After {rounds}"


def flattened(settings: Any, prefix: str = "") -> list[tuple[str, str]]:
    """A nested recipe as pairs of dotted name and value."""
    if not isinstance(settings, dict):
        return [(prefix, str(settings))] if prefix else []
    return [
        pair for key, value in settings.items() for pair in flattened(value, f"{prefix}.{key}" if prefix else str(key))
    ]


def _short_hash(digest: Any) -> str:
    return str(digest)[:SHORT_HASH] if digest else "no hash"


def _listed(value: Any) -> str:
    """Names one after another, whether the summary holds one, several, or a mapping from name to hash."""
    if not value:
        return "nothing"
    if isinstance(value, dict):
        return ", ".join(f"{key} ({_short_hash(item)})" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def environment() -> jinja2.Environment:
    """The templates of the pages, with the filters that show numbers; all text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tutelage.report"),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,  # a summary may lack any part
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        decimal=decimal, percent=percent, duration=duration, memory=memory, short_hash=_short_hash, listed=_listed
    )
    return environment
