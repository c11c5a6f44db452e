"""What to do about what could not be told, or did not leave this machine: by what the finding says was in the way; else nothing."""

from edgecheck.diagnosis.facts import Facts
from edgecheck.diagnosis.words import join
from edgecheck.model.verdict import Finding

FIREWALLS = "ufw status, firewall-cmd --list-all, nft list ruleset, iptables-save; FreePBX: Connectivity > Firewall"
"""Where to look at a machine's own firewall."""


def nothing_reached(facts: Facts, finding: Finding) -> tuple[str, ...]:
    """Only somebody else who reaches these ports shows whose firewall it is; running it again from here would not."""
    if "no answer comes back" in finding.summary:
        return (
            f"See that answers from {finding.subject} of the server are let in again: in this machine's own firewall and this network's; "
            "and let out in the server's. Run this once from another network against the same server: where it is open, it is this side.",
        )
    if "nobody else is known" not in finding.summary:
        return ()
    return (
        f"Run this once from another network against the same server: if {finding.subject} is reached from there, it is this network "
        f"that does not let it out. Or look at the firewall in front of the server.{_meanwhile(facts)}",
    )


def nothing_through(facts: Facts, finding: Finding) -> tuple[str, ...]:
    """A SIP port through which nothing gets at all: running it again would tell no more; which firewall it is, ``outbound`` may."""
    if "nothing got through" not in finding.summary or not facts.untouched_ways():
        return ()
    if facts.having("outbound.undecided"):
        return ()  # it says the same, and more
    asked = any(result.id == "outbound" for result in facts.results)
    ask = "" if asked else f"Nothing gets through to {finding.subject} of the server: run outbound, which looks for who closes it."
    return (f"{ask}{_meanwhile(facts)}".strip(),)


def _meanwhile(facts: Facts) -> str:
    ways = facts.untouched_ways()
    return f" Meanwhile SIP can use {join(ways)}: it passed there." if ways else ""


def shut_out(facts: Facts, finding: Finding) -> tuple[str, ...]:
    """The prober was shut out for knocking: running it again slower, or at once, meets the same."""
    if "port scan protection" not in finding.summary:
        return ()
    known = [facts.server.address, facts.server.alternate] if facts.server else []
    whom = f" ({' and '.join(address for address in known if address)})" if known else ""
    limited = ("Look at the rule itself, too: one that names addresses from which it lets in must name these.",)
    return (
        f"Exempt the echo server{whom} from the port scan, flood or intrusion protection of the router or firewall, or switch that off for "
        "the time of the test; wait until it has forgotten (mostly some minutes), and run this again.",
        *(limited if "some addresses only" in finding.summary else ()),
    )


def untold_port(facts: Facts, finding: Finding) -> tuple[str, ...]:
    shut = shut_out(facts, finding)
    if shut:
        return shut
    if "its answers do not get back" in finding.summary:
        return (
            f"See by which line what answers {finding.subject} leaves: a router with several lines must answer on the one on which a "
            f"connection came. And look at what this machine's own firewall lets out ({FIREWALLS}).",
        )
    if "to a container or a virtual machine" in finding.summary:
        return (f"See which container of this machine publishes {finding.subject} (docker ps); run this check in it, or take that off.",)
    if "this machine's own firewall" in finding.summary:
        return (f"Look at this machine's own firewall for {finding.subject} ({FIREWALLS}), and run this again.",)
    if "run as an administrator" in finding.summary:
        return (f"Run port-forwarding once as an administrator (root), or with the service stopped: so it is told for {finding.subject}.",)
    return second_address(facts, finding)


def no_session(facts: Facts, finding: Finding) -> tuple[str, ...]:
    """What the sentence asks for, and nothing that does not fit it."""
    if "could not be resolved" in finding.summary:
        return ("Check the spelling of the server's name, and this machine's DNS.",)
    if "--source" in finding.summary:
        return ("Change --source, -4 or -6 so that they fit both this machine and the server.",)
    if "alternate address" in finding.summary:
        return ("Run again with the server's primary address.",)
    if "Log in to the network first" in finding.summary:
        return ("Open a browser on this network and log in, then run this again. Should there be no portal: check the server's address.",)
    port = finding.subject.rpartition(":")[2]
    if "had not come about" in finding.summary:  # ended by hand, before the reason showed
        return (f"Run it again and give it 20 s: it then says why. See that edgecheck-server runs there (TCP {port}).",)
    if "a connection opens" in finding.summary:
        return (
            f"See that it is edgecheck-server that listens on TCP {port} there. Then run this from another network, or with a smaller MTU "
            "(1280) on this machine's line: if that helps, long packets are lost on this one.",
        )
    return (f"Check that edgecheck-server runs there and that its control port (TCP {port}) is open in the firewall before it.",)


def second_address(facts: Facts, finding: Finding) -> tuple[str, ...]:
    if facts.server is None or facts.server.alternate is not None:
        return ()
    return ("Give the echo server a second public address (edgecheck-server --alternate IP): one address cannot tell the rest.",)


def let_out_here(facts: Facts, finding: Finding) -> tuple[str, ...]:
    """Asking again more slowly helps against loss, not against this machine's own firewall."""
    if "own system refuses to send" not in finding.summary:
        return ()
    return (f"In this machine's own firewall, let out {finding.subject} (look at: {FIREWALLS}), and run this again.",)
