# SPDX-License-Identifier: GPL-2.0-or-later
"""Two oyads move a VM between them: whole ones; then, on toys, what is refused, what is undone, who dies when."""

import contextlib
import glob
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid

from daemon import Daemon, Remote, free_port, worker_of
from harness import SLOWNESS, Failed, Paths, check, test, wait_for
from network_tests import Network

TOY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "toy_worker.py")


def move_test(name):
    return test(name, suite="host")


class Host(Daemon):
    """An oyad with a port, and what others need for it; with a machine id of its own."""

    def __init__(self, place, name, *options, worker=TOY):
        self.port = free_port()
        self.where = f"127.0.0.1:{self.port}"
        self.die = place.path(name + "die")
        before = other_machine(place, name) + ["env", f"LD_PRELOAD={Paths.die_at}", f"OYA_DIE_FILE={self.die}"]
        super().__init__(place, "--listen", self.where, *options, name=name, worker=worker, before=before)
        self.token = self.good("POST", "/v1/tokens", {"name": "mover", "role": "administrator"}, 201)["token"]

    def way(self, **more):
        """The body of a migration to it."""
        return {"host": self.where, "fingerprint": self.good("GET", "/v1/host")["certificate"], "token": self.token, **more}

    def folder(self, name="web"):
        return os.path.join(self.state, "vms", name)

    def names(self):
        return [vm["name"] for vm in self.good("GET", "/v1/vms")["vms"]]

    def strike(self, step):
        """It dies before its nth step on the disk from now on."""
        with open(self.die + ".new", "w", encoding="utf-8") as f:
            f.write(str(step))
        os.rename(self.die + ".new", self.die)

    def spared(self, seconds):
        """Whether it lives still, after so many seconds; one that has died is started again."""
        try:
            self.process.wait(seconds * SLOWNESS)
        except subprocess.TimeoutExpired:
            os.unlink(self.die)
            return True
        os.unlink(self.die)
        self.start()
        return False

    def left(self):
        """What moves have left in its state, and workers' folders."""
        found = glob.glob(os.path.join(self.state, "moves", "*")) + glob.glob(os.path.join(self.run, "vm", "*"))
        return found + glob.glob(os.path.join(self.state, "vms", ".*"))

    def toy(self, identity, do, *arguments):
        """Tells the toy of a VM to do something."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10 * SLOWNESS)
            s.connect(os.path.join(self.run, "vm", identity, "control"))
            s.sendall(json.dumps({"verb": "toy", "do": do, "with": arguments}).encode() + b"\n")
            return json.loads(s.recv(4096)).get("result")

    def carriers(self):
        """The pids of the processes that carry TLS for it."""
        return list(running("--carry", self.state))


def running(*words):
    """The pids of processes whose command has all these words."""
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as f:
                command = f.read()
        except OSError:
            continue
        if all(word.encode() in command for word in words):
            yield path.split("/")[2]


def other_machine(place, name):
    """What a command begins with that is to be on a machine of its own, as far as ids tell."""
    path = place.write(name + "machine-id", (uuid.uuid4().hex + "\n").encode())
    return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/machine-id && exec "$@"', path]


def pair(place, append="", **settings):
    """Two hosts, and a VM that runs on the first."""
    a, b = Host(place, "a-"), Host(place, "b-")
    run_on(a, append, **settings)
    return a, b


def run_on(d, append="", **settings):
    """Makes the VM and starts it; one that was there before goes."""
    if d.names():
        d.done("POST", "/v1/vms/web/stop", {"off": True})
        d.good("DELETE", "/v1/vms/web?disks=delete", status=204)
    d.make("web", append or "halted", **settings)
    if append:
        d.good("PATCH", "/v1/vms/web", {"boot": {"append": append}})
    d.done("POST", "/v1/vms/web/start")


def end(*hosts):
    for d in hosts:
        for name in d.names():
            if d.vm(name)["state"] not in ("off", "saved"):
                d.done("POST", f"/v1/vms/{name}/stop", {"off": True})
        d.end()


def moving(a, b, **more):
    """Begins a move by hand; its job, and once both are in its midst."""
    job = a.good("POST", "/v1/vms/web/migrate", b.way(**more), 202)

    def in_rounds():
        now = a.good("GET", f"/v1/jobs/{job['id']}")
        check(now["state"] == "running", f"it has ended before: {now}")
        return now.get("details", {}).get("phase") == "rounds"

    wait_for(in_rounds, "there are no rounds", 20)
    return job


def failed(d, job, sentence):
    ended = wait_for(lambda: d.ended(job["id"]), "the job has no end", 20)
    check(ended["state"] == "failed" and sentence in ended["problem"], f"{ended}")
    return ended


def not_come(b):
    wait_for(lambda: b.names() == [] and not b.left(), f"something is left: {b.names()} {b.left()}", 20)


# ---- VMs ----


def whole(place, guest_test, **settings):
    """Two hosts with real workers, and a VM that runs on the first."""
    a, b = Host(place, "a-", worker=Paths.worker), Host(place, "b-", worker=Paths.worker)
    a.make("web", guest_test, **settings)
    a.done("POST", "/v1/vms/web/start")
    return a, b


def exits(d):
    return d.good("GET", "/v1/vms/web/statistics")["processors"]["exits"]


def goes_on(d):
    before = exits(d)
    wait_for(lambda: exits(d) > before, "the guest does not go on", 10)


def only_in(here, elsewhere):
    wait_for(lambda: elsewhere.names() == [], f"it is on both: {elsewhere.names()}", 10)
    check(here.vm("web")["state"] == "running", f"{here.vm('web')}")
    goes_on(here)


@move_test("a_whole_vm_goes_to_another_host_and_back_and_its_guest_goes_on")
def _(place):
    a, b = whole(place, "disk-load", cpus=2, disks=[{"file": "disk.raw", "size_mib": 1}])
    for there, here, quick in ((b, a, False), (a, b, False), (b, a, True), (a, b, True)):
        job = here.job("POST", "/v1/vms/web/migrate", {**there.way(), "quick": quick})
        check(job["state"] == "done", f"{job}")
        details = job["details"]
        check(0 < details["stopped_us"] < 5e6 and details["sent_bytes"] > 0, f"{details}")
        only_in(there, here)
    end(a, b)
    check(sorted(os.listdir(a.folder())) == ["disk.raw", "lease", "vm.json"], f"{os.listdir(a.folder())}")
    check(not b.left(), f"{b.left()}")


@move_test("a_whole_vm_that_is_paused_is_paused_on_the_other_host_too")
def _(place):
    a, b = whole(place, "disk-load", disks=[{"file": "disk.raw", "size_mib": 1}])
    a.good("POST", "/v1/vms/web/pause")
    check(a.job("POST", "/v1/vms/web/migrate", b.way())["state"] == "done", f"{a.errors()}")
    b.wait_state("web", "paused")
    b.good("POST", "/v1/vms/web/resume")
    b.wait_state("web", "running")
    goes_on(b)
    end(a, b)


@move_test("a_whole_vm_whose_move_is_cancelled_at_any_moment_is_on_one_host")
def _(place):
    a, b = whole(place, "disk-load", disks=[{"file": "disk.raw", "size_mib": 1}])
    here, there = a, b
    for n in range(14):
        job = here.good("POST", "/v1/vms/web/migrate", there.way(bandwidth=8 << 20), 202)
        time.sleep(n * 0.05)
        here.ask("DELETE", f"/v1/jobs/{job['id']}")
        ended = wait_for(lambda job=job: here.ended(job["id"]), "the job has no end", 30)
        if ended["state"] == "done":
            here, there = there, here
        wait_for(lambda: there.names() == [], f"it is on both: {ended}", 90)
        check(here.vm("web")["state"] == "running", f"{here.vm('web')}")
        goes_on(here)
    end(a, b)


@move_test("a_whole_vm_survives_the_death_of_either_daemon_on_its_way")
def _(place):
    a, b = whole(place, "disk-load", disks=[{"file": "disk.raw", "size_mib": 1}])
    for delay, source_dies in ((0, True), (0.5, True), (2, True), (0.5, False)):
        here, there = (a, b) if a.names() else (b, a)
        mortal = here if source_dies else there
        moving(here, there, bandwidth=1 << 19)
        mortal.kill()
        time.sleep(delay)
        mortal.start()
        # Streams do not hang on the daemons: the workers go on with them.
        wait_for(lambda h=here, t=there: only_one(h, t), "it is not on one host alone", 60)
        goes_on(here if here.names() else there)
    end(a, b)


def only_one(a, b):
    """Whether a VM runs on one of them and the other has nothing of it."""
    having = [d for d in (a, b) if d.names()]
    busy = [job for d in (a, b) for job in d.good("GET", "/v1/jobs")["jobs"] if job["state"] == "running"]
    return len(having) == 1 and having[0].vm("web")["state"] == "running" and not busy


# ---- toys ----


@move_test("a_vm_moves_there_and_back_with_the_folder_that_both_have")
def _(place):
    a, b = pair(place, disks=[{"file": "disk.raw", "size_mib": 1}])
    identity = a.vm("web")["uuid"]
    for there, here in ((b, a), (a, b), (b, a)):
        job = here.job("POST", "/v1/vms/web/migrate", there.way())
        check(job["state"] == "done", f"{job}")
        details = job["details"]
        check(details["stopped_us"] == 8400 and details["promised_us"] == 9000, f"{details}")
        check(details["host"] == there.where and there.token not in json.dumps(job), f"{job}")
        vm = there.vm("web")
        check(vm["state"] == "running" and vm["uuid"] == identity, f"{vm}")
        check(here.names() == [], f"the source has {here.names()}")
        check(os.path.exists(os.path.join(a.folder(), "vm.json")), "the settings are gone")
    check(os.path.islink(b.folder()), "it is not the same folder")
    a.kill()
    a.start()
    check(a.names() == [], "who has given it away lists it again")
    a.refused("POST", "/v1/vms", {"name": "web", "boot": {"firmware": "bios"}}, 409, "there is a VM's vm.json")
    b.done("POST", "/v1/vms/web/stop", {"off": True})
    b.kill()
    b.start()
    check(b.names() == ["web"], "who has it does not list it any more")
    check(a.token not in b.errors() and b.token not in a.errors(), "a token is logged")
    end(a, b)


def offer(a, **more):
    """As the first host would make it."""
    vm = a.vm("web")
    proof = str(uuid.uuid4())
    with open(os.path.join(a.folder(), f".new-offer-{proof}"), "wb"):
        pass
    with open(os.path.join(a.folder(), "lease"), "ab"):
        pass
    disks = [os.stat(os.path.join(a.folder(), d["file"])) for d in vm["settings"].get("disks", [])]
    return {
        "version": 1, "oya": "0.1.0", "name": "web", "host": "a", "settings": vm["settings"], "folder": a.folder(),
        "proof": proof, "host_uuid": a.good("GET", "/v1/host")["uuid"], "disks": [{"bytes": d.st_size, "inode": d.st_ino} for d in disks],
        "processor": {"vendor": vendor(), "words": {}}, **more,
    }  # fmt: skip


def vendor():
    with open("/proc/cpuinfo", encoding="ascii") as f:
        return next(line.split(":")[1].strip() for line in f if line.startswith("vendor_id"))


@move_test("all_that_stands_in_the_way_is_told_at_once")
def _(place):
    disk = place.sparse("common.raw", 1 << 20)
    a, b = Host(place, "a-"), Host(place, "b-")
    a.make("web", disks=[{"file": disk}])
    good = offer(a)
    settings = {**good["settings"], "memory_mib": 1 << 20, "nics": [{"type": "switch", "switch": "none", "mac": "00:15:5d:00:00:01"}]}
    settings["disks"] = [{"file": "/nowhere/disk.raw"}]
    processor = {"vendor": "a toy"}
    bad = {**good, "settings": settings, "processor": processor, "version": 2, "oya": "9.9", "proof": str(uuid.uuid4())}
    bad["host_uuid"] = b.good("GET", "/v1/host")["uuid"]
    status, headers, answer = b.ask("POST", "/v1/incoming", bad)
    check(status == 409 and headers["Content-Type"] == "application/problem+json", f"{status} {answer}")
    for word in ("9.9", "no switch 'none'", "/nowhere/disk.raw", "is not free here", "a toy", "machine ids", "with its lease"):
        check(any(word in reason for reason in answer["reasons"]), f"no {word}: {answer}")
    for change, sentence in (
        ({"processor": {"vendor": vendor(), "words": {"7.ebx": 0xFFFFFFFF, "1.ecx": 0xFFFFFFFF}}}, None),
        ({"disks": [{"bytes": 1 << 20, "inode": 1}]}, "is another one here"),
        ({"disks": [{"bytes": 7, "inode": os.stat(disk).st_ino}]}, "is another one here"),
        ({"settings": {**good["settings"], "cpuz": 1}}, "cpuz"),
    ):
        status, _, answer = b.ask("POST", "/v1/incoming", {**good, **change})
        check(sentence is None or status == 409 and sentence in answer["detail"], f"{status} {answer}")
        if status == 201:
            b.good("DELETE", "/v1/incoming/web", status=204)
    b.refused("POST", "/v1/incoming", {**good, "proof": "x"}, 400, "'proof'")
    b.refused("POST", "/v1/incoming", {**good, "name": "../x"}, 400, "no name of a VM")
    b.refused("POST", "/v1/incoming", {**good, "disks": []}, 400, "each disk")
    b.refused("POST", "/v1/incoming", {**good, "more": 1}, 400, "'more'")
    b.refused("DELETE", "/v1/incoming/web", None, 404, "there is no VM")
    not_come(b)
    b.make("web")
    b.refused("POST", "/v1/incoming", good, 409, "there is a VM 'web' already")
    b.refused("DELETE", "/v1/incoming/web", None, 409, "does not come from another host")
    status, _, _ = b.ask("POST", "/v1/vms", {"name": "twin", "uuid": good["settings"]["uuid"], "boot": {"firmware": "bios"}})
    check(status == 201, f"{status}")
    status, _, answer = b.ask("POST", "/v1/incoming", {**good, "name": "other"})
    check(status == 409 and "has the UUID" in answer["detail"], f"{answer}")
    end(a, b)


@move_test("a_move_that_is_refused_leaves_all_as_it_was_and_says_why")
def _(place):
    a, b = pair(place, disks=[{"file": "disk.raw", "size_mib": 1}])
    b.make("web")
    failed(a, a.good("POST", "/v1/vms/web/migrate", b.way(), 202), "there is a VM 'web' already")
    b.good("DELETE", "/v1/vms/web", status=204)
    for change, sentence in (
        ({"fingerprint": "0" * 64}, "is another one"),
        ({"host": f"127.0.0.1:{free_port()}"}, "cannot connect"),
        ({"token": "oya_" + "0" * 64}, "the token is unknown"),
    ):
        failed(a, a.good("POST", "/v1/vms/web/migrate", {**b.way(), **change}, 202), sentence)
        check(a.vm("web")["state"] == "running", f"{a.vm('web')}")
    for change, sentence in (
        ({"host": "a b"}, "'a b' is no ADDRESS"),
        ({"fingerprint": "7"}, "'fingerprint'"),
        ({"token": "a b"}, "'token'"),
        ({"bandwidth": 0}, "'bandwidth'"),
        ({"more": 1}, "'more'"),
    ):
        a.refused("POST", "/v1/vms/web/migrate", {**b.way(), **change}, 400, sentence)
    a.good("PATCH", "/v1/vms/web", {"notes": "it can still be changed"})
    check(not os.path.exists(os.path.join(a.state, "moves")) or not os.listdir(os.path.join(a.state, "moves")), "a note is left")
    a.done("POST", "/v1/vms/web/stop", {"off": True})
    a.refused("POST", "/v1/vms/web/migrate", b.way(), 409, "it does not run")
    not_come(b)
    end(a, b)


@move_test("a_worker_that_does_not_wait_for_the_vm_is_told_of_and_leaves_nothing")
def _(place):
    a, b = pair(place, "refuse")
    failed(a, a.good("POST", "/v1/vms/web/migrate", b.way(), 202), "the toy does not want to")
    check(a.vm("web")["state"] == "running", f"{a.vm('web')}")
    not_come(b)
    end(a, b)


@move_test("a_move_is_cancelled_by_its_job")
def _(place):
    a, b = pair(place, "manual")
    job = moving(a, b)
    for method, path, body in (
        ("POST", "/v1/vms/web/migrate", b.way()),
        ("POST", "/v1/vms/web/save", None),
        ("PATCH", "/v1/vms/web", {"notes": "x"}),
        ("POST", "/v1/vms/web/disks", {"file": "more.raw", "size_mib": 1}),
    ):
        a.refused(method, path, body, 409, "on its way to another host")
    check(b.vm("web")["state"] == "incoming", f"{b.vm('web')}")
    b.refused("PATCH", "/v1/vms/web", {"notes": "x"}, 409, "from another host")
    b.refused("POST", "/v1/vms/web/start", None, 409, "it is incoming")
    b.refused("POST", "/v1/vms/web/migrate", a.way(), 409, "does not run")
    a.good("DELETE", f"/v1/jobs/{job['id']}", status=204)
    failed(a, job, "cancelled")
    check(a.vm("web")["state"] == "running", f"{a.vm('web')}")
    not_come(b)
    for n in range(12):
        job = a.good("POST", "/v1/vms/web/migrate", b.way(), 202)
        time.sleep(n * 0.02)
        a.ask("DELETE", f"/v1/jobs/{job['id']}")
        wait_for(lambda job=job: a.ended(job["id"]), "the job has no end", 20)
        check(a.vm("web")["state"] == "running", f"{a.vm('web')}")
        wait_for(lambda: b.names() == [] and not b.left(), f"something is left: {b.left()}", 90)
    check(glob.glob(os.path.join(a.folder(), ".new-*")) == [], "a file is left")
    end(a, b)


@move_test("a_worker_of_the_destination_that_dies_without_a_word_is_undone_by_the_source")
def _(place):
    a, b = pair(place, "manual")
    job = moving(a, b)
    os.kill(worker_of(place, b, "web"), signal.SIGKILL)
    failed(a, job, "does not answer")
    check(a.vm("web")["state"] == "running", f"{a.vm('web')}")
    not_come(b)
    end(a, b)


@move_test("a_source_that_dies_amid_it_goes_on_where_it_was")
def _(place):
    """With the daemon that comes back the VM has gone, or the worker tells that it was cancelled."""
    a, b = pair(place, "manual")
    identity = a.vm("web")["uuid"]
    moving(a, b)
    a.kill()
    a.start()
    a.wait_state("web", "running")
    jobs = a.good("GET", "/v1/jobs")["jobs"]
    check([j["what"] for j in jobs] == ["migrate"] and jobs[0]["state"] == "running", f"{jobs}")
    a.good("DELETE", f"/v1/jobs/{jobs[0]['id']}", status=204)
    failed(a, jobs[0], "cancelled")
    not_come(b)
    moving(a, b)
    a.kill()
    a.start()
    a.wait_state("web", "running")
    a.toy(identity, "switch")
    wait_for(lambda: a.names() == [], f"it is still here: {a.errors()[-500:]}", 20)
    check(b.vm("web")["state"] == "running", f"{b.vm('web')}")
    end(a, b)


@move_test("a_vm_that_went_while_its_daemon_was_dead_has_gone_when_that_comes_back")
def _(place):
    a, b = pair(place, "manual")
    identity = a.vm("web")["uuid"]
    moving(a, b)
    a.kill()
    a.toy(identity, "switch")
    b.wait_state("web", "running")
    end_file = os.path.join(a.run, "vm", identity, "end")
    wait_for(lambda: os.path.getsize(end_file) > 0, "no end", 10)
    a.start()
    wait_for(lambda: a.names() == [], f"it is still here: {a.errors()[-500:]}", 20)
    check(os.path.exists(os.path.join(a.folder(), "vm.json")), "the settings are gone")
    wait_for(lambda: not b.left() or b.left() == [os.path.join(b.run, "vm", identity)], f"{b.left()}", 10)
    end(a, b)


@move_test("a_vm_whose_worker_was_killed_on_its_way_is_where_it_was_or_in_doubt")
def _(place):
    a, b = pair(place, "manual", crash={"action": "restart"})
    job = moving(a, b)
    os.kill(worker_of(place, a, "web"), signal.SIGKILL)
    failed(a, job, "killed")
    a.wait_state("web", "running")  # the other host was asked, and has not got it
    not_come(b)
    for daemon_dies in (False, True):
        job = moving(a, b)
        worker = worker_of(place, a, "web")
        os.kill(worker, signal.SIGSTOP)
        b.kill()
        if daemon_dies:
            a.kill()
        os.kill(worker, signal.SIGKILL)
        if daemon_dies:
            a.start()
        else:
            failed(a, job, "killed")
        a.wait_state("web", "running")  # its lease has not gone
        b.start()
        not_come(b)
    end(a, b)


@move_test("a_worker_that_is_killed_as_its_vm_runs_elsewhere_has_given_it_away")
def _(place):
    for how in ("killed", "daemon", "host"):
        a, b = pair(place, "manual") if how == "killed" else (a, b)
        here, there = (a, b) if a.names() else (b, a)
        identity = here.vm("web")["uuid"]
        job = moving(here, there)
        here.toy(identity, "switch_deaf")
        there.wait_state("web", "running")
        worker = worker_of(place, here, "web")
        if how != "killed":
            here.kill()
        os.kill(worker, signal.SIGKILL)
        if how == "host":  # what is in memory is gone
            wait_for(lambda pid=worker: not os.path.exists(f"/proc/{pid}"), "the worker lives")
            shutil.rmtree(os.path.join(here.run, "vm", identity))
        if how == "killed":
            wait_for(lambda job=job: here.ended(job["id"]), "the job has no end", 20)
        else:
            here.start()
        wait_for(lambda: here.names() == [], f"it is on both: {here.errors()[-500:]}", 20)
        check(there.vm("web")["state"] == "running", f"{there.vm('web')}")
    end(a, b)


@move_test("a_destination_that_comes_back_knows_by_the_lease_what_has_come")
def _(place):
    """Its worker was killed while nobody looked: behind the lease it is its VM, off; before, it is nobody's here."""
    a, b = pair(place, "manual")
    identity = a.vm("web")["uuid"]
    for gone in (False, True):
        moving(a, b)
        worker = worker_of(place, b, "web")
        if gone:
            b.toy(identity, "mute")
            a.toy(identity, "switch")
            wait_for(lambda: a.names() == [], f"it does not go: {a.errors()[-400:]}", 20)
        b.kill()
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda pid=worker: not os.path.exists(f"/proc/{pid}"), "the worker lives")
        shutil.rmtree(os.path.join(b.run, "vm", identity))
        b.start()
        wait_for(lambda gone=gone: b.names() == (["web"] if gone else []), f"{b.names()}", 10)
        if not gone:
            a.wait_state("web", "running")
    check(b.vm("web")["state"] in ("off", "starting", "running"), f"{b.vm('web')}")
    end(a, b)


