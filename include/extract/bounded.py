"""Limit HTTP responses in total time, bytes received, and bytes after decompression; refuse a compressed body that is cut short.

The time-out of `requests` limits a single read of a socket, so a vendor that sends a byte a second could block a task for hours. And
`requests` decompresses a whole body at once: half a megabyte of gzip can become gigabytes. Mount `BoundedAdapter` on a session to limit
all its responses, including those of token endpoints. It decompresses a body piece by piece, and stops at the limit.

A compressed body may be cut short although as many bytes came as the headers state, such as by a proxy that stored a part. `urllib3`
then returns the part that it could decompress, without an error.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import IO, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import GzipDecoderState

from include.contract.limits import Limits
from include.errors import LimitExceeded, RetriableError, TributaryError

_PIECE_BYTES = 1 << 16


class TooSlow(requests.Timeout):
    """The response exceeded its time limit."""


class TooLarge(requests.RequestException):
    """The response exceeded its size limit."""


def translate(
    error: requests.RequestException, message: str, unavailable: type[RetriableError], **facts: object
) -> TributaryError:
    """Return the error to raise in place of an error of `requests`.

    Args:
        error: The error of `requests`.
        message: What failed; the cause is appended.
        unavailable: Class of the result, unless the response is too large.
        **facts: Context for the error.

    Returns:
        LimitExceeded, which is fatal, if the response is too large; else an error of the class `unavailable`, which is retriable.
    """
    if isinstance(error, TooLarge):
        return LimitExceeded(str(error), **facts)
    cause = str(error) if isinstance(error, TooSlow) else type(error).__name__
    return unavailable(f"{message}: {cause}", **facts)


class _Watchdog:
    """Shuts a socket down if a thread has waited too long for the response.

    Use it as a context manager around each wait. The waits are added up; the time between them, in which the caller processes data,
    does not count.
    """

    def __init__(self, connection: HTTPConnection, limits: Limits) -> None:
        self._socket, self._limits = connection.sock, limits
        self._waited, self._since = 0.0, 0.0
        self._is_over = threading.Event()
        self.received, self.has_fired = 0, False

    def __enter__(self) -> None:
        self._since, self._is_over = time.monotonic(), threading.Event()
        threading.Thread(target=self._watch, args=(self._is_over,), name="response-deadline", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._waited += time.monotonic() - self._since

    def _remaining(self) -> float:
        allowed = self._limits.response_seconds + self.received / self._limits.bytes_per_second
        return allowed - self._waited - (time.monotonic() - self._since)

    def _watch(self, is_over: threading.Event) -> None:
        while not is_over.wait(max(0.01, self._remaining())):
            if self._remaining() <= 0:
                self.has_fired = True
                self._shut_down()
                return

    def _shut_down(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


class BoundedAdapter(HTTPAdapter):
    """Transport adapter that limits responses.

    `send` reads the whole body of a response, with one exception: if the request has `stream=True` and the response has status 200, the
    caller reads the body with `stream`.

    Args:
        limits: The limits.
        pool_maxsize: Maximum number of open connections.
    """

    def __init__(self, limits: Limits, pool_maxsize: int = 10) -> None:
        self._limits = limits
        self._local = threading.local()
        self._pools = _watched_pools(self)
        super().__init__(pool_maxsize=pool_maxsize)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Create the pool manager, with connections that are watched."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        """Create the manager of connections through a proxy, with connections that are watched."""
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def watch(self, connection: HTTPConnection) -> _Watchdog:
        """Create a watchdog for a connection, and store it as the watchdog of this thread's request, for `send`."""
        self._local.watchdog = watchdog = _Watchdog(connection, self._limits)
        return watchdog

    def send(self, request: requests.PreparedRequest, stream: bool = False, *args: Any, **options: Any) -> Any:
        """Send a request and read its response.

        Raises:
            TooSlow: The response exceeds its time limit.
            TooLarge: The response exceeds its size limit.
            requests.RequestException: The connection failed, or the body is truncated.
        """
        self._local.watchdog = None
        try:
            response = super().send(request, True, *args, **options)
        except requests.RequestException as error:
            watchdog: _Watchdog | None = self._local.watchdog
            if watchdog is not None and watchdog.has_fired:
                raise self._too_slow() from error
            raise
        response.watchdog = self._local.watchdog  # type: ignore[attr-defined]
        if not (stream and response.status_code == requests.codes.ok):
            try:
                response._content = b"".join(self._read_bounded(response))
            finally:
                response.close()
        return response

    def stream(self, response: requests.Response, size: int) -> Iterator[bytes]:
        """Yield the pieces of a streamed response. Only the time is limited, not the size.

        Args:
            response: A response of `send`, requested with `stream=True`.
            size: Maximum bytes of a piece.

        Raises:
            TooSlow: The waits for the pieces exceed the time limit; the caller's work between them does not count.
            requests.RequestException: The body is truncated.
        """
        watchdog: _Watchdog = response.watchdog  # type: ignore[attr-defined]
        pieces = response.iter_content(size)
        while True:
            try:
                with watchdog:
                    piece = next(pieces, None)
            except requests.RequestException as error:
                if watchdog.has_fired:
                    raise self._too_slow() from error
                raise
            if watchdog.has_fired:  # a body without a length would look complete
                raise self._too_slow()
            if piece is None:
                if watchdog.received:
                    _require_end(response)
                return
            watchdog.received += len(piece)
            yield piece

    def _read_bounded(self, response: requests.Response) -> Iterator[bytes]:
        """Yield the pieces of a body; raise TooSlow or TooLarge as soon as a limit is exceeded."""
        watchdog: _Watchdog = response.watchdog  # type: ignore[attr-defined]
        expanded = 0
        try:
            with watchdog:
                for piece in response.iter_content(_PIECE_BYTES):
                    expanded += len(piece)
                    received = response.raw.tell()  # stays 0 for a chunked body
                    watchdog.received = max(received, expanded)
                    self._refuse(received, self._limits.received_bytes, "received")
                    self._refuse(expanded, self._limits.expanded_bytes, "after decompression")
                    yield piece
            if expanded:
                _require_end(response)
        except requests.RequestException as error:
            if watchdog.has_fired:
                raise self._too_slow() from error
            raise
        if watchdog.has_fired:
            raise self._too_slow()

    def _too_slow(self) -> TooSlow:
        limits = self._limits
        return TooSlow(
            f"the response took longer than {limits.response_seconds:g} s, at less than {limits.bytes_per_second:,.0f} bytes/s"
        )

    def _refuse(self, size: int, most: int, which: str) -> None:
        if size > most:
            raise TooLarge(f"The response is larger than {most:,} bytes {which}")


