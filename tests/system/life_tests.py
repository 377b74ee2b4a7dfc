# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals and sudden deaths: nothing may be left behind."""

import fcntl
import json
import glob
import os
import shutil
import signal
import socket
import subprocess
import time

from harness import (
    SLOWNESS,
    Failed,
    Paths,
    Skipped,
    alive,
    check,
    children,
    connected,
    is_socket,
    marked,
    one_sentence,
    test,
    wait_for,
)
from leases import HELD, HERE, THERE, VM, read_lease, write_lease


def halted(place, *arguments, **options):
    vm = place.vm("halted", *arguments, **options)
    vm.expect("READY")
    return vm


@test("sigterm_switches_the_vm_off")
def sigterm(place):
    vm = halted(place)
    vm.process.send_signal(signal.SIGTERM)
    check(vm.wait() == 0, "exit status")
    check(vm.errors() == "", vm.errors())


@test("sigint_and_sighup_switch_the_vm_off")
def sigint(place):
    for number in (signal.SIGINT, signal.SIGHUP):
        vm = halted(place)
        vm.process.send_signal(number)
        check(vm.wait() == 0, f"exit status after {number.name}")


@test("sigterm_after_a_key_that_nobody_echoes_ends_at_once")
def sigterm_after_key(place):
    vm = halted(place)
    vm.type("k")
    time.sleep(0.2)
    vm.process.send_signal(signal.SIGTERM)
    check(vm.wait(5) == 0, "exit status")


@test("sigterm_ends_a_worker_without_oya")
def sigterm_worker(place):
    vm = halted(place, worker={})
    vm.process.send_signal(signal.SIGTERM)
    check(vm.wait() == 0, "exit status")


@test("sigterm_ends_a_paused_vm")
def sigterm_paused(place):
    vm = halted(place)
    vm.result("pause")
    vm.process.send_signal(signal.SIGTERM)
    check(vm.wait() == 0, "exit status")


@test("pinned_processor_is_pinned_again_after_a_reset")
def pinned(place):
    vm = halted(place, "--pin", "0")

    def allowed():
        for path in glob.glob(f"/proc/{vm.worker_pid()}/task/*/status"):
            with open(path, encoding="ascii") as f:
                text = f.read()
            if text.startswith("Name:\tvcpu0\n"):
                return text.split("Cpus_allowed_list:")[1].split()[0]
        return None

    check(wait_for(allowed, "there is no processor") == "0", "it is not pinned")
    vm.result("reset")
    wait_for(lambda: vm.output().count("READY") == 2, "it does not start again", 10)
    check(wait_for(allowed, "there is no processor") == "0", "it is not pinned after the reset")
    vm.result("stop")
    check(vm.wait() == 0, "exit status")


@test("worker_is_the_first_process_of_a_namespace")
def worker_namespace(place):
    if os.geteuid() != 0:
        raise Skipped("needs root")
    vm = halted(place)
    with open(f"/proc/{vm.worker_pid()}/status", encoding="ascii") as f:
        pids = f.read().split("NSpid:")[1].splitlines()[0].split()
    check(pids[1:] == ["1"], pids)
    vm.result("stop")
    check(vm.wait() == 0, "exit status")


@test("killed_worker_is_told_in_a_sentence")
def worker_killed(place):
    vm = halted(place)
    os.kill(vm.worker_pid(), signal.SIGKILL)
    check(vm.wait() == 1, "exit status")
    check("signal 9" in one_sentence(vm.errors()), vm.errors())
    if is_socket(vm.control):
        os.unlink(vm.control)  # a named one, the user's