def _sweep(place, of_source):
    """One of the daemons dies at each of its steps in turn: the VM is on one host, and goes on."""
    a, b = pair(place)
    step = 0
    spared = False
    while not spared:
        step += 1
        check(step < 40, "it has no end")
        here, there = (a, b) if a.names() else (b, a)
        mortal = here if of_source else there
        way = there.way()
        mortal.strike(step)
        with contextlib.suppress(OSError, http.client.HTTPException):
            job = here.good("POST", "/v1/vms/web/migrate", way, 202)
            wait_for(lambda: mortal.process.poll() is not None or here.ended(job["id"]), "no end", 20)
        spared = mortal.spared(0.2)
        # One that it left without a stream is not waited for here.
        if "web" in there.names() and there.vm("web")["state"] == "incoming" and of_source:
            there.ask("DELETE", "/v1/incoming/web")
        try:
            wait_for(lambda: only_one(a, b), f"it is on {a.names()} and {b.names()}", 10)
        except Failed as e:
            raise Failed(f"killed at step {step}: {e} {a.errors()[-600:]} {b.errors()[-600:]}") from None
    check(step > 4, f"only {step} steps were met")
    end(a, b)


@move_test("a_source_that_is_killed_at_any_step_leaves_one_vm")
def _(place):
    _sweep(place, of_source=True)


