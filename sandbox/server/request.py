"""Request bodies and responses of the control routes below `/_sandbox`."""

import json
from decimal import Decimal
from typing import Any

from fastapi import HTTPException, Request, Response

from sandbox.server.rows import dump


async def read_body(request: Request) -> dict[str, Any]:
    """Parse the JSON object in a request's body. Numbers with a fraction become Decimal; an empty body gives `{}`.

    Raises:
        HTTPException: 400, if the body is not JSON.
    """
    body = await request.body()
    try:
        value: dict[str, Any] = json.loads(body, parse_float=Decimal) if body else {}
    except ValueError as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from error
    return value


def reply(value: Any) -> Response:
    """Return a JSON response. Decimals keep all their digits."""
    return Response(dump(value), media_type="application/json")
