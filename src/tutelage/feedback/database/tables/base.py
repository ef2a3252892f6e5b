"""What all tables are made with: the words that their columns may hold, and the types of the columns."""

import secrets
import time
from typing import Any, ClassVar, Literal, get_args

from sqlalchemy import JSON, Double, Enum, ForeignKey, MetaData, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tutelage.feedback.database.states import ConversationState, TurnState

Mode = Literal["helpful", "red_team", "compare", "rate", "practice"]
Interface = Literal["helpful", "red_team"]
Role = Literal["worker", "red_team_worker", "reviewer", "admin"]
WorkerStatus = Literal["active", "paused", "disabled", "erased"]
Platform = Literal["invite", "prolific", "mturk", "surge", "upwork", "terminal", "simulated", "imported"]
Slot = Literal["a", "b", "edit"]
Purpose = Literal["own", "overlap", "review"]
CheckReason = Literal["random", "flagged", "too_fast", "new_worker"]
FlagReason = Literal["broken", "upsetting", "identity_leak", "personal_data", "other"]
Verdict = Literal["good", "fair", "poor"]


def new_id() -> str:
    """64 random bits: unique among all rows that a collection will ever have, and not to be guessed at."""
    return secrets.token_hex(8)


def words(name: str, kind: Any) -> Enum:
    """The type of a column that holds one of a Literal's words."""
    return Enum(*get_args(kind), name=name, native_enum=False, create_constraint=True, validate_strings=True)


def states(name: str, kinds: type[TurnState] | type[ConversationState]) -> Enum:
    return Enum(
        kinds, name=name, native_enum=False, create_constraint=True, values_callable=lambda all: [s.value for s in all]
    )


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {str: Text, float: Double, dict[str, Any]: JSON, list[str]: JSON}


def worker() -> Mapped[Any]:
    return mapped_column(ForeignKey("workers.id"), index=True)


def now() -> Mapped[float]:
    return mapped_column(default=time.time)
