"""Commands for the database: its roles and its schema."""

from __future__ import annotations

import argparse
import os

from include.cli.command import MIGRATE, Commands, add_command, read_database_url, read_setting


def add_commands(commands: Commands) -> None:
    """Declare the commands of this module."""
    passwords = "TRIBUTARY_<ROLE>_PASSWORD for MIGRATE, LOAD, READ, LISTENER, GATEWAY, API and WEB; VALUES and ANALYST may be empty"
    add_command(
        commands,
        "create-roles",
        _create_roles,
        "create the database roles, or set their passwords",
        "TRIBUTARY_ADMIN_URL",
        passwords,
    )
    add_command(commands, "migrate", _migrate, "migrate the database schema to the newest version", MIGRATE)


def _create_roles(_: argparse.Namespace) -> None:
    from include.warehouse import schema

    passwords = {
        role: read_setting(name)
        for role in schema.ROLES
        if os.environ.get(name := f"{role.upper()}_PASSWORD") or role not in schema.OPTIONAL_ROLES
    }
    schema.create_roles(read_database_url("TRIBUTARY_ADMIN_URL"), passwords)
    print("Roles: " + ", ".join(passwords))


def _migrate(_: argparse.Namespace) -> None:
    from include.warehouse import schema

    schema.migrate(read_database_url(MIGRATE))
    print("The schema is at its newest version.")
