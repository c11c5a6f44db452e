"""A DNS server made of a few lines of text."""

from collections.abc import Iterable

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from edgecheck.wire.address import Endpoint
from tests.fakes.peers import Reply


class Zone:
    """A DNS server's data: lines ``name [ttl] type data``, and ``name RCODE`` (``SERVFAIL``, ``SILENT``...) for a name that fails."""

    def __init__(self, text: str) -> None:
        self._sets: dict[tuple[str, str], list[str]] = {}
        self._codes: dict[str, str] = {}
        for line in filter(None, (line.strip() for line in text.splitlines())):
            name, kind, *data = line.split(None, 2)
            if data:
                self._sets.setdefault((name.lower(), kind), []).append(data[0])
            else:
                self._codes[name.lower()] = kind

    def addresses(self, name: str, kind: str) -> list[str]:
        alias = self._sets.get((name.lower(), "CNAME"))
        return self.addresses(alias[0].rstrip("."), kind) if alias else self._sets.get((name.lower(), kind), [])

    def answer(self, data: bytes, source: Endpoint) -> Iterable[Reply]:
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query, recursion_available=True)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        code = self._codes.get(name)
        if code == "SILENT":
            return
        if code is not None:
            reply.set_rcode(dns.rcode.from_text(code))
        else:
            self._fill(reply, name, dns.rdatatype.to_text(question.rdtype))
        yield Reply(reply.to_wire())

    def _fill(self, reply: dns.message.Message, name: str, kind: str) -> None:
        alias = self._sets.get((name, "CNAME"))
        if alias and kind != "CNAME":
            reply.answer.append(dns.rrset.from_text(f"{name}.", 300, "IN", "CNAME", alias[0]))
            self._fill(reply, alias[0].rstrip(".").lower(), kind)
            return
        found = self._sets.get((name, kind))
        if found:
            reply.answer.append(dns.rrset.from_text(f"{name}.", 300, "IN", kind, *found))
        elif not any(known == name or known.endswith(f".{name}") for known, _ in self._sets):
            reply.set_rcode(dns.rcode.NXDOMAIN)
