"""Files that appear whole or not at all."""

import os
import tempfile
from pathlib import Path


def write_all(folder: Path, files: dict[str, bytes]) -> None:
    """Write files under temporary names first and rename them when all are on disk.

    An error on the way leaves the files that stood there before, and no temporary ones.

    Args:
        folder: made if it does not exist.
        files: contents by path in the folder.
    """
    written: list[tuple[str, Path]] = []
    try:
        for name, content in files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            written.append((temporary, target))
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(temporary, 0o644)  # mkstemp makes files that only the owner can read
        for temporary, target in written:
            os.replace(temporary, target)
    finally:
        for temporary, _ in written:
            Path(temporary).unlink(missing_ok=True)
