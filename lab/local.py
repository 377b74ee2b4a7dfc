"""This machine itself as the host of VMs: the calls of `Host` that `lab.vm` needs, without ssh.

For machines whose own KVM carries a whole guest; everything is kept below one private folder.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .process import LabError, Progress, run, spawn, stop, tail
from .ssh import CommandFailed, Result


class LocalCommand:
    """A command of this machine that runs on; the calls of `Background`."""

    def __init__(self, command: str, log: Path) -> None:
        self.log = log
        with open(log, "wb") as file:
            argv = ["bash", "-c", command]
            self.process = spawn(argv, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)

    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def running(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def wait_for(self, text: str, timeout: float = 60.0) -> str:
        """The output once it contains `text`; LabError when it ends or `timeout` passes before."""
        progress = Progress(f"{text!r}")
        while text not in (output := self.output()):
            if not self.running() or progress.seconds() > timeout:
                raise LabError(f"{tail(self.log)}\nThere was no output {text!r} within {timeout:.0f} s.")
            progress.tick()
            self._nap(0.05)
        return output

    def wait(self, timeout: float = 60.0) -> int:
        """Its exit code; LabError when it does not end within `timeout` seconds."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabError(f"{tail(self.log)}\nStill running after {timeout:.0f} s.") from None

    def stop(self) -> int:
        """End it with SIGTERM, by force after ten seconds; its exit code."""
        stop(self.process)
        return self.process.wait()

    def _nap(self, seconds: float) -> None:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass


class LocalHost:
    """This machine, with `folder` for all files."""

    name = "this machine"

    def __init__(self, folder: Path) -> None:
        self.home = str(folder)
        self._commands = 0

    def run(self, command: str, timeout: float = 120.0, check: bool = True, stdin: str | None = None) -> Result:
        """Run `command` with bash. CommandFailed when it fails and `check`."""
        done = run(["bash", "-c", command], timeout, stdin.encode() if stdin is not None else None)
        result = Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
        if check and result.rc:
            raise CommandFailed(f"{result.out}{result.err}\n`{command}` exited with {result.rc}.", result)
        return result

    def spawn(self, command: str) -> LocalCommand:
        """Start `command` and return at once."""
        self._commands += 1
        return LocalCommand(command, Path(self.home) / f"command.{self._commands}.log")

    def put(self, local: str | Path, remote: str) -> None:
        """Copy a file."""
        Path(remote).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(local, remote)

    def attach(self, path: str | Path, name: str, read_only: bool = True) -> str:
        """An image is its own path here."""
        del name, read_only
        return str(Path(path).resolve(strict=True))

    def detach(self, name: str) -> None:
        """Nothing was plugged in."""
        del name
