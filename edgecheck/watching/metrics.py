"""What was found, as Prometheus metrics: served for scraping, or written for the node exporter's textfile collector.

Names and labels are promised (``docs/watching.md``): alert rules rest on them.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, exposition, start_http_server

from edgecheck.model.comparison import Kind
from edgecheck.model.verdict import Verdict
from edgecheck.store.files import replace
from edgecheck.watching.watch import Turn


class Metrics:
    """The figures of one watch. A sink."""

    def __init__(self, textfile: Path | None = None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # when a counter was made is of no use to anybody here
        self.registry = CollectorRegistry()
        self._textfile = textfile
        self.trouble = ""
        """Why the textfile could not be written the last time; empty when it could."""
        self._runs = Counter("edgecheck_runs", "Looks so far, by verdict.", ["verdict"], registry=self.registry)
        self._changes = Counter(
            "edgecheck_changes", "Changes so far, by kind (worse, better, different).", ["kind"], registry=self.registry
        )
        self._at = Gauge("edgecheck_last_run_timestamp_seconds", "When the last look began.", registry=self.registry)
        self._decided_at = Gauge(
            "edgecheck_last_decided_timestamp_seconds", "When the last look that could tell all began.", registry=self.registry
        )
        self._duration = Gauge("edgecheck_last_run_duration_seconds", "How long the last look took.", registry=self.registry)
        self._verdict = Gauge(
            "edgecheck_verdict", "1 for the verdict of the last look, 0 for the others.", ["verdict"], registry=self.registry
        )
        self._check = Gauge(
            "edgecheck_check_verdict",
            "1 for the check's verdict in the last look, 0 for the others.",
            ["check", "verdict"],
            registry=self.registry,
        )
        self._measure = Gauge(
            "edgecheck_measure", "A figure that was measured; its unit is part of its name.", ["check", "name"], registry=self.registry
        )
        for verdict in Verdict:
            self._runs.labels(verdict.value)
        for kind in (Kind.WORSE, Kind.BETTER, Kind.DIFFERENT):
            self._changes.labels(kind.value)

    def serve(self, host: str, port: int) -> int:
        """Serve them at ``/metrics`` from a thread; the port. Raises ``OSError``."""
        server, _ = start_http_server(port, host, self.registry)
        return int(server.server_port)

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return exposition.generate_latest(self.registry)

    async def tell(self, turn: Turn) -> None:
        """Take over what this look brought."""
        report = turn.report
        began = _seconds(report.started_at)
        self._runs.labels(report.verdict.value).inc()
        self._at.set(began)
        if report.verdict not in (Verdict.INCONCLUSIVE, Verdict.SKIPPED):
            self._decided_at.set(began)
        self._duration.set(report.duration_s)
        for verdict in Verdict:
            self._verdict.labels(verdict.value).set(verdict is report.verdict)
        self._check.clear()
        self._measure.clear()
        for result in report.checks:
            for verdict in Verdict:
                self._check.labels(result.id, verdict.value).set(verdict is result.verdict)
            for name, value in measures(result.id, result.observation or {}):
                self._measure.labels(result.id, name).set(value)
        for change in turn.changes:
            self._changes.labels(change.kind.value).inc()
        self._write()

    def _write(self) -> None:
        if self._textfile is None:
            return
        try:
            replace(self._textfile, self.text())
            self.trouble = ""
        except OSError as error:
            self.trouble = f"{self._textfile} could not be written: {error.strerror or error}."


def _seconds(at: str) -> float:
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return 0.0


_FIGURES: dict[str, dict[str, tuple[str | int, ...]]] = {
    "rtp-range": {
        "tested_ports": ("tested",),
        "inbound_open_ports": ("inbound_open",),
        "outbound_open_ports": ("outbound_open",),
    },
    "port-preservation": {"tested_ports": ("tested",), "preserved_ports": ("preserved",)},
    "mapping-lifetime": {
        "udp_alive_seconds": ("udp_s", 0),
        "udp_dead_seconds": ("udp_s", 1),
        "keepalive_seconds": ("recommended_keepalive_s",),
    },
    "topology": {"nat_layers": ("nat_layers",)},
    "tls": {"certificate_days": ("days_left",)},
    "registration": {"granted_expires_seconds": ("granted_expires_s",)},
    "media-quality": {
        "up_mos": ("up", "mos"),
        "down_mos": ("down", "mos"),
        "up_jitter_milliseconds": ("up", "jitter_ms"),
        "down_jitter_milliseconds": ("down", "jitter_ms"),
    },
}
"""Which figure of which observation; what a report does not have is not told."""


def measures(check: str, observation: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The figures of one check: name with unit, value."""
    for name, path in _FIGURES.get(check, {}).items():
        value: Any = observation
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                value = None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield name, float(value)
