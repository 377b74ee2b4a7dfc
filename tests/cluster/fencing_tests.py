# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts that the cluster lets in at its disks, that find out that they were cut off, and whose fencing is tried."""

import json
import os
import signal

from fence_tests import CONFLICT, GOOD, San, Writer, sector
from harness import Failed, Paths, check, test, wait_for
from join_tests import Hosts, again, create, join, known, oya, refused
from nodes import Cluster
from vms import ClusterVm, start

DUMMY = '<primitive id="mover" class="ocf" provider="heartbeat" type="Dummy"><operations><op id="mover-m" name="monitor" interval="5s" timeout="60s"/></operations></primitive>'


def fencing_test(name):
    return test(name, suite="cluster")


def sides(c, san, host, by=None):
    """Where a host is let in, as the disks say: "in" or "out" of each."""
    members = c[1].oyad.good("GET", "/v1/cluster/members")
    nodes = ";".join(f"n{n}:{n}" for n in range(1, c.count + 1))
    words = [f"--devices={','.join(san.urls)}", f"--cluster={members['uuid']}", f"--nodes={nodes}", f"--self={host}"]
    said = (by or c[1]).run(Paths.fence, "--action=check", *words, seconds=60)
    return [line.split()[1] for line in said.splitlines()]


def wait_in(c, san, *hosts):
    for host in hosts:
        wait_for(lambda h=host: set(sides(c, san, h)) == {"in"}, f"{host} is not let in: {sides(c, san, host)}", 90)


def key_of(c, number):
    """As lib/reservation makes it."""
    data = bytes.fromhex(c[1].oyad.good("GET", "/v1/cluster/members")["uuid"].replace("-", ""))
    # A UUID's first three fields are kept little endian.
    data = data[3::-1] + data[5:3:-1] + data[7:5:-1] + data[8:]
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return f"{0x6F79 << 48 | (crc ^ 0xFFFFFFFF) << 16 | number:x}"


def fences(c, san):
    """The first host makes a cluster with the second, whose disks are those of the target."""
    create(c[1])
    join(c[2], c[1])
    known(c[1], c[2])
    oya(c[1], "cluster", "add-fencing", *san.urls)
    wait_in(c, san, "n1", "n2")


@fencing_test("hosts_are_let_in_as_they_join_and_one_that_was_cut_off_boots_before_it_is_let_in_again")
def _(place):
    with Hosts(place, 3) as c, San(place, 2, c) as san:
        fences(c, san)
        join(c[3], c[1])
        known(*c.nodes)
        wait_in(c, san, "n3")
        status = json.loads(oya(c[3], "cluster", "fencing", "-o", "json"))
        check([r["devices"] for r in status["rungs"]] == [sorted(san.urls)], f"{status}")
        check("NEVER TESTED" in oya(c[1], "cluster", "status"), "it is not told that it was never tested")
        # A daemon that comes back does not take it for a boot.
        again(c[2])
        known(*c.nodes)
        c[1].run("cibadmin", "--create", "--scope", "resources", "--xml-text", DUMMY)
        c[1].run("crm_resource", "--resource", "mover", "--move", "--node", "n2")
        wait_for(lambda: c.where("mover") == ["n2"], f"it does not run on n2: {c.told()}", 60)
        with Writer(san, 2, key_of(c, 2), node=c[2]) as n2, Writer(san, 1, key_of(c, 1), node=c[1]) as n1:
            check(n2.write("before") == GOOD, "n2 cannot write")
            c[2].freeze()
            n2.ask("stale")
            wait_for(lambda: c.where("mover") and c.where("mover") != ["n2"], f"it does not move: {c.told()}", 90)
            check(set(sides(c, san, "n2")) == {"out"}, "n2 is still let in")
            check(n1.write("new owner") == GOOD, "n1 cannot write")
            c[2].thaw()
            try:
                check(n2.told() == CONFLICT, "the write was taken")
            except Failed:
                check(n2.process.stdout.read() == "", "the write was taken")  # it has ended before it could tell
            wait_for(lambda: not c[2].lives(), f"it does not boot: {c[2].oyad.errors()[-600:]}", 60)
            check(sector(san) == "new owner", f"the disk has {sector(san)}")
        check("this host was cut off: another host has taken its key" in c[2].oyad.errors(), c[2].oyad.errors()[-600:])
        check(set(sides(c, san, "n2")) == {"out"}, "it was let in before it has booted")
        c[2].went()
        c[2].start()
        known(*c.nodes)
        wait_in(c, san, "n2")
        # Who leaves has no key any more, and others are cut off as before.
        oya(c[3], "cluster", "leave")
        wait_for(lambda: set(sides(c, san, "n3")) == {"out"}, "who has left has its key", 30)
        oya(c[1], "cluster", "remove-fencing", "fence-disks")
        check(set(sides(c, san, "n1") + sides(c, san, "n2")) == {"out"}, "keys are left")
        check(c[1].lives() and c[2].lives(), "a host takes the end of fencing for its own")


