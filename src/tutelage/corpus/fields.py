"""Reading the fields of a JSON object: what is missing, of another type or unknown is an error that says where."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from tutelage.plumbing.errors import InputError

T = TypeVar("T")


class Fields:
    """The fields of one object, taken by name; `done` refuses those that nobody took.

    `where` is the file and line (and the field that holds the object), for the errors: all are `InputError`.
    """

    def __init__(self, record: object, where: str) -> None:
        if not isinstance(record, Mapping):
            raise InputError(f"{where}: expected an object, found {_shown(record)}")
        self.where = where
        self._left: dict[str, Any] = dict(record)

    def text(self, name: str) -> str:
        value: str = self._take(name, "a text", lambda value: isinstance(value, str))
        return value

    def integer(self, name: str) -> int:
        value: int = self._take(name, "a whole number", lambda value: type(value) is int)
        return value

    def number(self, name: str) -> float:
        def fits(value: Any) -> bool:
            return type(value) in (int, float) and abs(value) <= sys.float_info.max  # neither NaN nor infinite

        return float(self._take(name, "a finite number", fits))

    def mapping(self, name: str) -> dict[str, Any]:
        value: dict[str, Any] = self._take(name, "an object", lambda value: isinstance(value, dict))
        return value

    def items(self, name: str) -> list[Any]:
        value: list[Any] = self._take(name, "a list", lambda value: isinstance(value, list))
        return value

    def one_of(self, name: str, choices: tuple[T, ...]) -> T:
        def fits(value: object) -> bool:
            return any(type(value) is type(choice) and value == choice for choice in choices)  # True is not 1

        value: T = self._take(name, f"one of {', '.join(map(repr, choices))}", fits)
        return value

    def anything(self, name: str) -> Any:
        return self._take(name, "a value", lambda value: True)

    def nested(self, name: str) -> "Fields":
        return Fields(self.mapping(name), f"{self.where}, field '{name}'")

    def maybe(self, name: str, take: Callable[[str], T]) -> T | None:
        """What `take` (a method of this object) reads, or None where the field is absent or null."""
        if self._left.get(name) is None:
            self._left.pop(name, None)
            return None
        return take(name)

    def done(self) -> None:
        if self._left:
            raise InputError(f"{self.where}: unknown field {next(iter(self._left))!r}")

    def _take(self, name: str, expected: str, fits: Callable[[Any], bool]) -> Any:
        if name not in self._left:
            raise InputError(f"{self.where}: the field '{name}' is missing; expected {expected}")
        value = self._left.pop(name)
        if not fits(value):
            raise InputError(f"{self.where}, field '{name}': expected {expected}, found {_shown(value)}")
        return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@contextmanager
def refused_as_input(where: str) -> Iterator[None]:
    """Turns the refusal of a word (a `ValueError`) into an `InputError` that says where."""
    try:
        yield
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
