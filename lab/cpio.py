"""Writes cpio archives in the "newc" form, the one that Linux takes as an initrd."""

from __future__ import annotations

import dataclasses
import stat


@dataclasses.dataclass(frozen=True)
class Entry:
    """A file (or directory, with S_IFDIR in `mode`); `name` has no leading slash."""

    name: str
    data: bytes = b""
    mode: int = 0o644
    rdev: tuple[int, int] = (0, 0)


def archive(entries: list[Entry]) -> bytes:
    """The archive, padded to 512 bytes so that another one may follow it."""
    out = bytearray()
    for number, entry in enumerate([*entries, Entry("TRAILER!!!", mode=0)], 1):
        mode = entry.mode if stat.S_IFMT(entry.mode) or not entry.mode else entry.mode | stat.S_IFREG
        name = entry.name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(entry.data), 0, 0, *entry.rdev, len(name), 0)
        out += b"070701" + b"".join(b"%08X" % value for value in fields) + name
        out += bytes(-len(out) % 4)
        out += entry.data
        out += bytes(-len(out) % 4)
    return bytes(out + bytes(-len(out) % 512))
