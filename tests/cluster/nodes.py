# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts of a cluster on this machine: real corosync, pacemaker and oyad, in namespaces.

A host is one control group of processes with its own network, mount, UTS, IPC and PID namespaces. It sees this
machine's files; what it writes below /etc, /var and /usr is its own and outlives its power, /run and /dev/shm do
not. The folder of the test is common: it stands for a share whose locks all hosts see.

Power is honest: to be killed is SIGKILL for all processes of a host at once, by its control group, which is what
the fence agent of the tests (fence_power) does too. Its links are veth pairs to bridges of a switch; a cut is a
rule of the receiving host, so that it may be of one way.
"""

import glob
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
import xml.etree.ElementTree as ET

from daemon import Daemon
from harness import MARK, Failed, Paths, Skipped, check, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
LOGS = os.environ.get("OYA_CLUSTER_LOGS")  # where logs of tests that fail are to go
TOKEN_MS = 1000
PROGRAMS = ("corosync", "pacemakerd", "crm_mon", "cibadmin", "nft", "ip", "nsenter", "setpriv")
PREFIX = "oya-cluster-"  # of control groups and folders, before the pid of who made them
OWN_FOLDERS = ("/etc", "/var", "/usr")
ALERT = "/usr/libexec/oya/oya-alert"

# What a host's first process does before it becomes one that only waits; children that lose their parent are
# reaped by the kernel, since it ignores their ends.
BOOT = r"""
set -e
name=$1 own=$2
mount --make-rprivate /
for d in %s; do
    mkdir -p $own/upper$d $own/work$d
    mount -t overlay overlay -o lowerdir=$d,upperdir=$own/upper$d,workdir=$own/work$d $d
done
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
mount -t proc proc /proc
mkdir -p /run/lock /run/crm
chown hacluster:haclient /run/crm
hostname $name
ip link set lo up
touch /run/booted
trap "" CHLD
exec sleep infinity
""" % " ".join(OWN_FOLDERS)  # fmt: skip


def why_not():
    """The reason for which there can be no cluster here, or None."""
    missing = [p for p in PROGRAMS if not shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin:/sbin")]
    if missing:
        return f"{', '.join(missing)} is not installed"
    if os.geteuid() != 0:
        return "only root makes namespaces"
    if not control_groups():
        return "control groups of version 2 are not mounted"
    return None


def control_groups():
    """Where control groups of version 2 are, or None."""
    with open("/proc/mounts", encoding="utf-8") as f:
        return next((words[1] for words in map(str.split, f) if words[2] == "cgroup2"), None)


def sweep():
    """Removes what tests have left that were killed: their hosts died with them."""
    for path in glob.glob(os.path.join(control_groups(), PREFIX + "*")) + glob.glob(f"/dev/shm/{PREFIX}*"):
        maker = os.path.basename(path)[len(PREFIX) :].split("-")[0]
        if os.path.exists(f"/proc/{maker}"):
            continue
        if path.startswith("/dev/shm"):
            shutil.rmtree(path, ignore_errors=True)
        else:
            for group in [*glob.glob(path + "/*/"), path]:
                os.rmdir(group)


def put(path, text, mode=0o644):
    """Writes a file of a host, and the folders above it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, mode)


