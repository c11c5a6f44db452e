"""What is repeated of a stranger's words."""

import pytest

from edgecheck.wire import inquiry


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"SIP/2.0 400 Bad Request\r\nServer: another PBX\r\nContent-Length: 0\r\n\r\n", "SIP/2.0 400 Bad Request, another PBX"),
        (b"HTTP/1.1 400 Bad Request\nserver:nginx\n\n<html>", "HTTP/1.1 400 Bad Request, nginx"),
        (b"SIP/2.0 403 Forbidden\r\nUser-Agent: FPBX\r\nServer: Asterisk\r\n\r\n", "SIP/2.0 403 Forbidden, FPBX"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH-2.0-OpenSSH_9.6"),
        (b"220 ready\r\nServer:\r\n", "220 ready"),
        (b"\x1b[31mred\x00", ".[31mred."),
        (b"\r\n\r\nlate", "....late"),
        (b"", ""),
        (b"x" * 500, "x" * inquiry.TOLD),
    ],
)
def test_first_words(data: bytes, told: str) -> None:
    assert inquiry.first_words(data) == told
