"""One place to wait for anything that arrives."""

import asyncio
from collections.abc import Callable


class Bell:
    """Rung at every arrival; ``until`` looks at its condition after each ring. Works on any loop's clock, a virtual one too."""

    def __init__(self) -> None:
        self._ring: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Something arrived: let every waiter look again."""
        if self._ring is not None and not self._ring.done():
            self._ring.set_result(None)

    async def until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until ``condition()`` holds or ``timeout`` seconds are over; return its last value."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not condition():
            left = deadline - loop.time()
            if left <= 0:
                return condition()
            if self._ring is None or self._ring.done():
                self._ring = loop.create_future()
            await asyncio.wait((self._ring,), timeout=left)
        return True
