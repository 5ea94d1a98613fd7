"""Write the columns that a firm's mapping can show to standard output: the content of `include/firm/catalogue.txt`."""

from __future__ import annotations

import re
import sys

import sqlalchemy as sa

from include.warehouse import schema
from local.postgres import Postgres
from local.schema_page import read_relations

_SCHEMAS = ("warehouse.", "mart.")
# Hashes and sealed values stay in the database, and so do tables without records.
_HIDDEN = re.compile(r"(^|_)(hash|sealed|fingerprint|last4)$|_run_id$|_ids$")
_NO_RECORDS = {
    "mart.crm_change", "mart.firm", "mart.freshness", "mart.load_source", "mart.source", "warehouse.crm_change",
    "warehouse.crm_record", "warehouse.identity", "warehouse.sealed_value", "warehouse.source_key", "warehouse.value_version",
}  # fmt: skip


def render(engine: sa.Engine) -> str:
    """Return the columns, one a line as `relation column type`. The engine's database must be migrated."""
    lines = [
        f"{relation.name} {column.name} {column.type}\n"
        for relation in read_relations(engine, {}).values()
        if relation.name.startswith(_SCHEMAS) and relation.name not in _NO_RECORDS
        for column in relation.columns
        if not _HIDDEN.search(column.name) and column.type not in ("jsonb", "daterange") and "[" not in column.type
    ]
    return "".join(sorted(lines))


def main() -> None:
    """Migrate an empty database and print the columns in it."""
    with Postgres.temporary() as server:
        server.create_database("catalogue")
        schema.create_roles(server.url("catalogue"), dict.fromkeys(schema.ROLES, "temporary"))
        schema.migrate(server.url("catalogue"))
        sys.stdout.write(render(schema.engine(server.url("catalogue"))))


if __name__ == "__main__":
    main()
