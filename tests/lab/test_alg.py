"""Every ALG mutation does what its entry in the list says, and nothing to anything else (this needs no laboratory)."""

import re

import pytest

from tests.lab.alg import MUTATIONS, Edge, Fate, apply, split
from tests.lab.sip_samples import answer, request

HOST, PUBLIC, SERVER = "192.168.88.2", "203.0.113.1", "198.51.100.10"
EDGE = Edge(HOST, 5060, PUBLIC, 20001, SERVER, 5060)
INVITE = request("INVITE", HOST, 5060, SERVER, sdp=True)
REGISTER = request("REGISTER", HOST, 5060, SERVER)
ACK = request("ACK", HOST, 5060, SERVER)
SOURCE = (PUBLIC, 20001)
OK = answer(INVITE, "200 OK", SOURCE, SERVER, sdp=True)
GRANTED = answer(REGISTER, "200 OK", SOURCE, SERVER, expires=3600)
CHALLENGE = answer(REGISTER, "401 Unauthorized", SOURCE, SERVER)
TRYING = answer(INVITE, "100 Trying", SOURCE, SERVER)
CALL = (
    f"OPTIONS sip:me@{PUBLIC}:20001 SIP/2.0\r\nVia: SIP/2.0/UDP {SERVER}:5060;branch=z9hG4bKs\r\n"
    f"To: <sip:me@{PUBLIC}:20001>\r\nContent-Length: 0\r\n\r\n"
).encode()

# id -> (message, text that went, text that came in its place); an empty "came" = only gone
REPLACED = [
    ("R1-again", ACK, f"Via: SIP/2.0/UDP {HOST}:5060", f"Via: SIP/2.0/UDP {PUBLIC}:20001"),
    ("R1", INVITE, f"Via: SIP/2.0/UDP {HOST}:5060", f"Via: SIP/2.0/UDP {PUBLIC}:20001"),
    (
        "R2",
        INVITE,
        "Max-Forwards: 70",
        f"Max-Forwards: 69\r\n|Via: SIP/2.0/UDP {PUBLIC}:20001;branch=z9hG4bKalg1\r\nVia: SIP/2.0/UDP {HOST}:5060",
    ),
    ("R3", INVITE, "branch=z9hG4bKabc", "branch=alg-7"),
    ("R4", INVITE, ";rport", ""),
    ("R4-filled", INVITE, ";rport\r\n", f";rport=20001;received={PUBLIC}\r\n"),
    ("R5", INVITE, f"sip:me@{HOST}:5060>", f"sip:me@{PUBLIC}:20001>"),
    ("R5-port", INVITE, f"sip:me@{HOST}:5060>", f"sip:me@{HOST}>"),
    ("R5-parameters", INVITE, ";expires=3600", ""),
    ("R6", INVITE, f"From: <sip:me@{SERVER}>", f"From: <sip:me@{PUBLIC}>|INVITE sip:echo@{SERVER}:5999 SIP/2.0"),
    ("R7", INVITE, f"Call-ID: 77@{HOST}", f"Call-ID: 77@{PUBLIC}"),
    ("R8", INVITE, ";tag=one", ";tag=alg|CSeq: 101 INVITE"),
    ("R9", INVITE, "", f"Record-Route: <sip:{PUBLIC};lr>"),
    ("R9-hidden", INVITE, "User-Agent: phone", ""),
    ("R10", INVITE, f"c=IN IP4 {HOST}", f"c=IN IP4 {PUBLIC}|o=- 1 1 IN IP4 {PUBLIC}|a=rtcp:40001 IN IP4 {HOST}"),
    ("R10-origin", INVITE, f"o=- 1 1 IN IP4 {HOST}", f"o=- 1 1 IN IP4 {PUBLIC}|c=IN IP4 {HOST}"),
    ("R11", INVITE, "m=audio 40000", "m=audio 40002"),
    ("R11-zero", INVITE, "m=audio 40000", "m=audio 0"),
    ("R12", INVITE, "a=rtcp:", ""),
    ("R13", INVITE, f"c=IN IP4 {HOST}", f"c=IN IP4 {PUBLIC}|Content-Length: {len(split(INVITE)[1])}\r\n"),
    ("R13-padded", INVITE, "Content-Length: ", "Content-Length:   "),
    ("R13-missing", INVITE, "Content-Length:", ""),
    ("R13-cut", INVITE, "PCMU/8000\r\n", ""),
    ("R14", INVITE, "application/sdp", "text/plain"),
    ("R15", INVITE, "\r\nk: path", "\r\nSupported: path|max-forwards: 70"),
    ("R15-order", INVITE, "CSeq: 1 INVITE\r\nk:", "CSeq: 1 INVITE\r\n\r\n"),
    ("A1", OK, f"received={PUBLIC};rport=20001", f"received={HOST};rport=5060"),
    ("A2", GRANTED, f"Contact: <sip:me@{PUBLIC}:20001>", f"Contact: <sip:me@{HOST}:5060>"),
    ("A2", CALL, f"OPTIONS sip:me@{PUBLIC}:20001", f"OPTIONS sip:me@{HOST}:5060|To: <sip:me@{HOST}:5060>"),
    ("A2-contact", OK, f"Contact: <sip:echo@{SERVER}>", f"Contact: <sip:echo@{PUBLIC}>"),
    ("A3", OK, f"c=IN IP4 {SERVER}", f"c=IN IP4 {PUBLIC}"),
    ("A4", GRANTED, "expires=3600", "expires=60|Expires: 60"),
    ("A5", OK, "200 OK", "403 Forbidden"),
    (
        "A9",
        CALL[:-4].replace(b"Length: 0", b"Length: 13") + b"\r\n\r\n" + PUBLIC.encode() + b"\r\n",
        f"\r\n\r\n{PUBLIC}",
        f"\r\n\r\n{HOST}",
    ),
]
# id -> (message, what goes on, the status that goes back)
FATES = [
    ("R16", INVITE, 0, ""),
    ("R16", REGISTER, 1, ""),
    ("R16-all", REGISTER, 0, ""),
    ("R17", b"\xedECK no sip", 0, ""),
    ("R17", INVITE, 1, ""),
    ("R18", b"x" * 1473, 0, ""),
    ("R18", b"x" * 1472, 1, ""),
    ("R21", REGISTER, 0, "200 OK"),
    ("R23", INVITE, 2, ""),
    ("R23-absorbed", INVITE, 1, "100 Trying"),
    ("A5-busy", INVITE, 0, "486 Busy Here"),
    ("A7", CHALLENGE, 0, ""),
    ("A7", OK, 1, ""),
    ("A7-provisional", TRYING, 0, ""),
    ("A8", CALL, 0, ""),
    ("A8", OK, 1, ""),
    ("A10", ACK, 0, ""),
    ("A10", INVITE, 1, ""),
]
_OTHERWISE = {"R19", "R22", "A6"}
"""What these do is no change of bytes: ``test_marks`` has them."""


