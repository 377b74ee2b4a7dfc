# SPDX-License-Identifier: GPL-2.0-or-later
"""The connections by which a VM comes: processes that carry their TLS, several of them, and what post-copy asks of them."""

import contextlib
import os
import signal
import socket
import time
import uuid

from daemon import context, worker_of
from harness import SLOWNESS, check, wait_for
from migrate_host_tests import Host, end, failed, move_test, moving, not_come, offer, only_in, pair, run_on, running, whole


# ---- VMs ----


@move_test("a_whole_vm_goes_by_several_connections")
def _(place):
    a, b = whole(place, "disk-load", cpus=2, disks=[{"file": "disk.raw", "size_mib": 1}])
    for there, here, more in ((b, a, {"connections": 8}), (a, b, {"connections": 2, "quick": True})):
        job = here.job("POST", "/v1/vms/web/migrate", there.way(**more))
        check(job["state"] == "done" and job["details"]["connections"] == more["connections"], f"{job}")
        only_in(there, here)
        wait_for(lambda there=there: not there.carriers(), "a process of TLS outlives the move", 10)
    end(a, b)


@move_test("a_whole_vm_that_writes_faster_than_the_link_goes_before_its_memory")
def _(place):
    a, b = whole(place, "recall churn=1", memory_mib=192, migration={"postcopy": "allowed"})
    time.sleep(SLOWNESS)  # it writes
    job = moving(a, b, bandwidth=48 << 20)

    def follows():
        now = a.good("GET", f"/v1/jobs/{job['id']}")
        check(now["state"] == "running", f"there was no post-copy: {now}")
        return now["details"]["phase"] == "postcopy"

    wait_for(follows, "there is no post-copy", 20)
    check(b.vm("web")["state"] == "running", f"{b.vm('web')}")
    a.refused("DELETE", f"/v1/jobs/{job['id']}", None, 409, "cannot be cancelled")
    ended = wait_for(lambda: a.ended(job["id"]), "the job has no end", 20)
    check(ended["state"] == "done" and ended["details"]["connections"] == 2, f"{ended}")
    only_in(b, a)
    wait_for(lambda: not b.carriers(), "a process of TLS outlives the move", 10)
    end(a, b)


# ---- toys ----


@move_test("a_vm_comes_also_while_the_daemon_of_its_destination_is_dead")
def _(place):
    """Its streams are other processes': with the daemon that comes back it is still on its way, or here."""
    a, b = pair(place, "manual")
    identity = a.vm("web")["uuid"]
    for there, here, comes_back_before in ((b, a, True), (a, b, False)):
        job = moving(here, there, connections=3)
        there.kill()
        if comes_back_before:
            there.start()
            there.wait_state("web", "incoming")
        time.sleep(0.5)  # for what would be done to it
        here.toy(identity, "switch")
        ended = wait_for(lambda here=here, job=job: here.ended(job["id"]), "no end", 20)
        check(ended["state"] == "done", f"{ended}")
        if not comes_back_before:
            there.start()
        there.wait_state("web", "running")
        wait_for(lambda there=there: not there.carriers(), "a process is left", 10)
    end(a, b)


@move_test("a_destination_whose_streams_end_while_it_is_dead_has_nothing")
def _(place):
    a, b = pair(place, "manual")
    for _ in range(2):
        job = moving(a, b)
        b.kill()
        a.good("DELETE", f"/v1/jobs/{job['id']}", status=204)
        failed(a, job, "cancelled")
        b.start()
        not_come(b)
    check(not b.carriers(), "a process is left")
    end(a, b)


@move_test("a_move_whose_tls_dies_on_either_side_is_undone")
def _(place):
    a, b = pair(place, "manual")
    for connections in (1, 3):
        for victim in (b.carriers, lambda: list(running(f"oya-tls\x00127.0.0.1\0{b.port}\0"))):
            job = moving(a, b, connections=connections)
            check(len(victim()) == connections, f"{victim()}")
            os.kill(int(victim()[0]), signal.SIGKILL)
            failed(a, job, "")
            check(a.vm("web")["state"] == "running", f"{a.vm('web')}")
            not_come(b)
            wait_for(lambda: not b.carriers(), "a process is left", 10)
    end(a, b)


