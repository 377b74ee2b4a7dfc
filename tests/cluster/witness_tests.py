# SPDX-License-Identifier: GPL-2.0-or-later
"""The witness with real corosync: who stays quorate when nodes die, are cut off, or lose the witness."""

import contextlib
import fcntl
import os
import subprocess

from harness import Paths, Skipped, check, test, wait_for
from join_tests import Hosts, create, join, known, oya, refused
from nodes import Cluster

START_S = 180  # corosync and the witness of all nodes; one that begins first learns what the others do


class Witnessed(Cluster):
    """Nodes with corosync and oya-witness on one file, which stands for a share."""

    def __init__(self, place, count, path=None):
        # Four nodes on a few processors miss each other's token, and begin anew all the time.
        super().__init__(place, count, engine=False, oyad=False, token_ms=1000 if count == 2 else 4000)
        self.program = Paths.witness
        self.path = path or place.path("witness")

    def corosync_conf(self):
        device = (
            "\tdevice {\n\t\tmodel: oya\n\t\tvotes: 1\n\t\ttimeout: 3000\n\t\tsync_timeout: 3000\n"
            f"\t\toya {{\n\t\t\tpath: {self.path}\n\t\t}}\n\t}}\n"
        )
        provider = "\tprovider: corosync_votequorum\n"
        return super().corosync_conf().replace(provider, provider + device)

    def start(self):
        made = subprocess.run([self.program, "--init", self.path, "--cluster", "test"], capture_output=True, text=True, check=False)
        check(made.returncode == 0, made.stderr)
        for node in self.nodes:
            node.boot()
            self.start_node(node)
        wait_for(lambda: all(map(self.voted, self.nodes)), "the witness does not vote for all nodes", START_S)

    def start_node(self, node):
        config = node.path("/etc/corosync/corosync.conf")
        os.makedirs(os.path.dirname(config), exist_ok=True)
        with open(config, "w", encoding="utf-8") as f:
            f.write(self.corosync_conf())
        with open(node.path("/etc/corosync/authkey"), "w", encoding="ascii") as f:
            f.write(self.authkey)
        node.spawn(["corosync", "-f"], "corosync.log")
        wait_for(lambda: "LINK ID" in node.run("corosync-cfgtool", "-s", fine=False), f"{node.name}: no corosync", START_S)
        node.spawn([self.program], "witness.log")

    @staticmethod
    def words(node):
        """What its corosync says; nothing, where it does not get to that."""
        try:
            return node.run("corosync-quorumtool", "-s", fine=False)
        except subprocess.TimeoutExpired:
            return ""

    def quorate(self, node):
        return "Quorate:          Yes" in self.words(node)

    @staticmethod
    def voted(node):
        """Whether the node counts the vote of the witness."""
        return any("A,V," in line and "(local)" in line for line in Witnessed.words(node).splitlines())

    def become(self, *quorate, seconds=90):
        """Waits until these are quorate, and of the others that have power none."""
        wanted = {node.name for node in quorate}

        def now():
            return {node.name for node in self.nodes if node.first and self.quorate(node)}

        wait_for(lambda: now() == wanted, f"{wanted} are not those with a quorum", seconds)


@test("of_two_nodes_with_a_witness_one_goes_on_alone", suite="cluster")
def _(place):
    with Witnessed(place, 2) as c:
        c[1].kill()
        c.become(c[2])
        c[1].boot()
        c.start_node(c[1])
        c.become(c[1], c[2])


@test("of_two_nodes_that_are_cut_from_each_other_one_stays_quorate", suite="cluster")
def _(place):
    with Witnessed(place, 2) as c:
        c.split([c[1]], [c[2]])
        c.become(c[1])
        c.heal()
        c.become(c[1], c[2])
        c.cut([c[2]], [c[1]])  # n2 does not hear n1
        wait_for(lambda: c.quorate(c[1]) != c.quorate(c[2]), "a cut of one way leaves both or none", 90)


