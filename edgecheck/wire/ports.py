"""Sets of ports as compressed ranges: ``[[10000, 10499], [10502, 10502]]``.

"10000-10499 works, 10500-20000 does not" is how a typo in a forwarding rule looks, so ports are told as ranges
everywhere: on the control channel, in observations and in sentences.
"""

from collections.abc import Iterable, Iterator, Sequence

from edgecheck.wire.address import parse_port
from edgecheck.wire.errors import Malformed

Ranges = tuple[tuple[int, int], ...]
"""Inclusive, ascending, disjoint and not adjacent."""


def compress(ports: Iterable[int]) -> Ranges:
    """The ranges that hold exactly these ports."""
    out: list[tuple[int, int]] = []
    for port in sorted(set(ports)):
        if out and out[-1][1] == port - 1:
            out[-1] = (out[-1][0], port)
        else:
            out.append((port, port))
    return tuple(out)


def expand(ranges: Sequence[Sequence[int]]) -> Iterator[int]:
    """Every port of the ranges, in their order."""
    for low, high in ranges:
        yield from range(low, high + 1)


def count(ranges: Sequence[Sequence[int]]) -> int:
    """How many ports the ranges hold."""
    return sum(high - low + 1 for low, high in ranges)


def validate(ranges: Sequence[Sequence[int]], lowest: int = 1, highest: int = 65535) -> Ranges:
    """Check ranges that came from a peer or a file: pairs, in order, within bounds. Raises ``Malformed``."""
    for pair in ranges:
        if len(pair) != 2 or not lowest <= pair[0] <= pair[1] <= highest:
            told = "-".join(map(str, pair))
            raise Malformed(f"{told} is not a port range: the lower port comes first, and both are within {lowest}-{highest}")
    return tuple((low, high) for low, high in ranges)


def text(ranges: Sequence[Sequence[int]]) -> str:
    """``10000-10499, 10502``; ``none`` when empty."""
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges) or "none"


def parse(string: str) -> Ranges:
    """Read ``10000-20000`` or ``5060,5080-5090``. Raises ``Malformed``."""
    out = []
    for part in string.split(","):
        low, dash, high = part.partition("-")
        try:
            out.append((parse_port(low.strip()), parse_port((high if dash else low).strip())))
        except Malformed as error:
            raise Malformed(f"{part.strip()[:40]!r} is not a port or a range LO-HI within 1-65535") from error
    return validate(out)
