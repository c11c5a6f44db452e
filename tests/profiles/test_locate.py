"""The line of a key, or of its nearest parent; never a wrong one."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecheck.profiles.locate import line_of

TEXT = """\
name = "x"
# rtp = [1, 2]
rtp = [
  10000,

  20000,
]
notes = ["a", "b"]
[expect]
mapping = "warn"
[[ports]]
ports = "5060"
[[ports]]
transport = "udp"
ports = "5061"
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("$.name", 1),
        ("$.rtp", 3),
        ("$.rtp[0]", 4),
        ("$.rtp[1]", 6),
        ("$.notes[1]", 8),
        ("$.expect", 9),
        ("$.expect.mapping", 10),
        ("$.ports", 11),
        ("$.ports[0].ports", 12),
        ("$.ports[1]", 13),
        ("$.ports[1].ports", 15),
        ("$.ports[1].purpose", 13),
        ("$.nothing", None),
        ("$", None),
    ],
)
def test_lines(path, line):
    assert line_of(TEXT, path) == line


@given(st.lists(st.tuples(st.from_regex(r"[a-z]{1,4}", fullmatch=True), st.integers()), unique_by=lambda pair: pair[0], min_size=1))
def test_every_top_key_is_found_on_its_own_line(pairs):
    text = "\n".join(f"{key} = {value}" for key, value in pairs)
    assert set(tomllib.loads(text)) == {key for key, _ in pairs}
    for number, (key, _) in enumerate(pairs, 1):
        assert line_of(text, f"$.{key}") == number
