"""``edgecheck-server``, ``python -m echo_server``: options in, a running server out."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from echo_server.control.shared import ReportsUnavailable
from echo_server.desk.commands import commands
from echo_server.settings import local_addresses
from echo_server.settings.config import REACH_PORTS, Config, ConfigError, StartError
from echo_server.settings.state import state_directory
from edgecheck import __version__
from edgecheck.wire import ports
from edgecheck.wire.errors import WireError

_MOST_REACH = 16
_USAGE = 64
"""Exit status of a command line that is wrong, as everywhere in edgecheck."""

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(commands, name="reports")


@app.callback(invoke_without_command=True, help="The echo server of edgecheck: run it outside, best on a host with two public addresses.")
def serve(
    context: typer.Context,
    address: Annotated[list[str] | None, typer.Option(metavar="IP", help="Primary address; once for IPv4, once for IPv6.")] = None,
    alternate: Annotated[list[str] | None, typer.Option(metavar="IP", help="Alternate address; once a family.")] = None,
    public_address: Annotated[
        list[str] | None, typer.Option(metavar="IP", help="What clients reach --address by, where it is translated 1:1.")
    ] = None,
    public_alternate: Annotated[list[str] | None, typer.Option(metavar="IP", help="The same for --alternate.")] = None,
    control_port: Annotated[int, typer.Option(metavar="N", help="TLS control channel and web page.")] = 8443,
    stun_port: Annotated[int, typer.Option(metavar="N", help="STUN over UDP and TCP.")] = 3478,
    alternate_stun_port: Annotated[int, typer.Option(metavar="N")] = 3479,
    sip_port: Annotated[int, typer.Option(metavar="N", help="SIP mirror over UDP and TCP.")] = 5060,
    alternate_sip_port: Annotated[int, typer.Option(metavar="N", help="SIP mirror: the control experiment.")] = 5080,
    sips_port: Annotated[int, typer.Option(metavar="N", help="SIP mirror over TLS.")] = 5061,
    media_ports: Annotated[str, typer.Option(metavar="LO-HI", help="RTP range that a session may ask to have opened.")] = "10000-20000",
    reach_ports: Annotated[
        str, typer.Option(metavar="LIST", help="Further ports that only answer, for the outbound check, where they can be had; none = off.")
    ] = ",".join(str(port) for port in REACH_PORTS),
    token: Annotated[
        str | None, typer.Option(metavar="T", envvar="EDGECHECK_TOKEN", help="The shared secret; made at first start when not given.")
    ] = None,
    open_to_all: Annotated[bool, typer.Option("--open", help="No token: a public server, with tighter limits.")] = False,
    certificate: Annotated[Path | None, typer.Option(metavar="F", help="Own certificate (PEM); needs --key.")] = None,
    key: Annotated[Path | None, typer.Option(metavar="F")] = None,
    state_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="Where token and certificate are kept.")] = None,
    reports: Annotated[
        str | None,
        typer.Option(
            metavar="URL", envvar="EDGECHECK_REPORTS",
            help="Where reports that clients share are kept: postgresql://..., sqlite:///..., or none (default: SQLite in --state-dir; "
            "none with --open).",
        ),
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    if version:
        print(__version__)
        return
    numbers = {
        "--control-port": control_port,
        "--stun-port": stun_port,
        "--alternate-stun-port": alternate_stun_port,
        "--sip-port": sip_port,
        "--alternate-sip-port": alternate_sip_port,
        "--sips-port": sips_port,
    }
    _check_ports(numbers)
    addresses = local_addresses.given(address or (), alternate or (), public_address or (), public_alternate or ())
    if not addresses:
        addresses = local_addresses.choose(local_addresses.local_addresses())
    if not addresses:
        raise StartError("This machine has no IP address to serve on.")
    if open_to_all and token:
        raise ConfigError("--open and a token exclude each other.")
    if (certificate is None) != (key is None):
        raise ConfigError("--certificate and --key belong together.")
    config = Config(
        addresses=addresses,
        control_port=control_port,
        stun_port=stun_port,
        alternate_stun_port=alternate_stun_port,
        sip_port=sip_port,
        alternate_sip_port=alternate_sip_port,
        sips_port=sips_port,
        media_ports=_media_range(media_ports),
        reach_ports=_reach_ports(reach_ports),
    )
    config, notes = _with_secrets(config, token, open_to_all, certificate, key, state_dir)
    if reports != "none" and (reports is not None or not open_to_all):
        config, more = _with_reports(config, reports, state_dir or state_directory())
        notes = (*more, *notes)
    _run(config, notes)


def _run(config: Config, notes: tuple[str, ...]) -> None:
    from echo_server import running

    running.run(config, lambda line: print(line, flush=True), notes)


def _check_ports(numbers: dict[str, int]) -> None:
    for name, number in numbers.items():
        if not 0 <= number <= 65535:
            raise ConfigError(f"{name} {number} is not a port (0 to 65535).")
    seen: dict[int, str] = {}
    for name, number in numbers.items():
        if number and number in seen:
            raise ConfigError(f"{name} and {seen[number]} are both {number}: each needs a port of its own.")
        seen[number] = name


def _media_range(text: str) -> tuple[int, int]:
    try:
        ranges = ports.parse(text)
    except WireError as error:
        raise ConfigError(f"--media-ports: {error}.") from error
    if len(ranges) != 1:
        raise ConfigError("--media-ports takes one range, LO-HI.")
    return ranges[0]


def _reach_ports(text: str) -> tuple[int, ...]:
    if text.strip() in ("", "none"):
        return ()
    try:
        numbers = tuple(ports.expand(ports.parse(text)))
    except WireError as error:
        raise ConfigError(f"--reach-ports: {error}.") from error
    if len(numbers) > _MOST_REACH:
        raise ConfigError(f"--reach-ports takes {_MOST_REACH} ports at most.")
    return numbers


def _with_secrets(
    config: Config, token: str | None, open_to_all: bool, certificate: Path | None, key: Path | None, state_dir: Path | None
) -> tuple[Config, tuple[str, ...]]:
    """The config with token, certificate and key, made and kept where need be; and what to tell about them."""
    from echo_server.settings import tokens

    if token is not None and not tokens.is_token(token):
        raise ConfigError(f"A token has {tokens.SHORTEST} or more printable characters, without spaces, @ and /.")
    made = []
    directory = state_dir or state_directory()
    if (not open_to_all and token is None) or certificate is None:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if certificate is None or key is None:
                from echo_server.settings.certificate import keep_certificate

                hosts = [host for one in config.addresses for host in (one.public_primary, one.public_alternate) if host]
                certificate, key, new = keep_certificate(directory, hosts)
                made += ["Certificate made (self-signed, kept)"] if new else []
            if not open_to_all and token is None:
                token, new = tokens.kept_token(directory)
                made += ["token made (kept)"] if new else []
        except OSError as error:
            raise StartError(
                f"{directory} cannot be used to keep token and certificate: {error.strerror}; name another with --state-dir."
            ) from error
    hint = "On the machine to be checked, run edgecheck with this:\n"
    said = f"{'; '.join(made)}. {hint}" if made else hint
    if open_to_all:
        said = f"Open to all: whoever reaches this server may use it, within tighter limits. {said}"
    assert certificate is not None
    assert key is not None
    return config._replace(token=token or "", certificate=certificate, key=key), (said,)


def _with_reports(config: Config, url: str | None, directory: Path) -> tuple[Config, tuple[str, ...]]:
    """The config with the store for reports and the admin's own token, made and kept where need be."""
    from echo_server.desk.store import default_url
    from echo_server.settings import tokens

    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        token, new = tokens.kept_token(directory, "admin-token")
    except OSError as error:
        words = f"{directory} cannot be used to keep the admin's token: {error.strerror}; name another with --state-dir."
        raise StartError(words) from error
    file = directory / "admin-token"
    notes = (f"Reports that clients share are shown at /reports; the admin's token for it was made in {file}.",) if new else ()
    return config._replace(reports=url or default_url(directory), admin_token=token), notes


def main() -> None:
    """The console script. Ends with 0, 1 (it could not start) or 64 (the command line is wrong)."""
    # Which class this is depends on whether typer brings its own click; every usage error derives from it.
    command_line_wrong = typer.BadParameter.__mro__[1]
    try:
        app(standalone_mode=False)
    except ConfigError as error:
        _end(f"{error} (edgecheck-server --help)", _USAGE)
    except (StartError, ReportsUnavailable) as error:
        _end(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(0)
    except Exception as error:
        if not isinstance(error, command_line_wrong):
            raise
        _end(f"{error.format_message().rstrip('.')}. (edgecheck-server --help)", _USAGE)  # type: ignore[attr-defined]


def _end(sentence: str, status: int) -> None:
    print(sentence, file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
