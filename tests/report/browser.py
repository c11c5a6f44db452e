"""A real Chromium without a screen, driven over its DevTools protocol: what the page says on its console, and whatever it asks the network for."""

import asyncio
import base64
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import pytest

_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--disable-dev-shm-usage", "--remote-debugging-port=0",
)  # fmt: skip


def program() -> str:
    """Chromium; without it the test is skipped with the reason, or fails where the laboratory is required."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    if os.environ.get("EDGECHECK_LAB_REQUIRED"):
        pytest.fail("Chromium (Debian package chromium) is needed here")
    pytest.skip("Chromium is not here")


class Browser:
    """One page in one browser."""

    def __init__(self) -> None:
        self.console: list[str] = []
        """Errors and warnings."""
        self.requests: list[str] = []
        """What was asked for beside the page itself."""
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._number = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._process = subprocess.Popen(
            [program(), *_OPTIONS, f"--user-data-dir={self._folder.name}", "about:blank"], stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        loop = asyncio.get_running_loop()
        while "DevTools listening on ws://" not in (line := await loop.run_in_executor(None, self._process.stderr.readline)):
            if not line:
                raise RuntimeError("Chromium ended before it listened")
        where = line.split("ws://")[1].partition("/")[0]
        # what else it says is not ours to judge, but must not fill the pipe
        self._drained = loop.run_in_executor(None, self._process.stderr.read)
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://{where}/json/list") as answer:
            page = next(each for each in await answer.json() if each["type"] == "page")
        self._socket = await self._session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)
        self._reader = asyncio.create_task(self._read())
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.do(f"{domain}.enable")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._reader.cancel()
        await self._session.close()
        self._process.kill()
        self._process.wait()
        await self._drained
        self._folder.cleanup()

    async def _read(self) -> None:
        async for message in self._socket:
            data = message.json()
            if "id" in data:
                self._answers.pop(data["id"]).set_result(data)
                continue
            self._event(data["method"], data["params"])

    def _event(self, method: str, given: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Log.entryAdded":
            self.console.append(f"{given['entry']['level']}: {given['entry']['text']}")
        elif method == "Runtime.exceptionThrown":
            self.console.append(str(given["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            self.console.append(str(given["args"]))
        elif method == "Network.requestWillBeSent" and given["type"] != "Document" and not given["request"]["url"].startswith("data:"):
            self.requests.append(given["request"]["url"])

    async def do(self, method: str, **given: Any) -> dict[str, Any]:
        """One command; its result."""
        self._number += 1
        self._answers[self._number] = asyncio.get_running_loop().create_future()
        waiting = self._answers[self._number]
        await self._socket.send_json({"id": self._number, "method": method, "params": given})
        answer = await asyncio.wait_for(waiting, 20)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    async def open(self, file: Path, *, width: int = 1100, scheme: str = "light") -> None:
        """Load this page in a window of this width."""
        await self.do("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        await self.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._loaded.clear()
        await self.do("Page.navigate", url=file.as_uri())
        await asyncio.wait_for(self._loaded.wait(), 20)

    async def ask(self, expression: str) -> Any:
        """What this JavaScript expression is, in the page (the page itself may run none)."""
        result = await self.do("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")

    async def press(self, key: str, code: int, text: str = "") -> None:
        """A key, pressed and released."""
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            await self.do("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)

    async def screenshot(self) -> bytes:
        """The window as PNG."""
        return base64.b64decode((await self.do("Page.captureScreenshot"))["data"])

    async def pages(self) -> int:
        """How many sheets of A4 it prints on."""
        data = base64.b64decode((await self.do("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=False))["data"])
        return data.count(b"/Type /Page\n") or data.count(b"/Type /Page") - data.count(b"/Type /Pages")
