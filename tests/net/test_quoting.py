import pytest

from edgecheck.net.quoting import tame


@pytest.mark.parametrize(
    ("said", "told"),
    [("short", "short"), ("a\x1b[31m\nb\u202ec", "a [31m b c"), ("x" * 300, "x" * 200 + "..."), ("", "")],
)
def test_tame(said: str, told: str) -> None:
    assert tame(said) == told