def without_control(place):
    """oya with a control socket of its own choice, its guest halted."""
    p = place.spawn(
        [Paths.oya, "run", "--kernel", Paths.guest, "--append", "test=halted", "--memory", "64M"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    check(p.stdout.readline() == b"READY\n", "the guest is not ready")
    return p


@test("killed_worker_leaves_no_private_control_socket")
def worker_killed_private(place):
    p = without_control(place)
    os.kill(children(p.pid)[0], signal.SIGKILL)
    _, errors = p.communicate(timeout=10 * SLOWNESS)
    check(p.returncode == 1, "exit status")
    one_sentence(errors.decode())


@test("killed_oya_leaves_no_private_control_socket")
def oya_killed_private(place):
    p = without_control(place)
    p.kill()
    p.communicate(timeout=10 * SLOWNESS)


def need_passt():
    if not shutil.which("passt"):
        raise Skipped("needs passt")


@test("user_network_ends_with_its_vm")
def passt_ends(place):
    need_passt()
    vm = halted(place, "--net", "user")
    check(len(marked(place.mark)) >= 3, "there is no passt")
    vm.result("stop")
    check(vm.wait() == 0, "exit status")


@test("user_network_ends_with_a_killed_worker")
def passt_orphaned(place):
    need_passt()
    vm = halted(place, "--net", "user")
    os.kill(vm.worker_pid(), signal.SIGKILL)
    check(vm.wait() == 1, "exit status")
    one_sentence(vm.errors())
    if is_socket(vm.control):
        os.unlink(vm.control)  # a named one, the user's


@test("death_of_the_user_network_is_told_and_the_vm_runs_on")
def passt_killed(place):
    need_passt()
    vm = halted(place, "--net", "user")
    worker = vm.worker_pid()
    others = [p for p in marked(place.mark) if p not in (worker, vm.process.pid)]
    check(others, "there is no passt")
    for pid in others:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: "network" in vm.errors() or "passt" in vm.errors(), "it is not told")
    one_sentence(vm.errors())
    check(vm.result("status")["state"] == "running", "it does not run")
    vm.result("stop")
    check(vm.wait() == 0, "exit status")


@test("control_socket_is_for_its_owner_alone")
def control_mode(place):
    vm = halted(place)
    check(os.stat(vm.control).st_mode & 0o777 == 0o600, oct(os.stat(vm.control).st_mode))
    vm.result("stop")
    check(vm.wait() == 0, "exit status")


@test("crowds_and_wild_clients_of_the_control_socket_do_not_harm_it")
def control_crowd(place):
    vm = halted(place)
    crowd = []
    for n in range(100):
        s = socket.socket(socket.AF_UNIX)
        s.connect(vm.control)
        s.settimeout(5)
        crowd.append(s)
        try:
            s.sendall([b"", b'{"verb":', b"x" * 20000, b"\n\n\n", b"\0\xff\n"][n % 5])
        except OSError:
            pass  # a full house turns further clients away
    for s in crowd:
        s.close()
    wait_for(lambda: answers(vm), "it does not answer any more")
    vm.result("stop")
    check(vm.wait() == 0, "exit status")


def answers(vm):
    try:
        return vm.ask("status")["ok"]
    except (OSError, Failed):  # a full house turns us away
        return False


@test("killed_oya_takes_its_worker_along")
def oya_killed(place):
    for console in ((), ("--console", "none")):
        vm = place.vm("halted", *console)
        worker = vm.worker_pid()
        wait_for(lambda v=vm: v.result("status")["state"] == "running", "it does not run")
        vm.process.kill()
        vm.process.wait()
        wait_for(lambda w=worker: not alive(w), "the worker lives on")
        wait_for(lambda v=vm: not is_socket(v.control), "the control socket stays")


@test("stale_control_socket_is_taken_over")
def stale_socket(place):
    vm = halted(place, worker={})
    vm.process.kill()
    vm.process.wait()
    check(is_socket(vm.control), "the control socket is gone")
    other = halted(place, worker={"control": vm.control})
    other.control = vm.control
    other.result("stop")
    check(other.wait() == 0, "exit status")


@test("console_on_a_socket_serves_one_client_after_another")
def console_socket(place):
    path = place.path("console")
    vm = place.vm("echo", "--console", f"socket={path}", stdio=False)
    talk(path, b"", b"READY\n")
    talk(path, b"one", b"ONE")
    talk(path, b"two", b"TWO")
    talk(path, b"q", b"PASS echo")
    check(vm.wait() == 0, "exit status")


def talk(path, text, answer):
    with wait_for(lambda: connected(path), "no console socket") as s:
        s.sendall(text)
        seen = b""
        while answer not in seen:
            more = s.recv(4096)
            if not more:
                raise Failed(f"the console ends after {seen!r}")
            seen += more


@test("console_over_the_control_socket")
def console_verb(place):
    vm = place.vm("echo", "--console", "none", stdio=False)
    with wait_for(lambda: connected(vm.control), "no control socket") as s:
        s.sendall(b'{"verb":"console"}\n')
        stream = s.makefile("rb")
        check(json.loads(stream.readline())["ok"], "it is refused")
        check(stream.readline() == b"READY\n", "the backlog is not shown")
        s.sendall(b"hiq")
        check(stream.read(3) == b"HIQ", "no echo")
    check(vm.wait() == 0, "exit status")


@test("console_on_a_pseudo_terminal")
def console_pty(place):
    vm = place.vm("echo", "--console", "pty", stdio=False)
    fd = os.open(vm.result("status")["console"], os.O_RDWR | os.O_NOCTTY)
    try:
        seen = b""
        while b"READY\n" not in seen:
            seen += os.read(fd, 4096)
        os.write(fd, b"hi")
        while b"HI" not in seen:
            seen += os.read(fd, 4096)
    finally:
        os.close(fd)
    fd = os.open(vm.result("status")["console"], os.O_RDWR | os.O_NOCTTY)
    os.write(fd, b"q")
    check(vm.wait() == 0, "exit status")
    os.close(fd)


@test("reader_that_stops_does_not_stop_the_guest")
def slow_reader(place):
    """The guest floods a pipe that nobody reads; the control socket must still answer."""
    vm = place.vm("flood")
    for _ in range(3):
        vm.result("status")
    vm.expect("PASS flood", 15)
    vm.passed()


@test("output_to_a_closed_pipe_does_not_end_the_vm")
def closed_reader(place):
    vm = place.vm("ticks")
    vm.expect("TICK 2")
    vm.process.stdout.close()
    vm.process.stdout = None
    vm.result("pause")
    vm.result("resume")
    check(vm.result("status")["state"] == "running", "it does not run")
    vm.result("stop")
    check(vm.wait() == 0, "exit status")


@test("every_descriptor_that_cannot_be_had_is_told_in_one_sentence")
def descriptors(place):
    disk = place.disk()
    fine = 0
    for limit in range(5, 128):
        status, _, errors = place.run(
            *("run", "--kernel", Paths.guest, "--append", "test=hello", "--console", "stdio"),
            *("--control", place.path("control"), "--disk", disk, "--net", "user"),
            prefix=["prlimit", f"--nofile={limit}", "--"],
        )
        if status == 0:
            fine += 1
        else:
            check(status == 1 and not fine, f"exit status {status} with {limit}: {errors!r}")
            sentence = one_sentence(errors)
            told = "Too many open files" in sentence or "passt ended" in sentence  # its limit, too
            check(told, f"with {limit}: {sentence}")
        place.nothing_left()
        if fine == 3:
            break
    check(fine == 3, "no VM with 127 descriptors")


# ---- leases ----


def lease_of(file, **changes):
    """What a worker is told of it."""
    return {"path": file, "epoch": 6, "host": str(HERE), **changes}


@test("a_worker_that_holds_the_lease_runs_and_leaves_it_as_it_is")
def lease_held(place):
    path = place.path("lease")
    write_lease(path, VM, HELD, 6, HERE)
    vm = halted(place, worker={"uuid": str(VM), "lease": lease_of(path)})
    vm.result("reset")
    wait_for(lambda: vm.output().count("READY") == 2, "it does not start again", 10)
    vm.result("stop")
    check(vm.wait() == 0, vm.errors())
    check(read_lease(path) == (HELD, 6, HERE), str(read_lease(path)))


@test("a_worker_with_a_stale_lease_ends_before_it_opens_a_disk")
def lease_stale(place):
    path, disk = place.path("lease"), place.disk()
    write_lease(path, VM, HELD, 6, HERE)
    with open(disk, "rb") as f:
        fcntl.flock(f, fcntl.LOCK_EX)  # which it would be told of first
        for changes, told in (
            ({"epoch": 5}, "with the epoch 6, not 5"),
            ({"host": str(THERE)}, f"the host {HERE} holds its lease"),
            ({"path": place.path("none")}, "cannot open its lease"),
        ):
            config = {"uuid": str(VM), "lease": lease_of(path, **changes), "disks": [{"path": disk}]}
            vm = place.vm("hello", worker=config)
            check(vm.wait() == 1, f"it runs with {changes}")
            check(told in one_sentence(vm.errors()), vm.errors())
    check(read_lease(path) == (HELD, 6, HERE), str(read_lease(path)))


@test("a_worker_does_not_run_by_the_lease_of_another_vm")
def lease_of_another(place):
    path = place.path("lease")
    write_lease(path, VM, HELD, 6, HERE)
    vm = place.vm("hello", worker={"uuid": str(THERE), "lease": lease_of(path)})
    check(vm.wait() == 1, "it runs")
    check(f"that of the VM {VM}" in one_sentence(vm.errors()), vm.errors())
