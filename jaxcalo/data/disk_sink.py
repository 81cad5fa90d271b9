"""A file for HDF5 to write into that keeps the disk's errors until they are asked for.

HDF5 does not survive a failed write: after a full disk its objects are half closed, and the process
dies when they are collected. Here HDF5 always succeeds; the first error is kept, nothing more is
written, and `check` raises it.
"""

import contextlib
import os
from pathlib import Path


class DiskSink:
    """A new file, in the shape that h5py expects of Python file objects.

    Args:
        path: the file to make; it must not exist.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path):
        self._number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        self._position = 0
        self._size = 0
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the first error of the disk, if there was one."""
        if self._error is not None:
            raise self._error

    def sync(self) -> None:
        """Wait until everything is on the disk.

        Raises:
            OSError: it is not.
        """
        self.check()
        os.fsync(self._number)

    def close(self) -> None:
        """Release the file; `sync` has told whether its content is safe."""
        with contextlib.suppress(OSError):
            os.close(self._number)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place; the end is where it would be without errors."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}
        self._position = start[whence] + offset
        return self._position

    def tell(self) -> int:
        """Return the place."""
        return self._position

    def write(self, data: memoryview) -> int:
        """Write all of the data, or keep the error."""
        rest = memoryview(data).cast("B")
        length = len(rest)
        if self._error is None:
            try:
                while rest:
                    written = os.pwrite(self._number, rest, self._position + length - len(rest))
                    rest = rest[written:]
            except OSError as error:
                self._error = error
        self._position += length
        self._size = max(self._size, self._position)
        return length

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer; what could not be written reads as zeros."""
        room = memoryview(buffer).cast("B")
        found = os.pread(self._number, len(room), self._position)
        room[:] = found.ljust(len(room), b"\0")
        self._position += len(room)
        return len(room)

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        data = bytearray(size)
        self.readinto(memoryview(data))
        return bytes(data)

    def truncate(self, size: int) -> int:
        """Set the size, or keep the error."""
        if self._error is None:
            try:
                os.ftruncate(self._number, size)
            except OSError as error:
                self._error = error
        self._size = size
        return size

    def flush(self) -> None:
        """Do nothing: every write has gone to the system already."""
