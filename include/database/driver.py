"""The driver's connection, for what SQLAlchemy has no call for, such as COPY."""

from __future__ import annotations

from typing import Any

import psycopg
import sqlalchemy as sa


def find_driver(connection: sa.Connection) -> psycopg.Connection[Any]:
    """Return the driver's connection of an open connection."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver
