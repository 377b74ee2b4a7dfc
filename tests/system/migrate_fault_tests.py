# SPDX-License-Identifier: GPL-2.0-or-later
"""Migration that breaks off: each side killed and each direction silent, at every message.

A guest counts on a disk that both sides reach, and notices when somebody else has written. Whatever happens, one side runs it
at most, that one is whose lease it is, and no count that the guest has told of is lost.
"""

import json
import os
import re
import socket
import struct
import threading
import time
import uuid

from harness import Failed, check, connected, test, wait_for
from leases import HELD, HERE, OFFERED, THERE, read_lease, write_lease
from migrate_tests import Move
from state_tests import UUID, began, last, off

END, LATER, STREAM_HEAD, RECORD_HEAD, MESSAGE_HEAD = 0, 23, 32, 32, 24
SILENCE_S = 0.4
LATE = {"postcopy": True, "bandwidth": 1 << 18, "downtime_us": 20000, "compress": False}  # which the guest does not meet


class Line:
    """The connections between the two, whose messages are counted; at one of them something happens, once.

    Those of post-copy are counted from where memory is told of that comes later.
    """

    def __init__(self, at=None, act=None, links=1):
        self.count = {}
        self.at, self.act = at, act
        self.silent = set()
        self.happened = threading.Event()
        self.counts = threading.Event()
        if links == 1:
            self.counts.set()
        self.lock = threading.Lock()
        self.pairs, self.ends = [], []
        for link in range(links):
            source, a = socket.socketpair()
            b, target = socket.socketpair()
            self.pairs.append((source, target))
            self.ends += [a, b]
            for name, read, write in (("there", a, b), ("back", b, a)):
                threading.Thread(target=self._carry, args=((name, link), read, write), daemon=True).start()

    def _note(self, way):
        """Whether it is the one at which something happens."""
        with self.lock:
            number = self.count.get(way, 0)
            self.count[way] = number + 1
            return self.at == (way, number) and not self.happened.is_set()

    def _carry(self, way, read, write):
        name, _ = way
        try:
            for kind, message in _messages(read):
                if kind == LATER:
                    self.counts.set()
                if self.counts.is_set() and self._note(way):
                    self.act(self, name)
                    self.happened.set()
                if name not in self.silent:
                    write.sendall(message)
        except (OSError, EOFError):
            pass
        if name not in self.silent:
            self.cut(write)

    def cut(self, *ends):
        for end in ends or self.ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def _exactly(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _messages(sock):
    """All that comes, a record or a message at a time: the type of a record, or None; the bytes."""
    while True:
        head = _exactly(sock, MESSAGE_HEAD)
        if head.startswith(b"OYMV"):
            yield None, head + _exactly(sock, struct.unpack_from("<I", head, 16)[0])
            continue
        yield None, head + _exactly(sock, STREAM_HEAD - MESSAGE_HEAD)
        kind = None
        while kind != END:
            head = _exactly(sock, RECORD_HEAD)
            kind, length = struct.unpack_from("<I", head)[0], struct.unpack_from("<Q", head, 16)[0]
            yield kind, head + _exactly(sock, -(-length // 8) * 8)


def go_silent(line, name):
    """Nothing more comes through in that direction, and after a while the connection breaks."""
    line.silent.add(name)
    threading.Timer(SILENCE_S, line.cut).start()


def has_ended(vm):
    return vm.process.poll() is not None


def state_of(vm):
    """What the VM says that it does; None when its worker has ended."""
    if has_ended(vm):
        return None
    try:
        with connected(vm.control) as s:
            s.sendall(b'{"verb": "status"}\n')
            return json.loads(s.makefile("r").readline())["result"]["state"]
    except (OSError, ValueError, TypeError):  # nobody listens any more
        return "ending"


def disk_count(path):
    with open(path, "rb") as f:
        return struct.unpack("<Q", f.read(8))[0]


def _begin(place, number):
    """A VM that counts, held by HERE; and where its disk and lease are."""
    disk, lease = place.sparse(f"disk{number}", 1 << 20), place.path(f"lease{number}")
    write_lease(lease, uuid.UUID(UUID), HELD, 1, HERE)
    vm = began(
        place,
        "disk-count",
        memory_mib=32,
        disks=[{"path": disk}],
        lease={"path": lease, "epoch": 1, "host": str(HERE)},
    )
    vm.expect("COUNT")
    return vm, disk, lease


def _settled(source, target):
    """Both have ended or run; their states."""

    def look():
        states = (state_of(source), state_of(target))
        check(states != ("running", "running"), "both run")
        return states if all(s in (None, "running") for s in states) else None

    return wait_for(look, f"not settled: {state_of(source)}, {state_of(target)}", 20)


def _started_anew(place, disk, lease):
    """On the host that may have it, after the other has ended."""
    state, epoch, owner = read_lease(lease)
    check((state, owner) != (HELD, HERE) or epoch > 0, "nobody has it")
    write_lease(lease, uuid.UUID(UUID), HELD, epoch + 1, THERE)
    return place.vm(
        "",
        worker={**place.config, "lease": {"path": lease, "epoch": epoch + 1, "host": str(THERE)}},
    )


def _one(place, number, at=None, act=None, wish=None):
    """One migration in which `act` happens at a message; the line."""
    source, disk, lease = _begin(place, number)
    move = Move(place, source, lease={"path": lease, "host": str(THERE)})
    target = move.target
    line = Line(at, act and (lambda line, name: act(line, name, source, target)), links=2 if wish else 1)
    try:
        move.begin(*line.pairs, target=str(THERE), **(wish or {}))
    except (Failed, OSError):
        wait_for(lambda: has_ended(source) or has_ended(target), "it does not begin")
    states = _settled(source, target) if at is None or line.happened.wait(20) else (None, None)
    if at is not None:
        time.sleep(0.02)
        states = _settled(source, target)
    state, _, owner = read_lease(lease)
    if states[0]:
        check((state, owner) == (HELD, HERE), f"the source runs, and the lease is {state} of {owner}")
        vm = source
    elif states[1]:
        check((state, owner) == (HELD, THERE), f"the target runs, and the lease is {state} of {owner}")
        vm = target
    else:
        # Of post-copy, the VM is lost when the connection is, once it runs there.
        lost = wish and (state, owner) == (HELD, THERE)
        check(lost or act in (kill_source, kill_target), f"nobody runs it: {source.told()} {target.told()}")
        check(state in (HELD, OFFERED), f"the lease is {state}")
        vm = _started_anew(place, disk, lease)
    told = max(last(source, "COUNT") or 0, last(target, "COUNT") or 0)
    check(disk_count(disk) >= told, f"{told} were told of, {disk_count(disk)} are on the disk")
    vm.expect(r"COUNT \d+\n")
    before = last(vm, "COUNT")
    wait_for(lambda: last(vm, "COUNT") != before, "the guest does not go on")
    first = int(re.search(r"(?:COUNT|FROM) (\d+)\n", vm.output()).group(1))
    told = last(source, "COUNT") or 0
    check(vm is source or first >= told, f"{told} were told of, and it goes on with {first}")
    off(vm)
    for one in (source, target, vm):
        one.end()
        if os.path.exists(one.control):  # of one that was killed
            os.unlink(one.control)
    place.vms.clear()
    os.unlink(disk)
    return line


def kill_source(_line, _name, source, _target):
    source.process.kill()
    source.process.wait()


def kill_target(_line, _name, _source, target):
    target.process.kill()
    target.process.wait()


def fall_silent(line, name, _source, _target):
    go_silent(line, name)


def _at_every_message(place, act, wish=None):
    """How many faults there were."""
    whole = _one(place, 0, wish=wish)
    check(whole.counts.is_set(), "no memory came later")
    faults = 0
    for way, count in whole.count.items():
        for n in range(count):
            _one(place, 1 + faults, (way, n), act, wish)
            faults += 1
    check(faults > 30, f"only {faults} faults")
    print(f"# {faults} faults")


def fault_test(name):
    return test(name, suite="migrate")


@fault_test("the_source_may_be_killed_at_every_message")
def source_killed(place):
    _at_every_message(place, kill_source)


@fault_test("the_target_may_be_killed_at_every_message")
def target_killed(place):
    _at_every_message(place, kill_target)


@fault_test("either_direction_may_fall_silent_at_every_message")
def silent(place):
    _at_every_message(place, fall_silent)


@fault_test("the_source_may_be_killed_at_every_message_of_post_copy")
def late_source_killed(place):
    _at_every_message(place, kill_source, LATE)


@fault_test("the_target_may_be_killed_at_every_message_of_post_copy")
def late_target_killed(place):
    _at_every_message(place, kill_target, LATE)


@fault_test("either_direction_may_fall_silent_at_every_message_of_post_copy")
def late_silent(place):
    _at_every_message(place, fall_silent, LATE)


@fault_test("a_target_that_the_lease_is_not_for_gives_the_disks_back_and_the_vm_runs_on")
def not_for_it(place):
    source, _, lease = _begin(place, 0)
    other = str(uuid.UUID(int=7))
    move = Move(place, source, lease={"path": lease, "host": other}).begin(target=str(THERE))
    check("the other host says" in move.failed(), move.failed())
    check(move.target.wait() == 1, "it goes on there")
    check(source.result("status")["state"] == "running", f"{source.result('status')}")
    check(read_lease(lease)[::2] == (HELD, HERE), f"{read_lease(lease)}")
    before = last(source, "COUNT")
    wait_for(lambda: last(source, "COUNT") != before, "the guest does not go on")
    off(source)