class Node:
    """A host: `name` (n1, n2, ...), `number`, and its `uuid` once its oyad has told it."""

    def __init__(self, cluster, number):
        self.cluster = cluster
        self.number = number
        self.name = f"n{number}"
        self.group = os.path.join(cluster.group, self.name)
        self.own = os.path.join(cluster.own, self.name)
        self.first = None  # its first process; None while it has no power
        self.pid = 0  # of that one's child, which is pid 1 within
        self.deaf_to = set()  # names of those whose packets do not arrive
        self.loss_percent = 0
        self.machine = uuid.uuid4().hex
        self.oyad = None
        os.mkdir(self.group)
        os.mkdir(self.own)
        os.symlink(self.group, os.path.join(cluster.power, self.name))

    def address(self, link=0):
        return f"10.77.{link}.{self.number}"

    def path(self, path):
        """A file of the host, as seen from here."""
        return f"/proc/{self.pid}/root{path}"

    # ---- power ----

    def boot(self):
        """Power on: namespaces and links, no service yet."""
        within = ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', self.group]
        command = ["setpriv", "--pdeathsig", "KILL", *within]
        command += ["unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child"]
        self.first = self.cluster.place.spawn(
            [*command, "sh", "-c", BOOT, "sh", self.name, self.own], stdin=subprocess.DEVNULL
        )
        wait_for(self._booted, f"{self.name} does not boot", 60)
        for link in range(self.cluster.links):
            self._plug(link)
        self.hear()
        put(self.path("/etc/machine-id"), self.machine + "\n")
        put(self.path("/etc/hostname"), self.name + "\n")
        put(self.path("/etc/hosts"), "127.0.0.1 localhost\n" + self.cluster.hosts_file())
        put(self.path("/usr/sbin/fence_power"), self.cluster.fence_agent, 0o755)
        self._link("/usr/sbin/fence_oya_reservation", Paths.fence)
        self._link("/usr/sbin/oya-witness", Paths.witness)
        if self.cluster.agent:
            for kind in ("vm", "lun"):
                self._link(f"/usr/lib/ocf/resource.d/oya/{kind}", self.cluster.agent)

    def _link(self, path, to):
        path = self.path(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not os.path.lexists(path) and os.path.exists(to):
            os.symlink(to, path)

        if os.path.exists(Paths.alert):
            alert = self.path(ALERT)  # a copy: the engine's user may not reach the original
            os.makedirs(os.path.dirname(alert), exist_ok=True)
            shutil.copy(Paths.alert, alert)

    def own_vm(self, name, folder):
        """Before oyad starts: a VM of this host, on the share."""
        path = os.path.join(self.own, "upper/var/lib/oya/vms") if not self.first else self.path("/var/lib/oya/vms")
        os.makedirs(path, exist_ok=True)
        os.symlink(folder, os.path.join(path, name))

    def _booted(self):
        check(self.first.poll() is None, f"{self.name} ends as it boots: {self.first.returncode}")
        try:
            with open(f"/proc/{self.first.pid}/task/{self.first.pid}/children", encoding="ascii") as f:
                self.pid = int(f.read().split()[0])
        except (OSError, IndexError):
            return False
        return os.path.exists(self.path("/run/booted"))

    def _plug(self, link):
        device, port = f"eth{link}", f"{self.name}-{link}"
        switch = str(self.cluster.switch.pid)
        subprocess.run(
            ["ip", "link", "add", device, "netns", str(self.pid), "type", "veth", "peer", "name", port, "netns", switch],
            check=True,
        )
        self.cluster.on_switch(f"ip link set {port} master br{link} up")
        self.sh(f"ip address add {self.address(link)}/24 dev {device} && ip link set {device} up")

    def kill(self):
        """Power off: all its processes end at once."""
        with open(os.path.join(self.group, "cgroup.kill"), "w", encoding="ascii") as f:
            f.write("1")
        self.went()

    def went(self):
        """Waits until nothing of it lives, by whoever's hand."""
        wait_for(lambda: not self.lives(), f"{self.name} does not end", 10)
        if self.first:
            self.first.wait(10)
        if self.oyad:
            self.oyad.process.wait(10)
        self.first, self.oyad = None, None

    def lives(self):
        with open(os.path.join(self.group, "cgroup.events"), encoding="ascii") as f:
            return "populated 1" in f.read()

    def processes(self):
        with open(os.path.join(self.group, "cgroup.procs"), encoding="ascii") as f:
            return f.read().split()

    def freeze(self):
        """All its processes stand still, with all that they hold; until it is thawed or killed."""
        self._frozen(1)

    def thaw(self):
        self._frozen(0)

    def _frozen(self, state):
        with open(os.path.join(self.group, "cgroup.freeze"), "w", encoding="ascii") as f:
            f.write(str(state))
        events = os.path.join(self.group, "cgroup.events")

        def reached():
            with open(events, encoding="ascii") as f:
                return f"frozen {state}" in f.read()

        wait_for(reached, f"{self.name} does not become frozen {state}")

    # ---- commands ----

    def within(self, command):
        """The command, as one of this host."""
        check(self.first, f"{self.name} has no power")
        enter = ["nsenter", "-m", "-u", "-i", "-n", "-p", "-t", str(self.pid), "--"]
        return ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', self.group, *enter, *command]

    def spawn(self, command, log, **options):
        """Begins it; what it says goes into the file of that name in the folder of the test."""
        with open(self.cluster.place.path(f"{self.name}-{log}"), "ab") as f:
            return self.cluster.place.spawn(
                self.within(command), stdin=subprocess.DEVNULL, stdout=f, stderr=f, start_new_session=True, **options
            )

    def run(self, *command, seconds=60, fine=True, given=None):
        """Runs it to its end; its output. Unless `fine` is False, what it ends with has to be 0."""
        done = subprocess.run(
            self.within(command), input=given or "", capture_output=True, text=True, timeout=seconds, check=False,
            env={**os.environ, MARK: self.cluster.place.mark},
        )  # fmt: skip
        if fine:
            check(done.returncode == 0, f"{self.name}: {' '.join(command)}: {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def sh(self, script):
        return self.run("sh", "-c", script)

    # ---- links ----

    def hear(self):
        """Makes what it hears as deaf_to and loss_percent say; the links of all kinds together."""
        rules = [
            f"ip saddr {{ {', '.join(node.address(link) for link in range(self.cluster.links))} }} drop"
            for node in self.cluster.nodes
            if node.name in self.deaf_to
        ]
        if self.loss_percent:
            rules.append(f"iifname eth* numgen random mod 100 < {self.loss_percent} drop")
        chain = "\n".join(["type filter hook input priority -300", *rules])
        table = f"table inet test\ndelete table inet test\ntable inet test {{\nchain in {{\n{chain}\n}}\n}}\n"
        try:
            self.run("nft", "-f", "-", given=table)
        except Failed:
            check(not self.lives(), f"{self.name}: its links cannot be changed")

    # ---- services ----

    def prepare_engine(self):
        """The files of corosync and pacemaker, with the cluster's configuration."""
        put(self.path("/etc/corosync/corosync.conf"), self.cluster.corosync_conf())
        put(self.path("/etc/corosync/authkey"), self.cluster.authkey, 0o400)
        seed = "/var/lib/pacemaker/cib/cib.xml"
        if not os.path.exists(self.path(seed)):
            put(self.path(seed), self.cluster.first_cib(), 0o600)
            self.run("chown", "hacluster:haclient", seed)

    def start_engine(self):
        self.prepare_engine()
        self.spawn(["corosync", "-f"], "corosync.log")
        wait_for(lambda: "LINK ID" in self.run("corosync-cfgtool", "-s", fine=False), f"{self.name}: no corosync", 10)
        self.spawn(["pacemakerd", "-f"], "pacemaker.log", env={"PCMK_logfile": "/var/log/pacemaker/pacemaker.log"})

    def start_oyad(self, *options):
        self.oyad = NodeDaemon(self, *self.cluster.options, *options)

    def start(self):
        """Power, engine, oyad, as the cluster is to have."""
        self.boot()
        if self.cluster.oyad:
            self.start_oyad()
        # A member's oyad starts the engine itself.
        if self.cluster.engine and not os.path.exists(self.path("/var/lib/oya/cluster.json")):
            self.start_engine()


class NodeDaemon(Daemon):
    """oyad of a host, in the usual places."""

    def __init__(self, node, *options):
        self.node = node
        self.place = node.cluster.place
        self.options = ("--listen", f"{node.address()}:7070", *options)
        self.worker = Paths.worker
        self.holder = None
        self.before = node.within([])
        self.state, self.run = "/var/lib/oya", "/run/oya"
        self.api = node.path("/run/oya/api")
        self.errors_path = self.place.path(f"{node.name}-oyad.log")
        self.process = None
        self.start()

    def kill(self):
        self._signal(signal.SIGKILL)

    def end(self):
        status = self._signal(signal.SIGTERM)
        check(status == 0, f"oyad ends with {status}: {self.errors()[-400:]}")

    def _signal(self, number):
        """To oyad itself: what we have started only waits for it outside of its namespaces."""
        for pid in self.node.processes():
            try:
                if os.path.samefile(f"/proc/{pid}/exe", Paths.oyad):
                    os.kill(int(pid), number)
            except OSError:
                continue
        return self.process.wait(20)


class Cluster:
    """Hosts n1, n2, ..., and the switch between them; used by `with`, which ends all of it."""

    def __init__(self, place, count, links=1, token_ms=TOKEN_MS, engine=True, oyad=True, start=True):
        self.place = place
        self.links = links
        self.token_ms = token_ms
        self.engine, self.oyad = engine, oyad
        self.count = count
        self.start_at_once = start
        self.nodes = []
        self.authkey = secrets.token_hex(64)
        self.uuid = str(uuid.uuid4())
        self.agent = Paths.resource if os.path.exists(Paths.resource) else None
        self.options = ()  # of each host's oyad
        self.configuration = ""  # of the engine: XML of resources and constraints, at its first start
        self.properties = {}
        with open(os.path.join(HERE, "fence_power"), encoding="utf-8") as f:
            self.fence_agent = f.read()
        self.switch = self.group = self.own = None

    def __enter__(self):
        reason = why_not()
        if reason:
            raise Skipped(reason)
        try:
            self._make()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, kind, *_):
        if kind and LOGS:
            self._keep_logs()
        self.end()

    def _keep_logs(self):
        """What a test that failed leaves for who looks into it."""
        shutil.copytree(self.place.tmp, LOGS, dirs_exist_ok=True, ignore=shutil.ignore_patterns("power", "shared"))
        with open(os.path.join(LOGS, "status"), "w", encoding="utf-8") as f:
            f.write(self.told())
        for node in self.nodes:
            path = os.path.join(node.own, "upper/var/log/pacemaker/pacemaker.log")
            if os.path.exists(path):
                shutil.copy(path, os.path.join(LOGS, f"{node.name}-engine.log"))

    def _make(self):
        sweep()
        self.group = os.path.join(control_groups(), f"{PREFIX}{os.getpid()}-{self.place.mark}")
        os.mkdir(self.group)
        self.own = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir="/dev/shm")
        self.power = self.place.path("power")
        self.shared = self.place.path("shared")
        os.mkdir(self.power)
        os.mkdir(self.shared)
        own = os.readlink("/proc/self/ns/net")
        self.switch = self.place.spawn(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL
        )
        wait_for(lambda: os.readlink(f"/proc/{self.switch.pid}/ns/net") != own, "there is no switch")
        for link in range(self.links):
            self.on_switch(f"ip link add br{link} type bridge && ip link set br{link} up")
            self.on_switch(f"ip address add {self.address(link)}/24 dev br{link}")
        self.nodes = [Node(self, number + 1) for number in range(self.count)]
        if self.start_at_once:
            self.start()

    def start(self):
        """All hosts; with the engine, until they are one cluster that has a coordinator."""
        for node in self.nodes:
            node.start()
        if self.engine:
            self.wait_online(*self.nodes)

    def end(self):
        for node in self.nodes:
            if os.path.isdir(node.group):
                if node.lives():
                    node.kill()
                os.rmdir(node.group)
        if self.switch:
            self.switch.kill()
            self.switch.wait()
        if self.group and os.path.isdir(self.group):
            os.rmdir(self.group)
        if self.own:
            shutil.rmtree(self.own, ignore_errors=True)

    def on_switch(self, script):
        subprocess.run(["nsenter", f"--net=/proc/{self.switch.pid}/ns/net", "sh", "-c", script], check=True)

    @staticmethod
    def address(link=0):
        """Of the switch itself, where services for all hosts may listen (on_switch)."""
        return f"10.77.{link}.254"

    def __getitem__(self, number):
        """n1 is cluster[1]."""
        return self.nodes[number - 1]

    def node(self, name):
        return next(node for node in self.nodes if node.name == name)

    # ---- links ----

    def cut(self, hearers, from_whom):
        """One way: the first do not hear the second any more."""
        for node in hearers:
            node.deaf_to |= {other.name for other in from_whom} - {node.name}
            if node.lives():
                node.hear()

    def split(self, one, other):
        self.cut(one, other)
        self.cut(other, one)

    def heal(self):
        for node in self.nodes:
            node.deaf_to, node.loss_percent = set(), 0
            if node.lives():
                node.hear()

    def lose(self, percent):
        """So much of what arrives anywhere is lost."""
        for node in self.nodes:
            node.loss_percent = percent
            node.hear()

    # ---- configurations ----

    def hosts_file(self):
        return "".join(f"{node.address()} {node.name}\n" for node in self.nodes)

    def corosync_conf(self):
        interfaces = "".join(
            f"\tinterface {{\n\t\tlinknumber: {link}\n\t\tknet_ping_interval: 250\n\t\tknet_ping_timeout: 3000\n"
            "\t\tknet_pong_count: 1\n\t}\n"
            for link in range(self.links)
        )
        members = "".join(
            f"\tnode {{\n\t\tname: {node.name}\n\t\tnodeid: {node.number}\n"
            + "".join(f"\t\tring{link}_addr: {node.address(link)}\n" for link in range(self.links))
            + "\t}\n"
            for node in self.nodes
        )
        return (
            f"totem {{\n\tversion: 2\n\tcluster_name: test\n\ttransport: knet\n\tcrypto_cipher: aes256\n"
            f"\tcrypto_hash: sha256\n\ttoken: {self.token_ms}\n\ttoken_coefficient: 0\n{interfaces}}}\n"
            f"nodelist {{\n{members}}}\nquorum {{\n\tprovider: corosync_votequorum\n}}\n"
            "system {\n\tallow_knet_handle_fallback: yes\n}\nlogging {\n\tto_stderr: yes\n\ttimestamp: hires\n}\n"
        )

    def first_cib(self):
        """With power fencing for all hosts."""
        properties = {
            "stonith-enabled": "true", "no-quorum-policy": "stop", "dc-deadtime": "2s", "cluster-recheck-interval": "60s",
            "load-threshold": "0%", "node-action-limit": "64", **self.properties,
        }  # fmt: skip
        nv = "".join(f'<nvpair id="p-{k}" name="{k}" value="{v}"/>' for k, v in properties.items())
        resources, _, constraints = self.configuration.partition("<!-- constraints -->")
        return (
            '<cib validate-with="pacemaker-3.9" admin_epoch="0" epoch="1" num_updates="0" crm_feature_set="3.0.0">'
            f'<configuration><crm_config><cluster_property_set id="properties">{nv}</cluster_property_set></crm_config>'
            f"<nodes/><resources>{self.power_xml()}{resources}</resources><constraints>{constraints}</constraints>"
            f"{self.alert_xml()}</configuration><status/></cib>\n"
        )

    def alert_xml(self):
        """What `oya cluster create` has the engine tell oyad."""
        select = "<select><select_fencing/><select_nodes/></select>"
        return f'<alerts><alert id="oya" path="{ALERT}">{select}</alert></alerts>' if self.oyad and os.path.exists(Paths.alert) else ""

    def power_xml(self):
        names = " ".join(node.name for node in self.nodes)
        return (
            '<primitive id="power" class="stonith" type="fence_power"><instance_attributes id="power-a">'
            f'<nvpair id="power-board" name="board" value="{self.power}"/>'
            f'<nvpair id="power-list" name="pcmk_host_list" value="{names}"/>'
            '</instance_attributes><operations><op id="power-monitor" name="monitor" interval="0"/></operations></primitive>'
        )

    # ---- what the engine says ----

    def status(self, node=None):
        """crm_mon's XML, by one of the hosts that live; None while it has none."""
        node = node or next(n for n in self.nodes if n.first and n.lives() and not self.frozen(n))
        text = node.run("crm_mon", "--one-shot", "--output-as=xml", "--inactive", fine=False, seconds=30)
        try:
            root = ET.fromstring(text)
        except ET.ParseError:
            return None
        return root if root.find("summary") is not None else None

    @staticmethod
    def frozen(node):
        with open(os.path.join(node.group, "cgroup.freeze"), encoding="ascii") as f:
            return f.read().strip() == "1"

    def coordinator(self, node=None):
        status = self.status(node)
        dc = status.find("summary/current_dc") if status is not None else None
        return dc.get("name") if dc is not None and dc.get("present") == "true" else None

    def online(self, node=None):
        """Names of hosts that the engine takes for online, when there is a coordinator and a quorum."""
        status = self.status(node)
        dc = status.find("summary/current_dc") if status is not None else None
        if dc is None or dc.get("present") != "true" or dc.get("with_quorum") != "true":
            return set()
        return {n.get("name") for n in status.findall("nodes/node") if n.get("online") == "true" and n.get("pending") == "false"}

    def wait_online(self, *nodes, seconds=60):
        names = {node.name for node in nodes}
        wait_for(lambda: self.online(nodes[0]) == names, f"{names} are not the cluster: {self.online(nodes[0])}", seconds)

    def memberships(self):
        """How often a membership has been formed, by the words of n1's corosync."""
        with open(self.place.path("n1-corosync.log"), encoding="utf-8", errors="replace") as f:
            return f.read().count("A new membership")

    def where(self, resource, node=None):
        """Names of hosts on which the engine has it active."""
        status = self.status(node)
        if status is None:
            return []
        return [
            n.get("name") for r in status.iter("resource") if r.get("id") == resource and r.get("active") == "true" for n in r
        ]

    def told(self):
        """The engine's status as people see it, for who looks into a failure."""
        node = next((n for n in self.nodes if n.first and n.lives() and not self.frozen(n)), None)
        return node.run("crm_mon", "-1rf", fine=False) if node else "no host lives"

    def failures(self, resource, host):
        """How often the engine has seen it fail there."""
        of_host = self.status().find(f"node_history/node[@name='{host}']")
        found = [] if of_host is None else of_host.findall(f"resource_history[@id='{resource}']")
        return sum(int(history.get("fail-count") or 0) for history in found)

    def back_on(self):
        """Hosts that were fenced get power again, and all are one cluster."""
        for node in self.nodes:
            if not node.lives():
                node.went()
                node.start()
        self.wait_online(*self.nodes, seconds=90)

    def fenced(self):
        """What the power board has done: (time, name)s."""
        try:
            with open(os.path.join(self.power, "log"), encoding="ascii") as f:
                return [(float(line.split()[0]), line.split()[1]) for line in f]
        except FileNotFoundError:
            return []
