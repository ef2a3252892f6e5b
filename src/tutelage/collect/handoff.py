"""Workers who come from a platform: what its link says of them, and the key that keeps strangers out."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from tutelage.feedback.database.access import secret
from tutelage.feedback.database.tables import Platform


@dataclass(frozen=True, slots=True)
class Handoff:
    """A platform: its name for people, and the parameters of its link for participant, study and submission.

    Prolific's and Mechanical Turk's are those that the platforms fill in by themselves (Prolific's help, "URL
    parameters"; the MTurk developer guide, "How Mechanical Turk tasks are rendered"). Surge and Upwork document none:
    these names are ours, to be put into the link there.
    """

    name: str
    participant: str
    study: str
    submission: str


NOT_ACCEPTED = "ASSIGNMENT_ID_NOT_AVAILABLE"  # who looks at a task of Mechanical Turk before they take it
UNFILLED = ("{", "}", "…")  # of a place in the link that the platform was to fill in: all would be one worker
HANDOFFS: dict[Platform, Handoff] = {
    "prolific": Handoff("Prolific", "PROLIFIC_PID", "STUDY_ID", "SESSION_ID"),
    "mturk": Handoff("Mechanical Turk", "workerId", "hitId", "assignmentId"),
    "surge": Handoff("Surge", "SURGE_WORKER", "SURGE_PROJECT", "SURGE_TASK"),
    "upwork": Handoff("Upwork", "UPWORK_WORKER", "UPWORK_CONTRACT", "UPWORK_TASK"),
}


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody who comes from a platform."""

    platform: Platform
    participant: str
    study: str
    submission: str


def arrival_from(parameters: Mapping[str, str]) -> Arrival | None:
    """Who comes, by the parameters of the link; None where no participant is named, or none who has taken the task."""
    for platform, handoff in HANDOFFS.items():
        if participant := parameters.get(handoff.participant, "").strip():
            study, submission = parameters.get(handoff.study, ""), parameters.get(handoff.submission, "")
            if submission == NOT_ACCEPTED or any(mark in participant for mark in UNFILLED):
                return None
            return Arrival(platform, participant, study, submission)
    return None


def handoff_key(session: Session) -> str:
    """What every platform's link must carry; made when it is first asked for."""
    return secret(session, "platform links")[:32]


def is_handoff_key(session: Session, sent: str) -> bool:
    return hmac.compare_digest(handoff_key(session).encode(), sent.encode())
