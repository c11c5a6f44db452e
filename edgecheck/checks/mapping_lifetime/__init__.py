"""How long does an idle mapping live? (RFC 4787 section 4.3)

One pass instead of a search: many sockets are opened together, each is left idle for its own time and is then sent to by the server, once.
The whole takes as long as the longest time, and ends sooner where two times in a row were proved too long. Three kinds of flow:

- ``packet``: one question and its answer, as a phone's REGISTER. The shortest-lived of all, and the one a keep-alive must be made for;
- ``stream``: two-way traffic over some seconds, as a call or an account with keep-alives. Linux, and so most home routers, keeps it longer;
- ``inbound``: one exchange, then packets from outside every few seconds, none from here: do they keep the mapping alive?

What proves an answer, and what could make it a lie, stands in ``flows``; what follows from the answers in ``bounds`` and ``judge``.
"""

from edgecheck.checks.mapping_lifetime.judge import judge, known, summarize
from edgecheck.checks.mapping_lifetime.observation import LifetimeObservation
from edgecheck.checks.mapping_lifetime.probe import probe_network
from edgecheck.model.check import Check

CHECK = Check(
    id="mapping-lifetime",
    question="How long does an idle mapping live?",
    observation=LifetimeObservation,
    needs=frozenset(),
    probe=probe_network,
    judge=judge,
    summarize=summarize,
    lengthy=True,
    known=known,
    stands=frozenset({"very-short", "short", "long-enough", "sip-longer", "sip-shorter", "tcp-short", "tcp-long-enough"}),
)
