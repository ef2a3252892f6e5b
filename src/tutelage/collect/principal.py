"""Who sends a request, as the policy sees them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """A worker (or reviewer, or admin) who is signed in; a visitor has no worker."""

    worker: int | None = None
    name: str = ""
    roles: frozenset[str] = frozenset()
    consents: frozenset[str] = frozenset()
    qualified: bool = False
    paused: bool = False

    def may(self, role: str) -> bool:
        return role in self.roles


VISITOR = Principal()
