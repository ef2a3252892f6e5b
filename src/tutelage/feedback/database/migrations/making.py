"""What migrations make tables with. A migration that was released is never changed, and so is nothing here."""

from collections.abc import Iterable

from alembic import op
from sqlalchemy import Enum, MetaData, Table

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


def new_metadata() -> MetaData:
    return MetaData(naming_convention=NAMES)


def words(name: str, *allowed: str) -> Enum:
    """The type of a column that holds one of these words."""
    return Enum(*allowed, name=name, native_enum=False, create_constraint=True)


def make(metadata: MetaData, tables: Iterable[Table]) -> None:
    metadata.create_all(op.get_bind(), list(tables), checkfirst=False)


def drop(metadata: MetaData, tables: Iterable[Table]) -> None:
    metadata.drop_all(op.get_bind(), list(tables), checkfirst=False)
