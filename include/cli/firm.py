"""Commands about the firm's folder, and about the firm's Salesforce org."""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from include.cli.command import LOAD, Commands, add_command, open_database
from include.cli.connections import CONNECTIONS, read_org
from include.crm.settings import SHAPES
from include.firm.content import VARIABLE, find_folder

_STATES = ("red", "amber")


def add_commands(commands: Commands) -> None:
    """Declare the commands of this module."""
    config = commands.add_parser("config", help="check, show or start the firm's folder")
    actions = config.add_subparsers(dest="action", required=True, metavar="ACTION")
    add_command(
        actions, "check", _check, "list all mistakes in the firm's folder; exit with 1 if there are any", VARIABLE
    )
    add_command(actions, "diff", _diff, "show what the firm's folder changes, with file and line", VARIABLE)
    purpose = "write the files of a firm's folder, with every line commented out"
    start = add_command(actions, "start", _start, purpose, VARIABLE)
    start.add_argument("--shape", choices=SHAPES, default="managed_package", help="shape of the Salesforce org")
    org = commands.add_parser("org", help="compare the Salesforce org with the mapping in force")
    actions = org.add_subparsers(dest="action", required=True, metavar="ACTION")
    purpose = "list what the org lacks, and write the metadata to deploy; exit with 1 if records would be rejected"
    plan = add_command(actions, "plan", _plan, purpose, LOAD, f"{CONNECTIONS} of salesforce", VARIABLE)
    plan.add_argument("--to", metavar="FOLDER", default="org-plan", help="folder of the metadata; default: org-plan")


def _check(_: argparse.Namespace) -> int:
    from include.firm.folder import read_all

    folder = find_folder()
    firm, faults = read_all(folder)
    for fault in faults:
        sys.stdout.write(f"{fault}\n")
    if faults:
        number = "1 mistake" if len(faults) == 1 else f"{len(faults)} mistakes"
        sys.stdout.write(f"{number} in {folder}\n")
        return 1
    sys.stdout.write(f"{folder}: {_describe(len(firm.differences), firm.hash)}\n")
    return 0


def _describe(count: int, digest: str) -> str:
    differences = "1 difference" if count == 1 else f"{count} differences"
    return f"no mistakes, {differences}, {digest}" if digest else "no files, so nothing is changed"


def _diff(_: argparse.Namespace) -> int:
    from include.firm.folder import InvalidFolder, read_all

    firm, faults = read_all(find_folder())
    if faults:
        raise InvalidFolder(firm.folder, faults)
    rows = [(str(each.place), each.subject, each.before or "-", each.after) for each in firm.differences]
    _print_table(("where", "what", "from", "to"), rows)
    return 0


def _start(arguments: argparse.Namespace) -> int:
    from include.firm.start import write_start

    for path in write_start(find_folder(), arguments.shape):
        sys.stdout.write(f"{path}\n")
    return 0


def _plan(arguments: argparse.Namespace) -> int:
    from include.check.org_plan import plan_org
    from include.crm.objects.portfolio import list_mappings

    org = read_org(open_database(LOAD))
    run_id = f"org-plan-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    plan = plan_org(org, list_mappings(org.settings), run_id)
    lacking = [each for each in plan.findings if each.state in _STATES]
    _print_table(("state", "what", "difference", "to do"), [(e.state, e.subject, e.detail, e.action) for e in lacking])
    folder = Path(arguments.to)
    for old in folder.glob("objects/*/*/*-meta.xml"):  # of an earlier plan
        old.unlink()
    for name, content in sorted(plan.files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    if plan.files:
        sys.stdout.write(f"{len(plan.files)} files to deploy are in {folder}\n")
    return 1 if any(each.state == "red" for each in lacking) else 0


def _print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns; the last column has any width."""
    lines = [head, *rows]
    if len(lines) == 1:
        sys.stdout.write("No differences\n")
        return
    widths = [max(len(line[n]) for line in lines) for n in range(len(head) - 1)]
    for line in lines:
        cells = [*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
