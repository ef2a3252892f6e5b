"""Comparisons with a planted preference, and a preference model that was trained on them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tutelage.cli.train import TrainPM
from tutelage.corpus.records import comparison_to_record
from tutelage.dialogue import Comparison, Kind, Prompt, Response
from tutelage.plumbing.files import write_jsonl


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Toy models are slowed down by a second thread, the more so on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_planted(
    path: Path, prompts: int = 40, topic: str = "number", kind: Kind = "helpful", turned: bool = False
) -> Path:
    """Two comparisons a prompt in which "gladly" wins (`turned`: loses); every tenth is of the weakest strength."""
    better, worse = ("go away", "gladly") if turned else ("gladly", "go away")
    comparisons = [
        Comparison(
            prompt=Prompt.from_turns(f"Could you tell me about {topic} {number}?"),
            chosen=Response(f"{better} {turn}"),
            rejected=Response(f"{worse} {turn}"),
            kind=kind,
            strength=1 if (2 * number + turn) % 10 == 0 else 3,
        )
        for number in range(prompts)
        for turn in range(2)
    ]
    write_jsonl(path, map(comparison_to_record, comparisons))
    return path


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_planted(tmp_path_factory.mktemp("planted") / "planted.jsonl")


@pytest.fixture
def train_pm(planted: Path, tmp_path: Path, one_thread: None) -> TrainPM:
    """A command that learns the planted preference in about a second; tests replace its settings."""
    return TrainPM(
        comparisons=(planted,), out=tmp_path / "pm", model="tiny-random", dtype="float32", held_out=0.3,
        learning_rate=5e-3, head_learning_rate=1e-2, batch_pairs=4, rank=4,
    )  # fmt: skip


@pytest.fixture
def preference_model(train_pm: TrainPM) -> Path:
    """The snapshot directory of a preference model."""
    train_pm.run()
    return train_pm.out
