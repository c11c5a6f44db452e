"""Ports that stayed silent, asked once more from new ports of this machine, beside open ones that are asked so, too.

A port that does not answer is a new flow with every copy, an open one is not: a router that lets out so many new flows or packets a second
(flood protection, a full table of connections, a shaped line) drops the one and passes the other, whatever the port. So silence counts only
beside new flows that came through.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

from edgecheck.checks.outbound.messages import Language
from edgecheck.checks.outbound.tally import UdpTally
from edgecheck.checks.unsolicited import margin
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.evidence import loss_is_excluded
from edgecheck.wire.address import Endpoint

ROUNDS, BATCHES = 9, 2
CONTROLS = 2
"""In each round."""
SPACING_S = 0.015


class NewFlows(NamedTuple):
    """What became of it."""

    copies: int = 0
    """To each port that stayed silent here, too."""
    control: int = 0
    """Answers from open ports ..."""
    control_copies: int = 0
    """... to so many."""

    @property
    def silence_proved(self) -> bool:
        """Whether what was lost of new flows at random no longer explains the silence."""
        return loss_is_excluded(self.control, self.control_copies, self.copies)


class Asked(NamedTuple):
    """One question from a port of its own."""

    socket: UdpSocket
    tally: UdpTally
    is_control: bool


async def ask_anew(
    net: Network, language: Language, silent: Sequence[UdpTally], alive: Sequence[UdpTally]
) -> tuple[NewFlows, list[Endpoint]]:
    """Ask them; the tallies of those that answer now say so. Also from where it was asked. Raises ``LocalFailure``."""
    dice, found, locals_ = random.Random(net.session), NewFlows(), list[Endpoint]()
    for batch in range(BATCHES):
        wanted = [tally for tally in silent if not tally.answered]
        if not wanted or found.silence_proved:
            break
        asked: list[Asked] = []
        try:
            for number in range(ROUNDS):
                turn = number + batch * ROUNDS
                controls = [alive[(turn * CONTROLS + each) % len(alive)] for each in range(CONTROLS)]
                order = [(tally, False) for tally in wanted] + [(tally, True) for tally in controls]
                dice.shuffle(order)
                for tally, is_control in order:
                    socket = await net.open_udp()
                    asked.append(Asked(socket, tally, is_control))
                    socket.send(language.question(tally.aim, tally.number, socket.local), Endpoint(net.primary.host, tally.aim.port))
                    await net.sleep(SPACING_S)
            await net.until(lambda asked=asked: all(_answered(language, one) for one in asked), margin(net) + net.rtt)  # type: ignore[misc]
        finally:
            locals_ += [one.socket.local for one in asked]
            net.memory.note_sent([one.socket.local.port for one in asked])
            for one in asked:
                one.socket.close()
        for one in asked:
            if not one.is_control:
                one.tally.copies += 1
                one.tally.answered += _answered(language, one)
        controls_answered = sum(_answered(language, one) for one in asked if one.is_control)
        found = NewFlows(found.copies + ROUNDS, found.control + controls_answered, found.control_copies + ROUNDS * CONTROLS)
    return found, locals_


def _answered(language: Language, one: Asked) -> bool:
    to = one.tally.aim.port
    return any(
        arrival.source.port == to and language.answers(arrival.data, one.tally.aim, one.tally.number, one.socket.local)
        for arrival in one.socket.inbox
    )
