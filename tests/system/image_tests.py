# SPDX-License-Identifier: GPL-2.0-or-later
"""Images of the host, disks that are made of them, and VMs of other systems, with the real converter."""

import hashlib
import os
import subprocess
import tarfile
import time

from daemon import Daemon
from harness import Paths, Skipped, check, test, wait_for

MIB = 1 << 20


def image_test(name):
    return test(name, suite="host")


def _content(path, mib=4):
    """A raw image with holes; the SHA-256 of its bytes."""
    text = hashlib.sha256(path.encode()).digest() * (MIB // 32)
    with open(path, "wb") as f:
        f.write(text)
        f.seek((mib - 1) * MIB)
        f.write(text)
    return _digest(path)


def _digest(path, length=None):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read(length) if length else f.read()).hexdigest()


def _convert(source, target, kind, *options):
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", kind, *options, source, target], check=True)


def _left(daemon):
    """What of imports that have not come to their end lies there."""
    return [n for n in os.listdir(os.path.join(daemon.state, "vms")) if n.startswith(".new-")]


def _slow(place):
    """A converter that waits, once it has begun, until a file is there; the file."""
    go, path = place.path("go"), place.path("slow-import")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"""#!/bin/sh
if [ "$1" = convert ]; then
	echo progress 10
	n=0; while [ ! -e {go} ] && [ $n -lt 600 ]; do n=$((n + 1)); sleep 0.1; done
fi
exec {Paths.importer} "$@"
""")
    os.chmod(path, 0o755)
    return path, go


def _begun(daemon, job):
    wait_for(lambda: daemon.good("GET", f"/v1/jobs/{job['id']}").get("progress"), "nothing is converted")


@image_test("an_image_is_imported_used_and_removed_and_vms_keep_their_copies")
def _(place):
    raw, old = place.path("a.raw"), place.path("a.qcow2")
    digest = _content(raw)
    _convert(raw, old, "qcow2", "-c")
    d = Daemon(place)
    d.done("POST", "/v1/images", {"name": "debian", "file": old})
    image = d.good("GET", "/v1/images")["images"][0]
    check(image["name"] == "debian" and image["bytes"] == 4 * MIB, str(image))
    check(image["allocated_bytes"] < 3 * MIB, f"its holes are gone: {image}")
    d.refused("POST", "/v1/images", {"name": "debian", "file": old}, 409, "there is an image 'debian' already")
    boot = {"firmware": "bios"}
    disk = {"file": "disk0.raw", "from": "debian"}
    for name, more in (("same", {}), ("larger", {"size_mib": 16})):
        d.done("POST", "/v1/vms", {"name": name, "boot": boot, "disks": [{**disk, **more}]})
        made = os.path.join(d.state, "vms", name, "disk0.raw")
        check(_digest(made, 4 * MIB) == digest, "its content is another one")
        check(os.path.getsize(made) == more.get("size_mib", 4) * MIB, "its size is another one")
        check(d.vm(name)["settings"]["disks"] == [{"file": "disk0.raw"}], str(d.vm(name)))
    smaller = {"name": "small", "boot": boot, "disks": [{**disk, "size_mib": 1}]}
    job = d.job("POST", "/v1/vms", smaller)
    check(job["state"] == "failed" and "cannot make smaller" in job["problem"], str(job))
    d.good("DELETE", "/v1/images/debian", status=204)
    d.refused("DELETE", "/v1/images/debian", None, 404, "there is no image 'debian'")
    d.refused("POST", "/v1/vms", {**smaller, "name": "x"}, 404, "there is no image 'debian'")
    check(_digest(made, 4 * MIB) == digest and not _left(d), f"{_left(d)}")
    d.end()


@image_test("a_vm_that_runs_gets_a_disk_that_is_converted_first")
def _(place):
    raw, old = place.path("b.raw"), place.path("b.vmdk")
    digest = _content(raw)
    _convert(raw, old, "vmdk", "-o", "subformat=streamOptimized")
    d = Daemon(place)
    d.make("web")
    d.done("POST", "/v1/vms/web/start")
    d.done("POST", "/v1/vms/web/disks", {"file": "data.raw", "from": old})
    made = os.path.join(d.state, "vms", "web", "data.raw")
    check(_digest(made) == digest, "its content is another one")
    told = d.good("GET", "/v1/vms/web/statistics")["disks"]
    check(made in {disk["path"] for disk in told}, str(told))
    d.refused("POST", "/v1/vms/web/disks", {"file": "data.raw", "from": old}, 409, "there is a file")
    for wrong, words in (({"size_mib": 0}, "'size_mib' is 0"), ({"file": "a/b"}, "in the VM's folder"), ({"from": 7}, "wrong type")):
        disk = {"file": "other.raw", "from": old, **wrong}
        got, _, answer = d.ask("POST", "/v1/vms/web/disks", disk)
        check(got == 400 and words in answer["detail"], f"{disk}: {got} {answer}")
    check(_digest(made) == digest and not _left(d), "the disk that was there has changed")
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    d.end()


