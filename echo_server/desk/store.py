"""Where reports are kept: SQLite by default, PostgreSQL by URL for several servers behind one name (SQLAlchemy).

Calls block: whoever has an event loop calls them in a thread.
"""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from sqlalchemy import (
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    Text,
    create_engine,
    delete,
    event,
    func,
    select,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from echo_server.control.shared import ReportsUnavailable, SharedReport
from echo_server.sessions.limits import TOKEN_LIMITS

T = TypeVar("T")

MOST = 20_000
"""Reports kept; the oldest go first."""
_LARGEST = 2**31 - 1
"""The largest number that both databases take for an id."""
_TIMEOUT_S = 5

_METADATA = MetaData()
_REPORTS = Table(
    "edgecheck_reports",
    _METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("started_at", String(40), nullable=False),
    Column("verdict", String(20), nullable=False),
    Column("headline", Text, nullable=False),
    Column("gateway", String(60), nullable=False),
    Column("public_address", String(60), nullable=False),
    Column("source", String(60), nullable=False),
    Column("report", LargeBinary, nullable=False),
    Index("edgecheck_reports_place", "public_address", "gateway"),
    sqlite_autoincrement=True,
)
_BRIEF = [column for column in _REPORTS.columns if column.name != "report"]


class StoreFailed(ReportsUnavailable):
    """The database could not be used; the words say why, and hold no password."""


class Row(NamedTuple):
    """One report in brief."""

    id: int
    received_at: datetime.datetime
    started_at: str
    verdict: str
    headline: str
    gateway: str
    public_address: str
    source: str


class Store:
    """Reports in a database."""

    def __init__(self, url: str, most_bytes: int = TOKEN_LIMITS.reports_bytes) -> None:
        """``url``: as SQLAlchemy has it, ``sqlite:///FILE`` or ``postgresql://USER@HOST/NAME``. Raises ``StoreFailed``."""
        self.most_bytes = most_bytes
        """Packed reports, all together; the oldest make room for the newest."""
        try:
            parsed = make_url(url)
            if parsed.drivername == "postgresql":
                parsed = parsed.set(drivername="postgresql+psycopg")
            self.place = parsed.render_as_string(hide_password=True)
            self._engine = create_engine(parsed, **_options(parsed.get_backend_name()))
        except ImportError:
            raise StoreFailed("PostgreSQL needs its driver: install edgecheck[postgresql]") from None
        except (ArgumentError, SQLAlchemyError) as error:
            raise StoreFailed(f"The store for reports cannot be used: {_first_line(error)}.") from None
        if parsed.get_backend_name() == "sqlite":
            event.listen(self._engine, "connect", _prepare_sqlite)

    def prepare(self) -> None:
        """Make the table where it is missing; a file is its owner's alone. Raises ``StoreFailed``."""

        def do() -> None:
            file = self._engine.url.database
            if self._engine.dialect.name == "sqlite" and file and file != ":memory:":
                Path(file).touch(mode=0o600)
            _METADATA.create_all(self._engine)

        self._guarded(do)

    def keep(self, report: SharedReport) -> int:
        """Keep one; its number. Raises ``StoreFailed``."""
        received = datetime.datetime.now(datetime.UTC)

        def do() -> int:
            with self._engine.begin() as connection:
                values = {"received_at": received, **{name: value for name, value in report._asdict().items() if name != "packed"}}
                done = connection.execute(_REPORTS.insert().values(report=report.packed, **values))
                number = int(done.inserted_primary_key[0])  # type: ignore[index]
                connection.execute(delete(_REPORTS).where(_REPORTS.c.id.in_(self._superfluous())))
                return number

        return self._guarded(do)

    def _superfluous(self) -> "Select[tuple[int]]":
        """The ids of those that are one too many, or for which the newer ones leave no room."""
        # PostgreSQL tells octets without fetching them; SQLite's length() of a blob reads its header alone.
        size = func.octet_length if self._engine.dialect.name == "postgresql" else func.length
        newer = _REPORTS.c.id.desc()
        row = select(
            _REPORTS.c.id,
            func.row_number().over(order_by=newer).label("rank"),
            func.sum(size(_REPORTS.c.report)).over(order_by=newer).label("bytes"),
        ).subquery()
        return select(row.c.id).where((row.c.rank > MOST) | (row.c.bytes > self.most_bytes))

    def rows(self, most: int = 100, place: str = "") -> list[Row]:
        """The newest, newest first; of a public address where one is given. Raises ``StoreFailed``."""
        query = select(*_BRIEF).order_by(_REPORTS.c.id.desc()).limit(most)
        if place:
            query = query.where(_REPORTS.c.public_address == place)

        def do() -> list[Row]:
            with self._engine.connect() as connection:
                return [Row(*row) for row in connection.execute(query)]

        return self._guarded(do)

    def packed(self, number: int) -> bytes | None:
        """One report as it came (zlib over JSON); None when there is none of this number. Raises ``StoreFailed``."""
        if not 0 < number <= _LARGEST:
            return None

        def do() -> bytes | None:
            with self._engine.connect() as connection:
                found = connection.execute(select(_REPORTS.c.report).where(_REPORTS.c.id == number)).scalar_one_or_none()
                return None if found is None else bytes(found)

        return self._guarded(do)

    def remove(self, number: int) -> bool:
        """Forget one; whether there was one. Raises ``StoreFailed``."""
        if not 0 < number <= _LARGEST:
            return False

        def do() -> bool:
            with self._engine.begin() as connection:
                return connection.execute(delete(_REPORTS).where(_REPORTS.c.id == number)).rowcount > 0

        return self._guarded(do)

    def close(self) -> None:
        """Give connections back."""
        self._engine.dispose()

    def _guarded(self, do: Callable[[], T]) -> T:
        try:
            return do()
        except (SQLAlchemyError, OSError) as error:
            raise StoreFailed(f"The store for reports ({self.place}) cannot be used: {_first_line(error)}.") from None


def default_url(state_directory: Path) -> str:
    """SQLite in the state directory."""
    return f"sqlite:///{state_directory / 'reports.sqlite'}"


def _options(backend: str) -> dict[str, object]:
    if backend == "sqlite":
        return {"connect_args": {"timeout": _TIMEOUT_S}}
    return {
        "pool_pre_ping": True,
        "pool_size": 2,
        "max_overflow": 2,
        "pool_timeout": _TIMEOUT_S,
        "connect_args": {"connect_timeout": _TIMEOUT_S},
    }


def _prepare_sqlite(connection: object, record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.close()


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().split("\n", 1)[0][:200]
