"""The admin's page: a list, a report as a page or as JSON, a comparison. Behind the admin's own token (HTTP Basic over TLS)."""

import asyncio
import base64
import binascii
import hmac
from collections import Counter
from collections.abc import Callable
from html import escape
from importlib.resources import files
from time import monotonic
from typing import TypeVar

from aiohttp import web

from echo_server.desk import reading
from echo_server.desk.store import Store, StoreFailed
from echo_server.sessions.limits import network

T = TypeVar("T")

USER = "admin"
_MOST_WRONG = 10
"""Wrong tokens a minute from one source; then it must wait."""
_MOST_SOURCES = 4096
_LISTED = 500
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Desk:
    """The pages under ``/reports``."""

    def __init__(self, store: Store, token: str) -> None:
        self._store = store
        self._token = token.encode()
        self._wrong: Counter[str] = Counter()
        self._minute = 0
        self._list_page = files("echo_server.desk").joinpath("desk.html").read_text("utf-8")

    def add_to(self, application: web.Application) -> None:
        """Put the pages into the web application."""
        application.router.add_get("/reports", self._list)
        application.router.add_get("/reports/compare", self._compare)
        application.router.add_get(r"/reports/{number:\d{1,9}}", self._page)
        application.router.add_get(r"/reports/{number:\d{1,9}}.json", self._json)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        self._admit(request)
        from edgecheck.report.text import safe

        place = request.query.get("place", "")[:60]
        rows = await self._ask(lambda: self._store.rows(_LISTED, place))
        lines = []
        for row in rows:
            cells = (row.received_at.strftime("%Y-%m-%d %H:%M"), row.public_address or row.source, row.gateway, row.headline)
            told = "".join(f"<td>{escape(safe(cell))}</td>" for cell in cells)
            verdict = escape(safe(row.verdict))
            lines.append(
                f'<tr><td><input type="radio" name="before" value="{row.id}" aria-label="before: {row.id}">'
                f'<input type="radio" name="after" value="{row.id}" aria-label="after: {row.id}"></td>'
                f'<td><a href="/reports/{row.id}">{row.id}</a></td><td class="{verdict}">{verdict}</td>{told}</tr>'
            )
        empty = "" if rows else "<p>No report yet: a client leaves one with <code>edgecheck run --share</code>.</p>"
        return _html(self._list_page.replace("<!-- rows -->", "\n".join(lines)).replace("<!-- empty -->", empty))

    async def _page(self, request: web.Request) -> web.StreamResponse:
        self._admit(request)
        from edgecheck.report import html

        number = int(request.match_info["number"])
        return _html(await self._ask(lambda: html.render(reading.report(self._store, number))))

    async def _json(self, request: web.Request) -> web.StreamResponse:
        self._admit(request)
        number = int(request.match_info["number"])
        packed = await self._ask(lambda: self._store.packed(number))
        if packed is None:
            raise web.HTTPNotFound(text="There is no such report.\n")
        data = await asyncio.to_thread(reading.unpack, packed)
        return web.Response(body=data, content_type="application/json", headers=_HEADERS)

    async def _compare(self, request: web.Request) -> web.StreamResponse:
        self._admit(request)
        from edgecheck.comparison import compare
        from edgecheck.report import comparison

        try:
            before, after = (int(request.query[name]) for name in ("before", "after"))
        except (KeyError, ValueError):
            raise web.HTTPBadRequest(text="Choose one report as before and one as after.\n") from None

        def told() -> str:
            return comparison.render(compare(reading.report(self._store, before), reading.report(self._store, after)), width=100)

        return web.Response(text=await self._ask(told), content_type="text/plain", headers=_HEADERS)

    async def _ask(self, do: Callable[[], T]) -> T:
        """Ask the store in a thread: a slow database must not stop the server. Raises an HTTP error."""
        try:
            return await asyncio.to_thread(do)
        except reading.NoReport as error:
            raise web.HTTPNotFound(text=f"{error}\n") from None
        except StoreFailed:
            raise web.HTTPServiceUnavailable(text="The store for reports cannot be used now.\n") from None

    def _admit(self, request: web.Request) -> None:
        """Let nobody in without the admin's token; whoever guesses must wait. Raises an HTTP error."""
        peername = request.transport.get_extra_info("peername") if request.transport is not None else None
        source = network(peername[0]) if peername else ""
        minute = int(monotonic() // 60)
        if minute != self._minute or len(self._wrong) > _MOST_SOURCES:
            self._minute = minute
            self._wrong.clear()
        if self._wrong[source] >= _MOST_WRONG:
            raise web.HTTPTooManyRequests(text="Too many wrong tokens: wait a minute.\n", headers={"Retry-After": "60"})
        kind, _, credentials = request.headers.get("Authorization", "").partition(" ")
        try:
            user, _, password = base64.b64decode(credentials, validate=True).partition(b":")
        except (binascii.Error, ValueError):
            user, password = b"", b""
        right = hmac.compare_digest(password, self._token) and hmac.compare_digest(user, USER.encode())
        if kind.lower() == "basic" and right:
            return
        if credentials:
            self._wrong[source] += 1
        challenge = {"WWW-Authenticate": 'Basic realm="edgecheck reports", charset="UTF-8"'}
        raise web.HTTPUnauthorized(text="The admin's token is needed (user admin).\n", headers=challenge)


def _html(text: str) -> web.Response:
    return web.Response(body=text.encode(errors="replace"), content_type="text/html", charset="utf-8", headers=_HEADERS)
