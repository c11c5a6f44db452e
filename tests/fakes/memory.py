"""What a machine remembers between runs, on a clock that the test sets."""

from collections.abc import Sequence


class SharedMemory:
    """Implements ``model.check.Memory`` for several runs one after the other."""

    def __init__(self) -> None:
        self.clock = 0.0
        self._contacts: dict[str, float] = {}
        self._sent: dict[tuple[str, int], float] = {}
        self._facts: dict[str, tuple[str, float]] = {}

    def contacted(self, host: str) -> float | None:
        return self.clock - self._contacts[host] if host in self._contacts else None

    def sent_from(self, port: int, transport: str = "udp") -> float | None:
        return self.clock - self._sent[transport, port] if (transport, port) in self._sent else None

    def note_contact(self, host: str) -> None:
        self._contacts[host] = self.clock

    def note_sent(self, ports: Sequence[int], transport: str = "udp") -> None:
        self._sent.update({(transport, port): self.clock for port in ports})

    def recall(self, key: str) -> tuple[str, float] | None:
        return (self._facts[key][0], self.clock - self._facts[key][1]) if key in self._facts else None

    def note(self, key: str, value: str) -> None:
        self._facts[key] = (value, self.clock)
