"""Studies on a planted world: helpful people like lower-case letters, harmless ones capitals."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from tutelage.corpus.locate import DataFile
from tutelage.corpus.records import comparison_to_record
from tutelage.modeling.snapshot import save_snapshot
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import write_jsonl
from tutelage.studies.features import comparison_features
from tutelage.studies.findings import Findings
from tutelage.studies.learners import FineTuned, Probed
from tutelage.studies.material import Material, read_material
from tutelage.studies.page import write_page
from tutelage.studies.preference import Scale, Study, paper_accuracy, parameters_below, run_study
from tutelage.training.preference import train_preference_model

from ..training.planted import PREFERENCE, planted

SCALE = Scale(pairs=60, sizes=(16, 64, 10_000), shares=(0.0, 1.0), weights=(0.1, 10.0))
PROBED = replace(SCALE, penalties=(0.01, 0.1, 1.0))


@pytest.fixture
def material(tiny: Trunk, tmp_path: Path) -> Material:
    turned = [replace(one, chosen=one.rejected, rejected=one.chosen, kind="harmless") for one in planted(150, seed=1)]
    write_jsonl(tmp_path / "helpful.jsonl", map(comparison_to_record, planted(150, seed=0)))
    write_jsonl(tmp_path / "harmless.jsonl", map(comparison_to_record, turned))
    files = ([DataFile(tmp_path / f"{kind}.jsonl")] for kind in ("helpful", "harmless"))
    return read_material(*files, 0.3, tiny.encoder, PREFERENCE.max_tokens)


def of_kind(material: Material, kind: str) -> Material:
    train, tried = ([one for one in part if one.kind == kind] for part in (material.train, material.tried))
    return replace(material, train=train, tried=tried)


@pytest.fixture
def pretrained(tiny: Trunk, tmp_path: Path) -> Path:
    """A preference model that has learnt already what helpful people like."""
    trained = train_preference_model(tiny, "votes", planted(80, seed=2), PREFERENCE, 0)
    save_snapshot(tmp_path / "pretrained", tiny, "votes", PREFERENCE.rank, trained.head, {})
    return tmp_path / "pretrained"


def values(tiny: Trunk, material: Material, study: Study, file: Path) -> list[tuple[float, float]]:
    points = run_study(study, tiny, material, SCALE, PREFERENCE, file)
    return [(point["helpful"]["value"], point["harmless"]["value"]) for point in points]


def test_no_first_turn_is_on_both_sides(material: Material) -> None:
    sides = [{one.prompt.first_human_turn for one in part} for part in (material.train, material.tried)]
    assert not sides[0] & sides[1]
    assert {one.kind for one in material.tried} == {"helpful", "harmless"}


def test_what_does_not_fit_a_row_is_left_out_and_counted(tiny: Trunk, tmp_path: Path) -> None:
    comparisons = planted(20, seed=0)
    long = replace(comparisons[0], chosen=replace(comparisons[0].chosen, text="long " * 30))
    write_jsonl(tmp_path / "h.jsonl", map(comparison_to_record, [*comparisons, long]))
    material = read_material([DataFile(tmp_path / "h.jsonl")], [], 0.3, tiny.encoder, PREFERENCE.max_tokens)
    assert len(material.train) + len(material.tried) == 20
    assert material.drops == {"the responses are longer than max_tokens": 1}
    with pytest.raises(InputError, match="0 to try models on"):
        read_material([DataFile(tmp_path / "h.jsonl")], [], 0.0, tiny.encoder, PREFERENCE.max_tokens)


def test_more_comparisons_teach_more_and_sizes_beyond_the_data_are_left_out(
    tiny: Trunk, material: Material, tmp_path: Path
) -> None:
    points = run_study("size", tiny, of_kind(material, "helpful"), SCALE, PREFERENCE, tmp_path / "p.jsonl")
    few, more = (point["helpful"]["value"] for point in points)
    assert [point["pairs"] for point in points] == [16, 64]
    assert few < more
    assert more > 0.85


def test_who_was_pretrained_on_the_same_taste_needs_fewer_comparisons(
    tiny: Trunk, material: Material, pretrained: Path, tmp_path: Path
) -> None:
    helpful = of_kind(material, "helpful")
    points = run_study("pmp", tiny, helpful, SCALE, PREFERENCE, tmp_path / "p.jsonl", pretrained)
    accuracy = {(point["size"], point["pretrained"]): point["helpful"]["value"] for point in points}
    assert accuracy.keys() == {(16, False), (16, True), (64, False), (64, True)}
    assert accuracy[16, True] > accuracy[16, False] + 0.05


def test_probes_learn_the_same_from_features_that_are_computed_once(
    tiny: Trunk, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helpful, scale = of_kind(material, "helpful"), replace(PROBED, depths=(1, 2), seeds=2)
    points = run_study("size", tiny, helpful, scale, PREFERENCE, tmp_path / "p.jsonl")
    assert [(point["layers"], point["size"], point["seed"]) for point in points] == [
        (layers, size, seed) for layers in (1, 2) for seed in (0, 1) for size in (16, 64)
    ]
    assert all(point["helpful"]["value"] > 0.85 for point in points if point["size"] == 64)
    findings = Findings("size", points, helpful, tiny, PREFERENCE)
    assert sum(findings.penalties.values()) == len(points)
    assert set(findings.penalties) <= set(PROBED.penalties)
    passes = sum(dict(point["features"] for point in points).values())
    assert findings.seconds == pytest.approx(passes + sum(point["seconds"] for point in points))
    monkeypatch.setattr(Trunk, "hidden_RLD", None)  # no pass of the base from here on
    again = run_study("size", tiny, helpful, replace(scale, seeds=3), PREFERENCE, tmp_path / "p.jsonl")
    assert [point for point in again if point["seed"] < 2] == points
    assert len(again) == 12


def test_a_probe_scores_what_a_preference_model_that_is_its_probe_alone_scores(
    tiny: Trunk, material: Material, tmp_path: Path
) -> None:
    """But for the units of the features, the spreads over these or those responses."""
    helpful = of_kind(material, "helpful")
    settings = replace(PREFERENCE, probe=0.1, epochs=0)
    probed, _ = Probed(tiny, helpful, settings, (0.1,), tmp_path).differences(helpful.train, 0, "")
    trained, _ = FineTuned(tiny, helpful, settings).differences(helpful.train, 0, "")
    assert np.corrcoef(probed, trained)[0, 1] > 0.98


def test_a_probe_of_votes_pulls_probes_of_comparisons_towards_it(
    tiny: Trunk, material: Material, tmp_path: Path
) -> None:
    helpful = of_kind(material, "helpful")
    trained = train_preference_model(tiny, "votes", planted(80, seed=2), replace(PREFERENCE, probe=0.1, epochs=0), 0)
    save_snapshot(tmp_path / "votes", tiny, "votes", PREFERENCE.rank, trained.head, {})
    tiny.drop_adapter("votes")
    scale = replace(PROBED, sizes=(4, 64))
    points = run_study("pmp", tiny, helpful, scale, PREFERENCE, tmp_path / "p.jsonl", tmp_path / "votes")
    accuracy = {(point["size"], point["pretrained"]): point["helpful"]["value"] for point in points}
    assert accuracy[4, True] > accuracy[4, False] + 0.05
    assert accuracy[64, True] > 0.85


def test_a_prior_must_be_a_probe_of_the_frozen_base(
    tiny: Trunk, material: Material, pretrained: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no probe of the frozen base"):
        run_study("pmp", tiny, material, PROBED, PREFERENCE, tmp_path / "p.jsonl", pretrained)


def test_damaged_features_are_refused(tiny: Trunk, material: Material, tmp_path: Path) -> None:
    part = material.train[:3]
    kept = tmp_path / "features"
    first = comparison_features(tiny, part, None, "mean", 64, kept)
    (file,) = kept.iterdir()
    assert comparison_features(tiny, part, None, "mean", 64, kept).values_P2F.equal(first.values_P2F)
    comparison_features(tiny, part, 1, "mean", 64, kept)
    assert len(list(kept.iterdir())) == 2  # of another depth, another file
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(InputError, match="damaged"):
        comparison_features(tiny, part, None, "mean", 64, kept)


def test_the_papers_fit_is_shown_beside_helpful_comparisons_alone(
    tiny: Trunk, material: Material, tmp_path: Path
) -> None:
    for kinds, mine in (("helpful", of_kind(material, "helpful")), ("both", material)):
        points = run_study("size", tiny, mine, PROBED, PREFERENCE, tmp_path / f"points-{kinds}.jsonl")
        page = write_page(Findings("size", points, mine, tiny, PREFERENCE), "command", tmp_path / kinds).read_text()
        assert ("| paper's fit |" in page) == (kinds == "helpful")
        assert "linear probes" in page


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
    helpful = replace(material, train=of_kind(material, "helpful").train)
    (point,) = run_study("agreement", tiny, helpful, SCALE, PREFERENCE, tmp_path / "p.jsonl")
    assert point["agreement"]["value"] > 0.8
    assert point["correlation"] > 0.7
    assert point["by_quarter"][3]["value"] >= point["by_quarter"][0]["value"]
    assert [quarter["apart"] for quarter in point["by_quarter"]] == sorted(q["apart"] for q in point["by_quarter"])


@pytest.mark.parametrize("study", get_args(Study))
def test_every_study_has_its_page(
    tiny: Trunk, material: Material, pretrained: Path, tmp_path: Path, study: Study
) -> None:
    scale = replace(SCALE, pairs=8, sizes=(4, 8), seeds=2)
    mine = of_kind(material, "helpful") if study == "size" else material
    initial = pretrained if study == "pmp" else None
    points = run_study(study, tiny, mine, scale, PREFERENCE, tmp_path / "p.jsonl", initial)
    findings = Findings(study, points, mine, tiny, PREFERENCE)
    page = write_page(findings, f"tutelage study {study}", tmp_path / "pages")
    text = page.read_text()
    assert text.count("\n| ") == 2 + 2  # the header's two lines, and two values or two seeds
    assert "2 seeds a figure" in text
    assert f"    tutelage study {study}\n" in text
    assert (tmp_path / "pages" / f"{study}.svg").read_text().rstrip().endswith("</svg>")


def test_a_figure_over_seeds_is_their_mean_and_a_gain_is_on_the_same_pairs(
    tiny: Trunk, material: Material, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)

    def point(weight: float, seed: int) -> dict[str, object]:
        parts = {kind: rng.normal(size=len(material.prompts([kind]))) for kind in material.kinds}
        values = {
            kind: {"value": float((part > 0).mean()), "differences": part.tolist()} for kind, part in parts.items()
        }
        return {"weight": weight, "seed": seed, "seconds": 0.0, **values}

    points = [point(weight, seed) for weight in (1.0, 2.0) for seed in range(3)]
    findings = Findings("weight", points, material, tiny, PREFERENCE)
    expected = np.mean([one["helpful"]["value"] for one in points[:3]])  # type: ignore[index]
    assert findings.accuracy(points[:3], ["helpful"]).value == pytest.approx(expected)
    row = next(line for line in write_page(findings, "", tmp_path).read_text().splitlines() if line.startswith("| 2 "))
    both = [findings.accuracy(part, ["helpful", "harmless"]).value for part in (points[:3], points[3:])]
    assert f"{100 * (both[1] - both[0]):+.1f} [" in row


def test_what_goes_by_length_alone_is_seen_to(tiny: Trunk, material: Material) -> None:
    tried = [
        replace(one, chosen=replace(one.chosen, text=one.chosen.text + "!" * (place % 3)))
        for place, one in enumerate(material.tried)
    ]
    mine = replace(material, tried=tried)
    longer = [place % 3 > 0 for place in range(len(tried))]
    by_kind = {
        kind: [1.0 if long else 0.0 for one, long in zip(tried, longer, strict=True) if one.kind == kind]
        for kind in material.kinds
    }
    points = [{kind: {"differences": differences} for kind, differences in by_kind.items()}]
    findings = Findings("weight", points, mine, tiny, PREFERENCE)
    kinds = material.kinds
    assert findings.by_length(kinds).value == pytest.approx(np.mean([1.0 if long else 0.5 for long in longer]))
    # It prefers the chosen response where that is longer, and neither where they are of one length.
    assert findings.prefers_longer(points, kinds).value == findings.by_length(kinds).value
    against = [{kind: {"differences": [-one for one in part]} for kind, part in by_kind.items()}]
    assert findings.prefers_longer(against, kinds).value == pytest.approx(
        np.mean([0.0 if long else 0.5 for long in longer])
    )


def test_studies_refuse_what_they_are_not_about(
    tiny: Trunk, material: Material, pretrained: Path, tmp_path: Path
) -> None:
    def refused(study: Study, material: Material, initial: Path | None = None) -> str:
        with pytest.raises(InputError) as error:
            run_study(study, tiny, material, SCALE, PREFERENCE, tmp_path / "p.jsonl", initial)
        return str(error.value)

    assert "both kinds" in refused("mixture", of_kind(material, "helpful"))
    assert "train pmp" in refused("pmp", material)
    assert "no other" in refused("weight", material, pretrained)
    assert not (tmp_path / "p.jsonl").exists()


def test_the_papers_fit() -> None:
    """The values that its section A.1 implies at 80,000 comparisons."""
    assert paper_accuracy(13e6, 8e4) == pytest.approx(0.657, abs=1e-3)
    assert paper_accuracy(52e9, 8e4) == pytest.approx(0.715, abs=1e-3)
    assert paper_accuracy(13e6, 1e4) == pytest.approx(0.626, abs=1e-3)


def test_parameters_are_those_of_the_layers_in_use(tiny: Trunk) -> None:
    layers = tiny.model.get_decoder().layers
    one = sum(part.numel() for name, part in layers[0].named_parameters() if "proj" in name)
    assert parameters_below(tiny, 1) == one
    assert parameters_below(tiny, None) == one * len(layers)
