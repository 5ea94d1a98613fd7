"""Write the review page for the people who approve a sync: what the sync would change."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

from include.crm.sync.preview import Preview

FOLDER = "salesforce_changes"

_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; color: #1a1a1a }
table { border-collapse: collapse; margin: 0.5rem 0 2rem } caption { text-align: left; font-weight: 600 }
th, td { border: 1px solid #d0d0d0; padding: 0.2rem 0.6rem; text-align: left } td.number { text-align: right }
th { background: #f4f4f4 } .old { color: #8a1f11 } .new { color: #0b5d1e } .concern { font-weight: 600; color: #8a1f11 }
"""


def write(root: Path, run_id: str, shown: Preview) -> str:
    """Write the review page into the folder `FOLDER` below the folder of Data Docs.

    The page is not part of the site of Data Docs, because it shows data of clients. Reading it requires a different permission.

    Args:
        root: The folder of Data Docs.
        run_id: The run's id, part of the page's name.
        shown: The preview to render.

    Returns:
        The page's name within the folder.
    """
    name = f"salesforce-{re.sub(r'[^A-Za-z0-9_.-]', '-', run_id)}.html"
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(render(run_id, shown))
    return name


def render(run_id: str, shown: Preview) -> str:
    """Return the review page in HTML: counts by object, the changes that need approval, and the first changes, field by field."""
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
                _row(
                    "td",
                    c.external_key,
                    c.field,
                    c.old if c.old is not None else "",
                    c.new if c.new is not None else "",
                )
                for c in changes
            )
            head = _row("th", "record", "field", "Salesforce has", "would be")
            parts.append(f"<table><caption>{escape(name)}: the first changes</caption>{head}{lines}</table>")
    return "".join(parts)


def _row(tag: str, *cells: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
