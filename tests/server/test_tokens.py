"""Token and cookies."""

import re
import stat
from pathlib import Path

import pytest

from echo_server.sessions.cookies import COOKIE_SIZE, Cookies
from echo_server.settings.tokens import ALPHABET, kept_token, make_token
from edgecheck.wire.address import Target, parse_target
from edgecheck.wire.errors import Malformed


def test_a_token_can_be_read_over_the_telephone() -> None:
    tokens = {make_token() for _ in range(200)}
    assert len(tokens) == 200
    assert all(re.fullmatch(f"[{ALPHABET}]{{4}}(-[{ALPHABET}]{{4}}){{3}}", token) for token in tokens)
    assert not set("01loi") & set("".join(tokens))
    token = tokens.pop()
    assert parse_target(str(Target("192.0.2.1", 8443, token))).token == token


def test_a_token_is_kept_and_secret(tmp_path: Path) -> None:
    token, made = kept_token(tmp_path)
    assert made
    assert kept_token(tmp_path) == (token, False)
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    for broken in ("\n", "short", "with@sign-in-it", "two words here"):
        (tmp_path / "token").write_text(broken)
        again, made = kept_token(tmp_path)
        assert made
        assert again != token
        assert kept_token(tmp_path) == (again, False)


def test_cookies() -> None:
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
