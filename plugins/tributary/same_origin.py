"""Refuse posts from pages of other sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from fastapi import HTTPException, Request


def refuse_foreign_pages(headers: Mapping[str, str]) -> Callable[[Request], None]:
    """Return a dependency that rejects posts from pages of other sites, because browsers send the login cookie with them.

    A request with a bearer token is accepted from anywhere, because browsers never add a token by themselves. Without a token, the
    dependency raises an HTTPException (403, with the given headers) if the request does not come from a page of this server.
    """

    def refuse(request: Request) -> None:
        if request.headers.get("authorization", "").lower().startswith("bearer "):
            return
        own = urlsplit(request.headers.get("origin", "")).netloc
        site = request.headers.get("sec-fetch-site", "same-origin")
        if not (site == "same-origin" and own and own == request.headers.get("host")):
            raise HTTPException(
                403, "Only pages of this server, or a request with a token, may decide", headers=dict(headers)
            )

    return refuse