@fencing_test("fencing_is_tried_at_a_host_that_runs_nothing_and_what_comes_out_is_shown")
def _(place):
    with Hosts(place, 2) as c, San(place, 2, c) as san:
        create(c[1])
        join(c[2], c[1])
        known(c[1], c[2])
        refused(c[1], "no fencing by reservations", "cluster", "test-fencing", "n2")
        oya(c[1], "cluster", "add-fencing", san.urls[0])
        oya(c[2], "cluster", "add-fencing", san.urls[1])
        wait_in(c, san, "n1", "n2")
        refused(c[2], "does not cut itself off", "cluster", "test-fencing", "n2")
        refused(c[1], "no fencing by power", "cluster", "test-fencing", "n2", "--power")
        check("was cut off" in oya(c[1], "cluster", "test-fencing", "n2"), "it says nothing")
        check(set(sides(c, san, "n2")) == {"in"} and c[2].lives(), "it is not let in again")
        check("at n2" in oya(c[2], "cluster", "status"), "it is not shown on the other host")
        c[1].run("cibadmin", "--create", "--scope", "resources", "--xml-text", DUMMY)
        c[1].run("crm_resource", "--resource", "mover", "--move", "--node", "n2")
        wait_for(lambda: c.where("mover") == ["n2"], f"it does not run on n2: {c.told()}", 60)
        refused(c[1], "drain that host first", "cluster", "test-fencing", "n2")
        # Disks that cannot be reached are no success, and leave the host as it was.
        c[1].run("crm_resource", "--resource", "mover", "--clear")
        c[1].run("cibadmin", "--delete", "--xml-text", '<primitive id="mover"/>')
        wait_for(lambda: not c.where("mover"), f"it runs: {c.told()}", 60)
        refused(c[1], "see that its target is up", "cluster", "add-fencing", f"iscsi://{san.address}:1/none/1")


@fencing_test("a_vm_whose_disk_no_reservation_covers_stays_where_it_is_when_its_host_falls_silent")
def _(place):
    with Hosts(place, 3) as c, San(place, 1, c) as san:
        vm = ClusterVm(c)
        fences(c, san)
        join(c[3], c[1])
        known(*c.nodes)
        wait_in(c, san, "n1", "n2", "n3")
        body = {"uuid": vm.uuid, "folder": vm.folder}
        c[2].oyad.good("POST", "/v1/clustered/web/start", body, 204)
        c[2].run(Paths.oya, "vm", "cluster", "web", "--priority", "normal")
        wait_for(lambda: c.where("vm-web") == ["n2"], f"the engine does not have it: {c.told()}", 60)
        status = oya(c[1], "cluster", "status")
        check("NOT COVERED: vm-web" in status and "lies on no device" in status, status)
        lease = vm.lease()
        c[2].freeze()
        wait_for(lambda: "lies on no device" in c.told(), f"it is not told: {c.told()}", 120)
        check(vm.lease() == lease and vm.workers() == [], f"{vm.lease()}, workers on {vm.workers()}")
        c[2].thaw()
        wait_for(lambda: not c[2].lives(), f"it does not boot: {c[2].oyad.errors()[-600:]}", 60)
        c[2].went()
        c[2].start()
        known(*c.nodes)
        c[1].run("crm_resource", "--cleanup", "--resource", "vm-web", seconds=60)
        vm.wait_on(*c.nodes, seconds=90)


def strike_engine(node):
    """Corosync and Pacemaker of a host end at once, also of one that stands still."""
    for pid in node.processes():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                program = f.read().split(b"\0")[0]
        except OSError:
            continue
        if b"pacemaker" in program or program.endswith(b"corosync"):
            os.kill(int(pid), signal.SIGKILL)


@fencing_test("a_host_that_has_survived_its_fencing_and_lost_its_engine_ends_when_the_members_have_it_off")
def _(place):
    with Cluster(place, 3, start=False) as c:
        vm = ClusterVm(c, prefer="n3")
        start(c, vm)
        vm.wait_on(c[3])
        with open(os.path.join(c.power, "n3.liar"), "w", encoding="ascii"):
            pass
        c[3].freeze()
        strike_engine(c[3])
        # Its lock at the share keeps the others from the disk for as long as it lives.
        wait_for(lambda: "OFFLINE: [ n3 ]" in c.told() and "in use by another" in c.told(), f"it is not off: {c.told()}", 60)
        c[3].thaw()
        wait_for(lambda: not c[3].lives(), f"it goes on: {c[3].oyad.errors()[-600:]}", 90)
        told = c[3].oyad.errors()
        check("this host was cut off: the other hosts have it off" in told, told[-600:])
        c[3].went()
        c[1].run("crm_resource", "--cleanup", "--resource", "vm-web", seconds=60)
        vm.wait_on(c[1], c[2], seconds=60)