def run(name: str, data: bytes) -> Fate:
    if name == "R1-again":
        apply((name,), "out", data, EDGE)  # the first copy
    return apply((name,), MUTATIONS[name].direction, data, EDGE)


@pytest.mark.parametrize(("name", "message", "gone", "come"), REPLACED, ids=[f"{row[0]}-{index}" for index, row in enumerate(REPLACED)])
def test_rewriting(name: str, message: bytes, gone: str, come: str) -> None:
    (changed,) = run(name, message).forward
    assert gone.encode() in message
    assert changed != message
    for text in filter(None, come.split("|")):
        assert text.encode() in changed, changed.decode()
        assert text.encode() not in message or text.startswith(("a=rtcp", "c=", "Content-Length"))
    if not come:
        assert gone.encode() not in changed
    declared = re.search(rb"^Content-Length: +([0-9]+)\r\n", changed, re.MULTILINE)
    if name != "R13-missing":
        assert declared is not None
        assert (int(declared[1]) == len(split(changed)[1])) == (name not in ("R13", "R13-cut"))


@pytest.mark.parametrize(("name", "message", "on", "back"), FATES, ids=[f"{row[0]}-{index}" for index, row in enumerate(FATES)])
def test_dropping_and_answering(name: str, message: bytes, on: int, back: str) -> None:
    fate = run(name, message)
    assert fate.forward == (message,) * on
    assert [data.split(b"\r\n")[0].decode() for data in fate.back] == ([f"SIP/2.0 {back}"] if back else [])


def test_marks() -> None:
    assert run("R19", INVITE) == Fate((INVITE,), kind="sip")
    assert run("R22", INVITE) == Fate((INVITE,), ttl=64, tos=0)
    assert run("A6", OK) == Fate((OK,), remote_port=5099)
    assert run("A6", CALL) == Fate((CALL,))


def test_every_mutation_is_tried() -> None:
    assert {row[0] for row in REPLACED} | {row[0] for row in FATES} | _OTHERWISE == set(MUTATIONS)


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_other_traffic_is_left_alone(name: str) -> None:
    """STUN and our own probes pass unless the mutation is about them."""
    stun = bytes.fromhex("000100002112a442") + bytes(12)
    assert run(name, stun).forward == (() if name == "R17" else (stun,))
