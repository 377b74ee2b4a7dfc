#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A host's writer on an iSCSI unit, by libiscsi: registers a key, then writes sectors for as long as it is let.

usage: initiator.py NAME PORTAL TARGET LUN KEY
Each line of standard input is a text of one sector, which is written to sector 0; the SCSI status is printed. KEY is
hexadecimal; 0 registers nothing. The first line of output is the status of the registration.
"""

import ctypes
import ctypes.util
import sys

SECTOR = 512
REGISTER_AND_IGNORE = 6
CLEAR = 3
READ_KEYS = 0
REPLY = 1024  # bytes at most
ATTENTION = 2  # CHECK CONDITION; of a session that has just begun or was cut off: told once
TRIES = 4


class Task(ctypes.Structure):
    """The beginning of libiscsi's struct scsi_task."""

    _fields_ = [("status", ctypes.c_int)]


class Parameters(ctypes.Structure):
    """libiscsi's struct scsi_persistent_reserve_out_basic."""

    _fields_ = [("key", ctypes.c_uint64), ("action_key", ctypes.c_uint64)] + [
        (name, ctypes.c_uint8) for name in ("spec_i_pt", "all_tg_pt", "aptpl")
    ]


class Keys(ctypes.Structure):
    """libiscsi's struct scsi_persistent_reserve_in_read_keys."""

    _fields_ = [
        ("generation", ctypes.c_uint32), ("len", ctypes.c_uint32), ("count", ctypes.c_int), ("key", ctypes.c_uint64 * 0),
    ]  # fmt: skip


class Session:
    """A session with a target."""

    def __init__(self, name: str, portal: str, target: str, lun: int) -> None:
        self.lib = ctypes.CDLL(ctypes.util.find_library("iscsi") or "libiscsi.so.7")
        for function in (
            "iscsi_create_context", "iscsi_persistent_reserve_in_sync", "iscsi_persistent_reserve_out_sync",
            "iscsi_write10_sync", "scsi_datain_unmarshall",
        ):  # fmt: skip
            getattr(self.lib, function).restype = ctypes.c_void_p
        self.lun = lun
        self.context = ctypes.c_void_p(self.lib.iscsi_create_context(name.encode()))
        self.lib.iscsi_set_targetname(self.context, target.encode())
        self.lib.iscsi_set_session_type(self.context, 2)
        if self.lib.iscsi_full_connect_sync(self.context, portal.encode(), lun) < 0:
            sys.exit("no session")

    def _status(self, call) -> int:
        for _ in range(TRIES):
            task = ctypes.cast(call(), ctypes.POINTER(Task))
            if not task or task.contents.status != ATTENTION:
                break
        return task.contents.status if task else -1

    def register(self, key: int) -> int:
        """SCSI status, or -1 without an answer."""
        words = Parameters(0, key, 0, 0, 0)
        out = self.lib.iscsi_persistent_reserve_out_sync
        return self._status(lambda: out(self.context, self.lun, REGISTER_AND_IGNORE, 0, 0, ctypes.byref(words)))

    def clear(self, key: int) -> int:
        """Removes all keys, and the reservation; SCSI status, or -1."""
        words = Parameters(key, 0, 0, 0, 0)
        out = self.lib.iscsi_persistent_reserve_out_sync
        return self._status(lambda: out(self.context, self.lun, CLEAR, 0, 0, ctypes.byref(words)))

    def keys(self) -> list[str]:
        """Keys that are registered, in hexadecimal."""
        read = self.lib.iscsi_persistent_reserve_in_sync
        last = None

        def call():
            nonlocal last
            last = read(self.context, self.lun, READ_KEYS, REPLY)
            return last

        if self._status(call) != 0:
            sys.exit("no keys")
        keys = ctypes.cast(self.lib.scsi_datain_unmarshall(ctypes.c_void_p(last)), ctypes.POINTER(Keys)).contents
        first = ctypes.addressof(keys) + Keys.key.offset
        return [f"{key:x}" for key in (ctypes.c_uint64 * keys.count).from_address(first)]

    def write(self, text: bytes) -> int:
        """Sector 0; SCSI status, or -1 without an answer."""
        data = text.ljust(SECTOR, b"\0")
        write = self.lib.iscsi_write10_sync
        return self._status(lambda: write(self.context, self.lun, 0, data, SECTOR, SECTOR, 0, 0, 0, 0, 0))


def main(argv: list[str]) -> None:
    """Until the end of the input."""
    session = Session(argv[0], argv[1], argv[2], int(argv[3]))
    key = int(argv[4], 16)
    print(session.register(key) if key else 0, flush=True)
    for line in sys.stdin.buffer:
        print(session.write(line.rstrip(b"\n")), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
