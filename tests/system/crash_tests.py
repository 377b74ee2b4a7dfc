# SPDX-License-Identifier: GPL-2.0-or-later
"""oyad killed at each step of what it is asked for: what was acknowledged stays, of what was not there is all or nothing."""

import contextlib
import http.client
import json
import os
import subprocess

from daemon import Daemon, worker_of
from harness import Failed, Paths, Skipped, check, marked, test, wait_for

MIB = 1 << 20
STEPS_MAX = 60


def crash_test(name):
    return test(name, suite="host")


class Mortal(Daemon):
    """An oyad that dies at its nth step once it is told to."""

    def __init__(self, place):
        self.die = place.path("die")
        self.before_all = ["env", f"LD_PRELOAD={Paths.die_at}", f"OYA_DIE_FILE={self.die}"]
        super().__init__(place)

    def start(self):
        self.before = self.before_all
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.die)
        super().start()

    def _strike(self, what):
        with open(self.die + ".new", "w", encoding="utf-8") as f:
            f.write(what)
        os.rename(self.die + ".new", self.die)

    def fails_at(self, step, method, path):
        """Whether a step failed of the disk, and whether what was asked for was done all the same."""
        self._strike(f"fail {step}")
        status, _, answer = self.ask(method, path)
        done = status < 400 and wait_for(lambda: self.ended(answer["id"]), "the job does not end")["state"] == "done"
        failed = not os.path.exists(self.die)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.die)
        return failed, done

    def dies_at(self, step, method, path, body, until=None):
        """Whether it died of it, and whether what was asked for was acknowledged."""
        self._strike(str(step))
        acknowledged = False
        try:
            status, _, answer = self.ask(method, path, body)
            check(status < 400, f"{method} {path}: {status} {answer}")
            if until:
                until(self, answer)
            acknowledged = True
        except (OSError, http.client.HTTPException):
            pass
        died = False
        with contextlib.suppress(Exception):
            self.process.wait(0.2)
            died = True
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.die)
        if died:
            self.start()
        return died, acknowledged


def _files(daemon):
    """All files below the state's folder but those of its own that come and go."""
    found = {}
    for folder, _, names in os.walk(daemon.state):
        for name in names:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, daemon.state)] = os.path.getsize(path)
    return found


def _vms(daemon):
    return {vm["name"]: daemon.vm(vm["name"])["settings"] for vm in daemon.good("GET", "/v1/vms")["vms"]}


def _sweep(place, prepare, request, judge, until=None, prefix="vm"):
    """Each step in turn, until it comes to its end alive. judge(daemon, name, acknowledged, before): what has to hold."""
    steps = 0
    d = Mortal(place)
    while True:
        steps += 1
        check(steps < STEPS_MAX, "it has no end")
        name = f"{prefix}{steps}"
        prepare(d, name)
        before = (_vms(d), _files(d))
        died, acknowledged = d.dies_at(steps, *request(name), until)
        check(died or acknowledged, "it lives, and has acknowledged nothing")
        try:
            judge(d, name, acknowledged, before)
        except Failed as e:
            raise Failed(f"killed at step {steps}: {e}") from None
        check(not [n for n in os.listdir(os.path.join(d.state, "vms")) if n.startswith(".new-")], "something is left")
        if not died:
            break
        with contextlib.suppress(Failed):
            d.good("DELETE", f"/v1/vms/{name}?disks=delete")
    check(steps > 3, f"only {steps} steps were met")
    d.end()


def _boot():
    return {"kernel": Paths.guest, "append": "test=halted"}


def _json(daemon, name):
    with open(os.path.join(daemon.state, "vms", name, "vm.json"), encoding="utf-8") as f:
        return json.load(f)


@crash_test("a_vm_is_made_as_a_whole_or_not_at_all_wherever_the_daemon_is_killed")
def _(place):
    def request(name):
        disks = [{"file": "a.raw", "size_mib": 3}, {"file": "b.raw", "size_mib": 1}]
        return "POST", "/v1/vms", {"name": name, "boot": _boot(), "disks": disks}

    def judge(d, name, acknowledged, before):
        there = name in _vms(d)
        check(there or not acknowledged, "what was acknowledged is gone")
        new = {path: size for path, size in _files(d).items() if path not in before[1]}
        if there:
            check(_json(d, name) == d.vm(name)["settings"], "the file is another one")
            check(new[f"vms/{name}/a.raw"] == 3 * MIB and new[f"vms/{name}/b.raw"] == MIB, str(new))
        else:
            check(not new, f"files are left: {new}")

    _sweep(place, lambda d, name: None, request, judge)


