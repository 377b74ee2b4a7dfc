"""A client of QEMU's machine protocol (QMP) over a unix socket."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .process import LabError


class Qmp:
    """One connection; calls are synchronous, events are dropped."""

    def __init__(self, path: Path, alive: Callable[[], bool], timeout: float = 20.0) -> None:
        """Connect as soon as QEMU listens; LabError when it is dead or after `timeout` seconds."""
        end = time.monotonic() + timeout
        while True:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self._socket.connect(str(path))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                self._socket.close()
                if not alive() or time.monotonic() > end:
                    raise LabError("QEMU did not open its control socket; see its log.") from None
                time.sleep(0.01)
        self._socket.settimeout(60.0)
        self._file = self._socket.makefile("rb")
        self._file.readline()
        self.call("qmp_capabilities")

    def call(self, command: str, **arguments: Any) -> Any:
        """The command's return value; LabError with QEMU's text when it refuses or is gone."""
        request = {"execute": command, "arguments": arguments}
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            while True:
                line = self._file.readline()
                if not line:
                    raise LabError(f"QEMU ended while it was asked to {command}.")
                reply = json.loads(line)
                if "error" in reply:
                    raise LabError(f"QEMU refused {command}: {reply['error']['desc']}")
                if "return" in reply:
                    return reply["return"]
        except OSError as error:
            raise LabError(f"QEMU did not answer {command}: {error}") from error

    def monitor(self, line: str) -> str:
        """Output of a human monitor command."""
        return str(self.call("human-monitor-command", **{"command-line": line}))

    def close(self) -> None:
        """Drop the connection."""
        self._file.close()
        self._socket.close()
