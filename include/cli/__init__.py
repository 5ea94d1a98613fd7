"""Commands for a production installation: `python -m include.cli COMMAND`. A command that writes can safely be run again.

Each command reads environment variables, because secrets do not belong on a command line. The command's help lists them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from include.cli import audit, check, content, database, firm, keys, privacy, recovery, values
from include.errors import TributaryError


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(prog="python -m include.cli", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for topic in (database, firm, check, keys, audit, recovery, content, privacy, values):
        topic.add_commands(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; print a TributaryError as one line and return exit code 1."""
    arguments = build_parser().parse_args(argv)
    try:
        return arguments.run(arguments) or 0
    except TributaryError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
