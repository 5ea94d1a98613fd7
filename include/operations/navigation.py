"""The navigation of the Operations pages."""

from __future__ import annotations

from include.operations.lists import GROUPS

PARTS = {
    "State": ("Today", "Health", "Activity"),
    "Data": ("Dead letters", "Data quality", "Reconciliation", "Lineage"),
    "Clients": ("Findings", "Who is who", "Documents"),
    "Systems": ("Salesforce", "Events", "Checks"),
}
"""The parts of the navigation, each with its entries."""
PATHS = {name: listings[0].path for name, listings in GROUPS.items()} | {
    "Today": "",
    "Health": "health",
    "Data quality": "quality",
    "Lineage": "lineage",
    "Who is who": "who-is-who/",
    "Salesforce": "salesforce",
    "Checks": "checks",
}
"""Entry of the navigation -> the page that it opens: its own, or the first of its lists."""
