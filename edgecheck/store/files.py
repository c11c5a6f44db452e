"""Files that others may read at any moment: written whole or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path


def replace(file: Path, data: bytes, *, private: bool = False) -> None:
    """Put these bytes in place of the file; a device or pipe is written to as it is. ``private``: readable by its owner only.

    Raises ``OSError``; then the file is as it was.
    """
    if file.exists() and not file.is_file():
        file.write_bytes(data)
        return
    handle, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        if not private:
            mask = os.umask(0)
            os.umask(mask)
            Path(temporary).chmod(0o666 & ~mask)
        Path(temporary).replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
