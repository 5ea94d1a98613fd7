"""HTTP requests to receivers. Each has a total time limit that no receiver can extend; connections are reused."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ssl import SSLContext
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpcore
import httpx

from include.outbound.address import AddressNotAllowed, CheckedBackend, Networks, check, resolve
from include.version import VERSION

PATIENCE_S = 10.0
"""Time limit in seconds of a whole request: resolve the host, connect, send, and read the response's headers."""
USER_AGENT = f"Tributary/{VERSION}"
# Limits for reading the rest of a response, which lets the connection be reused.
_REST_S, _REST_BYTES = 1.0, 64 * 1024
_CONNECTIONS, _IDLE_S = 100, 5.0

# At INFO, httpx logs every URL, and some URLs contain a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """A receiver's response.

    Attributes:
        status: HTTP status code; None if there was no response in time.
        retry_after: The `Retry-After` header; None if there is none.
        error: Class of the error if there was no response, without its text, which could contain the URL.
    """

    status: int | None = None
    retry_after: str | None = None
    error: str | None = None

    @property
    def is_success(self) -> bool:
        """Whether the receiver accepted the event (2xx); a redirect is a failure."""
        return self.status is not None and 200 <= self.status < 300


class Sender:
    """A client that posts to receivers; a context manager. Any thread may use it. Connections are reused."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="outbound sender", daemon=True)
        self._clients: dict[Networks, httpx.AsyncClient] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def post(self, url: str, headers: Mapping[str, str], body: bytes, networks: Networks = ()) -> Answer:
        """Post a body; return the response's status, without its body.

        Args:
            url: The receiver's URL.
            headers: Headers in addition to those of every request.
            body: The body.
            networks: Networks allowed in addition to public addresses.
        """
        try:
            return self._run(self._post(url, headers, body, networks))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:  # TimeoutError is an OSError
            return Answer(error=type(error).__name__)

    def find_refused(self, receivers: Mapping[str, tuple[str, Networks]]) -> dict[str, str]:
        """Find the receivers whose address is not allowed.

        Args:
            receivers: Name -> (URL, networks allowed in addition to public addresses).

        Returns:
            Name of each refused receiver -> the reason. A host that can't be resolved now is not refused: it may be resolvable when an
            event is sent.
        """

        async def find() -> list[str | None]:
            return await asyncio.gather(*(_find_fault(url, networks) for url, networks in receivers.values()))

        return {name: reason for name, reason in zip(receivers, self._run(find()), strict=True) if reason}

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes, networks: Networks) -> Answer:
        client = self._clients.get(networks) or self._clients.setdefault(networks, _client(networks))
        request = client.build_request("POST", url, headers=dict(headers), content=body)
        # httpx's timeouts apply to each read: a receiver that sends one byte every nine seconds would never time out.
        async with asyncio.timeout(PATIENCE_S):
            response = await client.send(request, stream=True)
        try:
            await _read_rest(response)
        finally:
            await response.aclose()
        return Answer(response.status_code, response.headers.get("retry-after"))

    async def _close(self) -> None:
        for client in self._clients.values():
            await client.aclose()


class _Transport(httpx.AsyncHTTPTransport):
    """The httpx transport, which connects only to checked addresses."""

    def __init__(self, networks: Networks) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_tls(),
            max_connections=_CONNECTIONS,
            keepalive_expiry=_IDLE_S,
            network_backend=CheckedBackend(networks),
        )


def _client(networks: Networks) -> httpx.AsyncClient:
    """Return a client that uses no proxy, follows no redirects and stores no cookies."""
    return httpx.AsyncClient(
        transport=_Transport(networks),
        timeout=PATIENCE_S,
        follow_redirects=False,
        trust_env=False,
        headers={"user-agent": USER_AGENT},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


async def _read_rest(response: httpx.Response) -> None:
    size = 0
    with suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(_REST_S):
            async for piece in response.aiter_raw():
                size += len(piece)
                if size > _REST_BYTES:
                    return


async def _find_fault(url: str, networks: Networks) -> str | None:
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(PATIENCE_S):
            addresses = await resolve(parts.hostname or "", parts.port or 443)
        check(sorted(addresses), networks)  # sorted, so that the reason is always the same
    except AddressNotAllowed as error:
        return str(error)
    except (OSError, UnicodeError):
        return None
    return None


@cache
def _tls() -> SSLContext:
    """Return the TLS context; cached because loading the certificates takes longer than a request."""
    return httpx.create_ssl_context()
