"""Studies on a planted world: helpful people like lower-case letters, harmless ones capitals."""

from dataclasses import replace
from pathlib import Path

import pytest

from tutelage.corpus.records import comparison_to_record
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.files import write_jsonl
from tutelage.studies.page import write_page
from tutelage.studies.preference import STUDIES, Material, Scale, Study, paper_accuracy, read_material, run_study

from ..training.planted import PREFERENCE, planted

SCALE = Scale(pairs=60, sizes=(16, 64, 10_000), shares=(0.0, 1.0), weights=(0.1, 10.0))


@pytest.fixture
def material(tmp_path: Path) -> Material:
    turned = [replace(one, chosen=one.rejected, rejected=one.chosen, kind="harmless") for one in planted(150, seed=1)]
    write_jsonl(tmp_path / "helpful.jsonl", map(comparison_to_record, planted(150, seed=0)))
    write_jsonl(tmp_path / "harmless.jsonl", map(comparison_to_record, turned))
    return read_material(tmp_path / "helpful.jsonl", tmp_path / "harmless.jsonl", held_out=0.3)


def values(tiny: Trunk, material: Material, study: Study, file: Path) -> list[tuple[float, float]]:
    points = run_study(study, tiny, material, SCALE, PREFERENCE, file)
    return [(point["helpful"]["value"], point["harmless"]["value"]) for point in points]


def test_no_first_turn_is_on_both_sides(material: Material) -> None:
    sides = [{one.prompt.first_human_turn for one in part} for part in (material.train, material.tried)]
    assert not sides[0] & sides[1]
    assert {one.kind for one in material.tried} == {"helpful", "harmless"}


def test_more_comparisons_teach_more_and_sizes_beyond_the_data_are_left_out(
    tiny: Trunk, material: Material, tmp_path: Path
) -> None:
    few, more = values(tiny, material, "size", tmp_path / "p.jsonl")
    assert few[0] < more[0]
    assert more[0] > 0.85


def test_who_learnt_from_one_side_only_is_below_chance_on_the_other(
    tiny: Trunk, material: Material, tmp_path: Path
) -> None:
    helpful_only, harmless_only = values(tiny, material, "mixture", tmp_path / "p.jsonl")
    assert helpful_only[0] > 0.8
    assert helpful_only[1] < 0.2
    assert harmless_only[0] < 0.2
    assert harmless_only[1] > 0.8


def test_the_weight_moves_accuracy_from_one_side_to_the_other(tiny: Trunk, material: Material, tmp_path: Path) -> None:
    light, heavy = values(tiny, material, "weight", tmp_path / "p.jsonl")
    assert light[0] > heavy[0]
    assert light[1] < heavy[1]


def test_models_of_both_halves_agree_and_most_so_where_the_scores_lie_far_apart(
    tiny: Trunk, material: Material, tmp_path: Path
) -> None:
    helpful = replace(material, train=[one for one in material.train if one.kind == "helpful"])
    (point,) = run_study("agreement", tiny, helpful, SCALE, PREFERENCE, tmp_path / "p.jsonl")
    assert point["agreement"]["value"] > 0.8
    assert point["correlation"] > 0.7
    assert point["by_quarter"][3]["value"] >= point["by_quarter"][0]["value"]
    assert [quarter["apart"] for quarter in point["by_quarter"]] == sorted(q["apart"] for q in point["by_quarter"])


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_has_its_page(tiny: Trunk, material: Material, tmp_path: Path, study: Study) -> None:
    scale = replace(SCALE, pairs=8, sizes=(4, 8))
    points = run_study(study, tiny, material, scale, PREFERENCE, tmp_path / "p.jsonl")
    page = write_page(study, points, 10**8, f"tutelage study {study}", tmp_path / "pages")
    text = page.read_text()
    assert text.count("\n| ") == 2 + len(points)
    assert f"    tutelage study {study}\n" in text
    assert (tmp_path / "pages" / f"{study}.svg").read_text().rstrip().endswith("</svg>")


def test_the_papers_fit() -> None:
    """The values that its section A.1 implies at 80,000 comparisons."""
    assert paper_accuracy(13e6, 8e4) == pytest.approx(0.657, abs=1e-3)
    assert paper_accuracy(52e9, 8e4) == pytest.approx(0.715, abs=1e-3)
    assert paper_accuracy(13e6, 1e4) == pytest.approx(0.626, abs=1e-3)
