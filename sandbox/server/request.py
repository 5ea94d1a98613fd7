"""Request bodies and responses of the sandbox's own routes, below `/_sandbox`."""

import json
from decimal import Decimal
from typing import Any

from fastapi import HTTPException, Request, Response

from sandbox.server.rows import dump


async def read_body(request: Request) -> dict[str, Any]:
    """Return the JSON object of a body with its decimals exact; an empty body is an empty object."""
    body = await request.body()
    try:
        value: dict[str, Any] = json.loads(body, parse_float=Decimal) if body else {}
    except ValueError as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from error
    return value


def reply(value: Any) -> Response:
    """Return a value as a JSON response, its decimals exact."""
    return Response(dump(value), media_type="application/json")
