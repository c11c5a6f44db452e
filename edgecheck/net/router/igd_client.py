"""UPnP over HTTP, from the gateway alone: the description, and the three actions that read.

The guard: a URL is followed only when its host is the gateway's address, written as a number. No name is resolved, no redirect followed,
no proxy used, nothing decompressed; sizes are bounded here and time by whoever calls.
"""

import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from edgecheck.wire import igd
from edgecheck.wire.address import parse_host
from edgecheck.wire.errors import Malformed, TooLong

if TYPE_CHECKING:
    import aiohttp

_PATH = re.compile(r"/[!-~]*", re.ASCII)
_MOST_URL = 1024


class NotUnderstood(Exception):
    """The gateway answered, and not as a UPnP device does; in words."""


def guarded(url: str, gateway: str) -> str:
    """The URL put together anew from its checked parts. Raises ``NotUnderstood`` where it leads anywhere but to the gateway."""
    try:
        parts = urlsplit(url[: _MOST_URL + 1])
        host, port = parts.hostname or "", parts.port or 80
        same = parse_host(host) == gateway
    except ValueError as error:  # Malformed is one
        raise NotUnderstood("the router names a place for its description that is no address of its own") from error
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not same or parts.scheme != "http" or "@" in parts.netloc or len(url) > _MOST_URL or not _PATH.fullmatch(path):
        raise NotUnderstood("the router names a place for its description that is not on the router itself: not followed")
    return f"http://{gateway}:{port}{path}"


class IgdClient:
    """Talks to one gateway."""

    def __init__(self, http: "aiohttp.ClientSession", gateway: str) -> None:
        self._http = http
        self._gateway = gateway

    async def describe(self, location: str) -> tuple[igd.Description, str]:
        """The description, and the URL to which its own URLs are relative. Raises ``NotUnderstood``, ``OSError``."""
        url = guarded(location, self._gateway)
        data = await self._ask("GET", url, None, {}, igd.MAX_DESCRIPTION)
        try:
            description = igd.parse_description(data)
        except (Malformed, TooLong) as error:
            raise NotUnderstood(f"its description could not be read: {error}") from error
        return description, urljoin(url, description.base) if description.base else url

    async def call(self, base: str, service: igd.Service, action: igd.Action, index: int | None = None) -> dict[str, str] | igd.Fault:
        """One reading action. Raises ``NotUnderstood``, ``OSError``."""
        try:
            joined = urljoin(base, service.control_url)
        except ValueError as error:
            raise NotUnderstood("its control URL is none") from error
        url = guarded(joined, self._gateway)
        headers = {"Content-Type": 'text/xml; charset="utf-8"', "SOAPAction": f'"{service.type}#{action}"'}
        data = await self._ask("POST", url, igd.request(action, service.type, index), headers, igd.MAX_ANSWER)
        try:
            return igd.parse_answer(data, action)
        except (Malformed, TooLong) as error:
            raise NotUnderstood(f"its answer to {action} could not be read: {error}") from error

    async def _ask(self, method: str, url: str, body: bytes | None, headers: dict[str, str], most: int) -> bytes:
        import aiohttp

        try:
            async with self._http.request(method, url, data=body, headers=headers, allow_redirects=False) as answer:
                if answer.status not in (200, 500):  # 500 carries a UPnP error
                    raise NotUnderstood(f"it answered {method} with HTTP {answer.status}")
                data = bytearray()
                async for chunk in answer.content.iter_any():
                    data += chunk
                    if len(data) > most:
                        raise NotUnderstood(f"it sent more than {most} bytes")
                return bytes(data)
        except (aiohttp.ClientError, ValueError) as error:
            raise NotUnderstood(f"its HTTP answer could not be read ({type(error).__name__})") from error
