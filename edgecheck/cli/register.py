"""``edgecheck register``: from an account to a look at its registration, and a report."""

import contextlib
import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgecheck.cli import history, status
from edgecheck.cli.output import Output, is_terminal, put, writable
from edgecheck.cli.run import carry_out, end_as_by_ctrl_c, live, source_of
from edgecheck.model.errors import UsageError
from edgecheck.wire.address import Endpoint, parse_endpoint, parse_host
from edgecheck.wire.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgecheck.course import Show
    from edgecheck.doctor import Settings
    from edgecheck.model.account import Account
    from edgecheck.model.phone import Phone
    from edgecheck.model.verdict import Report

PASSWORD_VARIABLE = "EDGECHECK_SIP_PASSWORD"  # noqa: S105 - a name
_MOST_PASSWORD = 1024


class Asked(NamedTuple):
    """The words of the command line, as they came."""

    account: str
    auth_user: str | None
    password_file: str | None
    proxy: str | None
    resolver: str | None
    stun: str | None
    ca: str | None
    dry: bool
    bundle: str | None
    source: str | None
    family: int | None
    timeout: float | None
    history: bool = True
    """Whether the run is kept."""


def register(asked: Asked, output: Output) -> int:
    """Look, write the reports, return the exit status."""
    from edgecheck.doctor import Settings
    from edgecheck.model.account import parse_account

    output.check()
    account = parse_account(
        asked.account,
        auth_user=asked.auth_user,
        proxy=asked.proxy,
        resolver=_resolver(asked.resolver),
        stun=_stun(asked.stun, asked.family),
        ca=_ca(asked.ca),
        dry=asked.dry,
    )
    if asked.bundle is not None:
        if asked.bundle == "-":
            raise UsageError("--bundle writes a ZIP file: give it a name.")
        writable(asked.bundle)
    source = _own(source_of(asked.source, asked.family))
    if asked.timeout is not None and not 0 < asked.timeout < float("inf"):
        raise UsageError("--timeout takes seconds, more than 0.")
    secret = _password(asked.password_file, account, sys.stdin)
    end_as_by_ctrl_c()
    settings = Settings(account=account, source=source, family=asked.family, timeout=asked.timeout)
    with contextlib.ExitStack() as stack:
        report, phone = _look(settings, secret, live(output, stack))
    code = history.keep_and_write(report, output, asked.history)
    if asked.bundle is not None:
        code = _write_bundle(asked.bundle, report, phone, code, quiet=output.quiet or output.stdout_taken)
    return code


def _write_bundle(name: str, report: "Report", phone: "Phone", code: int, *, quiet: bool) -> int:
    """Write the file, say so; the exit status."""
    from edgecheck.report import bundle

    if not put(name, bundle.render(report, phone.account, phone.traffic)):
        return code if code == status.FAILED else status.UNDECIDED
    if not quiet:
        print(f"For the provider's support: {name} (answers to challenges are masked; look at environment.txt and fill in what is open).")
    return code


def _look(settings: "Settings", secret: str | None, show: "Show") -> "tuple[Report, Phone]":
    from edgecheck import doctor
    from edgecheck.net.phone import phone

    def connect(settings: "Settings", progress: "Callable[[int, int, str], None]") -> "Phone":
        return phone.real(settings.account, secret, source=settings.source, family=settings.family, progress=progress)

    return carry_out(lambda: doctor.register(settings, show, connect))


def _password(file: str | None, account: "Account", stdin: object) -> str | None:
    """From the file, the environment, or a person at a terminal; None: there is none. Raises ``UsageError``."""
    if file is not None:
        return _from_file(file)
    given = os.environ.get(PASSWORD_VARIABLE)
    if given is not None:
        if not given:
            raise UsageError(f"{PASSWORD_VARIABLE} is set and empty: put the password in it, or unset it.")
        return given
    if account.dry or not is_terminal(stdin) or not is_terminal(sys.stderr):
        return None
    typed = getpass.getpass(f"Password of {account.digest_user} at {account.domain} (empty: look without it): ", sys.stderr)
    return typed or None


def _from_file(name: str) -> str:
    try:
        with Path(name).open("rb") as stream:
            data = stream.read(_MOST_PASSWORD + 1)
    except OSError as error:
        raise UsageError(f"--password-file {name}: cannot be read ({error.strerror or error}).") from None
    try:
        password = data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageError(f"--password-file {name}: holds bytes that are no UTF-8 text.") from None
    if not password:
        raise UsageError(f"--password-file {name}: is empty.")
    if len(data) > _MOST_PASSWORD or "\n" in password or "\0" in password:
        raise UsageError(f"--password-file {name}: one line with the password alone is wanted.")
    return password


def _resolver(text: str | None) -> str | None:
    """``IP[:PORT]`` as ``ip:port``. Raises ``UsageError``."""
    if text is None:
        return None
    try:
        with contextlib.suppress(Malformed):
            return str(Endpoint(parse_host(text.strip("[]")), 53))
        return str(parse_endpoint(text))
    except Malformed:
        raise UsageError(f"--resolver {text!r} is not IP or IP:PORT (a DNS server's address, not its name).") from None


def _stun(text: str | None, family: int | None) -> str | None:
    """``HOST[:PORT]`` as ``ip:port``, its name resolved. Raises ``UsageError``."""
    if text is None:
        return None
    import socket

    host, port = (text, 3478)
    if text.rpartition(":")[2].isdecimal() and (text.count(":") == 1 or text.startswith("[")):
        host, port = text.rpartition(":")[0], int(text.rpartition(":")[2])
    families = {4: socket.AF_INET, 6: socket.AF_INET6, None: socket.AF_UNSPEC}
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, families[family], socket.SOCK_DGRAM)
    except (OSError, UnicodeError, OverflowError):
        raise UsageError(f"--stun {text[:80]!r} is not HOST or HOST:PORT, or the name is not known.") from None
    return str(Endpoint(parse_host(str(found[0][4][0])), port))


def _own(source: str | None) -> str | None:
    """An address of this machine, or ``UsageError``: a mistyped one would look like a network without a way out."""
    import socket

    if source is not None:
        try:
            with socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind((source, 0))
        except OSError:
            raise UsageError(f"--source {source}: this machine has no such address.") from None
    return source


def _ca(name: str | None) -> str | None:
    """A file that holds certificates, or ``UsageError``: better now than in the middle."""
    if name is None:
        return None
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(name)
    except ssl.SSLError:
        raise UsageError(f"--ca {name}: holds no certificate in PEM form (-----BEGIN CERTIFICATE-----).") from None
    except OSError as error:
        raise UsageError(f"--ca {name}: cannot be read ({error.strerror or error}).") from None
    return name
