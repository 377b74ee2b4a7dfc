# SPDX-License-Identifier: GPL-2.0-or-later
"""Fencing by reservations at a real iSCSI target (tgt): who is cut off writes nothing any more."""

import ctypes.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import uuid

import initiator
from harness import Paths, Skipped, check, test, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
TARGET = "iqn.2026-11.invalid.oya:test"
GOOD, CONFLICT = 0, 0x18
OFF = 2  # of status
NODES = "n1:1;n2:2;n3:3"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class San:
    """A target with units of 4 MiB, numbered from 1; `stop` is the loss of its power. On the switch of a cluster all
    hosts of it reach it."""

    def __init__(self, place, units=1, cluster=None):
        if not shutil.which("tgtd", path=os.environ["PATH"] + ":/usr/sbin") or not ctypes.util.find_library("iscsi"):
            raise Skipped("tgt or libiscsi is not installed")
        self.place = place
        self.port = free_port()
        self.address = cluster.address() if cluster else "127.0.0.1"
        self.within = ["nsenter", f"--net=/proc/{cluster.switch.pid}/ns/net"] if cluster else []
        self.control = str(20000 + self.port % 10000)
        self.cluster = str(uuid.uuid4())
        self.files = [place.sparse(f"unit{n}", 4 << 20) for n in range(1, units + 1)]
        self.log = open(place.path("tgtd.log"), "wb")
        command = [*self.within, "tgtd", "-f", "--iscsi", f"portal={self.address}:{self.port}", "-C", self.control]
        self.tgtd = place.spawn(command, stdout=self.log, stderr=self.log)
        wait_for(lambda: self.tell("--op", "show", "--mode", "sys") == 0, "the target does not start")
        self.must("--op", "new", "--mode", "target", "--tid", "1", "-T", TARGET)
        for n, file in enumerate(self.files, 1):
            self.must("--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", str(n), "-b", file)
        self.must("--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL")
        self.urls = [f"iscsi://{self.address}:{self.port}/{TARGET}/{n}" for n in range(1, units + 1)]

    def tell(self, *words):
        command = [*self.within, "tgtadm", "-C", self.control, "--lld", "iscsi", *words]
        return subprocess.run(command, capture_output=True, check=False).returncode

    def must(self, *words):
        check(self.tell(*words) == 0, f"tgtadm {' '.join(words)} fails")

    def command(self, me, action, plug=None, urls=None, nodes=NODES):
        words = [f"--devices={','.join(urls or self.urls)}", f"--cluster={self.cluster}", f"--nodes={nodes}"]
        words += [f"--self={me}", f"--action={action}", *([f"--plug={plug}"] if plug else [])]
        return [Paths.fence, *words]

    def agent(self, *arguments, **options):
        """Status and sentence."""
        p = subprocess.run(self.command(*arguments, **options), capture_output=True, text=True, check=False, timeout=60)
        return p.returncode, p.stderr

    def good(self, *arguments, **options):
        status, errors = self.agent(*arguments, **options)
        check(status == 0, f"{arguments}: {status} {errors}")

    def stop(self):
        self.tgtd.kill()
        self.tgtd.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Writer:
    """A host that writes, in a session of its own with its own key; on that host of a cluster, where one is given."""

    def __init__(self, san, number, key, unit=1, node=None):
        script = os.path.join(HERE, "initiator.py")
        words = [f"iqn.2026-11.invalid.oya:w{number}", f"{san.address}:{san.port}", TARGET, str(unit), key]
        command = [sys.executable, script, *words]
        self.process = san.place.spawn(
            node.within(command) if node else command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        check(self.told() == GOOD, "the writer is not registered")

    def told(self):
        line = self.process.stdout.readline()
        check(line, "the writer has ended")
        return int(line)

    def ask(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def write(self, text):
        self.ask(text)
        return self.told()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def key_of(san, node):
    """The key of a host, as the target has it once that host alone was let in."""
    with San(san.place, 1) as other:
        other.cluster = san.cluster
        other.good(f"n{node}", "register")
        return keys_at(other)[0]


def keys_at(san, n=1):
    """Keys that are registered at a unit, in hexadecimal."""
    session = initiator.Session("iqn.2026-11.invalid.oya:look", f"127.0.0.1:{san.port}", TARGET, n)
    return session.keys()


def sector(san, n=1):
    with open(san.files[n - 1], "rb") as f:
        return f.read(512).rstrip(b"\0").decode()


def fence_test(name):
    return test(name, suite="cluster")


@fence_test("a_host_that_was_cut_off_writes_nothing_any_more_and_the_other_does")
def _(place):
    with San(place, 2) as san:
        san.good("n1", "register")
        san.good("n2", "register")
        with Writer(san, 2, key_of(san, 2)) as n2, Writer(san, 1, key_of(san, 1)) as n1, Writer(san, 3, "0") as none:
            check((n1.write("one"), n2.write("two")) == (GOOD, GOOD), "hosts that were let in cannot write")
            check(none.write("none") == CONFLICT, "a host writes that was never let in")
            san.good("n1", "off", "n2")
            check(san.agent("n1", "status", "n2")[0] == OFF, "n2 is still let in")
            check(n2.write("stale") == CONFLICT, "n2 still writes")
            check(sector(san) == "two", f"the disk has {sector(san)}")
            check(n1.write("new") == GOOD, "n1 cannot write any more")
            status, errors = san.agent("n2", "off", "n1")
            check(status == 1 and "cut it off" in errors, f"who is cut off cuts off: {status} {errors}")


@fence_test("a_writer_that_stood_still_while_it_was_cut_off_writes_nothing_when_it_goes_on")
def _(place):
    with San(place) as san:
        san.good("n1", "register")
        san.good("n2", "register")
        with Writer(san, 2, key_of(san, 2)) as n2, Writer(san, 1, key_of(san, 1)) as n1:
            check(n2.write("before") == GOOD, "n2 cannot write")
            os.kill(n2.process.pid, signal.SIGSTOP)
            n2.ask("stale")
            san.good("n1", "off", "n2")
            check(n1.write("new owner") == GOOD, "n1 cannot write")
            os.kill(n2.process.pid, signal.SIGCONT)
            check(n2.told() == CONFLICT, "the write was taken")
            check(sector(san) == "new owner", f"the disk has {sector(san)}")


@fence_test("a_device_that_does_not_answer_or_lacks_our_key_is_no_success")
def _(place):
    with San(place, 2) as san:
        san.good("n1", "register", urls=san.urls[:1])
        san.good("n2", "register", urls=san.urls[:1])
        status, errors = san.agent("n1", "off", "n2")
        check(status == 1 and "/2 does not have this host's key" in errors, f"{status} {errors}")
        san.good("n1", "register")
        dead = f"iscsi://127.0.0.1:{free_port()}/{TARGET}/1"
        status, errors = san.agent("n1", "off", "n2", urls=[*san.urls, dead])
        check(status == 1 and "see that its target is up" in errors, f"{status} {errors}")
        with socket.create_server(("127.0.0.1", 0)) as silent:
            hung = f"iscsi://127.0.0.1:{silent.getsockname()[1]}/{TARGET}/1"
            status, errors = san.agent("n1", "off", "n2", urls=[*san.urls, hung])
            check(status == 1 and "timed out" in errors, f"{status} {errors}")
        check(san.agent("n1", "on", "n2")[0] == 1, "the agent lets a host in")


@fence_test("a_wrong_number_of_a_host_is_no_success")
def _(place):
    with San(place) as san:
        san.good("n1", "register")
        san.good("n2", "register")
        for action, plug in (("monitor", None), ("off", "n2")):
            status, errors = san.agent("n1", action, plug, nodes="n1:1;n2:3")
            check(status == 1 and "of no host of the option nodes" in errors, f"{action}: {status} {errors}")
        san.good("n1", "off", "n2")


@fence_test("a_disk_with_keys_of_others_is_refused")
def _(place):
    with San(place) as san:
        with Writer(san, 3, "1234") as _other:
            status, errors = san.agent("n1", "register")
            check(status == 1 and "0x0000000000001234" in errors, f"{status} {errors}")


@fence_test("of_two_hosts_that_cut_each_other_off_at_once_exactly_one_wins_or_both_try_again")
def _(place):
    with San(place, 2) as san:
        for _ in range(20):
            san.cluster = str(uuid.uuid4())
            for n in keys_clear(san):
                check(n == GOOD, "a unit cannot be cleared")
            for me in ("n1", "n2"):
                san.good(me, "register")
            commands = [san.command("n1", "off", "n2"), san.command("n2", "off", "n1")]
            both = [place.spawn(command, stderr=subprocess.DEVNULL) for command in commands]
            won = [p.wait() == 0 for p in both]
            check(won != [True, True], "both have won")
            if any(won):
                winner, loser = ("n1", "n2") if won[0] else ("n2", "n1")
                san.good(winner, "monitor")
                check(san.agent(winner, "status", loser)[0] == OFF, "the loser is still let in")


def keys_clear(san):
    """Removes all keys of each unit; SCSI statuses."""
    for n in range(1, len(san.urls) + 1):
        session = initiator.Session("iqn.2026-11.invalid.oya:clear", f"127.0.0.1:{san.port}", TARGET, n)
        yield session.register(1)
        yield session.clear(1)
