"""What the system refuses becomes a word and a sentence: what was tried, on what, and what it means."""

import errno
import socket
import ssl

import pytest

from edgecheck.net.sockets.failure import local_failure


def refused(number: int, operation: str = "bind") -> tuple[str, str]:
    failure = local_failure(operation, "192.168.1.20:5060/udp", OSError(number, "SYSTEM WORDS"))
    return failure.reason, str(failure)


@pytest.mark.parametrize(
    ("number", "operation", "reason", "meaning"),
    [
        (errno.EADDRINUSE, "bind", "port-in-use", "another program"),
        (10048, "bind", "port-in-use", "another program"),
        (errno.EACCES, "bind", "permission", "administrator"),
        (errno.EPERM, "bind", "permission", "administrator"),
        (10013, "bind", "permission", "another program"),
        (errno.EMFILE, "open", "no-descriptors", "limit on open files"),
        (errno.ENFILE, "open", "no-descriptors", "limit on open files"),
        (errno.ENETUNREACH, "send to", "no-route", "no route"),
        (errno.EHOSTUNREACH, "connect to", "no-route", "it is down"),
        (errno.EADDRNOTAVAIL, "bind", "no-route", "no such address"),
        (errno.ECONNREFUSED, "connect to", "refused", "refused"),
        (errno.ECONNRESET, "keep", "reset", "reset"),
        (errno.EPIPE, "keep", "reset", "reset"),
        (errno.ETIMEDOUT, "connect to", "timeout", "no answer"),
    ],
)
def test_every_errno_has_its_word(number: int, operation: str, reason: str, meaning: str) -> None:
    got, sentence = refused(number, operation)
    assert got == reason
    assert meaning in sentence
    assert sentence.startswith(f"Could not {operation} 192.168.1.20:5060/udp: ")
    assert "SYSTEM WORDS" not in sentence
    assert "Errno" not in sentence


@pytest.mark.parametrize("operation", ["send to", "connect to"])
@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES])
def test_forbidden_to_send_is_the_firewall_of_this_machine_and_no_matter_of_low_ports(number: int, operation: str) -> None:
    """Linux says EPERM to a sender whose packet its own filter drops; ports below 1024 have nothing to do with it."""
    reason, sentence = refused(number, operation)
    assert reason == "permission"
    assert "firewall" in sentence
    assert "1024" not in sentence


def test_full_buffers_are_not_a_limit_on_open_files() -> None:
    """BSD and macOS say ENOBUFS where an interface's queue is full."""
    _, sentence = refused(errno.ENOBUFS, "send to")
    assert "open files" not in sentence


def test_what_is_not_known_keeps_the_words_of_the_system() -> None:
    assert refused(errno.ENOTCONN) == ("other", "Could not bind 192.168.1.20:5060/udp: SYSTEM WORDS.")
    failure = local_failure("connect to", "192.0.2.1:5061/tls", OSError())
    assert (failure.reason, str(failure)) == ("other", "Could not connect to 192.0.2.1:5061/tls: OSError.")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "timeout"),
        (ConnectionResetError(), "reset"),
        (ConnectionRefusedError(), "refused"),
        (ConnectionAbortedError(), "reset"),
        (BrokenPipeError(), "reset"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "other"),
    ],
)
def test_errors_without_a_number(error: OSError, reason: str) -> None:
    failure = local_failure("connect to", "192.0.2.1:5061/tls", error)
    assert failure.reason == reason
    assert str(failure).startswith("Could not connect to 192.0.2.1:5061/tls: ")
    assert str(failure).endswith(".")


def test_tls_keeps_what_was_wrong_with_it() -> None:
    error = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)")
    failure = local_failure("connect to", "192.0.2.1:5061/tls", error)
    assert failure.reason == "tls"
    assert "wrong version number" in str(failure).lower().replace("_", " ")
