"""Calls to receivers, each of which is over in time whatever the receiver does; a receiver keeps its connection for the next event."""

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
"""For the whole call: looking the host up, connecting, sending, and the head of the answer."""
USER_AGENT = f"Tributary/{VERSION}"
# The rest of an answer is read, so that the connection can be used again: so long, and so much.
_REST_S, _REST_BYTES = 1.0, 64 * 1024
_CONNECTIONS, _IDLE_S = 100, 5.0

# It tells every URL, and in some of them is a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)

T = TypeVar("T")


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


class Sender:
    """Posts to receivers, from any thread, while it is open; connections are kept for a receiver's next event."""

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
        """Post a body, and look at no more than the head of the answer.

        Args:
            url: Where to.
            headers: Beside those of every call.
            body: What.
            networks: In which its address may be, beside public ones.
        """
        try:
            return self._run(self._post(url, headers, body, networks))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:  # TimeoutError is an OSError
            return Answer(error=type(error).__name__)

    def find_refused(self, receivers: Mapping[str, tuple[str, Networks]]) -> dict[str, str]:
        """Return which receivers, of name -> (URL, networks), have an address that events may not be sent to, with the reason.

        One whose address can't be found now is none of them: it may be found when there is something to send.
        """

        async def find() -> list[str | None]:
            return await asyncio.gather(*(_fault(url, networks) for url, networks in receivers.values()))

        return {name: reason for name, reason in zip(receivers, self._run(find()), strict=True) if reason}

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes, networks: Networks) -> Answer:
        client = self._clients.get(networks) or self._clients.setdefault(networks, _client(networks))
        request = client.build_request("POST", url, headers=dict(headers), content=body)
        # A client's own time-outs are of one read each: a receiver that sends a byte every nine seconds would be waited for for ever.
        async with asyncio.timeout(PATIENCE_S):
            answer = await client.send(request, stream=True)
        try:
            await _read_rest(answer)
        finally:
            await answer.aclose()
        return Answer(answer.status_code, answer.headers.get("retry-after"))

    async def _close(self) -> None:
        for client in self._clients.values():
            await client.aclose()


class _Transport(httpx.AsyncHTTPTransport):
    """The transport of httpx, with connections that go to addresses which were checked."""

    def __init__(self, networks: Networks) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_tls(),
            max_connections=_CONNECTIONS,
            keepalive_expiry=_IDLE_S,
            network_backend=CheckedBackend(networks),
        )


def _client(networks: Networks) -> httpx.AsyncClient:
    """A client that goes where the URL leads: by no proxy, to no redirect, and without cookies."""
    return httpx.AsyncClient(
        transport=_Transport(networks),
        timeout=PATIENCE_S,
        follow_redirects=False,
        trust_env=False,
        headers={"user-agent": USER_AGENT},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


async def _read_rest(answer: httpx.Response) -> None:
    size = 0
    with suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(_REST_S):
            async for piece in answer.aiter_raw():
                size += len(piece)
                if size > _REST_BYTES:
                    return


async def _fault(url: str, networks: Networks) -> str | None:
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(PATIENCE_S):
            addresses = await resolve(parts.hostname or "", parts.port or 443)
        check(sorted(addresses), networks)  # the same reason each time, in whatever order they come
    except AddressNotAllowed as error:
        return str(error)
    except (OSError, UnicodeError):
        return None
    return None


@cache
def _tls() -> SSLContext:
    """Certificates take longer to read than a call takes."""
    return httpx.create_ssl_context()