@move_test("a_destination_that_is_killed_at_any_step_leaves_one_vm")
def _(place):
    _sweep(place, of_source=False)


@move_test("only_administrators_take_and_give_vms_over_the_network")
def _(place):
    a, b = pair(place, "manual")
    for role in ("reader", "operator"):
        token = b.good("POST", "/v1/tokens", {"name": role, "role": role}, 201)["token"]
        for method, path in (("POST", "/v1/incoming"), ("DELETE", "/v1/incoming/web"), ("POST", "/v1/vms/web/migrate")):
            body = {} if method == "POST" else None
            headers = {"Authorization": f"Bearer {token}"}
            status, _, _ = b.ask(method, path, body, headers, Remote(b.port))
            check(status == 403, f"{role}: {method} {path}: {status}")
        failed(a, a.good("POST", "/v1/vms/web/migrate", {**b.way(), "token": token}, 202), "your role does not allow this")
    end(a, b)


@move_test("the_command_moves_a_vm_by_hosts_json_and_shows_no_token")
def _(place):
    a, b = pair(place)
    home = place.path("home")
    os.makedirs(os.path.join(home, "oya"))
    path = os.path.join(home, "oya", "hosts.json")
    way = b.way()

    def command(*more, token=True):
        with open(path, "w", encoding="utf-8") as f:
            entry = {"fingerprint": way["fingerprint"], **({"token": way["token"]} if token else {})}
            json.dump({"version": 1, "hosts": {b.where: entry}}, f)
        os.chmod(path, 0o600)
        env = {"XDG_CONFIG_HOME": home, "OYA_TOKEN": "oya_of_another_host"}
        return place.run("vm", "migrate", "web", b.where, "--socket", a.api, *more, env=env)

    status, output, errors = command(token=False)
    check(status == 1 and "has no token" in errors, f"{errors}")
    status, output, errors = command("--dry-run", "--bandwidth", "100M", "--downtime", "50", "--connections", "4", "--postcopy", "--compress", "never")
    check('"connections": 4' in output and '"postcopy": true' in output and '"compress": "never"' in output, output)
    check(status == 0 and "(not shown)" in output and way["token"] not in output + errors, f"{output} {errors}")
    check('"bandwidth": 104857600' in output and '"downtime_ms": 50' in output, output)
    status, output, errors = command("--show-api")
    check(status == 0 and f"The VM 'web' runs on {b.where}; it stood still for 8.4 ms (promised: 9.0 ms)" in output, f"{output} {errors}")
    check(way["token"] not in output + errors, "the token is shown")
    check(b.vm("web")["state"] == "running" and a.names() == [], f"{a.names()}")
    end(a, b)


