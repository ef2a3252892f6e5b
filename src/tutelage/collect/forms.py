"""What all forms carry. Fields that a form does not have are refused."""

from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tutelage.collect.words import POSITIONS
from tutelage.feedback.database.once import LONGEST_KEY
from tutelage.feedback.database.texts import LONGEST_COMMENT


class Sent(BaseModel):
    """A form of ours; `csrf` was looked at by the gate."""

    model_config = ConfigDict(extra="forbid")

    csrf: str = ""


class Keyed(Sent):
    """A form that may arrive twice (a lost connection, an impatient click) and is carried out once."""

    key: Annotated[str, Field(min_length=1, max_length=LONGEST_KEY, pattern="^[ -~]+$")]


class BlindForm(Keyed):
    """A judgment of another's turn."""

    position: Annotated[int, Field(ge=1, le=POSITIONS)]
    milliseconds: Annotated[int, Field(ge=0, le=10**9)] | None = None


# Stripped as the database's floor does it: what pydantic itself strips leaves \x1c to \x1f, which are blanks to Python.
Reason = Annotated[str, AfterValidator(str.strip), Field(min_length=1, max_length=LONGEST_COMMENT)]

LARGEST_TURN = 2**31 - 1

# Anything else in an address is no id of ours, and is answered like one that is not there.
ConversationId = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]
WorkerId = ConversationId
TurnId = Annotated[int, Path(ge=1, le=LARGEST_TURN)]
ReportId = TurnId
