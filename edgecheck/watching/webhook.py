"""A web hook: a POST with JSON on every change. The URL may hold a secret, so it is never printed: its host is."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec

from edgecheck.model.errors import UsageError
from edgecheck.watching.watch import Turn

SCHEMA = "edgecheck.change/1"
TIMEOUT_S = 10.0
RETRIES_S = (5.0, 30.0)
"""Waits before the second and third try; then the message is given up, and said so."""
_MOST_WAITING = 16
"""Messages that wait for a hook that does not answer; the oldest is given up for the newest."""


def message(turn: Turn) -> dict[str, Any]:
    """What is posted."""
    report = turn.report
    return {
        "schema": SCHEMA,
        "at": report.started_at,
        "verdict": report.verdict.value,
        "headline": report.headline,
        "change": turn.headline,
        "changes": msgspec.to_builtins(turn.changes),
        "checks": {result.id: result.verdict.value for result in report.checks},
        "public_address": report.client.public_address,
        "gateway": report.client.gateway,
    }


class Webhook:
    """Posts what changed. A sink: it never keeps a look waiting."""

    def __init__(self, url: str, say: Callable[[str], None], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("--webhook wants an http:// or https:// address.")
        self._url = url
        self._host = parts.hostname
        self._say = say
        self._sleep = sleep
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_MOST_WAITING)
        self._worker: asyncio.Task[None] | None = None

    async def tell(self, turn: Turn) -> None:
        """Post it, when there is something to tell, after what waits already."""
        if not turn.telling or turn.first:
            return
        if self._waiting.full():
            self._waiting.get_nowait()
            self._waiting.task_done()
            self._say(f"The web hook at {self._host} does not keep up: the oldest message was given up.")
        self._waiting.put_nowait(message(turn))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())

    async def close(self, patience_s: float = 2.0) -> None:
        """Let what waits go out, for so long."""
        if self._worker is None:
            return
        try:
            await asyncio.wait_for(self._waiting.join(), patience_s)
        except TimeoutError:
            self._say(f"The web hook at {self._host} did not take the last message.")
        self._worker.cancel()

    async def _work(self) -> None:
        while True:
            waiting = await self._waiting.get()
            try:
                await self._post(waiting)
            finally:
                self._waiting.task_done()

    async def _post(self, body: dict[str, Any]) -> None:
        import aiohttp

        why = ""
        for wait in (*RETRIES_S, None):
            try:
                async with (
                    aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session,
                    session.post(self._url, json=body, allow_redirects=False) as answer,
                ):
                    if answer.status < 300:
                        return
                    why = f"it answered {answer.status}"
                    if answer.status < 500 and answer.status != 429:
                        break  # it does not want this message: to repeat it would not help
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                why = type(error).__name__
            if wait is not None:
                await self._sleep(wait)
        self._say(f"The web hook at {self._host} did not take a message: {why}.")
