"""A SIPp for each oddity that a registrar seldom shows: late, endless, wrongly tagged or misdirected answers to REGISTER.

Each has an address of its own at the server, port 5060, so that a SIP ALG on the way treats it like any registrar. OPTIONS is answered
at once and by the book, and so is what no step is about. Where answers come from is altered behind SIPp, by the server's own kernel.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.lab.ground import LabError, Program
from tests.lab.topology import Topology
from tests.waiting import wait_until

_NETWORK, _FIRST = "198.51.100", 101
_FORBIDDEN = "403 From SIPp"
ELSEWHERE_PORT = 5199
ELSEWHERE = f"{_NETWORK}.{_FIRST - 2}"
"""An address of the server's that nobody asks."""
_PATIENT = ("-pause_msg_ign", "-default_behaviors", "all,-abortunexp")
"""What comes while a step is under way is left to its next copy."""
_SCENARIO = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE scenario SYSTEM "sipp.dtd">
<scenario name="oddity">
  <label id="1"/>
  <recv request="REGISTER|OPTIONS" regexp_match="true" next="2" test="asked"><action>
    <ereg regexp="OPTIONS" search_in="hdr" header="CSeq:" assign_to="asked"/>
    <ereg regexp="Digest" search_in="hdr" header="Authorization:" assign_to="proof"/>
    <ereg regexp="SIP/2.0/UDP [^;]*" search_in="hdr" header="Via:" assign_to="via"/>
  </action></recv>
{steps}  <nop next="1"/>
  <label id="2"/>
{options}  <nop next="1"/>
  <Reference variables="proof,via"/>
</scenario>
"""


def say(status: str, *more: str, **instead: str) -> str:
    """A step: this answer to what came last. ``instead``: whole header lines in the place of those that an answer repeats."""
    repeated = {name: instead.get(name, f"[last_{header}:]") for name, header in _REPEATED.items()}
    to = f"{repeated.pop('to')};tag={instead.get('to_tag', 'sipp')}"
    lines = "\n".join((*repeated.values(), to, *more))
    return f"  <send><![CDATA[\nSIP/2.0 {status}\n{lines}\nContent-Length: 0\n\n]]></send>\n"


_REPEATED = {"via": "Via", "from_": "From", "to": "To", "call_id": "Call-ID", "cseq": "CSeq"}


def wait(seconds: float) -> str:
    """A step."""
    return f'  <pause milliseconds="{seconds * 1000:.0f}"/>\n'


def for_ever(*steps: str) -> str:
    """These steps again and again; what is asked meanwhile is not looked at."""
    return f'  <label id="3"/>\n{"".join(steps)}  <nop next="3"/>\n'


def registrar(*, late_s: float = 0.0, tags: Iterable[str] = ("sipp",)) -> str:
    """Steps: it asks for credentials, takes any, and lists the Contact it was sent; everything so much later, once for each tag."""
    tags = tuple(tags)
    challenges = "".join(say("401 From SIPp", f'WWW-Authenticate: Digest realm="sipp", nonce="{tag}", qop="auth"', to_tag=tag) for tag in tags)
    taken = "".join(say("200 From SIPp", "[last_Contact:]", to_tag=tag) for tag in tags)
    pause = wait(late_s) if late_s else ""
    return f'{pause}  <nop next="4" test="proof"/>\n{challenges}  <nop next="1"/>\n  <label id="4"/>\n{taken}'


@dataclass(frozen=True, kw_only=True)
class Oddity:
    """One of them, and what the check ``registration`` must find."""

    name: str
    steps: str
    expected: dict[str, str]
    behind_alg: dict[str, str] | None = None
    """Behind a NAT that lets in only whom it has called, with the kernel's SIP ALG on; None: the same."""
    source: str = ""
    """nftables: what becomes of the source of its answers."""
    slow: bool = False
    """Takes the whole of Timer F, 32 s."""