def asked(a, b, **more):
    """Begins a move; what both workers were asked to do, and by how many streams. It is cancelled then."""
    job = moving(a, b, **more)
    identity = a.vm("web")["uuid"]
    there = wait_for(lambda: b.toy(identity, "told"), "nothing", 10)
    here = a.toy(identity, "told")
    details = a.good("GET", f"/v1/jobs/{job['id']}")["details"]
    check(here["streams"] == there["streams"] == details["connections"], f"{here} {there} {details}")
    a.good("DELETE", f"/v1/jobs/{job['id']}", status=204)
    wait_for(lambda: a.ended(job["id"]), "the job has no end", 20)
    not_come(b)
    return here["request"], here["streams"]


@move_test("a_vm_goes_by_as_many_connections_as_both_workers_take")
def _(place):
    a, b = pair(place, "manual")
    for wanted in (1, 2, 8):
        request, streams = asked(a, b, connections=wanted)
        check(streams == wanted and "postcopy" not in request, f"{wanted}: {streams} {request}")
    check(asked(a, b)[1] == 1, "it is not one where nobody says")
    for wanted in (0, 9):
        a.refused("POST", "/v1/vms/web/migrate", b.way(connections=wanted), 400, "'connections'")
    for older in ("older-source", "older-destination"):
        run_on(a, f"manual {older}")
        check(asked(a, b, connections=8)[1] == 1, f"{older}: more than one")
    end(a, b)


@move_test("post_copy_is_asked_of_the_worker_where_the_vm_or_the_move_says_so")
def _(place):
    a, b = pair(place, "manual")
    for allowed, more, expected in (
        (False, {}, (False, 1)),
        (False, {"postcopy": True}, (True, 2)),
        (False, {"postcopy": True, "connections": 4}, (True, 4)),
        (True, {}, (True, 2)),
        (True, {"postcopy": False}, (False, 1)),
        (True, {"quick": True}, (False, 1)),
    ):
        a.good("PATCH", "/v1/vms/web", {"migration": {"postcopy": "allowed" if allowed else "never"}})
        request, streams = asked(a, b, **more)
        check((request.get("postcopy", False), streams) == expected, f"{allowed} {more}: {streams} {request}")
        check("postcopy" not in request or request["postcopy"] is True, f"{request}")
    a.refused("POST", "/v1/vms/web/migrate", b.way(quick=True, postcopy=True), 400, "exclude each other")
    a.refused("PATCH", "/v1/vms/web", {"migration": {"postcopy": "always"}}, 400, "'postcopy'")
    run_on(a, "manual older-source", migration={"postcopy": "allowed"})
    a.refused("POST", "/v1/vms/web/migrate", b.way(postcopy=True), 409, "older version")
    check("postcopy" not in asked(a, b)[0], "it is asked of an older worker")
    run_on(a, "manual older-destination", migration={"postcopy": "allowed"})
    failed(a, a.good("POST", "/v1/vms/web/migrate", b.way(postcopy=True), 202), "post-copy needs two")
    not_come(b)
    check("postcopy" not in asked(a, b)[0], "an older worker is to take it")
    end(a, b)


@move_test("a_worker_is_told_when_its_vm_may_be_compressed_and_by_default_it_is_not")
def _(place):
    a, b = pair(place, "manual")
    for more, expected in (({}, False), ({"compress": "auto"}, True), ({"compress": "never"}, False)):
        check(asked(a, b, **more)[0].get("compress") is expected, f"{more}")
    a.refused("POST", "/v1/vms/web/migrate", b.way(compress="always"), 400, "'compress'")
    end(a, b)


@move_test("a_vm_whose_memory_follows_has_gone_and_its_job_tells_whether_that_came")
def _(place):
    a, b = pair(place, "manual")
    identity = a.vm("web")["uuid"]
    for how in ("lost", "killed"):
        here, there = (a, b) if a.names() else (b, a)
        job = moving(here, there, postcopy=True)
        here.toy(identity, "deafen")
        here.toy(identity, "follow", 7)
        there.wait_state("web", "running")

        def details(here=here, job=job):
            return here.good("GET", f"/v1/jobs/{job['id']}")["details"]

        wait_for(lambda: details()["phase"] == "postcopy" and details()["pages_left"] == 7, "it does not tell", 10)
        here.refused("DELETE", f"/v1/jobs/{job['id']}", None, 409, "cannot be cancelled")
        if how == "lost":
            with contextlib.suppress(OSError, ValueError):
                here.toy(identity, "lose")
        else:
            os.kill(worker_of(place, here, "web"), signal.SIGKILL)
        failed(here, job, "the toy has lost pages" if how == "lost" else "perhaps before all of its memory")
        wait_for(lambda here=here: here.names() == [], "it is on both", 10)
        check(there.vm("web")["state"] == "running", f"{there.vm('web')}")
    end(a, b)


