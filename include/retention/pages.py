"""Dispose of expired pages: pages of changes to Salesforce, and data quality reports with the results that they show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

from include.crm.sync.difference import FOLDER as CHANGES
from include.errors import TargetUnavailable
from include.retention.rows import Expired, total
from include.validation.docs import lock_site

PAGES = {"pages: salesforce_changes": CHANGES, "pages: results": "results", "pages: site": "site/validations"}
"""Dataset -> its folder below the folder of Data Docs."""


def expire_pages(root: Path, dataset: str, before: datetime, *, is_dry: bool) -> Expired:
    """Delete the pages that were written before a time, or with `is_dry` only count them; return their number, age and size.

    The index of the reports lists a deleted page until the next report is built.

    Args:
        root: The folder of Data Docs.
        dataset: One of `PAGES`.
        before: Pages that were written at this time or later stay.
        is_dry: Whether to delete nothing.

    Raises:
        TargetUnavailable: The folder can't be read or written.
    """
    folder = root / PAGES[dataset]
    if not folder.is_dir():
        return Expired()
    try:
        with nullcontext() if dataset == "pages: salesforce_changes" else lock_site(root):
            return total(_delete(folder, before, is_dry=is_dry))
    except OSError as error:
        raise TargetUnavailable("A page can't be deleted", folder=folder, cause=error.strerror) from error


def _delete(folder: Path, before: datetime, *, is_dry: bool) -> Iterator[Expired]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            facts = path.stat()
            written_at = datetime.fromtimestamp(facts.st_mtime, UTC)
            if written_at < before:
                if not is_dry:
                    path.unlink(missing_ok=True)
                yield Expired(1, written_at, written_at, facts.st_size)
