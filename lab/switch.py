"""An Ethernet switch for the private network of one run's hosts.

Usage: switch.py SOCKET. Each QEMU connects with `-netdev stream` to the listening unix
socket: frames of up to 64 KiB, each after its length (4 bytes, big endian).

Invariants
1. Addresses are learnt; an unknown or group destination goes to every other port.
2. A port that does not read loses frames, as at a real switch: no more than QUEUE_MAX_BYTES wait.
3. A port that breaks the framing is closed; the others never notice.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys

FRAME_MAX_BYTES = 65536 + 64
QUEUE_MAX_BYTES = 4 << 20
_READ_BYTES = 256 << 10


class Port:
    """One host's end: bytes read but not yet a whole frame, bytes that wait to be written."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.inward = bytearray()
        self.outward = bytearray()

    def frames(self) -> list[memoryview]:
        """Whole frames with their length in front; ValueError on an impossible length."""
        data = memoryview(bytes(self.inward))
        found, at = [], 0
        while len(data) - at >= 4:
            size = int.from_bytes(data[at : at + 4], "big")
            if not 14 <= size <= FRAME_MAX_BYTES:
                raise ValueError(f"frame of {size} bytes")
            if len(data) - at < 4 + size:
                break
            found.append(data[at : at + 4 + size])
            at += 4 + size
        del self.inward[:at]
        return found


class Switch:
    """Ports and the addresses seen on them."""

    def __init__(self, path: str) -> None:
        self.selector = selectors.DefaultSelector()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(64)
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.ports: set[Port] = set()
        self.learnt: dict[bytes, Port] = {}

    def serve(self) -> None:
        """Forward for ever."""
        while True:
            for key, events in self.selector.select():
                if key.data is None:
                    self._accept()
                    continue
                if events & selectors.EVENT_WRITE:
                    self._write(key.data)
                if events & selectors.EVENT_READ and key.data in self.ports:
                    self._read(key.data)

    def _accept(self) -> None:
        sock, _ = self.listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        port = Port(sock)
        self.ports.add(port)
        self.selector.register(sock, selectors.EVENT_READ, port)

    def _read(self, port: Port) -> None:
        try:
            data = port.sock.recv(_READ_BYTES)
            port.inward += data
            frames = port.frames() if data else []
        except BlockingIOError:
            return
        except (OSError, ValueError):
            data, frames = b"", []
        if not data:
            self._close(port)
            return
        touched: set[Port] = set()
        for frame in frames:
            self.learnt[bytes(frame[10:16])] = port
            group = frame[4] & 1
            known = None if group else self.learnt.get(bytes(frame[4:10]))
            for other in (known,) if known in self.ports else tuple(self.ports):
                if other is not None and other is not port and len(other.outward) < QUEUE_MAX_BYTES:
                    other.outward += frame
                    touched.add(other)
        for other in touched:
            self._write(other)

    def _write(self, port: Port) -> None:
        if port not in self.ports:
            return
        try:
            sent = port.sock.send(port.outward) if port.outward else 0
            del port.outward[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._close(port)
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if port.outward else 0)
        if self.selector.get_key(port.sock).events != wanted:
            self.selector.modify(port.sock, wanted, port)

    def _close(self, port: Port) -> None:
        self.ports.discard(port)
        self.selector.unregister(port.sock)
        port.sock.close()
        self.learnt = {address: owner for address, owner in self.learnt.items() if owner is not port}


if __name__ == "__main__":
    switch = Switch(sys.argv[1])
    os.write(1, b"ready\n")
    switch.serve()
