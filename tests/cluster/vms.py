# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs of a cluster under test: on the share, as resources; who runs them, and what they have written."""

import json
import os
import struct
import threading
import time
import uuid

from harness import Failed, Paths, wait_for
from leases import read_lease
from nodes import put

MONITOR_S = 2


def nvpairs(identity, values):
    pairs = "".join(f'<nvpair id="{identity}-{k}" name="{k}" value="{v}"/>' for k, v in values.items())
    return f'<instance_attributes id="{identity}-a">{pairs}</instance_attributes>'


class ClusterVm:
    """A VM whose guest counts on its disk, from where it had come to; it says so when another has written."""

    def __init__(self, cluster, name="web", prefer=None, guest_test="disk-count", initially="Started", stop="off", live=False, memory_mib=64):
        self.cluster = cluster
        self.name = name
        self.uuid = str(uuid.uuid4())
        self.folder = os.path.join(cluster.shared, name)
        self.disk = os.path.join(self.folder, "disk.raw")
        self.prefer = prefer
        self.initially = initially
        self.live = live
        os.mkdir(self.folder)
        with open(self.disk, "wb") as f:
            f.truncate(1 << 20)
        settings = {
            "version": 1, "uuid": self.uuid, "memory_mib": memory_mib, "cpus": 1, "boot": {"kernel": Paths.guest, "append": f"test={guest_test}"},
            "disks": [{"file": "disk.raw"}], "stop": {"action": stop}, "start": {"action": "always"},
        }  # fmt: skip
        put(os.path.join(self.folder, "vm.json"), json.dumps(settings))

    def xml(self):
        """The resource, as `oya vm cluster` makes it."""
        identity = f"vm-{self.name}"
        values = nvpairs(identity, {"name": self.name, "uuid": self.uuid, "folder": self.folder})
        ops = f'<op id="{identity}-m" name="monitor" interval="{MONITOR_S}s" timeout="30s"/>'
        ops += f'<op id="{identity}-s" name="start" interval="0" timeout="60s"/>'
        ops += f'<op id="{identity}-t" name="stop" interval="0" timeout="60s"/>'
        role = f'<nvpair id="{identity}-role" name="target-role" value="{self.initially}"/>'
        role += f'<nvpair id="{identity}-live" name="allow-migrate" value="{str(self.live).lower()}"/>'
        role += f'<nvpair id="{identity}-stays" name="resource-stickiness" value="10"/>'
        role = f'<meta_attributes id="{identity}-meta">{role}</meta_attributes>'
        return f'<primitive id="{identity}" class="ocf" provider="oya" type="vm">{values}{role}<operations>{ops}</operations></primitive>'

    def constraint(self):
        return f'<rsc_location id="{self.name}-at" rsc="vm-{self.name}" node="{self.prefer}" score="50"/>' if self.prefer else ""

    # ---- who runs it ----

    def workers(self, thawed=True):
        """Names of the hosts on which a worker of it lives; thawed: one that could write now."""
        return [name for name, _ in self._workers(thawed)]

    def worker_pid(self):
        return next(int(pid) for _, pid in self._workers(True))

    def _workers(self, thawed):
        found = []
        for node in self.cluster.nodes:
            if thawed and self.cluster.frozen(node):
                continue
            for pid in node.processes():
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as f:
                        words = f.read().split(b"\0")
                except OSError:
                    continue
                if words[0].endswith(b"oya-worker") and any(self.uuid.encode() in word for word in words[1:]):
                    found.append((node.name, pid))
        return found

    def count(self):
        """What the guest has come to."""
        with open(self.disk, "rb") as f:
            return struct.unpack("<Q", f.read(8))[0]

    def lease(self):
        """State, epoch and the UUID of the host that has it."""
        return read_lease(os.path.join(self.folder, "lease"))

    def wait_on(self, *nodes, seconds=40):
        """Until it runs on one of these hosts, and nowhere else, and its guest counts; the host."""
        names = [node.name for node in nodes]

        def settled():
            workers, before = self.workers(), self.count()
            if len(workers) != 1 or workers[0] not in names:
                return None
            time.sleep(0.3)
            return workers[0] if self.workers() == workers and self.count() > before else None

        try:
            return self.cluster.node(wait_for(settled, "", seconds))
        except Failed:
            raise Failed(f"{self.name} does not run on {names}: {self.cluster.told()}") from None


class Watch:
    """Looks all the time how many workers of VMs could write; and that no count goes back."""

    def __init__(self, *vms):
        self.vms = vms
        self.problem = None
        self.ends = False
        self.thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.ends = True
        self.thread.join()
        if self.problem and kind is None:
            raise Failed(self.problem)

    def _look(self):
        last = {vm: 0 for vm in self.vms}
        while not self.ends and not self.problem:
            for vm in self.vms:
                workers = vm.workers()
                # As it moves live there are two, one of which waits: its guest finds another writer.
                if not vm.live and len(workers) > 1 and len(vm.workers()) > 1:  # one may have been seen as it died
                    self.problem = f"{vm.name} runs on {workers}"
                count = vm.count()
                if count < last[vm]:
                    self.problem = f"{vm.name} counts back from {last[vm]} to {count}"
                last[vm] = count
            time.sleep(0.01)


def write_members(cluster):
    """What `oya cluster join` has each host know of the others, as far as oyad needs it here."""
    members = []
    for node in cluster.nodes:
        host = node.oyad.good("GET", "/v1/host")
        links = [node.address(link) for link in range(cluster.links)]
        about = {"api": f"{node.address()}:7070", "fingerprint": host["certificate"], "links": links}
        members.append({"name": node.name, "host": host["uuid"], "id": node.number, **about})
    text = json.dumps({"version": 1, "name": "test", "uuid": cluster.uuid, "number": 1, "members": members})
    for node in cluster.nodes:
        put(node.path("/var/lib/oya/cluster.json"), text)


def start_hosts(cluster):
    """All hosts, each of which knows the others where they have oyads."""
    for node in cluster.nodes:
        node.boot()
        if cluster.oyad:
            node.start_oyad()
    if cluster.oyad:
        write_members(cluster)
    for node in cluster.nodes:
        if cluster.oyad:  # reads who is a member, and starts the engine
            node.prepare_engine()
            node.oyad.end()
            node.start_oyad()
        else:
            node.start_engine()
    cluster.wait_online(*cluster.nodes)


def start(cluster, *vms):
    """All hosts, with these VMs as resources."""
    cluster.configuration = "".join(vm.xml() for vm in vms) + "<!-- constraints -->" + "".join(vm.constraint() for vm in vms)
    start_hosts(cluster)
