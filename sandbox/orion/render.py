"""Pre-rendered pages of a very large firm's positions: written to disk once, and sent as they are.

    python -m sandbox.orion.render --positions 1000000 --as-of 2026-11-20 --page 5000 --overlap 1 --out DIR

writes the exact responses to `Portfolio/Assets?includeCostBasis=true&asOfDate=..&$top=5000&$skip=..&$orderby=Id`, one file per
page. They are for a client that reads overlapping pages: each page repeats the last `overlap` rows of the page before. The last two
files are the first page with fewer rows than `$top`, and the page after it, which has only repeated rows (or none). The firm is
generated household by household, so memory does not grow with its size.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import count, islice
from pathlib import Path

import orjson

from sandbox.firm.households import Firm
from sandbox.firm.market import Market, find_session, list_sessions
from sandbox.orion.fields import ASSET
from sandbox.orion.query import Query, parse_day
from sandbox.orion.rows import write_asset
from sandbox.server.rows import dump

_HISTORY = 5  # sessions simulated before the day; positions need no more
_CUSIP = ASSET.fields.index("cusip")
_PARAMETERS = {"includecostbasis", "asofdate", "$top", "$skip", "$orderby"}


class Rendered:
    """A folder of pre-rendered pages.

    Raises:
        FileNotFoundError: the folder has no `index.json`.
    """

    def __init__(self, folder: Path) -> None:
        index = orjson.loads((folder / "index.json").read_bytes())
        self.folder = folder.resolve()
        self.as_of, self.page = date.fromisoformat(index["as_of"]), int(index["page"])
        self.skips = frozenset(index["skips"])

    def find_page(self, table: str, query: Query) -> Path | None:
        """Return the file with the response to a query, or None if the folder has no page for it."""
        is_rendered = set(query.values) == _PARAMETERS and query.has_cost and query.get("$orderby").lower() == "id"
        if table != "assets" or not is_rendered:
            return None
        skip, top = query.page
        if query.as_of != self.as_of or top != self.page or skip not in self.skips:
            return None
        return self.folder / f"{skip}.json"


def render_positions(seed: int, positions: int, as_of: date, is_masked: bool = True) -> Iterator[bytes]:
    """Yield the first `positions` positions at the end of `as_of` as JSON objects, in ascending order of id."""
    sessions = list_sessions()
    first = sessions[sessions.index(find_session(as_of)) - _HISTORY]
    firm = Firm(seed, max(positions // 25, 1), first)
    market = Market(seed, first, as_of)
    position_rows = (
        row
        for number in count()
        for account in sorted(firm.draw_household(number, market).accounts, key=lambda account: account.id)
        for asset in sorted(account.assets.values(), key=lambda asset: asset.id)
        if (row := write_asset(asset, account, market, as_of))
    )
    for row in islice(position_rows, positions):
        values = dict(zip(ASSET.fields, row, strict=True))
        if is_masked and (cusip := row[_CUSIP]):
            values["cusip"] = f"XXXXX{cusip[-4:]}"
        yield dump(values)


def render(folder: Path, rows: Iterator[bytes], as_of: date, page: int, overlap: int) -> list[int]:
    """Write all pages to `folder` as `<skip>.json`, then `index.json`. Return the value of `$skip` of every page."""
    folder.mkdir(parents=True, exist_ok=True)
    skips: list[int] = []
    window: list[bytes] = list(islice(rows, page))
    while True:
        skips.append(skips[-1] + page - overlap if skips else 0)
        (folder / f"{skips[-1]}.json").write_bytes(b"[" + b",".join(window) + b"]")
        if len(window) < page:
            break
        window = window[page - overlap :] + list(islice(rows, page - overlap))
    repeated = min(overlap, len(window) // 2)
    skips.append(skips[-1] + len(window) - repeated)
    (folder / f"{skips[-1]}.json").write_bytes(b"[" + b",".join(window[len(window) - repeated :]) + b"]")
    index = {"as_of": as_of.isoformat(), "page": page, "overlap": overlap, "skips": skips}
    (folder / "index.json").write_bytes(orjson.dumps(index))
    return skips


def main(argv: Sequence[str] | None = None) -> None:
    """Render the pages that the command line describes."""
    parser = argparse.ArgumentParser(prog="sandbox.orion.render", description=__doc__.split("\n")[0])
    parser.add_argument("--positions", type=int, default=1_000_000)
    parser.add_argument("--as-of", type=parse_day, required=True)
    parser.add_argument("--page", type=int, default=5000)
    parser.add_argument("--overlap", type=int, default=1)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--unmasked", action="store_true", help="write CUSIPs in clear")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    if not 0 <= args.overlap < args.page:
        parser.error("--overlap must be at least 0 and below --page")
    rows = render_positions(args.seed, args.positions, args.as_of, not args.unmasked)
    skips = render(args.out, rows, args.as_of, args.page, args.overlap)
    sys.stdout.write(f"rendered {args.positions} positions in {len(skips)} pages under {args.out}\n")


if __name__ == "__main__":
    main()
