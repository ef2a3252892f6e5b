"""Snapshots on one trunk: each answer comes from the snapshot that was asked, whoever else is answering."""

import shutil
from pathlib import Path

import pytest

from tutelage.collect.answers import SideRequest
from tutelage.collect.engines import Progress
from tutelage.collect.snapshot_engine import SnapshotEngine
from tutelage.dialogue import Prompt, SamplingParameters
from tutelage.modeling.encoding import DialogueFormat, Encoder
from tutelage.modeling.snapshot import read_card, save_snapshot
from tutelage.modeling.trunk import Trunk
from tutelage.plumbing.errors import InputError

SAMPLING = SamplingParameters(max_tokens=12)
PROMPT = Prompt.from_turns("What is bread?")


@pytest.fixture
def places(tiny: Trunk, tmp_path: Path) -> dict[str, Path | None]:
    """The base and two snapshots of it, each with weights of its own."""
    for number, name in enumerate(("one", "two")):
        tiny.add_adapter(name, rank=2, seed=number)
        for parameter in tiny.adapter_parameters(name).values():
            parameter.data.normal_(0, 0.5)
        save_snapshot(tmp_path / name, tiny, name, 2, None, {})
        tiny.drop_adapter(name)
    return {"base": None, "one": tmp_path / "one", "two": tmp_path / "two"}


def run(engine: SnapshotEngine) -> dict[int, tuple[str, str]]:
    """Each ticket's text as it came in pieces, and as it was told whole."""
    pieces: dict[int, str] = {}
    wholes: dict[int, str] = {}
    while engine.busy:
        for progress in engine.step():
            assert isinstance(progress, Progress)
            pieces[progress.ticket] = pieces.get(progress.ticket, "") + progress.text
            if progress.whole is not None:
                wholes[progress.ticket] = progress.whole
    return {ticket: (pieces[ticket], whole) for ticket, whole in wholes.items()}


def test_an_answer_depends_on_its_own_request_alone(tiny: Trunk, places: dict[str, Path | None]) -> None:
    engine = SnapshotEngine(tiny, places, slots=2, columns=128)
    asked = [SideRequest(name, SAMPLING, seed) for name in places for seed in (1, 2)]
    for ticket, side in enumerate(asked):
        engine.submit(ticket, PROMPT, side)
    together = run(engine)
    assert len(together) == len(asked)
    for ticket, side in enumerate(asked):
        engine.submit(100 + ticket, PROMPT, side)
        assert run(engine)[100 + ticket] == together[ticket]
    texts = [whole for _, whole in together.values()]
    assert len({tuple(texts[at : at + 2]) for at in (0, 2, 4)}) == len(places)
    assert texts[::2] != texts[1::2]
    assert all(pieces == whole and whole.strip() for pieces, whole in together.values())


def test_a_cancelled_text_is_not_told_any_more(tiny: Trunk, places: dict[str, Path | None]) -> None:
    engine = SnapshotEngine(tiny, places, slots=4, columns=128)
    engine.submit(1, PROMPT, SideRequest("one", SAMPLING, 1))
    engine.submit(2, PROMPT, SideRequest("one", SAMPLING, 2))
    engine.step()
    engine.cancel(1)
    engine.cancel(99)
    assert set(run(engine)) == {2}


def test_the_end_of_a_long_thread_is_read(tiny: Trunk, places: dict[str, Path | None]) -> None:
    engine = SnapshotEngine(tiny, places, slots=1, columns=64)
    engine.submit(1, Prompt.from_turns("long " * 200 + "end"), SideRequest("base", SAMPLING, 1))
    engine.submit(2, Prompt.from_turns("other " * 200 + "long " * 20 + "end"), SideRequest("base", SAMPLING, 1))
    made = run(engine)
    assert made[1] == made[2]


def test_a_snapshot_that_comes_later_answers_as_if_it_had_been_there(
    tiny: Trunk, places: dict[str, Path | None]
) -> None:
    place = places["one"]
    assert place is not None
    name = read_card(place).name
    first, later = (SnapshotEngine(tiny, given, slots=1, columns=64) for given in ({name: place}, {"base": None}))
    torn = place.with_name("torn")
    shutil.copytree(place, torn)
    (torn / "weights.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match="damaged"):
        later.submit(1, PROMPT, SideRequest(name, SAMPLING, 5, str(torn)))
    for engine in (first, later):
        engine.submit(2, PROMPT, SideRequest(name, SAMPLING, 5, str(place)))
    assert run(first) == run(later)


def test_what_cannot_be_answered_is_refused(tiny: Trunk, places: dict[str, Path | None]) -> None:
    engine = SnapshotEngine(tiny, places, slots=1, columns=64)
    with pytest.raises(InputError, match="unknown"):
        engine.submit(1, PROMPT, SideRequest("unknown", SAMPLING, 1))
    with pytest.raises(InputError, match="max_tokens = 64"):
        engine.submit(1, PROMPT, SideRequest("base", SamplingParameters(max_tokens=64), 1))
    assert not engine.busy


def test_a_snapshot_answers_behind_the_system_text_that_it_was_trained_with(
    tiny: Trunk, places: dict[str, Path | None], tmp_path: Path
) -> None:
    plain = tiny.encoder
    tiny.encoder = Encoder(plain.tokenizer, DialogueFormat(plain.format.template, system="Be brief."))
    tiny.add_adapter("brief", rank=2, seed=7)
    save_snapshot(tmp_path / "brief", tiny, "brief", 2, None, {})
    tiny.drop_adapter("brief")
    tiny.encoder = plain
    engine = SnapshotEngine(tiny, {**places, "brief": tmp_path / "brief"}, slots=2, columns=256)
    # A fresh adapter changes nothing: what differs from the base is what stands before the dialogue.
    base, behind = (_draws(engine, name) for name in ("base", "brief"))
    tiny.encoder = Encoder(plain.tokenizer, DialogueFormat(plain.format.template, system="Be brief."))
    assert _draws(SnapshotEngine(tiny, {"base": None}, slots=2, columns=256), "base") == behind != base


def _draws(engine: SnapshotEngine, name: str) -> dict[int, tuple[str, str]]:
    for seed in range(8):
        engine.submit(seed, PROMPT, SideRequest(name, SAMPLING, seed))
    return run(engine)
