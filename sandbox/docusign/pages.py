"""Pages of DocuSign's lists.

Documented: sizes and positions as text, the last position included; `nextUri` relative to the API, its dates in .NET's
form and so without fractions. Chosen here: 100 rows unless `count` says otherwise, and at most 1,000; no `nextUri` on the
last page; `continuationToken` is the next position, good for the same question only.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus

from sandbox.docusign.query import Query, wrong
from sandbox.docusign.stamps import read_ticks, write_american

PAGE, LARGEST_PAGE = 100, 1000
_CHANGING = ("start_position", "count", "continuation_token")


def cut(query: Query, rows: Sequence[Any], path: str, default: int = PAGE) -> tuple[Sequence[Any], dict[str, str]]:
    """Return one page and its paging fields; `path` is the list's path, relative to the API."""
    asked = hashlib.sha256(repr(sorted(pair for pair in query.items() if pair[0] not in _CHANGING)).encode())
    start, count = _read_number(query, "start_position", 0), _read_number(query, "count", default)
    if token := query.get("continuation_token"):
        start = _open_token(token, asked.hexdigest()[:16])
    count = min(count or default, LARGEST_PAGE)
    page = rows[start : start + count]
    said = {
        "resultSetSize": str(len(page)),
        "totalSetSize": str(len(rows)),
        "startPosition": str(start),
        "endPosition": str(max(start + len(page) - 1, 0)),
    }
    if start + count < len(rows):
        said["nextUri"] = _write_uri(path, query, start + count, count)
        token = f"{start + count}:{asked.hexdigest()[:16]}"
        said["continuationToken"] = base64.urlsafe_b64encode(token.encode()).decode()
    if start:
        said["previousUri"] = _write_uri(path, query, max(start - count, 0), count)
    return page, said


def _open_token(token: str, asked: str) -> int:
    try:
        start, _, of = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
        if of == asked:
            return int(start)
    except ValueError:
        pass
    raise wrong("Query parameter 'continuation_token' is not one of this query.")


def _write_uri(path: str, query: Mapping[str, str], start: int, count: int) -> str:
    kept = {name: value for name, value in query.items() if name not in _CHANGING}
    kept |= {name: write_american(read_ticks(value)) for name, value in kept.items() if name.endswith("_date")}
    pairs = {"start_position": str(start), "count": str(count)} | kept
    return f"{path}?" + "&".join(f"{name}={quote_plus(value)}" for name, value in pairs.items())


def _read_number(query: Query, name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise wrong(f"Query parameter '{name}' must be a number from 0.")
    return int(text)
