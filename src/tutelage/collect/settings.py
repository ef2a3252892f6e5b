"""How one collection is run: what its admin sets once, on the command line."""

from dataclasses import dataclass, field
from typing import Literal

from tutelage.plumbing.errors import require_positive


@dataclass(frozen=True, slots=True)
class RedTeamCaps:
    """How long a worker may do red-team work. People who read harm all day are harmed by it."""

    minutes: int = 45
    """Minutes of red-team work after which the pause screen comes."""
    pause_minutes: int = 15
    """Minutes that a pause lasts; helpful conversations stay open in it."""
    daily_minutes: int = 120
    """Minutes of red-team work a day."""

    def __post_init__(self) -> None:
        require_positive(self, "minutes", "pause_minutes", "daily_minutes")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the workers' app; all of them are the same in every server process."""

    database: str
    """URL of the database."""
    tls: bool = False
    """Whether workers reach the app by HTTPS. Without it, it is for this machine alone."""
    exchanges: int = 4
    """Exchanges after which a red-team conversation is asked to end; a helpful one may go on (section 2.2: four)."""
    hourly_pay: float | None = None
    """Pay in an hour, in the currency below; None shows no pay."""
    currency: str = "$"
    """Shown before sums of money."""
    support: str = ""
    """Where a worker finds help: an e-mail address or a sentence."""
    hotline: str = ""
    """A line to call or write to when the work was distressing; shown in red-team pages."""
    qualification: Literal["questions", "reviewed"] = "questions"
    """What lets a new worker in: right answers to the questions, or also a reviewer who has read their writing."""
    completion_choices: int = 10
    """Choices after which a worker who came from a platform gets the completion code."""
    red_team_offered: bool = True
    """Whether workers who come from a platform may choose red-team work, after its own consent."""
    red_team: RedTeamCaps = field(default_factory=RedTeamCaps)

    def __post_init__(self) -> None:
        require_positive(self, "exchanges", "completion_choices")
