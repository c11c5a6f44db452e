"""What a request of a session asks the outside to do. Values that whoever owns the sockets carries out."""

from typing import NamedTuple

from echo_server.answering.media import MediaPort, MediaPorts
from echo_server.control.shared import SharedReport
from echo_server.plans.inquiry import Inquiring
from echo_server.plans.prober import Dialing, Sending
from echo_server.plans.sip_caller import Calling
from echo_server.sessions.session import Session
from edgecheck.wire import control, ports


class Reply(NamedTuple):
    """Tell the client."""

    message: control.Reply


class Closing(NamedTuple):
    """Close the sockets of these media ports, those of them that no session has taken into use again meanwhile."""

    ports: list[MediaPort]


class MediaOpening:
    """Effect of ``OpenMedia``: see to it that sockets are open; ``opened`` for each that is; then ``finish`` tells the reply."""

    def __init__(self, session: Session, id: int, ports: list[int], media: MediaPorts) -> None:
        self.session = session
        self.ports = ports
        """Not yet used by this session; for another one they may be open already."""
        self._id = id
        self._media = media

    def opened(self, port: int) -> None:
        """The port's socket is open and belongs to this session too."""
        if port not in self.session.media_ports:
            self.session.media_ports.add(port)
            self._media.hold((self.session.family, port))

    def finish(self) -> control.MediaOpened:
        """The reply: all that is open for the session now."""
        return control.MediaOpened(id=self._id, ports=ports.compress(self.session.media_ports))


class Storing(NamedTuple):
    """Keep this report, and tell its number."""

    id: int
    report: SharedReport


Effect = Storing | Reply | Closing | MediaOpening | Sending | Calling | Dialing | Inquiring
