"""The two ways in which a command fails on purpose; `cli` turns them into one line and an exit code."""


class InputError(Exception):
    """The input is bad: say which file, line and field, and what would be right. Exit code 2."""


class CheckFailed(Exception):
    """A check of our own did not hold (an invariant, a bar): say which, with the figure. Exit code 1."""
