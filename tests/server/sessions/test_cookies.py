"""Cookies: they prove one address of one session for a minute or two."""

import pytest

from echo_server.sessions.cookies import COOKIE_SIZE, Cookies
from edgecheck.wire.errors import Malformed


def test_a_cookie_proves_its_address_to_its_session_for_a_while() -> None:
    cookies, others = Cookies(b"key"), Cookies(b"another key")
    cookie = cookies.make(b"session1", "192.0.2.1", 59.0)
    assert len(cookie) == COOKIE_SIZE
    text = cookie.hex()
    assert cookies.proves(b"session1", "192.0.2.1", text, 59.0)
    assert cookies.proves(b"session1", "192.0.2.1", text, 119.9)
    assert not cookies.proves(b"session1", "192.0.2.1", text, 120.0)
    assert not cookies.proves(b"session2", "192.0.2.1", text, 59.0)
    assert not cookies.proves(b"session1", "192.0.2.2", text, 59.0)
    assert not others.proves(b"session1", "192.0.2.1", text, 59.0)
    for broken in ("", text[:-1], text + "0", text.upper() if text.upper() != text else "zz", "é" * 16):
        with pytest.raises(Malformed):
            cookies.proves(b"session1", "192.0.2.1", broken, 59.0)
