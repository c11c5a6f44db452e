"""The token: read over the telephone, kept, and secret."""

import re
import stat
from pathlib import Path

from echo_server.settings.tokens import ALPHABET, kept_token, make_token
from edgecheck.wire.address import Target, parse_target


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
