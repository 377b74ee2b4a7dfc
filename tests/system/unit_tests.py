# SPDX-License-Identifier: GPL-2.0-or-later
"""oyad's disks and NICs that come and go, while the VM runs and while it is off."""

import os

from daemon import Daemon
from harness import check, test, wait_for
from network_tests import Network, _end, _on


def unit_test(name):
    return test(name, suite="host")


def _worker_has(daemon, what, member):
    """What the worker of the VM 'web' has of it."""
    return {one[member] for one in daemon.good("GET", "/v1/vms/web/statistics")[what]}


@unit_test("disks_come_and_go_while_the_vm_runs")
def _(place):
    d = Daemon(place)
    d.make("web", disks=[{"file": "first.raw", "size_mib": 1}])
    folder = os.path.join(d.state, "vms", "web")
    d.done("POST", "/v1/vms/web/start")
    vm = d.good("POST", "/v1/vms/web/disks", {"file": "second.raw", "size_mib": 2}, 200)
    check(vm["settings"]["disks"][1] == {"file": "second.raw", "controller": 0, "lun": 1}, str(vm))
    image = os.path.join(folder, "second.raw")
    check(os.path.getsize(image) == 2 << 20, "its image has another size")
    check(image in _worker_has(d, "disks", "path"), "the worker has no such disk")
    disks = d.good("GET", "/v1/vms/web/disks")["disks"]
    check([disk["place"] for disk in disks] == ["0:0", "0:1"], str(disks))
    d.kill()
    d.start()
    d.wait_state("web", "running")
    d.good("DELETE", "/v1/vms/web/disks/0:1", status=200)
    check(image not in _worker_has(d, "disks", "path"), "the worker still has the disk")
    check(os.path.exists(image), "the image went with the disk")
    check(d.vm("web")["settings"]["disks"] == [{"file": "first.raw", "controller": 0, "lun": 0}], "")
    d.good("POST", "/v1/vms/web/disks", {"file": "second.raw"}, 200)
    d.good("POST", "/v1/vms/web/disks", {"type": "dvd", "lun": 7}, 200)
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    d.done("POST", "/v1/vms/web/start")
    check(image in _worker_has(d, "disks", "path"), "the disk is lost with the next start")
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    d.good("POST", "/v1/vms/web/disks", {"file": "third.raw", "size_mib": 1}, 200)
    d.good("DELETE", "/v1/vms/web/disks/0:0", status=200)
    check(len(d.vm("web")["settings"]["disks"]) == 3, str(d.vm("web")))
    d.end()


@unit_test("a_disk_that_cannot_be_added_leaves_nothing")
def _(place):
    d = Daemon(place)
    d.make("web", disks=[{"file": "first.raw", "size_mib": 1}])
    folder = os.path.join(d.state, "vms", "web")
    before = d.vm("web")["settings"]
    d.done("POST", "/v1/vms/web/start")
    at = "/v1/vms/web/disks"
    d.refused("POST", at, {"file": "../x"}, 400, "no file of a disk")
    d.refused("POST", at, {"file": "none.raw"}, 404, "cannot open the image")
    d.refused("POST", at, {"file": "first.raw", "size_mib": 1}, 409, "cannot make the image")
    d.refused("POST", at, {"file": "new.raw", "size_mib": 1, "lun": 0}, 409, "a disk at LUN 0")
    d.refused("POST", at, {"file": "new.raw", "size_mib": 1, "controller": 3}, 409, "controller 3")
    d.refused("POST", at, {"file": "first.raw"}, 409, "first.raw")
    d.refused("DELETE", f"{at}/0:9", None, 404, "no disk at 0:9")
    d.refused("DELETE", f"{at}/first", None, 400, "is no place of a disk")
    check(sorted(os.listdir(folder)) == ["first.raw", "lease", "running", "vm.json"], str(os.listdir(folder)))
    check(d.vm("web")["settings"] == before, "the settings have changed")
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    d.end()


@unit_test("nics_come_and_go_while_the_vm_runs")
def _(place):
    d = Daemon(place, alone=True)
    net = Network(d)
    d.make("web")
    d.done("POST", "/v1/vms/web/start")
    vm = d.good("POST", "/v1/vms/web/nics", {"type": "switch", "switch": "default"}, 200)
    mac = vm["settings"]["nics"][0]["mac"]
    check(_worker_has(d, "nics", "mac") == {mac}, "the worker has another NIC")
    check(len(net.taps("oya-default")) == 1, str(net.links()))
    d.good("POST", "/v1/vms/web/nics", {"type": "switch", "switch": "default"}, 200)
    check(len(net.taps("oya-default")) == 2, str(net.links()))
    d.refused("POST", "/v1/vms/web/nics", {"type": "user"}, 400, "switch the VM off")
    d.refused("POST", "/v1/vms/web/nics", {"type": "switch", "switch": "x"}, 400, "no switch 'x'")
    d.refused("POST", "/v1/vms/web/nics", {"type": "tap", "ifname": "none0", "mtu": 1}, 400, "'mtu'")
    d.refused("DELETE", "/v1/vms/web/nics/00:15:5d:ff:ff:ff", None, 404, "no NIC with the address")
    d.kill()
    d.start()
    d.wait_state("web", "running")
    d.good("DELETE", f"/v1/vms/web/nics/{mac}", status=200)
    check(mac not in _worker_has(d, "nics", "mac"), "the worker still has the NIC")
    wait_for(lambda: len(net.taps("oya-default")) == 1, "the port outlives its NIC")
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    wait_for(lambda: not net.taps("oya-default"), "a port outlives the VM")
    d.done("POST", "/v1/vms/web/start")
    check(len(net.taps("oya-default")) == 1, "the NIC is lost with the next start")
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    _end(d)


@unit_test("oya_gives_a_vm_disks_and_nics")
def _(place):
    d = Daemon(place, alone=True)
    env = {"OYA_SOCKET": d.api}

    def oya(*words, status=0):
        got, output, errors = place.run(*words, env=env)
        check(got == status, f"{words}: {got} {output} {errors}")
        return output + errors

    d.make("web")
    oya("vm", "start", "web")
    oya("disk", "add", "web", "1M", "--name", "data.raw")
    check("0:0" in oya("disk", "list", "web"), "the disk is not listed")
    check("needs --name" in oya("disk", "add", "web", "1M", status=2), "a disk without a name")
    oya("nic", "add", "web", "switch=default")
    check("default" in oya("nic", "list", "web"), "the NIC is not listed")
    check("web" in oya("switch", "list"), "the switch does not tell its VM")
    oya("disk", "remove", "web", "0:0")
    oya("vm", "stop", "web", "--off")
    _end(d)
