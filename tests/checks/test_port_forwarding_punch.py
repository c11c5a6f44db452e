"""Ports that are opened by sending from them: what is asked of the server is not left behind."""

import asyncio
import gc

from edgecheck.checks.port_forwarding.punch import punch_tcp
from edgecheck.model.errors import LocalFailure
from edgecheck.wire.address import Endpoint


class _Listener:
    accepted = ()

    def close(self):
        pass


class _Service:
    capabilities = ("dial",)


class _Memory:
    def note_sent(self, ports, transport="udp"):
        pass


class Silent:
    """A server that never says what came of a dial, on a path that lets nothing in."""

    service, memory = _Service(), _Memory()
    primary, observed, rtt = Endpoint("198.51.100.10", 3478), "203.0.113.1", 0.01

    def __init__(self):
        self.waiting = 0

    def new_series(self):
        return 7

    def now(self):
        return 0.0

    async def connect_tcp(self, to, port, timeout, ttl):
        raise LocalFailure("timeout", "no answer")

    async def listen_tcp(self, port):
        return _Listener()

    async def until(self, condition, seconds):
        await asyncio.sleep(0)
        return condition()

    async def ask(self, make):
        self.waiting += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.waiting -= 1


def test_questions_that_nobody_waits_for_any_more_end_without_a_word():
    async def go():
        """asyncio writes a traceback onto the terminal for a task that fails unseen."""
        complaints = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context["message"]))
        net = Silent()
        assert await punch_tcp(net, [5060, 5061], 2) == set()
        assert net.waiting == 0
        await asyncio.sleep(0)
        gc.collect()
        assert complaints == []

    asyncio.run(go())