@image_test("what_needs_other_files_is_refused_and_leaves_nothing")
def _(place):
    raw = place.path("base.raw")
    _content(raw)
    backed = place.path("backed.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", raw, backed], check=True)
    text = place.path("text.qcow2")
    with open(text, "w", encoding="utf-8") as f:
        f.write("no image\n" * 100)
    d = Daemon(place)
    for file, words in ((backed, "backing"), (place.path("none"), "none")):
        job = d.job("POST", "/v1/images", {"name": "x", "file": file})
        check(job["state"] == "failed" and words in job["problem"], str(job))
        vm = {"name": "x", "boot": {"firmware": "bios"}, "disks": [{"file": "d", "from": file}]}
        job = d.job("POST", "/v1/vms", vm)
        check(job["state"] == "failed" and words in job["problem"], str(job))
    d.refused("POST", "/v1/images", {"name": "x", "file": "relative"}, 400, "no absolute path")
    d.refused("POST", "/v1/images", {"name": "../x", "file": raw}, 400, "no name of an image")
    d.refused("POST", "/v1/images", {"name": "x"}, 400, "needs a 'name'")
    d.refused("POST", "/v1/import", {}, 400, "no string 'file'")
    vm = {"name": "x", "boot": {"firmware": "bios"}, "disks": [{"file": "../d", "from": raw}]}
    d.refused("POST", "/v1/vms", vm, 400, "needs a 'file' in the VM's folder")
    vm["disks"] = [{"file": "d", "from": 7}]
    d.refused("POST", "/v1/vms", vm, 400, "'from' of a disk has the wrong type")
    check(d.good("GET", "/v1/vms")["vms"] == [] and not _left(d), f"{_left(d)}")
    d.refused("GET", "/v1/vms/x", None, 404, "there is no VM 'x'")
    d.end()


@image_test("an_import_that_is_cancelled_leaves_nothing_and_its_name_is_free")
def _(place):
    raw = place.path("c.raw")
    digest = _content(raw)
    slow, go = _slow(place)
    d = Daemon(place, "--importer", slow)
    wish = {"name": "web", "boot": {"firmware": "bios"}, "disks": [{"file": "d.raw", "from": raw}]}
    job = d.good("POST", "/v1/vms", wish, 202)
    _begun(d, job)
    d.refused("POST", "/v1/vms", wish, 409, "is being made already")
    d.refused("POST", "/v1/vms", {**wish, "disks": []}, 409, "is being made already")
    d.good("DELETE", f"/v1/jobs/{job['id']}", status=204)
    ended = wait_for(lambda: d.ended(job["id"]), "it does not end")
    check(ended["state"] == "failed" and "cancelled" in ended["problem"], str(ended))
    d.refused("DELETE", f"/v1/jobs/{job['id']}", None, 409, "it has ended")
    check(not _left(d), f"{_left(d)}")
    with open(go, "w", encoding="utf-8"):
        pass
    d.done("POST", "/v1/vms", wish)
    check(_digest(os.path.join(d.state, "vms", "web", "d.raw")) == digest, "another content")
    d.end()


@image_test("a_daemon_that_is_killed_amid_an_import_leaves_nothing")
def _(place):
    raw = place.path("d.raw")
    _content(raw)
    slow, go = _slow(place)
    for end in ("kill", "end"):
        d = Daemon(place, "--importer", slow)
        wish = {"name": "web", "boot": {"firmware": "bios"}, "disks": [{"file": "d.raw", "from": raw}]}
        job = d.good("POST", "/v1/vms", wish, 202)
        _begun(d, job)
        check(_left(d), "there is nothing of it")
        getattr(d, end)()
        d.start()
        check(not _left(d) and d.good("GET", "/v1/vms")["vms"] == [], f"{_left(d)}")
        with open(go, "w", encoding="utf-8"):
            pass
        time.sleep(0.5)
        check(not _left(d), "a converter has gone on")
        os.unlink(go)
        d.end()