@test("nodes_that_hear_each_other_need_no_witness", suite="cluster")
def _(place):
    with Witnessed(place, 2) as c:
        os.truncate(c.path, 0)
        wait_for(lambda: not c.voted(c[1]) and not c.voted(c[2]), "the vote outlives the witness", 60)
        check(c.quorate(c[1]) and c.quorate(c[2]), "without the witness nodes that hear each other have no quorum")


@test("of_four_nodes_that_are_split_evenly_two_stay_quorate", suite="cluster")
def _(place):
    with Witnessed(place, 4) as c:
        c.split(c.nodes[:2], c.nodes[2:])
        c.become(c[1], c[2])


@contextlib.contextmanager
def file_system(place):
    """A folder that is a file system of its own, which can be frozen: I/O on it hangs then."""
    image, folder = place.path("image"), place.path("share")
    os.mkdir(folder)
    with open(image, "wb") as f:
        os.truncate(f.fileno(), 16 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True, check=False).returncode != 0:
        raise Skipped("loop devices cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", folder], capture_output=True, check=False)
        subprocess.run(["umount", folder], check=True)


@test("a_witness_that_hangs_takes_no_majority_down_and_gives_no_half_a_quorum", suite="cluster")
def _(place):
    with file_system(place) as folder, Witnessed(place, 4, os.path.join(folder, "witness")) as c:
        subprocess.run(["fsfreeze", "--freeze", folder], check=True)
        wait_for(lambda: not any(map(c.voted, c.nodes)), "the vote outlives a witness that hangs", 60)
        c.become(*c.nodes)
        c.split(c.nodes[:3], c.nodes[3:])
        c.become(*c.nodes[:3])
        c.split(c.nodes[:2], c.nodes[2:])
        c.become()
        subprocess.run(["fsfreeze", "--unfreeze", folder], check=True)
        wait_for(lambda: c.voted(c[1]) and c.voted(c[2]), "the vote does not come back", 90)
        c.become(c[1], c[2])


@test("who_takes_the_locks_of_the_file_changes_nothing", suite="cluster")
def _(place):
    with Witnessed(place, 2) as c, open(c.path, "r+b") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        fcntl.lockf(f, fcntl.LOCK_EX)
        c.split([c[1]], [c[2]])
        c.become(c[1])
        f.close()
        c.heal()
        c.become(c[1], c[2])


@test("a_daemon_whose_corosync_stands_still_ends_with_its_vote", suite="cluster")
def _(place):
    with Witnessed(place, 2) as c:
        c[2].kill()
        c.become(c[1])
        c[1].run("pkill", "-STOP", "-x", "corosync")
        wait_for(lambda: not c[1].run("pgrep", "-x", "oya-witness", fine=False), "it outlives its vote", 60)
        c[1].run("pkill", "-CONT", "-x", "corosync")
        wait_for(lambda: not c.voted(c[1]), "corosync counts what nobody casts", 60)


@test("a_cluster_gets_a_witness_by_one_command_and_loses_it_by_another", suite="cluster")
def _(place):
    with Hosts(place, 2) as c:
        path = os.path.join(c.shared, "witness")
        create(c[1])
        join(c[2], c[1])
        known(c[1], c[2])
        refused(c[1], "is no block device", "cluster", "witness", "disk", c.shared)
        refused(c[1], "is no path of a witness", "cluster", "witness", "share", "witness")
        oya(c[1], "cluster", "witness", "share", path)
        known(c[1], c[2])
        for node in c.nodes:
            wait_for(lambda n=node: Witnessed.voted(n), f"{node.name} has no vote of the witness", START_S)
            check(path in oya(node, "cluster", "status"), "the status does not name the witness")
        c[1].kill()
        wait_for(lambda: Witnessed.voted(c[2]), "who is left has no vote of the witness", 90)
        wait_for(lambda: "Quorate:          Yes" in Witnessed.words(c[2]), "who is left has no quorum", 90)
        c[1].start()
        known(c[1], c[2])
        oya(c[2], "cluster", "witness", "none")
        for node in c.nodes:
            wait_for(lambda n=node: "Qdevice" not in Witnessed.words(n), "the witness votes on", 90)
            wait_for(lambda n=node: "2Node" in Witnessed.words(n), "one of two hosts alone has no quorum any more", 90)
