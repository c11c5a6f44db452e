"""Where things are kept: the platform's user data directory (``XDG_DATA_HOME`` is respected)."""

from pathlib import Path

import platformdirs


def data_directory() -> Path:
    """``~/.local/share/edgecheck`` on Linux, and its like elsewhere; it need not exist yet."""
    return Path(platformdirs.user_data_dir("edgecheck", appauthor=False))
