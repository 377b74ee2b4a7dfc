# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts that become a cluster by oya's own commands: made, joined, left, and what fails on the way."""

import json
import os
import time

from harness import Paths, check, test, wait_for
from nodes import Cluster, put


def join_test(name):
    return test(name, suite="cluster")


class Hosts(Cluster):
    """Bare hosts with oyad, which starts their engine; nothing is configured."""

    def __init__(self, place, count, **more):
        super().__init__(place, count, engine=False, start=False, **more)

    def __enter__(self):
        super().__enter__()
        for node in self.nodes:
            node.start()
        return self


def oya(node, *arguments, seconds=240):
    """What the command prints on a host; it has to succeed."""
    return node.run(Paths.oya, *arguments, seconds=seconds)


def refused(node, sentence, *arguments):
    said = node.run("sh", "-c", '! "$@" 2>&1', "sh", Paths.oya, *arguments, seconds=240)
    check(sentence in said, f"{sentence!r} is not in {said!r}")


def token(node):
    return json.loads(oya(node, "cluster", "token", "-o", "json"))["token"]


def tell(node, signal):
    """A signal to its oyad."""
    node.run("pkill", f"-{signal}", "-x", "oyad")


def again(node):
    """Its oyad is killed, and started again; its engine goes on."""
    strike(node)
    node.oyad.start()


def strike(node):
    tell(node, "KILL")
    node.oyad.process.wait(20)


def create(node):
    oya(node, "cluster", "create", "lab")


def join(node, by):
    oya(node, "cluster", "join", token(by))


def numbers(*nodes):
    return {node.oyad.good("GET", "/v1/cluster/members")["number"] for node in nodes}


def names(node):
    return [m["name"] for m in node.oyad.good("GET", "/v1/cluster/members")["members"]]


def left(node):
    """What is on it of a cluster."""
    status, _, answer = node.oyad.ask("GET", "/v1/cluster")
    files = ("/etc/corosync/authkey", "/var/lib/oya/cluster.json", "/var/lib/oya/cluster-joining.json")
    found = [path for path in files if os.path.exists(node.path(path))]
    engine = node.run("sh", "-c", "pgrep -ax 'corosync|pacemakerd'; true").split("\n")
    return [*found, *(line for line in engine if line and "defunct" not in line), *([] if status == 404 else [answer])]


def apart(one, other, seconds=120):
    """The second is no member of the first's cluster, and has nothing of it."""
    end = time.monotonic() + seconds
    while names(one) != [one.name] or left(other):
        check(time.monotonic() < end, f"of the join is left: {names(one)}, {left(other)}")
        time.sleep(0.2)


def known(*nodes):
    """All of them have one list of all of them, and the engine has them online."""
    wanted = sorted(node.name for node in nodes)
    wait_for(lambda: all(sorted(names(n)) == wanted for n in nodes) and len(numbers(*nodes)) == 1, "lists differ", 60)
    nodes[0].cluster.wait_online(*nodes, seconds=90)


@join_test("three_hosts_become_a_cluster_by_two_commands_each_and_part_again")
def _(place):
    with Hosts(place, 3) as c:
        first = oya(c[1], "cluster", "create", "lab")
        check("NO FENCING" in first and "oya cluster join OYA1." in first, first)
        word = first.split("oya cluster join ")[1].split()[0]
        oya(c[2], "cluster", "join", word)
        known(c[1], c[2])
        engine = c[2].run("cibadmin", "--query")
        for words in ('name="load-threshold" value="0%"', 'name="node-action-limit" value="64"', "<select_fencing/>", "<select_nodes/>"):
            check(words in engine, f"{words} is not in {engine}")
        refused(c[3], "", "cluster", "join", word)
        check(not left(c[3]), f"a refused host has {left(c[3])}")
        join(c[3], c[2])
        known(*c.nodes)
        status = oya(c[3], "cluster", "status")
        check("3 of 3 hosts are online, 2 are needed" in status and "NONE" in status, status)
        # What runs outlives the daemon, and is found again.
        again(c[2])
        known(*c.nodes)
        conf = open(c[2].path("/etc/corosync/corosync.conf"), encoding="utf-8").read()
        check(conf.startswith("# Written by oyad") and "two_node" not in conf, conf)
        oya(c[2], "cluster", "leave")
        known(c[1], c[3])
        check(not left(c[2]), f"who has left has {left(c[2])}")
        refused(c[1], "is online", "cluster", "remove", "n3")
        oya(c[1], "cluster", "destroy")
        for node in c.nodes:
            wait_for(lambda node=node: not left(node), f"{node.name} has something left", 60)


