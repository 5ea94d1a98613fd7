"""Write the rights that the migrations give to standard output: the content of `include/check/grants.txt`."""

from __future__ import annotations

import sys

from include.check.roles import read_actual, render
from include.warehouse import schema
from local.postgres import Postgres


def main() -> None:
    """Migrate an empty database and print the rights in it."""
    with Postgres.temporary() as server:
        server.create_database("grants")
        passwords = dict.fromkeys(schema.ROLES, "temporary")
        schema.create_roles(server.url("grants"), passwords)
        migrating = f"postgresql://tributary_migrate:temporary@{server.url('grants').rpartition('@')[2]}"
        schema.migrate(migrating)
        engine = schema.engine(migrating)
        with engine.connect() as connection:
            sys.stdout.write(render(read_actual(connection)))
        engine.dispose()


if __name__ == "__main__":
    main()
