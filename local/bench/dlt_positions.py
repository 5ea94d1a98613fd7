"""Load a day of positions with dlt, as its documentation advises. Run in dlt's own environment by `local.bench.peers`.

default   rows of a paginated REST client, with dlt's defaults
tuned     the same rows; pages are requested in parallel, normalized by two processes, and loaded as CSV by COPY
arrow     as tuned, but each page is parsed by pyarrow.json with an explicit schema, which dlt passes on without looking at rows
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

SETTINGS = {
    "default": {},
    "tuned": {
        "EXTRACT__WORKERS": "4",
        "NORMALIZE__WORKERS": "2",
        "LOAD__WORKERS": "4",
        "DATA_WRITER__BUFFER_MAX_ITEMS": "50000",
        "DATA_WRITER__FILE_MAX_ITEMS": "50000",
    },
    "arrow": {"EXTRACT__WORKERS": "4", "LOAD__WORKERS": "4", "DATA_WRITER__BUFFER_MAX_ITEMS": "50000"},
}


def load(how: str, api: str, authorization: str, day: str, page: int, positions: int, target: str) -> dict[str, Any]:
    """Load all positions; return the seconds of each step."""
    os.environ |= {**SETTINGS[how], "RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}
    import dlt  # type: ignore[import-not-found]
    from dlt.sources.helpers.rest_client import RESTClient  # type: ignore[import-not-found]
    from dlt.sources.helpers.rest_client.paginators import OffsetPaginator  # type: ignore[import-not-found]

    path = "Portfolio/Assets"
    params = {"includeCostBasis": "true", "asOfDate": day, "$orderby": "Id"}
    client = RESTClient(base_url=api, headers={"Authorization": authorization})

    def read_in_turn() -> Iterator[Any]:
        paginator = OffsetPaginator(limit=page, offset_param="$skip", limit_param="$top", total_path=None)
        yield from client.paginate(path, params=params, paginator=paginator, data_selector="$")

    def list_offsets() -> Iterator[int]:
        yield from range(0, positions + 1, page)

    def read_page(skip: int) -> Any:
        response = client.get(path, params={**params, "$top": str(page), "$skip": str(skip)})
        return _parse(response.content) if how == "arrow" else response.json()

    if how == "default":
        resource = dlt.resource(read_in_turn, name="positions", write_disposition="append")
    else:
        resource = dlt.resource(list_offsets, name="offsets") | dlt.transformer(
            read_page, name="positions", write_disposition="append", parallelized=True
        )
    pipeline = dlt.pipeline(
        f"positions_{how}", destination=dlt.destinations.postgres(target), dataset_name=f"dlt_{how}"
    )
    seconds, started = {}, time.perf_counter()
    for step, run in (
        ("extract", lambda: pipeline.extract(resource, loader_file_format=None if how == "default" else "csv")),
        ("normalize", pipeline.normalize),
        ("load", pipeline.load),
    ):
        began = time.perf_counter()
        run()
        seconds[step] = time.perf_counter() - began
    return {"seconds": seconds | {"all": time.perf_counter() - started}}


def _parse(body: bytes) -> Any:
    """Parse a page as the developer of a fast dlt source would: with an explicit schema, and without Python objects."""
    import pyarrow as pa
    import pyarrow.json as pj

    kinds = {
        pa.int64(): "id productId status accountId registrationId clientId",
        pa.decimal128(38, 8): "currentShares currentValue currentPrice costBasis excludeAmount",
        pa.bool_(): "isManaged isCustodialCash isActive isFeeExcluded",
    }
    typed = [(name, kind) for kind, names in kinds.items() for name in names.split()]
    data = b'{"items":' + body + b"}"
    rows = pj.read_json(
        pa.BufferReader(data),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=pj.ParseOptions(explicit_schema=pa.schema([("items", pa.list_(pa.struct(typed)))])),
    )
    return pa.Table.from_struct_array(rows.column("items").combine_chunks().flatten())


if __name__ == "__main__":
    how, api, authorization, day, page, positions, target = sys.argv[1:]
    print(json.dumps(load(how, api, authorization, day, int(page), int(positions), target)))
