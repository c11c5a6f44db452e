"""The web hook, against a real HTTP server on loopback: every change arrives once, and a dead hook stops nothing."""

import asyncio

import pytest
from aiohttp import web

from edgecheck.model.comparison import Change, Kind
from edgecheck.model.errors import UsageError
from edgecheck.watching.watch import Turn
from edgecheck.watching.webhook import _MOST_WAITING, RETRIES_S, Webhook
from tests.reports import finding, report, result

WORSE = Change(kind=Kind.WORSE, check="sip-alg", subject="UDP 5060", summary="SIP is rewritten.")


def turn(*changes, first=False, began=False):
    return Turn(
        report(result(finding("sip-alg.rewritten"))), changes, "After the change: SIP is rewritten." if changes else "", first, began, False
    )


class Receiver:
    """A server that answers with these statuses, one after the other (the last one for ever)."""

    def __init__(self, *statuses):
        self.statuses = list(statuses)
        self.got = []
        self.redirected = []

    async def post(self, request):
        self.got.append(await request.json())
        status = self.statuses[min(len(self.got), len(self.statuses)) - 1]
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status in (302, 307) else {})

    async def elsewhere(self, request):
        self.redirected.append(request)
        return web.Response()

    async def __aenter__(self):
        app = web.Application()
        app.router.add_post("/hook", self.post)
        app.router.add_route("*", "/elsewhere", self.elsewhere)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        port = self.runner.addresses[0][1]
        return f"http://127.0.0.1:{port}/hook?secret=swordfish"

    async def __aexit__(self, *_):
        await self.runner.cleanup()


def told(receiver, *turns):
    """What the receiver got, what was said, and how long was waited between tries."""
    said, waited = [], []

    async def sleep(seconds):
        waited.append(seconds)

    async def go():
        async with receiver as url:
            hook = Webhook(url, said.append, sleep)
            for one in turns:
                await hook.tell(one)
            await hook.close(10)

    asyncio.run(go())
    return receiver.got, said, waited


def test_a_change_arrives_once():
    got, said, _ = told(Receiver(200), turn(WORSE))
    assert said == []
    assert [(body["schema"], body["verdict"], body["changes"][0]["kind"]) for body in got] == [("edgecheck.change/1", "fail", "worse")]
    assert got[0]["change"] == "After the change: SIP is rewritten."
    assert got[0]["checks"] == {"sip-alg": "fail"}


def test_nothing_new_and_the_first_look_are_not_posted():
    got, _, _ = told(Receiver(200), turn(first=True), turn(), turn(began=True))
    assert len(got) == 1


def test_a_server_in_trouble_is_asked_again():
    got, said, waited = told(Receiver(503, 429, 200), turn(WORSE))
    assert (len(got), said, waited) == (3, [], list(RETRIES_S))


def test_a_message_that_is_not_wanted_is_given_up_and_said_without_the_secret():
    got, said, waited = told(Receiver(404), turn(WORSE))
    assert (len(got), waited) == (1, [])
    assert said == ["The web hook at 127.0.0.1 did not take a message: it answered 404."]


def test_a_redirect_is_not_followed():
    receiver = Receiver(307)
    _, said, _ = told(receiver, turn(WORSE))
    assert receiver.redirected == []
    assert "it answered 307" in said[0]


def test_nobody_there():
    said, waited = [], []

    async def sleep(seconds):
        waited.append(seconds)

    async def go():
        hook = Webhook("http://127.0.0.1:9/hook", said.append, sleep)
        await hook.tell(turn(WORSE))
        await hook.close(10)

    asyncio.run(go())
    assert waited == list(RETRIES_S)
    assert len(said) == 1


def test_a_hook_that_hangs_keeps_no_look_waiting_and_no_memory():
    said = []

    async def hang(seconds):
        await asyncio.Event().wait()

    async def go():
        hook = Webhook("http://127.0.0.1:9/hook", said.append, hang)
        for _ in range(3 * _MOST_WAITING):
            await hook.tell(turn(WORSE))
        waiting = hook._waiting.qsize()
        await hook.close(0.01)
        return waiting

    assert asyncio.run(go()) <= _MOST_WAITING
    assert said[-1] == "The web hook at 127.0.0.1 did not take the last message."


@pytest.mark.parametrize("url", ["ftp://host/x", "host/x", "", "http://"])
def test_what_is_no_web_address_is_refused(url):
    with pytest.raises(UsageError, match="http:// or https://"):
        Webhook(url, print)