def with_pass(d, text):
    """A connection to its port that has begun with a line."""
    s = socket.create_connection(("127.0.0.1", d.port), timeout=20 * SLOWNESS)
    s.sendall(text if isinstance(text, bytes) else f"oya-pass {text}\n".encode())
    return s


def is_ended(s):
    """Whether it comes to its end, whatever it says before."""
    try:
        while s.recv(4096):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


def get_over(s, token=None):
    """The status of a request over TLS on a connection."""
    with context().wrap_socket(s) as tls:
        more = f"Authorization: Bearer {token}\r\n" if token else ""
        tls.sendall(f"GET /v1/host HTTP/1.0\r\nHost: x\r\n{more}\r\n".encode())
        return int(tls.recv(4096).split()[1])


@move_test("a_pass_opens_a_process_and_nobody_gets_in_without_a_token")
def _(place):
    a, b = Host(place, "a-"), Host(place, "b-")
    a.make("web")
    taken = b.good("POST", "/v1/incoming", offer(a, connections=2), 201)
    check(taken["connections"] == 2, f"{taken}")
    for line in (str(uuid.uuid4()), "x" * 36, b"o" * 46, b"oya-pass \n" * 8, taken["pass"].encode() + b" " * 10):
        check(is_ended(with_pass(b, line)), f"{line} opens something")
    check(not b.carriers(), "a stranger made a process")
    drips = with_pass(b, b"oya-pa")
    with with_pass(b, taken["pass"]) as s:
        check(get_over(s) == 401, "there is no token")
    with with_pass(b, taken["pass"]) as s:
        check(get_over(s, b.token) == 200, "it does not carry")
    drips.sendall(f"ss {taken['pass']}\n".encode())
    check(get_over(drips, b.token) == 200, "a line in parts is another one")
    wait_for(lambda: not b.carriers(), "a process outlives its connection", 10)
    with with_pass(b, taken["pass"]) as s:
        check(len(wait_for(b.carriers, "no process", 10)) == 1, "there are more")
        with open(f"/proc/{b.carriers()[0]}/status", encoding="ascii") as f:
            wait_for(lambda: "Uid:\t65534" in open(f.name, encoding="ascii").read(), "it is root", 10)
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        check(is_ended(s), "it speaks without TLS")
    check(is_ended(with_pass(b, taken["pass"])), "it is good for more than twice as many")
    b.good("DELETE", "/v1/incoming/web", status=204)
    taken = b.good("POST", "/v1/incoming", offer(a), 201)
    b.good("DELETE", "/v1/incoming/web", status=204)
    check(is_ended(with_pass(b, taken["pass"])), "it is good for a VM that does not come any more")
    not_come(b)
    check(taken["pass"] not in b.errors(), "it is logged")
    end(a, b)


@move_test("streams_that_wait_for_others_go_with_the_vm")
def _(place):
    a, b = Host(place, "a-"), Host(place, "b-")
    a.make("web")
    taken = b.good("POST", "/v1/incoming", offer(a, connections=2), 201)
    with with_pass(b, taken["pass"]) as s, context().wrap_socket(s) as tls:
        head = f"POST /v1/incoming/web/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {b.token}\r\n"
        tls.sendall(f"{head}Connection: Upgrade\r\nUpgrade: oya-migration\r\n\r\n".encode())
        check(b" 101 " in tls.recv(4096), "it is not taken")
        check(b.toy(a.vm("web")["uuid"], "told")["streams"] == 0, "the worker has one of two")
        b.good("DELETE", "/v1/incoming/web", status=204)
        check(tls.recv(1) == b"", "it goes on")
    wait_for(lambda: not b.carriers(), "a process is left", 10)
    not_come(b)
    end(a, b)