@join_test("what_stands_in_the_way_of_a_join_is_told_at_once_and_changes_nothing")
def _(place):
    with Hosts(place, 2) as c:
        create(c[1])
        word = token(c[1])
        for wrong, sentence in (
            ("nonsense", "is no token of a cluster"),
            (word[:-1] + ("0" if word[-1] != "0" else "1"), "unknown or has expired"),
            (word.replace(word.split(".")[2][:8], "00000000"), "certificate of 10.77.0.1:7070 is another one"),
        ):
            refused(c[2], sentence, "cluster", "join", wrong)
            check(not left(c[2]) and numbers(c[1]) == {1}, f"{wrong}: something has changed")
        # A VM of one name, and an address that is none of this host's.
        for node in c.nodes:
            node.oyad.make("web")
        refused(c[2], "both hosts have a VM 'web'", "cluster", "join", word)
        c[2].oyad.good("DELETE", "/v1/vms/web")
        refused(c[2], "is no address of this host", "cluster", "join", word, "--link", "10.77.0.1")
        refused(c[2], "all hosts have as many", "cluster", "join", word, "--link", "10.77.0.2", "--link", "127.0.0.9")
        # A token that has expired.
        access = c[1].path("/var/lib/oya/access.json")
        with open(access, encoding="utf-8") as f:
            kept = f.read()
        late = json.loads(kept)
        for one in late["tokens"]:
            one["expires"] = int(time.time()) - 1
        put(access, json.dumps(late), 0o600)
        tell(c[1], "HUP")
        wait_for(lambda: "was read again" in c[1].oyad.errors(), "access.json is not read again")
        refused(c[2], "unknown or has expired", "cluster", "join", word)
        check(not left(c[2]) and numbers(c[1]) == {1}, "something has changed")
        # A cluster that somebody else has made.
        before = "totem {\n\tcluster_name: debian\n}\n"  # as the package brings it
        put(c[2].path("/etc/corosync/corosync.conf"), "totem {\ncluster_name: other\n}\n")
        refused(c[2], "in a cluster that Oya has not made", "cluster", "join", token(c[1]))
        put(c[2].path("/etc/corosync/corosync.conf"), before)
        # And then it joins, and what was there comes back when it leaves.
        join(c[2], c[1])
        known(c[1], c[2])
        oya(c[2], "cluster", "leave")
        with open(c[2].path("/etc/corosync/corosync.conf"), encoding="utf-8") as f:
            check(f.read() == before, "the old configuration is not back")


@join_test("links_that_do_not_answer_undo_a_join_on_both_sides")
def _(place):
    with Hosts(place, 2) as c:
        create(c[1])
        c[2].run("nft", "-f", "-", given="table inet cut {\nchain in {\ntype filter hook input priority -200\nudp dport 5405 drop\n}\n}\n")
        job = c[2].oyad.good("POST", "/v1/cluster/join", {"token": token(c[1])}, 202)["id"]
        wait_for(lambda: names(c[1]) == ["n1", "n2"], "it is not let in", 60)

        def ended():
            # What runs on the first host goes on meanwhile.
            check(c[1].oyad.good("GET", "/v1/cluster")["quorum"], "the first host has lost its quorum")
            return c[2].oyad.ended(job)

        problem = wait_for(ended, "the join has no end", 200)["problem"]
        check("let UDP 5405" in problem, problem)
        apart(c[1], c[2])
        c[2].run("nft", "delete", "table", "inet", "cut")
        join(c[2], c[1])
        known(c[1], c[2])


@join_test("a_daemon_that_is_killed_as_its_host_joins_leaves_both_sides_whole")
def _(place):
    with Hosts(place, 2) as c:
        create(c[1])
        for seconds in (0.1, 0.3, 0.6, 1, 2, 4):
            word = token(c[1])
            c[2].oyad.good("POST", "/v1/cluster/join", {"token": word}, 202)
            time.sleep(seconds)
            again(c[2])
            if c[2].oyad.ask("GET", "/v1/cluster")[0] == 200:
                break
            apart(c[1], c[2])
        else:
            join(c[2], c[1])
        known(c[1], c[2])


@join_test("a_daemon_that_is_killed_as_it_lets_a_host_in_leaves_both_sides_whole")
def _(place):
    with Hosts(place, 2) as c:
        create(c[1])
        for seconds in (0.3, 0.8, 1.5):
            job = c[2].oyad.good("POST", "/v1/cluster/join", {"token": token(c[1])}, 202)["id"]
            time.sleep(seconds)
            again(c[1])
            ended = wait_for(lambda job=job: c[2].oyad.ended(job), "the join has no end", 150)
            if ended["state"] == "done":
                known(c[1], c[2])
                oya(c[2], "cluster", "leave")
            apart(c[1], c[2])
        join(c[2], c[1])
        known(c[1], c[2])


@join_test("a_member_that_was_away_gets_the_list_and_a_dead_one_is_taken_out")
def _(place):
    with Hosts(place, 4) as c:
        create(c[1])
        join(c[2], c[1])
        join(c[3], c[1])
        known(c[1], c[2], c[3])
        strike(c[2])
        join(c[4], c[1])
        check(sorted(names(c[1])) == ["n1", "n2", "n3", "n4"], f"{names(c[1])}")
        c[2].oyad.start()
        known(*c.nodes)
        c[4].kill()
        refused(c[1], "", "cluster", "remove", "n4")
        oya(c[1], "cluster", "remove", "n4", "--force")
        known(c[1], c[2], c[3])
