# SPDX-License-Identifier: GPL-2.0-or-later
"""oyad under test, and a client of its API."""

import http.client
import json
import os
import socket
import ssl
import subprocess

from description import Description, Wrong
from harness import SLOWNESS, Failed, Paths, check, connected, marked, wait_for

DESCRIPTION = Description.load()


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=20 * SLOWNESS)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Remote(http.client.HTTPSConnection):
    """HTTP over TLS to this host, whose certificate is not looked at."""

    def __init__(self, port, **files):
        super().__init__("127.0.0.1", port, timeout=20 * SLOWNESS, context=context(**files))


def context(certificate=None, key=None):
    """What a client needs for TLS."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    if certificate:
        made.load_cert_chain(certificate, key)
    return made


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Daemon:
    """One oyad with folders of its own in the place of a test; may be started anew there."""

    def __init__(self, place, *options, alone=False, name="", worker=None, before=()):
        """alone: with a network namespace of its own, which ends with its last process; name: of one of several;
        before: what its command begins with."""
        self.place = place
        self.options = options
        self.worker = worker or Paths.worker
        self.holder = None  # of the namespace
        self.before = ["nsenter", f"--net={self._namespace()}"] if alone else list(before)
        self.state, self.run = place.path(name + "state"), place.path(name + "run")
        self.api = os.path.join(self.run, "api")
        self.errors_path = place.path(name + "oyad.log")
        self.process = None
        self.start()

    def start(self):
        command = [*self.before, Paths.oyad, "--state", self.state, "--run", self.run, "--worker", self.worker]
        command += ["--importer", Paths.importer, "--connector", Paths.connector, *self.options]
        with open(self.errors_path, "ab") as errors:
            self.process = self.place.spawn(command, stdin=subprocess.DEVNULL, stderr=errors)
        wait_for(self._listens, f"oyad does not listen: {self.errors()[-400:]}")

    def _namespace(self):
        command = ["unshare", "--net", "sleep", "600"]
        self.holder = self.place.spawn(command, stdin=subprocess.DEVNULL)
        own = os.readlink("/proc/self/ns/net")
        path = f"/proc/{self.holder.pid}/ns/net"
        wait_for(lambda: os.readlink(path) != own, "no namespace is made")
        return path

    def _listens(self):
        check(self.process.poll() is None, f"oyad has ended: {self.errors()[-400:]}")
        s = connected(self.api)
        if s:
            s.close()
        return s is not None

    def errors(self):
        with open(self.errors_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        self.process.terminate()
        status = self.process.wait(10 * SLOWNESS)
        check(status == 0, f"oyad ends with {status}: {self.errors()[-400:]}")
        if self.holder:
            self.holder.kill()
            self.holder.wait()

    def fetch(self, method, path, body=None, headers=None, connection=None):
        """Status, headers and the bytes of the answer, all of which are as the API's description says.

        On the Unix socket unless there is a connection.
        """
        c = connection or Connection(self.api)
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        text = None if body is None else json.dumps(body)
        c.request(
            method, path, text, {**({"Content-Type": kind} if text else {}), **(headers or {})}
        )
        answer = c.getresponse()
        content = answer.read()
        c.close()
        try:
            DESCRIPTION.check_answer(method, path, answer.status, answer.headers, content)
            if answer.status < 400:
                DESCRIPTION.check_request(method, path, kind, body)
        except Wrong as e:
            raise Failed(f"the API is not as described: {e}") from None
        return answer.status, answer.headers, content

    def ask(self, method, path, body=None, headers=None, connection=None):
        """Status, headers, and the JSON of the answer."""
        status, got, content = self.fetch(method, path, body, headers, connection)
        return status, got, json.loads(content) if content else None

    def good(self, method, path, body=None, status=None):
        got, _, answer = self.ask(method, path, body)
        check(got < 400 and status in (None, got), f"{method} {path}: {got} {answer}")
        return answer

    def refused(self, method, path, body, status, sentence):
        got, headers, answer = self.ask(method, path, body)
        check(got == status, f"{method} {path}: {got} in place of {status}: {answer}")
        check(headers["Content-Type"] == "application/problem+json", str(headers))
        check(sentence in answer["detail"], f"{answer['detail']!r} has no {sentence!r}")

    def job(self, method, path, body=None):
        """Does what takes long, to its end; the job."""
        job = self.good(method, path, body, 202)
        return wait_for(lambda: self.ended(job["id"]), f"the job {job} does not end", 20)

    def ended(self, number):
        job = self.good("GET", f"/v1/jobs/{number}")
        return job if job["state"] != "running" else None

    def done(self, method, path, body=None):
        job = self.job(method, path, body)
        check(job["state"] == "done", f"{job}")

    def make(self, name, guest_test="halted", **settings):
        boot = {"kernel": Paths.guest, "append": f"test={guest_test}"}
        return self.good(
            "POST", "/v1/vms", {"name": name, "memory_mib": 64, "boot": boot, **settings}, 201
        )

    def vm(self, name):
        return self.good("GET", f"/v1/vms/{name}")

    def wait_state(self, name, state, seconds=10):
        wait_for(
            lambda: self.vm(name)["state"] == state,
            f"{name} does not become {state}: {self.errors()[-600:]}",
            seconds,
        )


def worker_of(place, daemon, name):
    """The pid of a VM's worker."""
    run = os.path.join(daemon.run, "vm", daemon.vm(name)["uuid"])
    for pid in marked(place.mark):
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            if run.encode() in f.read():
                return pid
    return None
