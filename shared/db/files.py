"""Files that nobody else may read."""

import os
from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """Write the file, mode 0600, whole or not at all."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600, exist_ok=False)
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
