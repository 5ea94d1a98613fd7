"""Print a proposal from a vendor's sample: `check --sample FILE --system NAME --table NAME`."""

from __future__ import annotations

import sys
from pathlib import Path

from include.errors import ConfigurationError


def print_proposal(file: str, system: str, table: str) -> None:
    """Print the settings or the declaration that a sample of a table suggests.

    Raises:
        ConfigurationError: The vendor is unknown, or the file can't be read.
    """
    from include.check.proposal import declare, propose_columns, read_sample
    from include.vendors import VENDORS

    vendor = next((vendor for vendor in VENDORS if vendor.name == system), None)
    if vendor is None or not table:
        known = ", ".join(vendor.name for vendor in VENDORS)
        raise ConfigurationError("A sample needs one --system, a vendor, and --table", known=known)
    try:
        content = Path(file).read_bytes()
    except OSError as error:
        raise ConfigurationError("The file can't be read", path=file, cause=error.strerror) from None
    sample = read_sample(content, file)
    declared = next((each for each in vendor.tables if each.name == table), None)
    if declared is None:
        _print(f"{vendor.title} has no table {table}. A declaration to complete (docs/how-to/adding_a_vendor.md):")
        _print("", declare(table, sample))
        return
    proposal = propose_columns(vendor, declared, sample)
    if proposal.columns:
        _print("Add to the extra of the connection:", f'"columns": {proposal.override}')
    for name in proposal.missing:
        _print(f"missing: {name}; no field of the sample looks like it")
    for name in proposal.undeclared:
        _print(f"not declared: {name}; declare it in the vendor's file, as a column or as ignored")
    for reason, count in proposal.faults.items():
        _print(f"{count} of {proposal.rows} rows can't be read: {reason}")
    if not (proposal.columns or proposal.missing or proposal.undeclared or proposal.faults):
        _print(f"All {proposal.rows} rows fit the declaration of {table}.")


def _print(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
