"""What a parser raises. A parser in ``edgecheck.wire`` returns a value or raises a ``WireError``, for any bytes.

    WireError
    ├── Truncated    the bytes end before the value does: more bytes could make it whole
    ├── Malformed    no further bytes can make it valid
    └── TooLong      a limit of ours was exceeded; the limit is named in the message
"""


class WireError(ValueError):
    """The bytes are not a value of the format asked for."""


class Truncated(WireError):
    """The bytes are a proper prefix of a message that could be valid."""


class Malformed(WireError):
    """The bytes break a rule of the format."""


class TooLong(WireError):
    """The value exceeds a limit that we set; see the limit's constant for its reason."""
