"""Figures show what they are given."""

import pytest

from tutelage.report.figures import Curve, Estimate, Series, estimates_plot


@pytest.mark.parametrize("log_x", [False, True])
def test_all_intervals_lie_inside_the_axes(log_x: bool) -> None:
    curves = [
        Curve("one", [100, 1000], [Estimate("", 0.6, 0.5, 0.7), Estimate("", 0.8, 0.75, 0.9)]),
        Curve("other", [100, 1000], [Estimate("", 0.3, 0.2, 0.4), Estimate("", 0.3, 0.1, 0.4)]),
    ]
    figure = estimates_plot(curves, [Series("chance", [100, 1000], [0.5, 0.5])], "comparisons", "accuracy", log_x=log_x)
    (axes,) = figure.axes
    bottom, top = axes.get_ylim()
    left, right = axes.get_xlim()
    assert bottom <= 0.1
    assert top >= 0.9
    assert left < 100
    assert right > 1000
    assert [label.get_text() for label in axes.get_xticklabels()] == ["100", "1,000"]
