# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may use oyad and for what: tokens, roles, users of the host, TLS, and `oya` from another host."""

import json
import os
import pty
import select
import signal
import socket
import ssl
import subprocess
import time

from daemon import DESCRIPTION, Daemon, Remote, context, free_port
from harness import SLOWNESS, Paths, Skipped, check, test, wait_for

WRONG = "oya_" + "0" * 64


def access_test(name):
    return test(name, suite="host")


class Reached(Daemon):
    """An oyad that listens on a port of this host too."""

    def __init__(self, place):
        self.port = free_port()
        super().__init__(place, "--listen", f"127.0.0.1:{self.port}")

    def token(self, name, role, **more):
        return self.good("POST", "/v1/tokens", {"name": name, "role": role, **more}, 201)["token"]

    def by(self, token, method, path, body=None, **files):
        """Status and answer, over TLS."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        status, _, answer = self.ask(method, path, body, headers, Remote(self.port, **files))
        return status, answer

    def status(self, token, method, path, body=None, **files):
        return self.by(token, method, path, body, **files)[0]

    def raw(self, text=b"", made=None):
        """A connection of TLS, on which bytes were sent."""
        s = socket.create_connection(("127.0.0.1", self.port), 20 * SLOWNESS)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s = (made or context()).wrap_socket(s)
        s.sendall(text)
        return s

    def change_access(self, change):
        """As an administrator does by hand."""
        path = os.path.join(self.state, "access.json")
        with open(path, encoding="utf-8") as f:
            access = json.load(f)
        change(access)
        with open(path, "w", encoding="utf-8") as f:
            json.dump(access, f)
        before = self.errors().count("read again")
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.errors().count("read again") > before, f"it is not read: {self.errors()[-300:]}")


def until(s, part):
    """What comes up to a part of it."""
    seen = b""
    while part not in seen:
        more = s.recv(65536)
        check(more, f"it ends before {part!r}: {seen!r}")
        seen += more
    return seen


def ends(s, seconds):
    """Whether the connection ends in that time, whatever comes before."""
    s.settimeout(seconds * SLOWNESS)
    try:
        while s.recv(65536):
            pass
    except (TimeoutError, socket.timeout):
        return False
    except (OSError, ssl.SSLError):
        pass
    return True


def request(method, path, token, *lines):
    head = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", *lines, "", ""]
    return "\r\n".join(head).encode()


@access_test("a_token_has_its_role_until_it_is_deleted_or_expires")
def _(place):
    d = Reached(place)
    reader, boss = d.token("reader", "reader"), d.token("boss", "administrator", days=1)
    check(d.status(None, "GET", "/v1/host") == 401, "nobody is let in")
    check(d.status(WRONG, "GET", "/v1/host") == 401, "a wrong token is let in")
    check(d.status(reader, "GET", "/v1/host") == 200, "a reader does not see the host")
    body = {"name": "a", "boot": {"firmware": "bios"}}
    check(d.status(reader, "POST", "/v1/vms", body) == 403, "a reader makes a VM")
    check(d.status(reader, "GET", "/v1/tokens") == 403, "a reader sees tokens")
    check(d.status(boss, "POST", "/v1/vms", body) == 201, "an administrator makes no VM")
    check(d.status(reader, "POST", "/v1/vms/a/start") == 403, "a reader starts a VM")
    names = [t["name"] for t in d.by(boss, "GET", "/v1/tokens")[1]["tokens"]]
    check(names == ["reader", "boss"], f"{names}")
    d.refused("POST", "/v1/tokens", {"name": "boss", "role": "reader"}, 409, "there is a token 'boss'")
    d.refused("POST", "/v1/tokens", {"name": "x", "role": "boss"}, 400, "'role' is 'boss'")
    d.refused("DELETE", "/v1/tokens/none", None, 404, "there is no token 'none'")
    d.good("DELETE", "/v1/tokens/boss", status=204)
    check(d.status(boss, "GET", "/v1/host") == 401, "a token that was deleted is let in")
    d.change_access(lambda access: access["tokens"][0].update(expires=int(time.time()) - 1))
    check(d.status(reader, "GET", "/v1/host") == 401, "a token that has expired is let in")
    with open(os.path.join(d.state, "access.json"), encoding="utf-8") as f:
        check(reader[4:] not in f.read(), "the token is kept")
    check(os.stat(os.path.join(d.state, "tls-key.pem")).st_mode & 0o777 == 0o600, "others read the key")
    d.end()


ROLES = ["reader", "operator", "administrator"]
PLACES = {"vm": "web", "job": "999999", "switch": "none", "disk": "0:9", "nic": "02:00:00:00:00:01", "token": "none", "image": "none", "host": "none", "rung": "none"}


def _answer_of(daemon, token, method, path, body):
    """The status alone: some of these are streams without an end."""
    text = b"" if body is None else json.dumps(body).encode()
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    lines = [f"Content-Type: {kind}", f"Content-Length: {len(text)}"] if text else []
    if method in ("POST", "DELETE", "PATCH") and not text:
        lines.append("Content-Length: 0")
    s = daemon.raw(request(method, path, token, *lines, "Connection: close") + text)
    try:
        return int(until(s, b"\r\n").split()[1])
    finally:
        s.close()


@access_test("every_route_is_held_to_its_role_by_every_role")
def _(place):
    """Each route of the description, by nobody, and by each role for all VMs and for another VM alone."""
    d = Reached(place)
    d.make("web")
    d.make("other")
    tokens = [d.token(role, role) for role in ROLES]
    strangers = [d.token(f"one-{role}", role, vms=["other"]) for role in ROLES[:2]]
    count = 0
    operations = sorted(DESCRIPTION.operations(), key=lambda o: "stop-vms" in o[1])  # that one ends all of them
    for method, path, operation in operations:
        least = ROLES.index(operation["x-oya-role"]) if operation["x-oya-role"] in ROLES else 0  # a joiner has less
        target = path
        for name, value in PLACES.items():
            target = target.replace("{" + name + "}", value)
        body = {"of": "nobody"} if operation.get("requestBody", {}).get("required") else None
        status = _answer_of(d, WRONG, method, target, body)
        check(status in (401, 429), f"{method} {path} without a role: {status}")  # 429: too often
        for number, token in enumerate(tokens):
            status = _answer_of(d, token, method, target, body)
            check((status == 403) == (number < least), f"{method} {path} as {ROLES[number]}: {status}")
            check(status != 401, f"{method} {path} as {ROLES[number]}: {status}")
            count += 1
        if "{vm}" in path:
            for role, token in zip(ROLES, strangers):
                status = _answer_of(d, token, method, target, body)
                check(status in (403, 404, 426), f"{method} {path} as {role} of another VM: {status}")
                count += 1
        if method == "DELETE" and path == "/v1/vms/{vm}":
            d.make("web")  # an administrator may
    check(count > 150, f"only {count} answers")
    d.ask("POST", "/v1/vms/web/stop", {"off": True})
    # The start may have been quick enough for the save to find it running.
    wait_for(lambda: d.vm("web")["state"] in ("off", "saved"), "it does not end")
    d.end()


@access_test("an_operator_of_one_vm_sees_it_alone")
def _(place):
    d = Reached(place)
    for name in ("mine", "other"):
        d.make(name)
        d.done("POST", f"/v1/vms/{name}/start")
    d.done("POST", "/v1/vms/mine/stop", {"off": True})
    token = d.token("op", "operator", vms=["mine"])
    check([vm["name"] for vm in d.by(token, "GET", "/v1/vms")[1]["vms"]] == ["mine"], "the list has others")
    check(d.by(token, "GET", "/v1/host")[1]["vms"] == 1, "others are counted")
    jobs = d.by(token, "GET", "/v1/jobs")[1]["jobs"]
    check(jobs and {job["vm"] for job in jobs} == {"mine"}, f"{jobs}")
    foreign = next(job for job in d.good("GET", "/v1/jobs")["jobs"] if job["vm"] == "other")
    check(d.status(token, "GET", f"/v1/jobs/{foreign['id']}") == 404, "another's job is shown")
    for method, path in (
        ("GET", "/v1/vms/other"), ("POST", "/v1/vms/other/stop"), ("GET", "/v1/vms/other/statistics"),
        ("POST", "/v1/vms/other/reset"), ("GET", "/v1/vms/none"),
    ):  # fmt: skip
        status, answer = d.by(token, method, path)
        check(status == 404 and "there is no VM" in answer["detail"], f"{method} {path}: {status} {answer}")
    check(d.status(token, "DELETE", "/v1/vms/mine") == 403, "an operator deletes")
    check(d.status(token, "GET", "/v1/vms/mine/disks") == 200, "it does not see its own disks")
    check(d.status(token, "GET", "/v1/vms/other/disks") == 404, "it sees another's disks")
    check(d.status(token, "GET", "/v1/switches") == 403, "it sees the host's switches")
    check(d.status(d.token("all", "reader"), "GET", "/v1/switches") == 200, "a reader of all does not see switches")
    events = d.raw(request("GET", "/v1/events", token, "Accept: text/event-stream"))
    until(events, b"\r\n\r\n")
    d.good("POST", "/v1/vms/other/pause", status=204)
    d.wait_state("other", "paused")
    check(d.status(token, "POST", "/v1/vms/mine/start") == 202, "it cannot start its own")
    seen = until(events, b'"state":"done"')
    check(b"mine" in seen and b"other" not in seen, f"{seen!r}")
    last = [line for line in seen.splitlines() if line.startswith(b"id: ")][0].decode()[4:]
    again = d.raw(request("GET", "/v1/events", token, "Accept: text/event-stream", f"Last-Event-ID: {int(last) - 1}"))
    seen = until(again, b'"state":"done"')
    check(b"other" not in seen, f"{seen!r}")
    upgrade = ("Connection: Upgrade", "Upgrade: oya-console")
    console = d.raw(request("GET", "/v1/vms/other/console", token, *upgrade))
    check(until(console, b"\r\n\r\n").startswith(b"HTTP/1.1 404"), "another's console is opened")
    console = d.raw(request("GET", "/v1/vms/mine/console", token, *upgrade))
    check(until(console, b"\r\n\r\n").startswith(b"HTTP/1.1 101"), "its console is not opened")
    d.good("DELETE", "/v1/tokens/op", status=204)
    check(ends(events, 5) and ends(again, 5), "its events go on without the token")
    check(ends(console, 5), "its console goes on without the token")
    for name in ("mine", "other"):
        d.done("POST", f"/v1/vms/{name}/stop", {"off": True})
    d.end()


@access_test("users_of_the_host_have_the_roles_that_they_are_given")
def _(place):
    if os.getuid() != 0:
        raise Skipped("needs root")
    d = Reached(place)
    d.make("web")

    def nobody(path):
        """The status as the user nobody gets it; None when it cannot connect."""
        script = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1]); "
            "s.sendall(b'GET ' + sys.argv[2].encode() + b' HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'); print(s.recv(99).split()[1].decode())"
        )
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "python3", "-c", script, d.api, path]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return int(done.stdout) if done.returncode == 0 else None

    check(nobody("/v1/vms") is None, "everybody may connect")
    d.token("first", "reader")  # so that there is a file
    d.change_access(lambda access: access.update(grants=[{"user": "nobody", "role": "reader", "vms": ["db"]}]))
    check(nobody("/v1/host") == 200 and nobody("/v1/vms/web") == 404, "a user has not the role of the grant")
    d.change_access(lambda access: access.update(grants=[{"user": "daemon", "role": "reader"}]))
    check(nobody("/v1/host") == 403, "another user's grant counts")
    d.change_access(lambda access: access.update(grants=[]))
    check(nobody("/v1/host") is None, "everybody may connect")
    d.end()


@access_test("tls_is_1_3_and_no_other")
def _(place):
    d = Reached(place)
    old = context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        d.raw(made=old)
        check(False, "TLS 1.2 is spoken")
    except ssl.SSLError:
        pass
    with d.raw() as s:
        check(s.version() == "TLSv1.3", s.version())
    plain = socket.create_connection(("127.0.0.1", d.port), 10)
    plain.sendall(b"GET /v1/host HTTP/1.1\r\nHost: x\r\n\r\n")
    plain.settimeout(10)
    answer = plain.recv(4096)
    check(b"HTTP" not in answer, f"it speaks without TLS: {answer!r}")
    d.end()


def _why_not(place, *options):
    """What an oyad says that does not start."""
    command = [Paths.oyad, "--state", place.path("state"), "--run", place.path("run"), "--worker", Paths.worker, *options]
    with place.spawn(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as p:
        text = p.communicate(timeout=20 * SLOWNESS)[1].decode()
    check(p.returncode == 1, f"it ends with {p.returncode}: {text}")
    return text


@access_test("keys_are_made_once_and_what_cannot_be_used_is_told")
def _(place):
    d = Reached(place)
    first = d.good("GET", "/v1/host")["certificate"]
    d.end()
    d.start()
    check(d.good("GET", "/v1/host")["certificate"] == first, "it is another one after a start")
    d.end()
    key, certificate = (os.path.join(d.state, name) for name in ("tls-key.pem", "tls-cert.pem"))
    os.remove(certificate)
    d.start()
    check(d.good("GET", "/v1/host")["certificate"] != first, "it is the same without its file")
    d.end()
    where = ("--listen", f"127.0.0.1:{d.port}")
    os.rename(key, place.path("key"))
    check("but no tls-key.pem" in _why_not(place, *where), "a certificate without its key is taken")
    _make_certificates(place)
    os.rename(place.path("ca.key"), key)
    check("cannot use tls-key.pem with tls-cert.pem" in _why_not(place, *where), "another's key is taken")
    os.remove(key)
    os.remove(certificate)
    for bad in ("7443", "localhost:7443", "127.0.0.1:x", ":7443", "[::1:7443", "::1:7443"):
        check("is no ADDRESS:PORT" in _why_not(place, "--listen", bad), bad)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        check("in use" in _why_not(place, "--listen", f"127.0.0.1:{s.getsockname()[1]}"), "nothing tells of it")
    local = Daemon(place)
    check("certificate" not in local.good("GET", "/v1/host"), "there is one without --listen")
    local.end()


@access_test("what_two_parsers_could_read_differently_is_refused_over_tls")
def _(place):
    d = Reached(place)
    token = d.token("reader", "reader")
    hidden = request("GET", "/v1/host", token)
    for lines in (
        ("Content-Length: 3", "Transfer-Encoding: chunked"),
        ("Content-Length: 3", "Content-Length: 4"),
        ("Content-Length : 3",),
        ("Transfer-Encoding: gzip, chunked",),
        ("X: a", " b"),
        ("X: a\nContent-Length: 3",),
        ("X: a\0b",),
        ("Host: y",),
    ):
        s = d.raw(request("GET", "/v1/host", token, *lines) + hidden)
        s.settimeout(10 * SLOWNESS)
        seen = b""
        while more := s.recv(65536):
            seen += more
        check(seen.startswith(b"HTTP/1.1 400") and seen.count(b"\r\nDate:") == 1, f"{lines}: {seen!r}")
    s = d.raw(hidden + hidden)
    check(until(s, b"}").startswith(b"HTTP/1.1 200"), "good requests are refused")
    d.end()


@access_test("who_is_refused_while_he_still_speaks_hears_why")
def _(place):
    d = Reached(place)
    body = {"name": "a" * 900000, "role": "reader"}
    for _ in range(20):
        status, answer = d.by(WRONG, "POST", "/v1/tokens", body)
        check(status in (401, 429) and answer["detail"], f"{status} {answer}")
    check(d.status(d.token("boss", "administrator"), "POST", "/v1/tokens", body) == 400, "a long body is not taken")
    d.end()


@access_test("handshakes_that_stall_hold_nobody_and_end")
def _(place):
    d = Reached(place)
    token = d.token("reader", "reader")
    stalled = [socket.create_connection(("127.0.0.1", d.port), 5) for _ in range(40)]
    for n, s in enumerate(stalled):
        if n % 2:
            s.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello
    began = time.monotonic()
    check(d.status(token, "GET", "/v1/host") == 200, "it does not answer")
    check(time.monotonic() - began < 3 * SLOWNESS, "it answers late")
    # One address has a quarter of the connections.
    more = [socket.create_connection(("127.0.0.1", d.port), 5) for _ in range(60)]
    wait_for(lambda: select.select(more, [], [], 0)[0], "an address has all the connections that it wants")
    check(d.good("GET", "/v1/host"), "the Unix socket is held up")
    check(all(ends(s, 15) for s in stalled), "a handshake has no end")
    for s in stalled + more:
        s.close()
    check(d.status(token, "GET", "/v1/host") == 200, "it does not answer any more")
    d.end()


@access_test("wrong_tokens_are_answered_within_a_limit_and_leave_nothing")
def _(place):
    d = Reached(place)
    token = d.token("reader", "reader")

    def memory_kib():
        with open(f"/proc/{d.process.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))

    def try_wrong(count):
        return {d.status(f"oya_{n:064x}", "GET", "/v1/host") for n in range(count)}

    check(try_wrong(100) == {401, 429}, "they are not held back")
    before, log = memory_kib(), len(d.errors())
    check(try_wrong(1000) == {429}, "they are answered")
    check(memory_kib() - before < 1024, f"memory grows from {before} to {memory_kib()} KiB")
    check(len(d.errors()) - log < 10000, "the log grows")
    check(d.status(token, "GET", "/v1/host") == 200, "a right token is held back with them")
    d.end()


@access_test("clients_that_go_leave_nothing_behind")
def _(place):
    d = Reached(place)
    token = d.token("reader", "reader")
    listen = request("GET", "/v1/events", token, "Accept: text/event-stream")
    for n in range(150):  # there are 64 streams at most
        s = d.raw(listen)
        check(until(s, b"\r\n\r\n").startswith(b"HTTP/1.1 200"), f"no stream after {n}")
        if n % 2:
            s.unwrap()
        s.close()

    def descriptors():
        return len(os.listdir(f"/proc/{d.process.pid}/fd"))

    wait_for(lambda: descriptors() < 40, f"{descriptors()} descriptors are open")
    d.end()


def _make_certificates(place):
    """A CA, a client `anna` of it, and a stranger who signs for himself; by openssl."""

    def openssl(*arguments):
        done = subprocess.run(["openssl", *arguments], cwd=place.tmp, capture_output=True, text=True, check=False)
        check(done.returncode == 0, f"openssl {arguments}: {done.stderr}")

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for name in ("ca", "stranger"):
        openssl("req", "-x509", *curve, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
    openssl("req", *curve, "-keyout", "anna.key", "-out", "anna.csr", "-subj", "/CN=anna")
    openssl("x509", "-req", "-in", "anna.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "anna.pem")


@access_test("certificates_of_clients_count_when_they_are_of_the_ca")
def _(place):
    _make_certificates(place)
    d = Reached(place)
    token = d.token("reader", "reader")
    d.change_access(lambda access: access.update(grants=[{"certificate": "anna", "role": "operator"}]))
    anna = {"certificate": place.path("anna.pem"), "key": place.path("anna.key")}
    stranger = {"certificate": place.path("stranger.pem"), "key": place.path("stranger.key")}
    check(d.status(None, "GET", "/v1/host", **anna) == 401, "a certificate counts without a CA")
    d.end()
    os.rename(place.path("ca.pem"), os.path.join(d.state, "tls-ca.pem"))
    d.start()
    check(d.status(None, "GET", "/v1/host", **anna) == 200, "the certificate does not count")
    check(d.status(None, "GET", "/v1/tokens", **anna) == 403, "it has another role")
    page = d.ask("GET", "/v1/host", None, {"Origin": "https://example.com"}, Remote(d.port, **anna))
    check(page[0] == 401, "the page of another uses the certificate of its reader")
    check(d.status(None, "GET", "/v1/host") == 401, "nobody is let in")
    check(d.status(token, "GET", "/v1/host") == 200, "a token does not count any more")
    try:
        status = d.status(token, "GET", "/v1/host", **stranger)
        check(False, f"a certificate of nobody's is taken: {status}")
    except OSError:
        pass
    d.end()


def _answer(place, environment, answer, *arguments):
    """What oya says at a terminal at which somebody gives that answer."""
    ours, theirs = pty.openpty()
    p = place.spawn([Paths.oya, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    seen, told = b"", False
    # Our own end of theirs stays open until all is read: what is left in a terminal that nobody has
    # open any more can be lost.
    while select.select([ours], [], [], 0.05)[0] or p.poll() is None:
        if select.select([ours], [], [], 0)[0]:
            seen += os.read(ours, 4096)
        if b"[yes/no]" in seen and not told:
            os.write(ours, answer.encode() + b"\n")
            told = True
    os.close(theirs)
    os.close(ours)
    return seen.decode()


@access_test("oya_works_on_another_host_that_is_trusted")
def _(place):
    d = Reached(place)
    where = f"127.0.0.1:{d.port}"
    environment = {"HOME": place.tmp, "XDG_CONFIG_HOME": "", "OYA_SOCKET": d.api}

    def oya(*arguments, status=0, **more):
        got, output, errors = place.run(*arguments, env={**environment, **more})
        check(got == status, f"oya {arguments}: {got} {output!r} {errors!r}")
        return output if status == 0 else errors

    token = oya("token", "create", "boss", "--role", "administrator").strip()
    check("boss" in oya("token", "list") and token not in oya("token", "list"), oya("token", "list"))
    mine = oya("token", "create", "op", "--role", "operator", "--vm", "web").strip()
    errors = oya("--host", where, "vm", "list", status=1, OYA_TOKEN=token)
    check("is not trusted yet" in errors, errors)
    fingerprint = json.loads(oya("host", "show", "-o", "json"))["certificate"]
    check(fingerprint in errors, f"{fingerprint} is not in {errors}")
    wrong = fingerprint[:-1] + ("1" if fingerprint[-1] == "0" else "0")
    check("another fingerprint" in oya("host", "trust", where, "--fingerprint", wrong, status=1), "it is trusted")
    oya("host", "trust", where, "--fingerprint", fingerprint.upper())
    os.remove(place.path(".config/oya/hosts.json"))
    answer = _answer(place, environment, "no", "--host", where, "host", "show")
    check("is not trusted" in answer, f"no is yes: {answer!r}")
    said = _answer(place, environment, "yes", "--host", where, "host", "show")
    check(fingerprint in said and "tell who you are" in said, said)
    check("tell who you are" in oya("--host", where, "vm", "list", status=1), "nobody is let in")
    environment.update(OYA_HOST=where, OYA_TOKEN=token)
    del environment["OYA_SOCKET"]
    kernel = ("--kernel", Paths.guest, "--append", "test=halted", "--memory", "64M", "--net", "none")
    oya("vm", "create", "web", *kernel, "--start")
    oya("vm", "create", "db", *kernel)
    check("by its whole path there" in oya("vm", "create", "x", "--disk", "a.raw", status=2), "it is a file of ours")
    check("running" in oya("vm", "list"), oya("vm", "list"))
    check("db" not in oya("vm", "list", OYA_TOKEN=mine), oya("vm", "list", OYA_TOKEN=mine))
    check("there is no VM 'db'" in oya("vm", "start", "db", status=1, OYA_TOKEN=mine), "it is started")
    check("your role" in oya("token", "list", status=1, OYA_TOKEN=mine), "tokens are listed")
    oya("vm", "stop", "web", "--off", OYA_TOKEN=mine)
    check("unknown or has expired" in oya("vm", "list", status=1, OYA_TOKEN=WRONG), "a wrong token counts")
    path = place.path(".config/oya/hosts.json")
    with open(path, encoding="utf-8") as f:
        hosts = json.load(f)
    hosts["hosts"][where]["token"] = mine
    with open(path, "w", encoding="utf-8") as f:
        json.dump(hosts, f)
    check("web" in oya("vm", "list", OYA_TOKEN=""), "the token of the file does not count")
    os.chmod(path, 0o644)
    check("chmod 600" in oya("vm", "list", status=1, OYA_TOKEN=""), "others may read the token")
    os.chmod(path, 0o600)
    d.end()
    for name in ("tls-key.pem", "tls-cert.pem"):
        os.remove(os.path.join(d.state, name))
    d.start()
    check("is another one" in oya("vm", "list", status=1), "another certificate is taken")
    d.end()
    check("Connection refused" in oya("vm", "list", status=1), "nothing tells that it is away")