@crash_test("settings_are_the_old_or_the_new_ones_wherever_the_daemon_is_killed")
def _(place):
    def judge(d, name, acknowledged, before):
        now = d.vm(name)["settings"]
        old = before[0][name]
        check(now in (old, {**old, "cpus": 7, "notes": "new"}), str(now))
        check(now != old or not acknowledged, "what was acknowledged is gone")
        check(_json(d, name) == now, "the file is another one")

    _sweep(
        place,
        lambda d, name: d.make(name),
        lambda name: ("PATCH", f"/v1/vms/{name}", {"cpus": 7, "notes": "new"}),
        judge,
    )


@crash_test("a_disk_is_added_with_its_image_or_not_at_all_wherever_the_daemon_is_killed")
def _(place):
    def judge(d, name, acknowledged, before):
        disks = d.vm(name)["settings"].get("disks", [])
        check(disks or not acknowledged, "what was acknowledged is gone")
        if disks:
            check(_files(d)[f"vms/{name}/a.raw"] == 2 * MIB, "its image is another one")

    _sweep(
        place,
        lambda d, name: d.make(name),
        lambda name: ("POST", f"/v1/vms/{name}/disks", {"file": "a.raw", "size_mib": 2}),
        judge,
    )


@crash_test("a_vm_is_removed_or_there_wherever_the_daemon_is_killed")
def _(place):
    def judge(d, name, acknowledged, before):
        check(name not in _vms(d) or not acknowledged, "what was acknowledged is undone")
        if name in _vms(d):
            check(_vms(d)[name] == before[0][name], "its settings are other ones")

    def prepare(d, name):
        d.make(name, disks=[{"file": "a.raw", "size_mib": 1}])

    for disks in ("keep", "delete"):
        _sweep(
            place,
            prepare,
            lambda name, disks=disks: ("DELETE", f"/v1/vms/{name}?disks={disks}", None),
            judge,
            prefix=disks,
        )


