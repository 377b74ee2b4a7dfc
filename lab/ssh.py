"""Commands and files to one emulated host, over a multiplexed ssh connection.

The master connection is a child of this process, not a daemon: it ends with it.
"""

from __future__ import annotations

import dataclasses
import itertools
import shlex
import subprocess
import tempfile
import time
from pathlib import Path

from .images import HostImage
from .process import LabError, Progress, run, spawn, stop, tail


@dataclasses.dataclass(frozen=True)
class Result:
    """A finished command: exit code (128+N after signal N), output and error text."""

    rc: int
    out: str
    err: str


class CommandFailed(LabError):
    """A checked command that exited with another code than 0; `result` has all of it."""

    def __init__(self, text: str, result: Result) -> None:
        super().__init__(text)
        self.result = result


class Background:
    """A command that runs on in a host (made by `Host.spawn`), with its output in a local file."""

    def __init__(self, shell: Shell, number: int, command: str, log: Path) -> None:
        self.log = log
        self._shell = shell
        self._pid_file = f"/run/oya-lab-spawn.{number}"
        script = f"echo $$ >{self._pid_file}; exec bash -c {shlex.quote(command)}"
        with open(log, "wb") as file:
            self.process = spawn(shell.argv(script), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)

    def output(self) -> str:
        """What it has printed so far (output and error together)."""
        return self.log.read_text(errors="replace")

    def running(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def wait_for(self, text: str, timeout: float = 60.0) -> str:
        """The output once it contains `text`; LabError when it ends or `timeout` passes before."""
        progress = Progress(f"{self._shell.name} to print {text!r}")
        while True:
            ended = not self.running()
            if text in (output := self.output()):
                return output
            if ended or progress.seconds() > timeout:
                why = "the command ended" if ended else f"{timeout:.0f} s passed"
                raise LabError(f"{tail(self.log)}\n{self._shell.name}: {why} without the output {text!r}.")
            progress.tick()
            time.sleep(0.05)

    def wait(self, timeout: float = 60.0) -> int:
        """Its exit code; LabError when it does not end within `timeout` seconds."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabError(f"{tail(self.log)}\n{self._shell.name}: still running after {timeout:.0f} s.") from None

    def stop(self, signal: str = "TERM", timeout: float = 20.0) -> int:
        """Signal its whole process group, wait, return the exit code (255 when the host is gone)."""
        if self.running():
            started = f"for n in $(seq 50); do [ -s {self._pid_file} ] && break; sleep 0.1; done"
            self._shell.run(f"{started}; kill -{signal} -- -$(cat {self._pid_file})", check=False, timeout=timeout)
        return self.wait(timeout)


class Shell:
    """The connection to one host."""

    _numbers = itertools.count(1)

    def __init__(self, name: str, image: HostImage, port: int, directory: Path) -> None:
        self.name = name
        self._directory = directory
        self._control = directory / f"{name}.ssh"
        self._log = directory / f"{name}.ssh.log"
        self._master: subprocess.Popen[bytes] | None = None
        options = {
            "UserKnownHostsFile": str(image.known_hosts),
            "HostKeyAlias": "oya-lab",
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "IdentityFile": str(image.key),
            "BatchMode": "yes",
            "ControlPath": str(self._control),
            "ConnectTimeout": "20",
            "Ciphers": "aes128-gcm@openssh.com",
            "LogLevel": "ERROR",
        }
        self._ssh = ["ssh", "-F", "/dev/null", "-p", str(port)]
        for key, value in options.items():
            self._ssh += ["-o", f"{key}={value}"]

    def argv(self, command: str, terminal: bool = False) -> list[str]:
        """A local command line that runs `command` there (an interactive shell when it is empty)."""
        argv = [*self._ssh, "-t" if terminal else "-T", "root@127.0.0.1"]
        return argv + ([command] if command else [])

    def connect(self, timeout: float = 60.0) -> None:
        """Open the master connection; LabError after `timeout` seconds."""
        progress = Progress(f"{self.name} answering ssh")
        while True:
            self._control.unlink(missing_ok=True)
            with open(self._log, "ab") as log:
                argv = [*self._ssh, "-M", "-N", "-o", "ControlMaster=yes", "root@127.0.0.1"]
                self._master = spawn(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            while self._master.poll() is None and progress.seconds() <= timeout:
                if self._control.exists():
                    return
                progress.tick()
                time.sleep(0.01)
            stop(self._master)
            if progress.seconds() > timeout:
                raise LabError(f"{tail(self._log, 5)}\n{self.name}: no answer on ssh within {timeout:.0f} s.")
            time.sleep(0.2)

    def close(self) -> None:
        """End the master connection."""
        if self._master:
            self._master.terminate()
            self._master.wait()
            self._master = None

    def run(self, command: str, timeout: float = 120.0, check: bool = True, stdin: str | bytes | None = None) -> Result:
        """Run `command` with bash there.

        CommandFailed when it fails and `check`; LabError after `timeout` seconds (the command may
        then still run there). rc is 255 when the host is gone.
        """
        data = stdin.encode() if isinstance(stdin, str) else stdin
        try:
            done = run(self.argv(command), timeout, data)
        except subprocess.TimeoutExpired as late:
            out = (late.stdout or b"").decode(errors="replace")
            raise LabError(f"{out}\n{self.name}: no end of `{command}` within {timeout:.0f} s.") from None
        result = Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
        if check and result.rc:
            text = f"{result.out}{result.err}\n{self.name}: `{command}` exited with {result.rc}."
            raise CommandFailed(text.strip(), result)
        return result

    def spawn(self, command: str) -> Background:
        """Start `command` there and return at once."""
        number = next(self._numbers)
        return Background(self, number, command, self._directory / f"{self.name}.spawn.{number}.log")

    def put(self, local: Path, remote: str, timeout: float = 600.0) -> None:
        """Copy a file or a directory to the path `remote` there (replaced when it exists)."""
        local = local.resolve(strict=True)
        name, target = shlex.quote(local.name), shlex.quote(remote)
        unpack = (
            f'set -e; p=$(dirname {target}); mkdir -p "$p"; d=$(mktemp -d "$p/.put.XXXXXX"); '
            f'tar -xSf - --no-same-owner -C "$d"; rm -rf {target}; mv -T "$d"/{name} {target}; rmdir "$d"'
        )
        pack = ["tar", "-C", str(local.parent), "-cSf", "-", local.name]
        self._copy(pack, self.argv(unpack), timeout, f"{local} to {remote}")

    def get(self, remote: str, local: Path, timeout: float = 600.0) -> None:
        """Copy a file or a directory from there to the path `local` (which must not exist as a directory)."""
        target = shlex.quote(remote)
        pack = f't=$(realpath -e {target}) && tar -C "$(dirname "$t")" -cSf - "$(basename "$t")"'
        local.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=local.parent) as name:
            work = Path(name)
            unpack = ["tar", "-xSf", "-", "--no-same-owner", "-C", name]
            self._copy(self.argv(pack), unpack, timeout, f"{remote} to {local}")
            next(work.iterdir()).rename(local)

    def _copy(self, source: list[str], sink: list[str], timeout: float, what: str) -> None:
        reader = spawn(source, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        writer = spawn(sink, stdin=reader.stdout, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert reader.stdout and reader.stderr
        reader.stdout.close()
        try:
            _, wrong = writer.communicate(timeout=timeout)
            rc = reader.wait(timeout=30) or writer.returncode
            text = (reader.stderr.read() + wrong).decode(errors="replace").strip()
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name}: copying {what} took more than {timeout:.0f} s.") from None
        finally:
            stop(reader)
            stop(writer)
        if rc:
            raise LabError(f"{text}\n{self.name}: copying {what} failed.")
