"""Waiting for what is on its way: the one place where a test looks again and again. Where somebody tells that it has come, wait for his word."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

PATIENCE_S = 15.0
"""A busy machine is no fault of what is waited for."""
_PAUSE_S = 0.01
Seen = TypeVar("Seen")


def wait_until(look: Callable[[], Seen], what: str, patience: float = PATIENCE_S) -> Seen:
    """What ``look`` sees, once it is anything. Raises ``TimeoutError`` with ``what`` was waited for, when it has not come in time."""
    ends = time.monotonic() + patience
    while not (seen := look()):
        if time.monotonic() > ends:
            raise TimeoutError(f"{what}: not within {patience:g} s")
        time.sleep(_PAUSE_S)
    return seen


async def until(look: Callable[[], Seen | Awaitable[Seen]], what: str, patience: float = PATIENCE_S) -> Seen:
    """The same, while the loop runs on; ``look`` may have to ask somebody for what it sees."""
    try:
        async with asyncio.timeout(patience):
            while True:
                looked = look()
                seen = await looked if isinstance(looked, Awaitable) else looked
                if seen:
                    return seen
                await asyncio.sleep(_PAUSE_S)
    except TimeoutError:
        raise TimeoutError(f"{what}: not within {patience:g} s") from None
