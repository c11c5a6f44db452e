"""A SIPp that answers REGISTER and OPTIONS with the status code that is the user's name: ``sip:403@...`` meets 403."""

from collections.abc import Iterable
from pathlib import Path

from tests.lab import ready
from tests.lab.ground import Program
from tests.lab.topology import Topology

ADDRESS = "198.51.100.100"
"""Its own, at the server; port 5060."""
_HEAD = '''<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE scenario SYSTEM "sipp.dtd">
<scenario name="status">
  <label id="1"/>
'''
_SEND = """  <send condexec="is{code}"><![CDATA[
SIP/2.0 {code} From SIPp
[last_Via:]
[last_From:]
[last_To:];tag=sipp[call_number]
[last_Call-ID:]
[last_CSeq:]
{extra}Content-Length: 0

]]></send>
"""
_EXTRA = {
    302: "Contact: <sip:somewhere@198.51.100.10:5999>\n",
    420: "Unsupported: outbound\n",
    421: "Require: sec-agree\n",
    423: "Min-Expires: 60\n",
    503: "Retry-After: 90\n",
}


def start(topology: Topology, directory: Path, codes: Iterable[int]) -> Program:
    """Start it; returns when it answers."""
    codes = tuple(codes)
    directory.mkdir(parents=True, exist_ok=True)
    topology.ground.shell(f"ip -n server addr add {ADDRESS}/24 dev eth0")
    matches = "".join(f'    <ereg regexp="sip:{code}@" search_in="hdr" header="To:" assign_to="is{code}"/>\n' for code in codes)
    answers = "".join(_SEND.format(code=code, extra=_EXTRA.get(code, "")) for code in codes)
    file = directory / "status.xml"
    file.write_text(f'{_HEAD}  <recv request="REGISTER|OPTIONS" regexp_match="true"><action>\n{matches}  </action></recv>\n{answers}  <nop next="1"/>\n</scenario>\n')
    # What comes between an answer and the next step is left to its next copy.
    options = ("-i", ADDRESS, "-bind_local", "-p", "5060", "-nostdin", "-default_behaviors", "all,-abortunexp")
    program = topology.ground.spawn("server", "sipp", "-sf", str(file), *options)
    return ready.serves(topology.ground, program, "server", ready.End(ADDRESS, user=str(codes[0])))
