"""Alembic's entry: migrates the database whose connection `include.warehouse.schema` hands over."""

import sqlalchemy as sa
from alembic import context

connection = context.config.attributes["connection"]
connection.execute(sa.text("create schema if not exists control"))
context.configure(connection=connection, version_table_schema="control")
with context.begin_transaction():
    context.run_migrations()
