"""Two servers of one group, on one PostgreSQL: what one was left with, the other shows; a session of one, the other continues."""

import asyncio
import base64
import ssl
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator

import msgspec
import pytest

from edgecheck import sharing
from edgecheck.model.errors import RequestDeclined
from edgecheck.net.control.session import ControlSession
from edgecheck.report import json
from edgecheck.wire import control
from tests.reports import PROFILE, nat, report
from tests.server import postgres
from tests.server_process import ANY_PORTS, ServerProcess

TOKEN = "a-token-of-the-group"
ONE = report(
    msgspec.structs.replace(nat(), id="unheard-of"), headline="Left by a client.", settings={"profile": msgspec.to_builtins(PROFILE)}
)


@pytest.fixture(scope="module")
def group() -> Iterator[tuple[ServerProcess, ServerProcess]]:
    with postgres.running() as url:
        environment = {"EDGECHECK_TOKEN": TOKEN, "EDGECHECK_REPORTS": url}
        servers = [ServerProcess("--address", host, *ANY_PORTS, environment=environment) for host in ("127.0.0.1", "127.0.0.2")]
        try:
            yield servers[0], servers[1]
        finally:
            for server in servers:
                server.stop()


def get(server: ServerProcess, path: str, password: str | None = None) -> tuple[int, str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    request = urllib.request.Request(f"https://{server.target.authority}{path}")
    if password is not None:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"admin:{password}".encode()).decode())
    try:
        with urllib.request.urlopen(request, context=context, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def admin(server: ServerProcess) -> str:
    return (server.state / "state" / "admin-token").read_text().strip()


def test_what_one_was_left_with_the_other_shows(group):
    first, second = group
    number = asyncio.run(sharing.share(ONE, first.target, None, None))
    code, listed = get(second, "/reports", admin(second))
    assert code == 200
    assert f'href="/reports/{number}"' in listed
    assert "Left by a client." in listed
    code, text = get(second, f"/reports/{number}.json", admin(second))
    assert json.render(json.read(text.encode())) == json.render(ONE)
    code, page = get(second, f"/reports/{number}", admin(second))
    assert code == 200
    assert "<h1>" in page
    again = asyncio.run(sharing.share(ONE, second.target, None, None))
    code, told = get(first, f"/reports/compare?before={number}&after={again}", admin(first))
    assert (code, told.splitlines()[0]) == (200, "PASS  Unchanged: everything that both runs tested is as it was.")


def test_nobody_reads_without_the_admins_own_token(group):
    first, second = group
    for path in ("/reports", "/reports/1", "/reports/1.json", "/reports/compare?before=1&after=1"):
        assert get(first, path)[0] == 401
        assert get(first, path, TOKEN)[0] == 401  # that of the clients does not open it
    assert get(second, "/reports", admin(first))[0] == 401
    assert get(second, "/reports/999999", admin(second))[0] == 404
    assert get(second, "/reports/compare", admin(second))[0] == 400
    assert get(second, "/reports/../etc", admin(second))[0] == 404


def test_who_guesses_must_wait(group):
    first, _ = group
    codes = [get(first, "/reports", f"guess-{index}")[0] for index in range(14)]
    assert codes[-1] == 429
    assert get(first, "/")[0] == 200


def test_a_session_of_one_is_continued_by_the_other(group):
    first, second = group

    async def go():
        session = await ControlSession.open(first.target, None, None)
        name, ticket = session.welcome.session, session.ticket
        other = await ControlSession.open(second.target, "127.0.0.1", None, ticket)
        taken = (other.welcome.continued, other.welcome.session)
        await other.close()
        await session.close()
        stranger = await ControlSession.open(second.target, "127.0.0.9", None, ticket)
        refused = (stranger.welcome.continued, stranger.welcome.session != name)
        await stranger.close()
        return name, taken, refused

    name, taken, refused = asyncio.run(go())
    assert taken == (True, name)
    assert refused == (False, True)  # from another address it opens a session of its own


def test_a_name_in_use_is_not_given_twice(group):
    first, _ = group

    async def go():
        session = await ControlSession.open(first.target, None, None)
        twin = await ControlSession.open(first.target, None, None, session.ticket)
        names = session.welcome.session, twin.welcome.session, twin.welcome.continued
        await twin.close()
        await session.close()
        return names

    one, other, continued = asyncio.run(go())
    assert one != other
    assert not continued


@pytest.mark.parametrize(
    ("packed", "reason"),
    [(b"no report", "malformed"), (zlib.compress(b"{}"), "malformed"), (bytes(control.MOST_SHARED + 1), "limit")],
)
def test_what_is_no_report_is_declined(group, packed, reason):
    first, _ = group

    async def go():
        session = await ControlSession.open(first.target, None, None)
        try:
            await session.ask(lambda id: control.Share(id=id, report=packed))
        finally:
            await session.close()

    with pytest.raises(RequestDeclined) as raised:
        asyncio.run(go())
    assert raised.value.reason == reason


def test_a_session_leaves_a_few_at_most(group):
    first, _ = group
    packed = zlib.compress(json.render(ONE))

    async def go():
        session = await ControlSession.open(first.target, None, None)
        try:
            for _ in range(5):
                await session.ask(lambda id: control.Share(id=id, report=packed))
        finally:
            await session.close()

    with pytest.raises(RequestDeclined, match="may leave 4"):
        asyncio.run(go())


def test_a_hostile_headline_is_shown_harmlessly(group):
    _, second = group
    hostile = msgspec.structs.replace(ONE, headline="<script>alert(1)</script>\x1b[31m")
    asyncio.run(sharing.share(hostile, second.target, None, None))
    status, page = get(second, "/reports", admin(second))
    assert status == 200
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert "\x1b" not in page
