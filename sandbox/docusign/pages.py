"""Pages of DocuSign's lists.

Documented:

- Sizes and positions are text. `endPosition` is the position of the page's last row.
- `nextUri` is relative to the API. Its dates are in .NET's format, which has no fractions of a second.

Our choices:

- `count` is 100 by default, and at most 1,000.
- The last page has no `nextUri`.
- `continuationToken` contains the position of the next page, and is valid only for the same query.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus

from sandbox.docusign.query import Query, create_bad_request
from sandbox.docusign.stamps import read_ticks, write_american

PAGE, LARGEST_PAGE = 100, 1000
_CHANGING = ("start_position", "count", "continuation_token")


def cut(query: Query, rows: Sequence[Any], path: str, default: int = PAGE) -> tuple[Sequence[Any], dict[str, str]]:
    """Return one page of `rows`, and the paging fields of the response.

    Args:
        query: The parameters of the call.
        rows: All selected rows.
        path: Path of the list, relative to the API.
        default: Page size if the query has no `count`.

    Raises:
        Refused: 400, if a position, a size or the token is invalid.
    """
    query_hash = hashlib.sha256(repr(sorted(pair for pair in query.items() if pair[0] not in _CHANGING)).encode())
    start, count = _read_number(query, "start_position", 0), _read_number(query, "count", default)
    if token := query.get("continuation_token"):
        start = _open_token(token, query_hash.hexdigest()[:16])
    count = min(count or default, LARGEST_PAGE)
    page = rows[start : start + count]
    paging = {
        "resultSetSize": str(len(page)),
        "totalSetSize": str(len(rows)),
        "startPosition": str(start),
        "endPosition": str(max(start + len(page) - 1, 0)),
    }
    if start + count < len(rows):
        paging["nextUri"] = _write_uri(path, query, start + count, count)
        token = f"{start + count}:{query_hash.hexdigest()[:16]}"
        paging["continuationToken"] = base64.urlsafe_b64encode(token.encode()).decode()
    if start:
        paging["previousUri"] = _write_uri(path, query, max(start - count, 0), count)
    return page, paging


def _open_token(token: str, query_hash: str) -> int:
    try:
        start, _, of = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
        if of == query_hash:
            return int(start)
    except ValueError:
        pass
    raise create_bad_request("Query parameter 'continuation_token' is not valid for this query.")


def _write_uri(path: str, query: Mapping[str, str], start: int, count: int) -> str:
    parameters = {name: value for name, value in query.items() if name not in _CHANGING}
    parameters |= {
        name: write_american(read_ticks(value)) for name, value in parameters.items() if name.endswith("_date")
    }
    pairs = {"start_position": str(start), "count": str(count)} | parameters
    return f"{path}?" + "&".join(f"{name}={quote_plus(value)}" for name, value in pairs.items())


def _read_number(query: Query, name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise create_bad_request(f"Query parameter '{name}' must be a number from 0.")
    return int(text)