@move_test("a_vm_that_nobody_brings_takes_its_ports_with_it")
def _(place):
    a = Host(place, "a-")
    b = Daemon(place, alone=True, name="b-", worker=TOY)  # of the machine's own id
    net = Network(b)
    b.good("POST", "/v1/switches", {"name": "lab", "kind": "private"}, 201)
    a.make("web")
    body = offer(a)
    body["settings"]["nics"] = [{"type": "switch", "switch": "lab", "mac": "00:15:5d:00:00:01"}]
    with open(os.path.join(a.folder(), "vm.json"), "w", encoding="utf-8") as f:
        json.dump(body["settings"], f)
    b.good("POST", "/v1/incoming", body, 201)
    check(len(net.taps("oya-lab")) == 1, f"{net.links()}")
    check(b.good("GET", "/v1/switches/lab")["vms"] == ["web"], "it is not on the switch")
    b.kill()
    b.start()  # its worker lives, and waits still
    b.wait_state("web", "incoming")
    time.sleep(0.5)  # for what would be done to it
    check(len(net.taps("oya-lab")) == 1, f"{net.links()}")
    b.good("DELETE", "/v1/vms/web", status=204)
    wait_for(lambda: not net.taps("oya-lab"), "the port outlives the VM")
    wait_for(lambda: not glob.glob(os.path.join(b.state, "moves", "*")), "a note is left")
    check(not os.path.exists(os.path.join(b.state, "vms", "web")), "the folder is left")
    b.good("POST", "/v1/incoming", body, 201)
    b.kill()
    os.kill(int(next(pid for pid in toys(b))), signal.SIGKILL)
    b.start()  # it was never given a stream: it cannot have run
    wait_for(lambda: not glob.glob(os.path.join(b.state, "moves", "*")), "it is not taken back")
    wait_for(lambda: b.ask("DELETE", "/v1/switches/lab")[0] == 204, "the switch cannot go")
    a.end()
    b.end()


def toys(d):
    """The pids of a daemon's workers."""
    return running("toy_worker", d.run)
