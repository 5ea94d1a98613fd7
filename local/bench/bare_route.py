"""The baseline of the gateway benchmark: a minimal FastAPI route that inserts the body of a request and responds.

TRIBUTARY_BARE_DATABASE=<URL of the database> python -m local.bench.bare_route --port N
"""

from __future__ import annotations

import argparse
import os

import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool

from include.warehouse import schema

_INSERT = sa.text("insert into bare (body) values (:body)")


def main() -> None:
    """Serve until the process is stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    engine = schema.engine(os.environ["TRIBUTARY_BARE_DATABASE"])
    app = FastAPI(openapi_url=None)

    def insert(body: bytes) -> None:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(_INSERT, {"body": body})

    @app.post("/")
    async def receive(request: Request) -> dict[str, str]:
        await run_in_threadpool(insert, await request.body())
        return {"status": "kept"}

    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
