"""What a command may end with, in words for a person.

    EdgecheckError
    ├── UsageError           the command line, a profile or a file is wrong          exit status 64
    ├── ServerUnreachable    no session with the echo server                         exit status 3
    │   ├── NotOurServer     something else answered there (captive portal, web server)
    │   └── TokenRefused     the server does not know the token
    ├── ControlLost          the session ended in mid-run
    ├── RequestDeclined      the server would not do one thing, and said why; the session goes on
    ├── LocalFailure         this machine could not do it: port in use, no route, no descriptors left
    └── HistoryFailed        the runs that were kept cannot be used (``store.history``)

A message is one sentence: what happened, and what to do. It never holds a token or a password.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgecheck.model.check import Delivery


class EdgecheckError(Exception):
    """Base of all that a person is told in one sentence."""


class UsageError(EdgecheckError):
    """The command line, a profile or a file is wrong."""


class ServerUnreachable(EdgecheckError):
    """No session with the echo server could be opened."""


class NotOurServer(ServerUnreachable):
    """Something answered, but it is not an echo server."""


class TokenRefused(ServerUnreachable):
    """The server does not know this token."""


class ControlLost(EdgecheckError):
    """The control channel ended while it was needed."""


class RequestDeclined(EdgecheckError):
    """The server declined one request and said why; the session goes on."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        """As in ``control.Declined.reason``."""


class LocalFailure(EdgecheckError):
    """This machine's own system refused an operation; ``reason`` says which way."""

    def __init__(self, reason: str, message: str, delivery: "Delivery | None" = None) -> None:
        super().__init__(message)
        self.delivery = delivery
        """What TCP knew of the connection, where one was made."""
        self.reason = reason
        """``port-in-use``, ``permission``, ``no-descriptors``, ``no-route``, ``refused``, ``reset``, ``timeout``, ``tls`` or ``other``."""
