"""One call to a receiver, which is over in time whatever the receiver does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from ssl import SSLContext

import httpx

PATIENCE_S = 10.0
"""For the whole call: looking the host up, connecting, sending, and the head of the answer."""

# It tells every URL, and in some of them is a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said.

    Attributes:
        status: Of HTTP; None where it said nothing in time.
        retry_after: Its header of that name.
        error: Why there was no answer: a class of errors, since a text could hold the URL.
    """

    status: int | None = None
    retry_after: str | None = None
    error: str | None = None

    @property
    def is_success(self) -> bool:
        """Whether the event has arrived; a redirect is none."""
        return self.status is not None and 200 <= self.status < 300


def post(url: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Posts a body, and looks at no more than the head of the answer."""
    try:
        return asyncio.run(_post(url, headers, body))
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:  # TimeoutError is an OSError
        return Answer(error=type(error).__name__)


async def _post(url: str, headers: Mapping[str, str], body: bytes) -> Answer:
    # A client's own time-outs are of one read each: a receiver that sends a byte every nine seconds would be waited for for ever.
    async with (
        asyncio.timeout(PATIENCE_S),
        httpx.AsyncClient(verify=_tls(), timeout=PATIENCE_S, follow_redirects=False) as client,
        client.stream("POST", url, headers=dict(headers), content=body) as answer,
    ):
        return Answer(answer.status_code, answer.headers.get("retry-after"))


@cache
def _tls() -> SSLContext:
    """Certificates take longer to read than a call takes."""
    return httpx.create_ssl_context()
