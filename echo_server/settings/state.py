"""Where the server keeps what it must not forget."""

import os
import sys
from pathlib import Path


def state_directory() -> Path:
    """The platform's user state directory."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "edgecheck"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "edgecheck"
    return Path(os.environ.get("XDG_STATE_HOME") or home / ".local" / "state") / "edgecheck"
