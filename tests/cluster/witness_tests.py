# SPDX-License-Identifier: GPL-2.0-or-later
"""The witness with real corosync: who stays quorate when nodes die, are cut off, or lose the witness."""

import os
import subprocess

from harness import Paths, check, test, wait_for
from nodes import Cluster

WATCH_S = 30  # a witness that begins first learns what the others do


class Witnessed(Cluster):
    """Nodes with corosync and oya-witness on one file, which stands for a share."""

    def __init__(self, place, count):
        super().__init__(place, count, engine=False, oyad=False)
        self.program = Paths.witness
        self.path = place.path("witness")

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
        for node in self.nodes:
            wait_for(lambda n=node: self.voted(n), f"{node.name} has no vote of the witness", WATCH_S)

    def start_node(self, node):
        config = node.path("/etc/corosync/corosync.conf")
        os.makedirs(os.path.dirname(config), exist_ok=True)
        with open(config, "w", encoding="utf-8") as f:
            f.write(self.corosync_conf())
        with open(node.path("/etc/corosync/authkey"), "w", encoding="ascii") as f:
            f.write(self.authkey)
        node.spawn(["corosync", "-f"], "corosync.log")
        wait_for(lambda: "LINK ID" in node.run("corosync-cfgtool", "-s", fine=False), f"{node.name}: no corosync", 40)
        node.spawn([self.program], "witness.log")

    @staticmethod
    def words(node):
        return node.run("corosync-quorumtool", "-s", fine=False)

    def quorate(self, node):
        return "Quorate:          Yes" in self.words(node)

    def voted(self, node):
        """Whether the node counts the vote of the witness."""
        return any("A,V," in line and "(local)" in line for line in self.words(node).splitlines())

    def become(self, *quorate, seconds=30):
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
        wait_for(lambda: c.quorate(c[1]) != c.quorate(c[2]), "a cut of one way leaves both or none", 30)


@test("nodes_that_hear_each_other_need_no_witness", suite="cluster")
def _(place):
    with Witnessed(place, 2) as c:
        os.truncate(c.path, 0)
        wait_for(lambda: not c.voted(c[1]) and not c.voted(c[2]), "the vote outlives the witness", 20)
        check(c.quorate(c[1]) and c.quorate(c[2]), "without the witness nodes that hear each other have no quorum")


@test("of_four_nodes_that_are_split_evenly_two_stay_quorate", suite="cluster")
def _(place):
    with Witnessed(place, 4) as c:
        c.split(c.nodes[:2], c.nodes[2:])
        c.become(c[1], c[2])
