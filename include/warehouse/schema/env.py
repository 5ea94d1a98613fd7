"""Alembic's environment. Each numbered SQL file in this folder is a revision; its number is the revision id and sets the order."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from alembic import context
from alembic.script import Script
from alembic.script.revision import RevisionMap

connection: sa.Connection = context.config.attributes["connection"]


def read_upgrade(path: Path) -> Callable[[], None]:
    """Return a function that runs the statements of a file."""

    def upgrade() -> None:
        connection.exec_driver_sql(path.read_text(), execution_options={"no_parameters": True})

    return upgrade


def read_revisions() -> Iterator[Script]:
    """Yield one revision per numbered SQL file, in the order of the numbers."""
    previous = None
    for path in sorted(Path(__file__).parent.glob("[0-9]*_*.sql")):
        number = path.name.partition("_")[0]
        module: Any = SimpleNamespace(__doc__=path.stem, down_revision=previous, upgrade=read_upgrade(path))
        yield Script(module, number, path)
        previous = number


context.script.revision_map = RevisionMap(read_revisions)
connection.execute(sa.text("create schema if not exists control"))
context.configure(connection=connection, version_table="schema_version", version_table_schema="control")
with context.begin_transaction():
    context.run_migrations()
