"""The proof that goes with a finding: what was sent, what both ends saw, and what tells the cause."""

from edgecheck.checks.port_forwarding.held_words import asked
from edgecheck.checks.port_forwarding.observation import ForwardingObservation, PortRow
from edgecheck.checks.port_forwarding.unheard_words import proof


def evidence(seen: ForwardingObservation, rows: list[PortRow]) -> tuple[str, ...]:
    sent = "connection attempts" if rows[0].transport == "tcp" else "probes"
    if rows[0].unused:
        return ()
    if rows[0].asked:
        told = (line for row in rows[:12] for line in asked(row, seen.prober, seen.probed_address))
        return (*told, *_about_the_causes(seen, rows))
    out = [
        f"{row.transport.upper()} {row.port}: {row.copies} {sent} from {seen.prober} to {seen.probed_address}:{row.port}, "
        + (f"{row.arrived} arrived" if row.transport == "udp" else f"{'one' if row.arrived else 'none'} answered with the nonce")
        + (f" ({row.reason})" if row.reason else "")
        for row in rows[:24]
    ]
    canaries = seen.udp if rows[0].transport == "udp" else seen.tcp
    if canaries.control_sent:
        out.append(f"control from the contacted address: {canaries.control_arrived} of {canaries.control_sent} arrived")
    if canaries.bare:
        out.append(f"ports that no rule should name: {canaries.bare_reached} of {canaries.bare} were reached from {seen.prober}")
    if canaries.mapped_reached is not None:
        out.append(f"a used port was {'reached' if canaries.mapped_reached else 'not reached'} from {seen.prober}")
    if seen.alternate_contacted_s is not None:
        out.append(f"{seen.prober} had been contacted from here {seen.alternate_contacted_s:.0f} s before")
    if seen.alternate_answers is not None:
        out.append(f"contacted afterwards over UDP, {seen.prober} " + ("answered" if seen.alternate_answers else "did not answer"))
    if seen.alternate_connects is not None:
        out.append(f"contacted afterwards over TCP, {seen.prober} " + ("answered" if seen.alternate_connects else "did not answer"))
    return (*out, *_about_the_causes(seen, rows))


def _about_the_causes(seen: ForwardingObservation, rows: list[PortRow]) -> list[str]:
    out = []
    for row in rows[:24]:
        name = f"{row.transport.upper()} {row.port}"
        out += [f"{name}: {words}" for words in _of_port(seen, row)]
    path = seen.path
    if path is None or not any(row.state in ("blocked", "refused") or row.passed_on is not None for row in rows):
        return out
    if path.owner_hop is not None:
        out.append(f"{seen.probed_address} belongs to {f'hop {path.owner_hop}' if path.owner_hop else 'this machine'}, counted from here")
    if path.behind_owner is not None:
        hops = "one hop" if path.behind_owner == 1 else f"{path.behind_owner} hops"
        out.append(f"from {seen.probed_address} it is {hops} to this machine, counted from outside")
    if path.told_of_expiry:
        out.append(f"{seen.probed_address} told of packets to an open port of this machine that expired there")
    if path.canary is not None:
        out.append(f"UDP ports that no rule names: {path.canary}")
    if path.canary_passed_on is not None:
        out.append(f"a UDP port that no rule names {'is led on, too' if path.canary_passed_on else 'is not led on'}")
    if path.canary_tcp:
        out.append(f"a connection to a TCP port that no rule names: {path.canary_tcp}")
    return out


def _of_port(seen: ForwardingObservation, row: PortRow) -> list[str]:
    out = proof(row, seen.local_address)
    if row.lands_on is not None:
        out.append(f"what was sent to it arrived at port {row.lands_on} of this machine")
    if row.icmp is not None and str(row.icmp) != row.reason:
        out.append(f"{row.icmp}, {'seconds later' if row.state == 'blocked' else 'at once'}")
    if row.state == "answered" and row.transport == "udp" and not row.asked:
        out.append(f"asked by SIP OPTIONS from {seen.prober}, somebody answered: {row.answered_by}")
    if row.answered_before is not None:
        whom = "before that" if row.answered_before else "there, and not one hop before"
        out.append(f"a connection that may live no farther than {seen.probed_address} is accepted {whom}")
    if row.passed_on is not None:
        nowhere = f"did not expire there: what {seen.prober} sends is led on to no machine"
        led_on = "expired there: it is led on to some machine" if row.passed_on else nowhere
        out.append(f"a packet that may live as far as {seen.probed_address} {led_on}")
    if row.refused_by_box is not None:
        out.append(f"by its TTL the refusal was made {'as far off as' if row.refused_by_box else 'right behind'} {seen.probed_address}")
        if not row.refused_by_box and row.state == "refused":
            out.append("a transparent filter between, that refuses in this machine's name, would look the same")
    if row.reset_before is not None:
        whom = "before that" if row.reset_before else "there, or one hop before"
        out.append(f"a connection that may live no farther than {seen.probed_address} is reset {whom}")
    if row.here is not None:
        said = {
            "dropped": f"counted {'each question' if row.asked else 'a burst'} to it as received and not delivered",
            "nobody-listens": "counted a burst to it as coming where nobody listens",
            "reverse-path": "counted a burst to it as dropped by its check of senders (IPReversePathFilter)",
            "led-on": "counted a burst to it as led on to somebody else",
            "taken": "counted a burst to it as read by a program, and none of it came to the port itself",
            "undropped": "counted nothing of it as dropped; whether another program took it did not show",
            "nothing": "counted nothing of it",
        }[row.here]
        out.append(f"this machine's system {said}")
    if row.punched:
        out.append(f"it arrived once {seen.probed_address} alone had seen this machine send from it: nothing beyond holds it up")
    if row.mapping is not None:
        said = f" ({row.mapping.description})" if row.mapping.description else ""
        out.append(f"the router lists a UPnP mapping for it to {row.mapping.internal_host}:{row.mapping.internal_port}{said}")
    return out
