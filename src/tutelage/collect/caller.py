"""Who sends a request, as the policy and the pages see them."""

from dataclasses import dataclass

from tutelage.feedback.database.principal import Principal
from tutelage.feedback.database.tables import Interface, Role


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever holds the cookie; `principal` is None for a visitor who is not signed in."""

    principal: Principal | None = None
    consents: frozenset[Interface] = frozenset()
    """The interfaces whose present consent they have given."""
    qualified: bool = False

    def has(self, role: Role) -> bool:
        """Whether they have this role; one who is paused keeps it."""
        return self.principal is not None and role in self.principal.roles

    @property
    def name(self) -> str:
        """The number under which their work is kept."""
        return "" if self.principal is None else self.principal.worker_id

    @property
    def signed_in(self) -> bool:
        return self.principal is not None

    @property
    def paused(self) -> bool:
        return self.principal is not None and self.principal.status == "paused"

    @property
    def may_edit(self) -> bool:
        return self.principal is not None and self.principal.may_edit


VISITOR = Caller()
