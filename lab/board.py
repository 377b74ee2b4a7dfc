"""The power board of one run's hosts: what a fence agent on one host asks to have another one switched off.

A host reaches it at 10.0.2.100:9000 over its first card, each connection a process of this file's that hands one line on
to the run's socket: `python3 board.py SOCKET`. The line is `off HOST` or `status HOST`, the answer `done`, `on`, `off` or
`failed`.

Invariants
1. `done` is said when the emulator of the host has ended: nothing of it runs, and nothing is written any more.
2. A host that is `stuck` is not switched off, and the answer says so.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

ADDRESS, PORT = "10.0.2.100", 9000
_LINE_MAX = 64


class Board:
    """It listens from the start until `close`. `switches`: for each name whether that host runs, and what cuts its power."""

    def __init__(self, path: Path, switches: Mapping[str, tuple[Callable[[], bool], Callable[[], None]]]) -> None:
        self.stuck: set[str] = set()
        self.cut: list[str] = []  # in their order
        self._switches = switches
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen(16)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Nobody is answered any more."""
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client:
                client.settimeout(5)
                try:
                    client.sendall(self._answer(client.recv(_LINE_MAX).decode("ascii", "replace").split()).encode() + b"\n")
                except OSError:
                    continue

    def _answer(self, words: list[str]) -> str:
        if len(words) != 2 or words[1] not in self._switches or words[0] not in ("off", "status"):
            return "failed"
        runs, cut = self._switches[words[1]]
        if words[0] == "status":
            return "on" if runs() else "off"
        if words[1] in self.stuck:
            return "failed"
        cut()
        self.cut.append(words[1])
        return "done"


def forward(path: str) -> str:
    """The word for QEMU's user network by which the host of that network reaches the board."""
    return f"guestfwd=tcp:{ADDRESS}:{PORT}-cmd:{sys.executable} -I {Path(__file__).resolve()} {path}"


def _hand_on(path: str) -> None:
    """One line from standard input to the socket, and the answer back."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as board:
        board.connect(path)
        board.sendall(sys.stdin.buffer.readline(_LINE_MAX))
        sys.stdout.buffer.write(board.recv(_LINE_MAX))
        sys.stdout.flush()


if __name__ == "__main__":
    _hand_on(sys.argv[1])
