"""An ASGI application that really listens, in a thread of the test's own process, and ends without a pause."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import uvicorn


class _Server(uvicorn.Server):
    """uvicorn's server, which waits for two tenths of a second when it is to end: hundreds of tests start one."""

    _loop: asyncio.AbstractEventLoop | None = None

    def end(self) -> None:
        self.should_exit = True
        if self._loop:
            self._loop.call_soon_threadsafe(self._woken.set)

    async def main_loop(self) -> None:
        self._woken, self._loop = asyncio.Event(), asyncio.get_running_loop()
        while not await self.on_tick(0):  # the first tick of ten updates the Date header
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(0.002)
        await self.lifespan.shutdown()


@contextlib.contextmanager
def run_server(app: Any, listeners: Sequence[socket.socket], **options: Any) -> Iterator[None]:
    """Serve an application on these sockets until the block ends, which closes them.

    Args:
        app: The application.
        listeners: Bound sockets that listen.
        options: As `uvicorn.Config`.
    """
    server = _Server(uvicorn.Config(app, log_level="warning", access_log=False, ws="none", **options))
    thread = threading.Thread(target=server.run, args=(list(listeners),))
    thread.start()
    try:
        yield
    finally:
        server.end()
        thread.join(10)
        for each in listeners:
            each.close()
        assert not thread.is_alive()
