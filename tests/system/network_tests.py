# SPDX-License-Identifier: GPL-2.0-or-later
"""oyad's switches, in a network namespace: made, kept, found again, taken back; VMs on them."""

import json
import os
import signal
import subprocess

from daemon import Daemon
from harness import Paths, check, test, wait_for


def network_test(name):
    return test(name, suite="host")


class Network:
    """What a daemon's namespace has."""

    def __init__(self, daemon):
        self.daemon = daemon

    def run(self, *words):
        done = subprocess.run(
            [*self.daemon.before, *words], capture_output=True, text=True, timeout=20, check=False
        )
        check(done.returncode == 0, f"{words}: {done.stderr}")
        return done.stdout

    def links(self):
        return {link["ifname"]: link for link in json.loads(self.run("ip", "-j", "link"))}

    def taps(self, bridge):
        return [name for name, link in self.links().items() if link.get("master") == bridge]

    def addresses(self, ifname):
        found = json.loads(self.run("ip", "-j", "-4", "addr", "show", "dev", ifname))
        return [f"{a['local']}/{a['prefixlen']}" for one in found for a in one.get("addr_info", [])]


def _on(switch, **more):
    return {"nics": [{"type": "switch", "switch": switch, **more}]}


def _dhcp(daemon):
    """The process that serves the switch 'default'."""
    folder = os.path.join(daemon.run, "network")
    for name in os.listdir(folder):
        if name.endswith(".pid"):
            with open(os.path.join(folder, name), encoding="ascii") as f:
                return int(f.read())
    return None


def _end(daemon):
    """The services of switches outlive the daemon; here nothing is to be left."""
    pid = _dhcp(daemon)
    daemon.end()
    if pid:
        os.kill(pid, signal.SIGTERM)


@network_test("first_vm_with_a_nic_gets_the_default_switch")
def _(place):
    d = Daemon(place, alone=True)
    net = Network(d)
    check(d.good("GET", "/v1/switches") == {"switches": [], "next": None}, "there is a switch")
    check(list(net.links()) == ["lo"], f"the network was touched: {list(net.links())}")
    d.make("web", **_on("default"))
    d.done("POST", "/v1/vms/web/start")
    default = d.good("GET", "/v1/switches/default")
    check(default["kind"] == "nat" and default["vms"] == ["web"], str(default))
    check(net.addresses("oya-default") == [default["address"]], str(net.links()))
    check(len(net.taps("oya-default")) == 1, str(net.links()))
    check(_dhcp(d) is not None, "nobody gives out addresses")
    d.refused("DELETE", "/v1/switches/default", None, 409, "the VM 'web' has a NIC on it")
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    wait_for(lambda: not net.taps("oya-default"), "the port outlives the VM")
    d.good("DELETE", "/v1/vms/web?disks=delete", status=204)
    d.good("DELETE", "/v1/switches/default", status=204)
    check(list(net.links()) == ["lo"], f"something is left: {list(net.links())}")
    d.end()


@network_test("switches_and_ports_outlive_the_daemon_and_are_mended_by_it")
def _(place):
    d = Daemon(place, alone=True)
    net = Network(d)
    d.good("POST", "/v1/switches", {"name": "lab", "kind": "internal", "address": "10.9.0.1/24"}, 201)
    d.make("one", **_on("lab"))
    d.make("two", **_on("default"))
    for name in ("one", "two"):
        d.done("POST", f"/v1/vms/{name}/start")
    before = net.links()
    service = _dhcp(d)
    d.kill()
    check(net.links().keys() == before.keys(), "interfaces went with the daemon")
    net.run("ip", "link", "del", "oya-lab")
    d.start()
    check([one["name"] for one in d.good("GET", "/v1/switches")["switches"]] == ["default", "lab"], "")
    wait_for(lambda: net.taps("oya-lab"), f"the port is not plugged in again: {d.errors()}")
    check(_dhcp(d) == service, "another service gives out addresses")
    for name in ("one", "two"):
        d.wait_state(name, "running")
    os.kill(service, signal.SIGKILL)
    wait_for(lambda: _dhcp(d) not in (None, service), "the service is not started again", 20)
    for name in ("one", "two"):
        d.done("POST", f"/v1/vms/{name}/stop", {"off": True})
    _end(d)


