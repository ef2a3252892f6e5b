"""Public data sets fetched from the Hugging Face hub, by its own clients: `huggingface_hub` for files that can be read
as they are, `datasets` (not among our dependencies) for tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import write_jsonl


@dataclass(frozen=True, slots=True)
class HubFile:
    """A JSONL or JSONL.gz file of a hub data set."""

    id: str
    file: str


@dataclass(frozen=True, slots=True)
class HubTable:
    """A split of a hub data set that is kept as a table."""

    id: str
    split: str


def fetch(origin: HubFile | HubTable, place: Path | None) -> Path:
    """A local file with the data: a file in the hub client's own cache, or a table written to `place` as JSON lines.

    Raises:
        InputError: the client is not installed, the hub cannot be reached or has no such data, or a table has no place.
    """
    if isinstance(origin, HubFile):
        hub = _client("huggingface_hub", origin.id)
        with _reaching(origin.id):
            return Path(hub.hf_hub_download(origin.id, origin.file, repo_type="dataset"))
    if place is None:
        raise InputError(f"{origin.id}: name a data directory to write it to (--data DIR or $TUTELAGE_DATA)")
    datasets = _client("datasets", origin.id)
    with _reaching(origin.id):
        table = datasets.load_dataset(origin.id, split=origin.split)
    try:
        write_jsonl(place, table)
    except (TypeError, ValueError) as error:
        raise InputError(f"{origin.id}: a row cannot be written as JSON ({error})") from error
    return place


def _client(name: str, id: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(f"{id}: fetching it needs the package {name}; pip install {name}") from error


@contextmanager
def _reaching(id: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # what the hub's clients raise derives from these
        cure = "check the network and the name, or fetch it elsewhere and put it into the data directory"
        raise InputError(f"{id}: the hub did not give it ({type(error).__name__}: {error}); {cure}") from error