@crash_test("an_image_and_a_vm_made_of_it_are_whole_or_not_there_wherever_the_daemon_is_killed")
def _(place):
    raw = place.path("base.raw")
    with open(raw, "wb") as f:
        f.write(b"base" * (MIB // 4))

    def until(d, job):
        ended = wait_for(lambda: d.ended(job["id"]), "the job does not end")
        check(ended["state"] == "done", str(ended))

    def whole(path):
        with open(path, "rb") as f:
            check(f.read() == b"base" * (MIB // 4), "its content is another one")

    def judge_image(d, name, acknowledged, _before):
        names = [image["name"] for image in d.good("GET", "/v1/images")["images"]]
        check(name in names or not acknowledged, "what was acknowledged is gone")
        for image in names:
            whole(os.path.join(d.state, "images", image + ".raw"))

    def judge_vm(d, name, acknowledged, _before):
        check(name in _vms(d) or not acknowledged, "what was acknowledged is gone")
        if name in _vms(d):
            whole(os.path.join(d.state, "vms", name, "d.raw"))

    _sweep(
        place,
        lambda d, name: None,
        lambda name: ("POST", "/v1/images", {"name": name, "file": raw}),
        judge_image,
        until,
    )
    _sweep(
        place,
        lambda d, name: None,
        lambda name: (
            "POST",
            "/v1/vms",
            {"name": name, "boot": _boot(), "disks": [{"file": "d.raw", "from": raw}]},
        ),
        judge_vm,
        until,
    )


def _filled(folder):
    """A file that leaves no room beside it."""
    path = os.path.join(folder, "fill")
    with open(path, "wb", buffering=0) as f, contextlib.suppress(OSError):
        while True:
            f.write(bytes(4096))
    return path


@crash_test("vms_are_untouched_by_a_daemon_that_begins_with_run_full_or_read_only")
def _(place):
    run = place.path("run")
    os.mkdir(run)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "oya-test", run], capture_output=True).returncode:
        raise Skipped("a file system cannot be mounted here")
    try:
        d = Daemon(place)
        d.make("web")
        d.done("POST", "/v1/vms/web/start")
        worker = worker_of(place, d, "web")
        fill = _filled(run)
        d.make("other")  # its files are elsewhere
        job = d.job("POST", "/v1/vms/other/start")
        check(job["state"] == "failed" and "No space left" in job["problem"], str(job))
        _begins(place, d)
        check(worker in marked(place.mark), "the worker has ended")
        os.unlink(fill)
        d.start()
        d.wait_state("web", "running")
        d.done("POST", "/v1/vms/other/start")
        # Another mount of it, since the workers write to files of the first.
        subprocess.run(["mount", "--bind", run, run], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", run], check=True)
        _begins(place, d)
        check(worker in marked(place.mark), "the worker has ended")
        subprocess.run(["umount", run], check=True)
        d.start()
        d.wait_state("web", "running")
        check(worker_of(place, d, "web") == worker, "it is another worker")
        for name in ("web", "other"):
            d.done("POST", f"/v1/vms/{name}/stop", {"off": True})
        d.end()
    finally:
        while os.path.ismount(run):
            subprocess.run(["umount", "-l", run], check=True)


def _begins(place, daemon):
    """Kill it, and start another: it runs, or ends with a sentence."""
    daemon.kill()
    with open(daemon.errors_path, "ab") as errors:
        p = place.spawn(
            [Paths.oyad, "--state", daemon.state, "--run", daemon.run, "--worker", Paths.worker],
            stdin=subprocess.DEVNULL,
            stderr=errors,
        )
    try:
        status = p.wait(2)
        check(status == 1, f"it ended with {status}: {daemon.errors()[-400:]}")
        check("cannot" in daemon.errors().splitlines()[-1], daemon.errors()[-400:])
    except subprocess.TimeoutExpired:
        p.terminate()
        p.wait(10)


def _ended(d, job):
    ended = wait_for(lambda: d.ended(job["id"]), "the job does not end")
    check(ended["state"] == "done", str(ended))


def _runs_or_is_saved(d, name, acknowledged_as, acknowledged, unfinished=False):
    """Whatever the daemon met: the one or the other, and the file says the same."""
    wait_for(lambda: d.vm(name)["state"] in ("running", "saved"), f"it is {d.vm(name)['state']}", 10)
    state = d.vm(name)["state"]
    left = os.listdir(os.path.join(d.state, "vms", name))
    check(("saved.state" in left) == (state == "saved"), f"{state}, with {left}")
    check(unfinished or ".new-saved.state" not in left, f"something is left: {left}")
    check(state == acknowledged_as or not acknowledged, f"what was acknowledged is undone: {state}")
    if state == "running":
        d.done("POST", f"/v1/vms/{name}/stop", {"off": True})
    else:
        d.good("DELETE", f"/v1/vms/{name}/state", status=204)


@crash_test("a_vm_is_saved_or_runs_on_wherever_the_daemon_is_killed")
def _(place):
    def prepare(d, name):
        d.make(name)
        d.done("POST", f"/v1/vms/{name}/start")

    _sweep(
        place,
        prepare,
        lambda name: ("POST", f"/v1/vms/{name}/save", None),
        lambda d, name, acknowledged, before: _runs_or_is_saved(d, name, "saved", acknowledged),
        until=_ended,
    )


@crash_test("a_saved_vm_runs_or_is_saved_still_wherever_the_daemon_is_killed")
def _(place):
    def prepare(d, name):
        d.make(name)
        d.done("POST", f"/v1/vms/{name}/start")
        d.done("POST", f"/v1/vms/{name}/save")

    _sweep(
        place,
        prepare,
        lambda name: ("POST", f"/v1/vms/{name}/start", None),
        lambda d, name, acknowledged, before: _runs_or_is_saved(d, name, "running", acknowledged),
        until=_ended,
    )


@crash_test("a_vm_is_saved_or_goes_on_as_it_is_told_whichever_step_the_disk_fails")
def _(place):
    d = Mortal(place)
    for verb, was, becomes in (("save", "running", "saved"), ("start", "saved", "running")):
        for step in range(1, STEPS_MAX):
            name = f"{verb}{step}"
            d.make(name)
            d.done("POST", f"/v1/vms/{name}/start")
            if was == "saved":
                d.done("POST", f"/v1/vms/{name}/save")
            failed, done = d.fails_at(step, "POST", f"/v1/vms/{name}/{verb}")
            check(failed or done, f"{verb} was refused without a reason")
            try:
                # A file that cannot be removed stays, by a name that nobody reads.
                _runs_or_is_saved(d, name, becomes if done else was, True, unfinished=True)
            except Failed as e:
                raise Failed(f"{verb}, failed at step {step}: {e}") from None
            d.good("DELETE", f"/v1/vms/{name}")
            if not failed:
                break
        check(step > 3, f"only {step} steps of {verb} were met")
    d.end()