@network_test("switches_that_cannot_be_are_refused")
def _(place):
    d = Daemon(place, alone=True)
    for body, status, sentence in (
        ({"kind": "nat"}, 400, "a switch's name has"),
        ({"name": "a", "kind": "odd"}, 400, "allowed are external"),
        ({"name": "a", "kind": "internal", "nic": "eth0"}, 400, "only external ones do"),
        ({"name": "a", "kind": "external", "nic": "none0", "trial": {"wait_s": 0}}, 400, "'wait_s' is 0"),
        ({"name": "a", "kind": "private", "trial": 1}, 400, "'trial' of the request"),
    ):
        d.refused("POST", "/v1/switches", body, status, sentence)
    d.good("POST", "/v1/switches", {"name": "a", "kind": "internal", "address": "10.9.0.1/24"}, 201)
    body = {"name": "a", "kind": "private"}
    d.refused("POST", "/v1/switches", body, 409, "there is a switch 'a' already")
    body = {"name": "b", "kind": "internal", "address": "10.9.0.7/16"}
    d.refused("POST", "/v1/switches", body, 409, "their networks overlap")
    d.refused("GET", "/v1/switches/b", None, 404, "there is no switch 'b'")
    d.refused("DELETE", "/v1/switches/b", None, 404, "there is no switch 'b'")
    d.refused("POST", "/v1/switches/a/confirm", None, 409, "is kept already")
    boot = {"kernel": Paths.guest, "append": "test=halted"}
    d.refused("POST", "/v1/vms", {"name": "v", "boot": boot, **_on("b")}, 400, "no switch 'b'")
    body = {"name": "v", "boot": boot, **_on("a", vlan=4095)}
    d.refused("POST", "/v1/vms", body, 400, "'vlan' is 4095")
    mac = "00:15:5d:00:00:01"
    twice = [{"type": "switch", "switch": "a", "mac": mac}] * 2
    d.refused("POST", "/v1/vms", {"name": "v", "boot": boot, "nics": twice}, 400, "two NICs have")
    d.end()


@network_test("an_external_switch_is_kept_when_the_network_answers_and_taken_back_when_not")
def _(place):
    d = Daemon(place, alone=True)
    net = Network(d)
    net.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far0")
    net.run("ip", "addr", "add", "192.0.2.2/24", "dev", "eth0")
    net.run("ip", "link", "set", "eth0", "up")
    wish = {"name": "lan", "kind": "external", "nic": "eth0", "trial": {"wait_s": 1}}
    job = d.job("POST", "/v1/switches", wish)
    check(job["state"] == "failed" and "did not answer" in job["problem"], str(job))
    check(net.addresses("eth0") == ["192.0.2.2/24"], "the NIC has not got its address back")
    d.refused("GET", "/v1/switches/lan", None, 404, "there is no switch")
    net.run("ip", "link", "set", "far0", "up")
    d.done("POST", "/v1/switches", {**wish, "trial": {"wait_s": 10}})
    check(net.addresses("oya-lan") == ["192.0.2.2/24"], "the address has not moved")
    wish = {"name": "lan", "kind": "external", "nic": "eth0"}
    with open(os.path.join(d.state, "host.json"), encoding="utf-8") as f:
        kept = json.load(f)["switches"]
    check(kept == [{**wish, "host": True}], str(kept))
    d.good("DELETE", "/v1/switches/lan", status=204)
    check(net.addresses("eth0") == ["192.0.2.2/24"], "the address has not come back")
    trial = {"wait_s": 60, "confirm": True}
    job = d.good("POST", "/v1/switches", {**wish, "trial": trial}, 202)
    wait_for(lambda: d.ask("GET", "/v1/switches/lan")[0] == 200, "it does not show")
    check(d.good("GET", "/v1/switches/lan")["state"] == "trial", "it is no trial")
    d.kill()
    d.start()
    wait_for(lambda: net.addresses("eth0") == ["192.0.2.2/24"], "a trial outlived the daemon")
    job = d.good("POST", "/v1/switches", {**wish, "trial": trial}, 202)
    wait_for(lambda: d.ask("GET", "/v1/switches/lan")[0] == 200, "it does not show")
    d.good("POST", "/v1/switches/lan/confirm", status=204)
    path = f"/v1/jobs/{job['id']}"
    wait_for(lambda: d.good("GET", path)["state"] == "done", f"{d.errors()}", 10)
    d.end()
