"""A snapshot more, for an app that runs: its model process puts it on the base at the first message that draws it."""

from pathlib import Path

from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.deployment import Deployment
from tutelage.feedback.database.planning import parameters
from tutelage.feedback.database.principal import SYSTEM
from tutelage.feedback.database.refusals import Conflict
from tutelage.feedback.database.tables import Snapshot
from tutelage.modeling.snapshot import SnapshotCard, read_card
from tutelage.plumbing.errors import InputError


def add(database: Database, place: Path, weight: float, reason: str) -> str:
    """Let a policy answer beside those that do, drawn as they are; returns its name.

    Raises:
        InputError: no policy there, or of another base than what answers; no weight or no reason.
    """
    card, place = read_card(place), place.resolve()
    if card.role != "policy":
        raise InputError(f"{place}: a preference model, where a policy was expected")
    with database.writing() as session:
        deployment = Deployment(session, SYSTEM)
        active = [row for row in deployment.table() if row.status == "active"]
        if not any(_is_alike(row, card) for row in active):
            raise InputError(
                f"{place}: made on base {card.base!r}, and nothing that answers is; start `tutelage collect`"
            )
        try:
            deployment.deploy(card.name, str(place), reason, weight, parameters(active[0].sampling))
        except Conflict as conflict:
            raise InputError(f"{place}: {conflict} ({conflict.stored}); it must stay there") from conflict
        except ValueError as error:
            raise InputError(f"--weight, --reason: {error}") from error
    return card.name


def _is_alike(row: Snapshot, card: SnapshotCard) -> bool:
    """Whether what answers is the card's base itself, or made on it."""
    base = Path(card.base)
    if row.place in (card.base, str(base.resolve()) if base.is_dir() else card.base):
        return True
    if not (Path(row.place) / "snapshot.json").exists():
        return False
    other = read_card(Path(row.place))
    return (other.base_hash, other.format.template) == (card.base_hash, card.format.template)