FINE = {"registered": "pass", "reach-untold": "skipped"}
REFUSED = {"forbidden": "fail"}
NOT_HEARD = {"no-response": "fail"}
"""An answer that a NAT drops is silence, and told as silence."""
ODDITIES: tuple[Oddity, ...] = (
    Oddity(name="100, and a final answer 3 s later", steps=say("100 Trying") + wait(3) + say(_FORBIDDEN), expected=REFUSED),
    Oddity(name="a final answer just before Timer F", steps=wait(30.5) + say(_FORBIDDEN), expected=REFUSED, slow=True),
    Oddity(name="a final answer just after Timer F", steps=wait(33) + say(_FORBIDDEN), expected={"answered-too-late": "fail"}, slow=True),
    Oddity(name="answers that cross the copies", steps=registrar(late_s=1.2), expected=FINE),
    Oddity(name="To tag changes from copy to copy", steps=registrar(tags=("a", "b", "c")), expected=FINE),
    Oddity(
        name="another From tag",
        steps=say(_FORBIDDEN, from_="From: <sip:alice@{address}>;tag=other"),
        expected=REFUSED | {"rewritten": "warn"},
    ),
    Oddity(name="another branch", steps=say(_FORBIDDEN, via="Via: [$via];branch=z9hG4bKother;rport"), expected={"answer-mismatched": "fail"}),
    Oddity(name="another Call-ID", steps=say(_FORBIDDEN, call_id="Call-ID: other"), expected=REFUSED | {"rewritten": "warn"}),
    Oddity(name="another number in CSeq", steps=say(_FORBIDDEN, cseq="CSeq: 4711 REGISTER"), expected=REFUSED | {"rewritten": "warn"}),
    Oddity(name="another method in CSeq", steps=say(_FORBIDDEN, cseq="CSeq: 1 INVITE"), expected={"answer-mismatched": "fail"}),
    Oddity(
        name="answers from another port",
        steps=say(_FORBIDDEN),
        expected=REFUSED | {"answered-from-elsewhere": "warn"},
        behind_alg=NOT_HEARD,
        source=f"udp sport set {ELSEWHERE_PORT}",
    ),
    Oddity(
        name="answers from another address",
        steps=say(_FORBIDDEN),
        expected=REFUSED | {"answered-from-elsewhere": "warn"},
        behind_alg=NOT_HEARD,
        source=f"ip saddr set {ELSEWHERE}",
    ),
    Oddity(name="garbage", steps="  <send><![CDATA[\n\x01\x02 no SIP at all [call_id]\n]]></send>\n", expected={"not-sip": "fail"}),
    Oddity(name="100 for ever, twice a second", steps=for_ever(say("100 Trying"), wait(0.5)), expected={"no-final-answer": "fail"}, slow=True),
    Oddity(name="100 for ever, in a flood", steps=for_ever(say("100 Trying"), wait(0.01)), expected={"no-final-answer": "fail"}),
    Oddity(
        name="401 for ever",
        steps=say("401 From SIPp", 'WWW-Authenticate: Digest realm="sipp", nonce="n", qop="auth"'),
        expected={"wrong-credentials": "fail"},
    ),
    Oddity(name="the same final answer for ever", steps=for_ever(say(_FORBIDDEN), wait(0.02)), expected=REFUSED),
)


def address(oddity: Oddity) -> str:
    """Where its SIPp answers."""
    return f"{_NETWORK}.{_FIRST + ODDITIES.index(oddity)}"


def start(topology: Topology, directory: Path, oddities: Iterable[Oddity]) -> list[Program]:
    """Start one for each at UDP 5060; returns when all listen."""
    oddities = tuple(oddities)
    directory.mkdir(parents=True, exist_ok=True)
    for each in (ELSEWHERE, *map(address, oddities)):
        topology.ground.shell(f"ip -n server addr add {each}/24 dev eth0")
    sources = "".join(f"udp sport 5060 ip saddr {address(each)} {each.source}\n" for each in oddities if each.source)
    if sources:
        chain = f"table ip odd {{ chain out {{ type filter hook postrouting priority 300;\n{sources}}}\n}}"
        topology.ground.shell(f"ip netns exec server nft -f - <<'END'\n{chain}\nEND")
    programs = []
    for number, each in enumerate(oddities):
        here = address(each)
        file = directory / f"{number}.xml"
        file.write_text(_SCENARIO.format(steps=each.steps.replace("{address}", here), options=say("200 OK")))
        options = ("-sf", str(file), "-i", here, "-bind_local", "-p", "5060", "-nostdin", *_PATIENT)
        programs.append(topology.ground.spawn("server", "sipp", *options))
    wanted = {address(each) for each in oddities}
    try:
        wait_until(lambda: wanted <= _listening(topology), f"sipp listens at {', '.join(sorted(wanted))}")
    except TimeoutError as error:
        raise LabError(f"{error}\n" + "\n".join(each.stderr[-1000:] for each in programs)) from None
    return programs


def _listening(topology: Topology) -> set[str]:
    said = topology.ground.run("server", "ss", "-lunH").stdout
    return {word.rpartition(":")[0] for line in said.splitlines() for word in line.split() if word.endswith(":5060")}
