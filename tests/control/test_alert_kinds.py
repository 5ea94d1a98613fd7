"""The kinds of alerts, which a firm can route: those that are sent, and those that the reference page lists."""

from __future__ import annotations

import re
from pathlib import Path

from include.control.alerts import KINDS

ROOT = Path(__file__).parents[2]
SENT = re.compile(r"\bsend(?:_alert)?\(\s*\"([a-z_ ]+)\"")


def test_every_kind_that_is_sent_or_documented_can_be_routed() -> None:
    sources = [path.read_text() for top in ("dags", "plugins") for path in (ROOT / top).rglob("*.py")]
    sent = {kind for source in sources for kind in SENT.findall(source)}
    documented = {
        *re.findall(r"^\| [^|]+ \| `([a-z_ ]+)` \|", (ROOT / "docs/reference/alerts.md").read_text(), re.MULTILINE)
    }
    assert len(sent) > 10
    assert sent <= documented
    assert documented == {*KINDS}
