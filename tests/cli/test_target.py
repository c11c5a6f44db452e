"""Which server, which token: command line before environment, never two answers to one question."""

import pytest

from edgecheck.cli.target import target_of
from edgecheck.model.errors import UsageError
from edgecheck.wire.address import Target


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("EDGECHECK_SERVER", "EDGECHECK_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_none_means_the_embedded_server():
    assert target_of(None, None, None, None) is None


def test_a_target_word():
    assert target_of("edge://t@h:9", None, None, None) == Target("h", 9, "t")


def test_server_and_token():
    assert target_of(None, "h", "t", None) == Target("h", 8443, "t")
    assert target_of(None, "[2001:db8::1]:9", "t", None) == Target("2001:db8::1", 9, "t")


def test_server_may_hold_the_whole_line():
    assert target_of(None, "edge://t@h:9", None, None) == Target("h", 9, "t")


def test_a_token_file(tmp_path):
    (tmp_path / "token").write_text("t\n")
    assert target_of("edge://h", None, None, str(tmp_path / "token")) == Target("h", 8443, "t")


def test_the_environment(monkeypatch):
    monkeypatch.setenv("EDGECHECK_SERVER", "h:9")
    monkeypatch.setenv("EDGECHECK_TOKEN", "t")
    assert target_of(None, None, None, None) == Target("h", 9, "t")
    assert target_of("edge://i", None, None, None) == Target("i", 8443, "t")
    assert target_of("edge://u@i", None, None, None) == Target("i", 8443, "u")
    assert target_of(None, None, "u", None) == Target("h", 9, "u")


def test_an_empty_variable_is_none(monkeypatch):
    monkeypatch.setenv("EDGECHECK_SERVER", "")
    assert target_of(None, None, None, None) is None


def test_an_open_server_needs_no_token():
    assert target_of("edge://h", None, None, None) == Target("h")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("edge://t@h", "i", None, None), "Two servers"),
        (("edge://t@h", None, "u", None), "Two different tokens"),
        ((None, "h", "t", "f"), "--token and --token-file"),
        ((None, None, None, "f"), "no server"),
        (("edge://h", None, None, "/nowhere"), "cannot be read"),
    ],
)
def test_contradictions(given, words):
    with pytest.raises(UsageError, match=words):
        target_of(*given)


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff\xfe", b"x" * 5000])
def test_a_file_that_is_no_token(tmp_path, content):
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(UsageError, match="Token file"):
        target_of("edge://h", None, None, str(tmp_path / "token"))


def test_the_same_token_twice_is_no_contradiction():
    assert target_of("edge://t@h", None, "t", None) == Target("h", 8443, "t")
