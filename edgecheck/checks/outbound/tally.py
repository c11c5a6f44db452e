"""What became of the copies to one UDP port: kept by all who send to it."""

from dataclasses import dataclass

from edgecheck.checks.outbound.aims import Aim
from edgecheck.model.check import Quote


@dataclass
class UdpTally:
    """What became of one port's copies."""

    aim: Aim
    number: int
    copies: int = 0
    answered: int = 0
    arrived: int | None = None
    plain_answered: int = 0
    plain_copies: int = 0
    stranger: str | None = None
    """First words of something that is no answer of the server's, from the server's address and port."""
    refusal: Quote | None = None
    unsent: str = ""
    """Why this machine's own system did not send it, in words."""