@image_test("a_disk_becomes_larger_never_smaller_and_only_while_nobody_uses_it")
def _(place):
    d = Daemon(place)
    d.make("web", disks=[{"file": "first.raw", "size_mib": 2}, {"type": "dvd"}])
    at = "/v1/vms/web/disks/0:0/resize"
    image = os.path.join(d.state, "vms", "web", "first.raw")
    with open(image, "r+b") as f:
        f.write(b"kept")
    d.good("POST", at, {"size_mib": 8}, 200)
    check(os.path.getsize(image) == 8 * MIB, "its size is another one")
    d.refused("POST", at, {"size_mib": 4}, 400, "is not made smaller")
    d.refused("POST", at, {}, 400, "no number 'size_mib'")
    d.refused("POST", "/v1/vms/web/disks/0:9/resize", {"size_mib": 9}, 404, "no disk at 0:9")
    d.refused("POST", "/v1/vms/web/disks/0:1/resize", {"size_mib": 9}, 400, "no size to change")
    d.done("POST", "/v1/vms/web/start")
    d.refused("POST", at, {"size_mib": 16}, 409, "switch it off first")
    d.make("other", disks=[{"file": image}])
    d.refused("POST", "/v1/vms/other/disks/0:0/resize", {"size_mib": 16}, 409, "in use by another VM")
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    d.good("POST", "/v1/vms/other/disks/0:0/resize", {"size_mib": 16}, 200)
    with open(image, "rb") as f:
        check(f.read(4) == b"kept" and os.path.getsize(image) == 16 * MIB, "what was on it is gone")
    d.end()


OVF = """<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
<References><File ovf:id="f" ovf:href="shop-disk1.vmdk"/></References>
<DiskSection><Disk ovf:diskId="d" ovf:fileRef="f" ovf:capacity="4" ovf:capacityAllocationUnits="byte * 2^20"/></DiskSection>
<VirtualSystem ovf:id="shop"><Name>shop</Name><VirtualHardwareSection>
<Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
<Item><rasd:InstanceID>2</rasd:InstanceID><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>512</rasd:VirtualQuantity></Item>
<Item><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceType>6</rasd:ResourceType></Item>
<Item><rasd:InstanceID>4</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:ResourceType>17</rasd:ResourceType><rasd:HostResource>ovf:/disk/d</rasd:HostResource></Item>
<Item><rasd:InstanceID>5</rasd:InstanceID><rasd:ResourceType>10</rasd:ResourceType><rasd:Address>02:00:00:12:34:56</rasd:Address></Item>
</VirtualHardwareSection></VirtualSystem></Envelope>
"""


@image_test("an_ova_becomes_a_vm_with_its_processors_memory_disk_and_address")
def _(place):
    raw, disk, ova = place.path("s.raw"), place.path("shop-disk1.vmdk"), place.path("shop.ova")
    digest = _content(raw)
    _convert(raw, disk, "vmdk", "-o", "subformat=streamOptimized")
    with open(place.path("shop.ovf"), "w", encoding="utf-8") as f:
        f.write(OVF)
    with tarfile.open(ova, "w", format=tarfile.USTAR_FORMAT) as t:
        t.add(place.path("shop.ovf"), "shop.ovf")
        t.add(disk, "shop-disk1.vmdk")
    d = Daemon(place, alone=True)
    d.good("POST", "/v1/switches", {"name": "default", "kind": "private"}, 201)
    d.done("POST", "/v1/import", {"file": ova})
    settings = d.vm("shop")["settings"]
    check(settings["cpus"] == 2 and settings["memory_mib"] == 512, str(settings))
    check(settings["boot"] == {"firmware": "bios"} and len(settings["nics"]) == 1, str(settings))
    check(settings["nics"][0]["mac"] == "02:00:00:12:34:56", str(settings))
    check(_digest(os.path.join(d.state, "vms", "shop", "disk0.raw")) == digest, "another content")
    job = d.job("POST", "/v1/import", {"file": ova})
    check(job["state"] == "failed" and "there is a VM 'shop' already" in job["problem"], str(job))
    job = d.job("POST", "/v1/import", {"file": raw, "name": "plain"})
    check(job["state"] == "done" and "nothing on its first disk" in " ".join(job["log"]), str(job))
    plain = d.vm("plain")["settings"]
    check(plain["disks"] == [{"file": "disk0.raw"}] and not _left(d), str(_left(d)))
    check([nic["switch"] for nic in plain["nics"]] == ["default"], str(plain))
    d.end()


@image_test("a_full_disk_ends_an_import_which_leaves_nothing")
def _(place):
    raw, state = place.path("f.raw"), place.path("state")
    with open(raw, "wb") as f:
        f.write(os.urandom(24 * MIB))
    os.mkdir(state)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "oya-test", state], capture_output=True)
    if done.returncode:
        raise Skipped("a file system cannot be mounted here")
    try:
        d = Daemon(place)
        job = d.job("POST", "/v1/images", {"name": "x", "file": raw})
        check(job["state"] == "failed" and "no space is left" in job["problem"], str(job))
        check(not _left(d) and d.good("GET", "/v1/images")["images"] == [], "something is left")
        wait_for(lambda: os.statvfs(state).f_bfree, "its room is not given back")
        d.make("web", disks=[{"file": "first.raw", "size_mib": 1}])
        d.end()
    finally:
        subprocess.run(["umount", "-l", state], check=True)
