"""The two ways in which a command fails on purpose; `cli` turns them into one line and an exit code."""


class InputError(Exception):
    """The input is bad: say which file, line and field, and what would be right. Exit code 2."""


class CheckFailed(Exception):
    """A check of our own did not hold (an invariant, a bar): say which, with the figure. Exit code 1."""


def require_positive(settings: object, *names: str) -> None:
    """Raises ValueError where one of these numbers of a settings record is not above 0."""
    for name in names:
        if not getattr(settings, name) > 0:
            raise ValueError(f"{name} must be above 0, not {getattr(settings, name)}")
