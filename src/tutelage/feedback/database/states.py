"""What a conversation and a turn can be, one sentence each."""

from enum import StrEnum


class ConversationState(StrEnum):
    """What has become of a conversation."""

    OPEN = "open"
    """The worker may write on."""
    ENDED = "ended"
    """The worker has ended it; it is read, exported and reviewed, and no longer changed."""
    WITHDRAWN = "withdrawn"
    """The worker has taken it back; it is kept but never exported."""


class TurnState(StrEnum):
    """Where a turn stands. A worker's message makes a turn; the next one can follow only a judged or a skipped turn."""

    ASKED = "asked"
    """The worker's message is stored; nobody is making its answers."""
    ANSWERING = "answering"
    """Someone has claimed the turn and makes its answers; when the lease ends without them it counts as asked."""
    ANSWERED = "answered"
    """Both answers are stored, so the turn can be judged."""
    JUDGED = "judged"
    """A judgment stands, and the thread goes on from the chosen answer."""
    SKIPPED = "skipped"
    """The worker would not judge; the thread goes on as if the turn had not been."""
