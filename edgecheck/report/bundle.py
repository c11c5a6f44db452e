"""The escalation bundle: what a provider's support asks for, in one file.

Everything in it is safe to send: answers to challenges are masked wherever they stand (whoever has one can try passwords at leisure),
and the password itself is in nothing that edgecheck keeps.
"""

import datetime
import io
import zipfile
from collections.abc import Iterator, Sequence

from edgecheck.model.account import Account
from edgecheck.model.phone import Packet
from edgecheck.model.verdict import Report
from edgecheck.report import json, ticket
from edgecheck.report.text import safe
from edgecheck.wire import capture, digest, sip, stun
from edgecheck.wire.errors import WireError

_README = """What is in this file

ticket.txt       what is wrong, with the proof, and what was tried: to be pasted into a support ticket
environment.txt  this machine, the account, the addresses; please fill in what is left open
timeline.txt     every packet that was sent or received, one line each
messages.txt     every SIP message in full
traffic.pcap     the same for Wireshark and sngrep; the frames around the payloads are made up, addresses, ports and times are true
report.json      everything, for edgecheck explain report.json

Answers to challenges are masked (response="(masked)"); the password is nowhere in here. Names, addresses and numbers are as they are.
Of encrypted connections the text before encryption is shown: in Wireshark, Decode As > SIP.
"""


def render(report: Report, account: Account, traffic: Sequence[Packet]) -> bytes:
    """The whole ZIP file."""
    shown = [_masked(packet) for packet in traffic]
    files = {
        "README.txt": _README.encode(),
        "ticket.txt": ticket.render_text(report).encode(),
        "environment.txt": "".join(f"{line}\n" for line in _environment(report, account, shown)).encode(),
        "timeline.txt": "".join(f"{line}\n" for line in _timeline(shown)).encode(),
        "messages.txt": "".join(_messages(shown)).encode(),
        "traffic.pcap": capture.serialize(map(_segment, shown)),
        "report.json": json.render(report),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            # A fixed time in the past would be a lie, the run's own is known.
            moment = datetime.datetime.fromisoformat(report.started_at).timetuple()[:6]
            archive.writestr(zipfile.ZipInfo(name, (max(1980, moment[0]), *moment[1:])), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _masked(packet: Packet) -> Packet:
    if b"espon" not in packet.data and b"ESPON" not in packet.data and b"rspauth" not in packet.data.lower():
        return packet
    # Latin-1 is one character a byte: what is not text stays as it is.
    data = digest.masked(packet.data.decode("latin-1")).encode("latin-1")
    return Packet(
        at=packet.at,
        direction=packet.direction,
        protocol=packet.protocol,
        local=packet.local,
        remote=packet.remote,
        data=data,
        encrypted=packet.encrypted,
    )


def _segment(packet: Packet) -> capture.Segment:
    out = packet.direction == "out"
    ends = (packet.local, packet.remote) if out else (packet.remote, packet.local)
    return capture.Segment(packet.at, packet.protocol, *ends, packet.data, out)


def _moment(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"


def _way(packet: Packet) -> str:
    arrow = "->" if packet.direction == "out" else "<-"
    return f"{packet.protocol.upper()}{' encrypted' if packet.encrypted else ''} {packet.local} {arrow} {packet.remote}"


def _timeline(traffic: Sequence[Packet]) -> Iterator[str]:
    began = traffic[0].at if traffic else 0.0
    yield f"begun {_moment(began)}" if traffic else "nothing was sent"
    for packet in traffic:
        yield f"{packet.at - began:+9.3f} s  {_way(packet)}  {safe(_gist(packet))}"


def _gist(packet: Packet) -> str:
    try:
        message = sip.parse_datagram(packet.data)
    except WireError:
        return f"{len(packet.data)} bytes" + _known(packet)
    sequence = message.get("CSeq") or ""
    proof = ", with credentials" if message.get("Authorization") or message.get("Proxy-Authorization") else ""
    return f"{message.start_line[:120]} (CSeq {sequence[:40]}, Call-ID {(message.get('Call-ID') or '')[:60]}{proof})"


def _known(packet: Packet) -> str:
    """What it is, where it is no SIP."""
    if packet.remote.port == 53:
        return ", DNS"
    if not packet.data.strip(b"\r\n"):
        return ", keep-alive (CRLF)"
    return ", STUN" if stun.is_stun(packet.data) else ""


def _messages(traffic: Sequence[Packet]) -> Iterator[str]:
    for packet in traffic:
        try:
            sip.parse_datagram(packet.data)
        except WireError:
            continue
        text = packet.data.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
        lines = "\n".join(safe(line) for line in text.split("\n"))
        yield f"--- {_moment(packet.at)}  {_way(packet)}\n{lines.rstrip()}\n\n"


def _environment(report: Report, account: Account, traffic: Sequence[Packet]) -> Iterator[str]:
    client = report.client
    seen = next((check.observation for check in report.checks if check.id == "registration" and check.observation), {}) or {}
    attempts = seen.get("attempts") or [{}]
    last = attempts[-1] if isinstance(attempts[-1], dict) else {}
    given = {
        "Account": account.aor,
        "Authentication user": account.auth_user or f"{account.digest_user} (not given apart)",
        "Outbound proxy": account.proxy.uri if account.proxy else "none",
        "DNS server": account.resolver or "this machine's own",
        "Server": f"{str(last.get('transport', '')).upper()} {last.get('target', '')}".strip() or "none was reached",
        "Server calls itself": next((str(each["server"]) for each in attempts if isinstance(each, dict) and each.get("server")), "nothing"),
        "Local address": seen.get("local") or client.source or "unknown",
        "Public address": seen.get("seen_as") or "the server did not say",
        "Call-IDs": ", ".join(_call_ids(traffic)) or "none",
        "Device": f"{client.platform or 'unknown'} (edgecheck runs here; the phone's make and firmware: ________)",
        "Interfaces": ", ".join(str(each.get("name", "")) for each in client.interfaces) or "unknown",
        "Gateway": client.gateway or "unknown",
        "Network (cable, Wi-Fi, mobile; VPN?)": "________",
        "Program": f"edgecheck {report.tool.version}",
        "Time": f"{report.started_at}, for {report.duration_s:.1f} s",
        "Does it work from another network?": "________",
        "Recent changes (router, provider, address, certificate)": "________",
    }
    width = max(map(len, given))
    yield from (f"{name.ljust(width)}  {safe(str(value))}" for name, value in given.items())


def _call_ids(traffic: Sequence[Packet]) -> list[str]:
    """Of the registration first: that is what a provider looks for in its log."""
    found: dict[str, bool] = {}
    for packet in traffic:
        if packet.direction == "out":
            try:
                message = sip.parse_datagram(packet.data)
            except WireError:
                continue
            name = (message.get("Call-ID") or "")[:80]
            found[name] = found.get(name, False) or message.method == "REGISTER"
    return sorted(found, key=lambda name: not found[name])[:5]
