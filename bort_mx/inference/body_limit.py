"""Requests with a body that is too large, or that does not arrive, are answered before the application sees them."""

import asyncio
from typing import Any, Awaitable, Callable, List

from fastapi.responses import JSONResponse


class Problem(Exception):
    """What is wrong with a request: a status and one line."""

    def __init__(self, status: int, said: str):
        super().__init__(said)
        self.status, self.said = status, said

    def response(self) -> JSONResponse:
        """The answer."""
        return JSONResponse({"error": self.said}, self.status)


class BodyLimit:
    """ASGI middleware that reads the body first.

    Args:
        app: the application.
        most: bytes that a body may have; more are not read.
        seconds: time that a body may take to arrive.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], most: int, seconds: float):
        self._app, self._most, self._seconds = app, most, seconds

    async def __call__(self, scope: Any, receive: Callable, send: Callable) -> None:
        """See ASGI."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        try:
            body = await asyncio.wait_for(self._body(scope, receive), self._seconds)
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        except asyncio.TimeoutError:
            await Problem(408, f"the body did not arrive within {self._seconds:g} seconds").response()(
                scope, receive, send)
            return
        if body is None:  # the client has left
            return
        messages: List[Any] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Any:
            """The body that was read, then what follows."""
            return messages.pop() if messages else await receive()

        await self._app(scope, again, send)

    async def _body(self, scope: Any, receive: Callable) -> Any:
        stated = dict(scope["headers"]).get(b"content-length", b"0")
        if stated.isdigit() and int(stated) > self._most:
            raise self._too_large()
        parts: List[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return None
            parts.append(message.get("body", b""))
            size, more = size + len(parts[-1]), message.get("more_body", False)
            if size > self._most:
                raise self._too_large()
        return b"".join(parts)

    def _too_large(self) -> Problem:
        return Problem(413, f"the body is larger than {self._most} bytes; send fewer texts in a request")
