"""Write the review page for the people who approve a sync: the changes that the sync would make."""

from __future__ import annotations

import re
from datetime import datetime
from html import escape

from include.crm.sync.delta import Change
from include.crm.sync.preview import Preview
from include.staging.partitions import Staging

PLACE = "pages/salesforce_changes"
_NAME = re.compile(r"[A-Za-z0-9_.-]+\.html")

_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; color: #1a1a1a }
table { border-collapse: collapse; margin: 0.5rem 0 2rem } caption { text-align: left; font-weight: 600 }
th, td { border: 1px solid #d0d0d0; padding: 0.2rem 0.6rem; text-align: left } td.number { text-align: right }
th { background: #f4f4f4 } .old { color: #8a1f11 } .new { color: #0b5d1e } .concern { font-weight: 600; color: #8a1f11 }
"""


def list_pages(staging: Staging, most: int = 30) -> list[tuple[str, datetime]]:
    """Return the names of the newest review pages with the times in UTC when they were written, the newest first."""
    pages = [(name, written_at) for name, _, written_at in staging.list_written(PLACE) if _NAME.fullmatch(name)]
    return sorted(pages, key=lambda page: page[1], reverse=True)[:most]


def read_page(staging: Staging, name: str) -> bytes:
    """Return a review page.

    Raises:
        FileNotFoundError: There is no such page.
    """
    if not _NAME.fullmatch(name):
        raise FileNotFoundError(name)
    return staging.folder(PLACE).read(name)


def write(staging: Staging, run_id: str, shown: Preview, org_url: str = "") -> str:
    """Write the review page into the folder `PLACE` of staging.

    Args:
        staging: The firm's staging.
        run_id: The run's id, part of the page's name.
        shown: The preview to render.
        org_url: Address of the org, for links to its records; empty for no links.

    Returns:
        The page's name within the folder.
    """
    name = f"salesforce-{re.sub(r'[^A-Za-z0-9_.-]', '-', run_id)}.html"
    staging.folder(PLACE).replace(name, render(run_id, shown, org_url).encode())
    return name


def render(run_id: str, shown: Preview, org_url: str = "") -> str:
    """Return the review page in HTML: counts by object, the changes that need approval, and the first changes, field by field.

    A record is shown by its name and, if `org_url` is the address of the org, links to the record there.
    """
    title = f"What would change in Salesforce: {escape(run_id)}"
    parts = [f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>"]
    parts += [f"<p class=concern>{escape(concern.reason)}</p>" for concern in shown.concerns]
    parts += [
        f"<p>Held back: records of {escape(vendor)}, whose newest day is not reconciled since {since:%Y-%m-%d %H:%M} UTC.</p>"
        for vendor, since in shown.unsettled.items()
    ]
    rows = [
        _row(
            "td",
            name,
            f"{d.new:,}",
            f"{d.changed:,}",
            f"{d.unchanged:,}",
            f"{d.refused:,}",
            f"{d.closing:,}",
            f"{d.withheld:,}",
        )
        for name, d in shown.deltas.items()
    ]
    head = _row("th", "object", "new", "changed", "unchanged", "refused before", "accounts closing", "held back")
    parts.append(f"<table>{head}{''.join(rows)}</table>")
    for name, changes in shown.samples.items():
        if changes:
            lines = "".join(
                f"<tr><td>{_link(c, org_url)}</td>{_cells('td', c.field, c.old or '', c.new or '')}</tr>"
                for c in changes
            )
            head = _row("th", "record", "field", "Salesforce has", "would be")
            parts.append(f"<table><caption>{escape(name)}: the first changes</caption>{head}{lines}</table>")
    return "".join(parts)


def _link(change: Change, org_url: str) -> str:
    """Return the record's name, or its key if it has no name, as a link to the org if the org has the record."""
    shown = f"<span title='{escape(change.external_key)}'>{escape(change.name or change.external_key)}</span>"
    if not (org_url and change.salesforce_id):
        return shown
    return f"<a href='{escape(org_url)}/{escape(change.salesforce_id)}' target=_blank rel=noopener>{shown}</a>"


def _row(tag: str, *cells: str) -> str:
    return f"<tr>{_cells(tag, *cells)}</tr>"


def _cells(tag: str, *cells: str) -> str:
    return "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells)