def read_member(file: IO[bytes], most: int, **facts: object) -> bytes:
    """Read the whole content of a file in an archive.

    Args:
        file: The opened file.
        most: Maximum bytes.
        **facts: Context for the error.

    Raises:
        LimitExceeded: The file has more than `most` bytes.
    """
    content = file.read(most + 1)
    if len(content) > most:
        raise LimitExceeded(
            f"A file in the archive is larger than {most:,} bytes: check it at the vendor; if it is right, raise `expanded_bytes` in `limits`",
            **facts,
        )
    return content


def _require_end(response: requests.Response) -> None:
    """Raise an error if a body that was read is the beginning of a compressed one. Bytes after its end are ignored."""
    decoder = getattr(response.raw, "_decoder", None)
    stream, is_ended = getattr(decoder, "_obj", None), getattr(decoder, "_state", None) == GzipDecoderState.SWALLOW_DATA
    if not (is_ended or getattr(stream, "eof", True)):
        raise requests.exceptions.ContentDecodingError("the compressed body is cut short")


def _watched_pools(adapter: BoundedAdapter) -> dict[str, type[HTTPConnectionPool]]:
    """Return the connection pool class per URL scheme; its connections are watched while they wait for status and headers."""

    class Connection(HTTPConnection):
        def getresponse(self) -> Any:
            with adapter.watch(self):
                return super().getresponse()

    class SecureConnection(HTTPSConnection):
        def getresponse(self) -> Any:
            with adapter.watch(self):
                return super().getresponse()

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    return {"http": Pool, "https": SecurePool}
