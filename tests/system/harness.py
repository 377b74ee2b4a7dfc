# SPDX-License-Identifier: GPL-2.0-or-later
"""What the system tests share: one VM under test, its console, its control socket, its leavings."""

import glob
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import uuid

MARK = "OYA_SYSTEM_TEST"  # in the environment of all processes of a test
# The interface to the processors that `oya run` picks.
DEVICE = "/dev/oya" if os.path.exists("/dev/oya") else "/dev/kvm"
SLOWNESS = float(os.environ.get("OYA_SYSTEM_SLOWNESS", "1"))  # of this machine; waits are so much longer
tests = []  # (name, function, suite), in the order of their definition


class Paths:
    """Where the programs and the guest are; run.py sets them."""

    oya = worker = guest = oyad = importer = connector = resource = alert = fence = witness = die_at = ""


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def test(name, suite="system"):
    def note(function):
        tests.append((name, function, suite))
        return function

    return note


def check(condition, why):
    if not condition:
        raise Failed(why)


def wait_for(condition, why, seconds=5.0):
    """Until condition() is true; returns its value."""
    end = time.monotonic() + seconds * SLOWNESS
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(why)
        time.sleep(0.02)


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return [int(word) for word in f.read().split()]
    except OSError:
        return []


def alive(pid):
    """Runs, or stopped; a zombie has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def marked(mark):
    """The processes of a test, by their environment."""
    found = []
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(path, "rb") as f:
                if f"{MARK}={mark}".encode() in f.read():
                    found.append(int(path.split("/")[2]))
        except OSError:
            continue
    return [pid for pid in found if alive(pid)]


class Place:
    """A folder of its own for a test, and the watch over what the test leaves behind."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="oya-system-")
        self.mark = uuid.uuid4().hex
        self.private_before = set(glob.glob("/tmp/oya-run-*"))
        self.vms = []
        self.tmp = self.folder.name
        os.chmod(self.tmp, 0o755)

    def path(self, name):
        return os.path.join(self.tmp, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as f:
            f.write(content)
        return self.path(name)

    def sparse(self, name, size):
        path = self.write(name, b"")
        os.truncate(path, size)
        return path

    def disk(self, sectors=64):
        text = b"sector 5 of the host's disk"
        content = bytearray(512 * sectors)
        content[5 * 512 : 5 * 512 + len(text)] = text
        return self.write("disk.raw", bytes(content))

    def spawn(self, command, **options):
        environment = {**os.environ, "OYA_WORKER": Paths.worker, MARK: self.mark}
        environment.update(options.pop("env", {}))
        return subprocess.Popen(command, env=environment, cwd=self.tmp, **options)

    def run(self, *arguments, prefix=(), env=None):
        """oya with these arguments, to its end: status, output, errors."""
        p = self.spawn(
            [*prefix, Paths.oya, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env or {},
        )
        output, errors = p.communicate(timeout=15 * SLOWNESS)
        return p.returncode, output.decode(), errors.decode()

    def vm(self, guest_test, *arguments, **options):
        vm = Vm(self, guest_test, arguments, **options)
        self.vms.append(vm)
        return vm

    def told(self):
        """The last words of each VM and how it ended, for whoever looks into a failure."""
        return "\n".join(vm.told() for vm in self.vms)

    def nothing_left(self):
        """No process of the test, no socket."""
        wait_for(lambda: not marked(self.mark), "a process was left behind")
        for root, _, names in os.walk(self.tmp):
            for name in names:
                path = os.path.join(root, name)
                check(not is_socket(path), f"the socket {name} was left behind")
        for path in set(glob.glob("/tmp/oya-run-*")) - self.private_before:
            check(in_use(path), f"{path} was left behind")

    def clean(self):
        for vm in self.vms:
            vm.end()
        for pid in marked(self.mark):
            os.kill(pid, signal.SIGKILL)
        self.folder.cleanup()


def is_socket(path):
    try:
        return os.path.stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def in_use(path):
    """Somebody listens there: another VM of this machine, which is none of our business."""
    s = connected(path)
    if s:
        s.close()
    return s is not None


def connected(path):
    """A connection to a socket, or None while nobody listens there."""
    s = socket.socket(socket.AF_UNIX)
    try:
        s.connect(path)
    except OSError:
        s.close()
        return None
    s.settimeout(5 * SLOWNESS)
    return s


class Vm:
    """oya run (or the worker itself) with the tiny guest, its console on pipes."""

    def __init__(self, place, guest_test, arguments, worker=None, stdio=True, prefix=()):
        self.control = place.path(f"control{len(place.vms)}")
        self.errors_path = place.path(f"errors{len(place.vms)}")
        self.seen = b""
        append = f"test={guest_test}"
        if worker is not None:
            config = {
                "version": 1,
                "memory_mib": 64,
                "boot": {"kernel": Paths.guest, "append": append},
                "control": self.control,
                "console": {"type": "stdio"},
                **worker,
            }
            place.write("config.json", json.dumps(config).encode())
            command = [Paths.worker, "--config", place.path("config.json")]
        else:
            command = [Paths.oya, "run", "--kernel", Paths.guest, "--append", append]
            command += ["--control", self.control, "--memory", "64M", *arguments]
        with open(self.errors_path, "wb") as errors:
            self.process = place.spawn(
                [*prefix, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if stdio else subprocess.DEVNULL,
                stderr=errors,
            )
        if stdio:
            os.set_blocking(self.process.stdout.fileno(), False)

    def errors(self):
        with open(self.errors_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def output(self):
        """What the guest has printed so far."""
        try:
            more = self.process.stdout.read()
        except ValueError:
            more = b""
        self.seen += more or b""
        return self.seen.decode(errors="replace")

    def told(self):
        try:
            status = self.process.wait(1)
        except subprocess.TimeoutExpired:
            status = "none, it runs"
        output = self.output() if self.process.stdout else ""
        return f"status {status}: {output[-400:]!r} {self.errors()[-400:]!r}"

    def expect(self, pattern, seconds=10.0):
        """Waits until the guest has printed it; the match."""

        def look():
            text = self.output()
            found = re.search(pattern, text)
            if not found and (self.process.poll() is not None or re.search("^FAIL", text, re.M)):
                found = re.search(pattern, self.output())
                check(found, f"no '{pattern}' but: {text[-300:]!r} {self.errors()[-300:]!r}")
            return found

        return wait_for(look, f"no '{pattern}' within {seconds:.0f} s", seconds)

    def type(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def ask(self, verb, fd=None, **arguments):
        """One request over the control socket, with a descriptor, several (a list) or none; the whole answer."""
        request = json.dumps({"verb": verb, **arguments}).encode() + b"\n"
        with wait_for(lambda: connected(self.control), "nobody listens at the socket") as s:
            socket.send_fds(s, [request], fd if isinstance(fd, list) else [] if fd is None else [fd])
            answer = b""
            while not answer.endswith(b"\n"):
                more = s.recv(65536)
                check(more, f"the answer to {verb} ends early")
                answer += more
        return json.loads(answer)

    def result(self, verb, fd=None, **arguments):
        answer = self.ask(verb, fd, **arguments)
        check(answer["ok"], f"{verb} is refused: {answer.get('error')}")
        return answer.get("result")

    def wait(self, seconds=10.0):
        """The exit status, once it has ended."""
        try:
            status = self.process.wait(seconds * SLOWNESS)
        except subprocess.TimeoutExpired:
            raise Failed(f"did not end within {seconds:.0f} s") from None
        if self.process.stdout:
            self.output()
        return status

    def passed(self):
        """The guest ends by itself and is content."""
        status = self.wait()
        text = self.output()
        check(re.search("^PASS ", text, re.M), f"{text[-400:]!r} {self.errors()[-400:]!r}")
        check(status == 0, f"exit status {status}")

    def worker_pid(self):
        return wait_for(lambda: children(self.process.pid), "there is no worker")[0]

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            try:
                if stream:
                    stream.close()
            except BrokenPipeError:
                pass


def one_sentence(errors):
    """Standard error is one line of prose by one of our programs."""
    lines = errors.splitlines()
    check(len(lines) == 1, f"{len(lines)} lines on standard error: {errors!r}")
    check(re.match(r"oya(-worker| run)?: \S", lines[0]), f"not a sentence of ours: {errors!r}")
    check(not lines[0].endswith("."), f"a full stop: {errors!r}")
    return lines[0]
