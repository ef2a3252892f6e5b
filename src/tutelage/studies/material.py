"""What studies train preference models on and try them on: comparisons of both kinds, split by first human turn."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tutelage.corpus.locate import DataFile
from tutelage.corpus.rules import DropCounts
from tutelage.corpus.splits import first_turn, split_by_prompt
from tutelage.dialogue import Comparison, Kind
from tutelage.modeling.encoding import Encoder
from tutelage.plumbing.errors import InputError
from tutelage.plumbing.files import sha256
from tutelage.training.pairs import paired_groups

KINDS: tuple[Kind, Kind] = ("helpful", "harmless")
SALT = "studies"  # the same always: a prompt never changes its side


@dataclass(frozen=True)
class Material:
    """Comparisons to train on and to try models on, without a common first human turn, all of which fit a row."""

    train: list[Comparison]
    tried: list[Comparison]
    held_out: float
    """share of first human turns that models are tried on"""
    files: Mapping[str, list[str]]
    """hashes of the files by what they were given as"""
    drops: Counter[str] = field(default_factory=Counter)
    """rows of the files that are in neither part, by reason"""

    @property
    def kinds(self) -> list[Kind]:
        """Kinds that models are tried on."""
        return [kind for kind in KINDS if any(one.kind == kind for one in self.tried)]

    def prompts(self, kinds: Sequence[Kind] = KINDS) -> list[str]:
        """The first human turns, normalised, of the comparisons of these kinds that models are tried on, in order."""
        return [first_turn(one.prompt) for one in self.tried if one.kind in kinds]


def read_material(
    helpful: Sequence[DataFile], harmless: Sequence[DataFile], held_out: float, encoder: Encoder, max_tokens: int
) -> Material:
    """The comparisons of the files that fit a row, split by first human turn.

    Raises:
        InputError: a file cannot be read, or nothing is left to train on or to try models on.
    """
    given = {"helpful": helpful, "harmless": harmless}
    counts = DropCounts()
    read = [one for files in given.values() for file in files for one in counts.sift(file.rows())]
    groups, too_long = paired_groups(read, encoder, max_tokens)
    fitting = [read[place] for place in sorted(place for group in groups for place in group.places)]
    train, tried = split_by_prompt(fitting, held_out, SALT)
    drops = Counter(counts.by_key()) + too_long
    if not train or not tried:
        raise InputError(
            f"{len(train)} comparisons to train on and {len(tried)} to try models on (left out: {dict(drops)}); "
            "give more, or a higher --max-tokens"
        )
    hashes = {name: [sha256(file.path) for file in files] for name, files in given.items()}
    return Material(train, tried, held_out, hashes, drops)
