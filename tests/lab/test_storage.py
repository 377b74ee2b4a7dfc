"""SCSI in its width: controllers, channels, disks and media that come and go, disks that fail."""

import contextlib
import time

from lab.process import LabError, run
from lab.runner import quick, timeout

SECTOR = 2048
_WRITING = "while :; do dd if=/dev/urandom of=/dev/sda bs=64k count=64 conv=fsync 2>/dev/null && echo ROUND; sleep 0.2; done"


def _both(number: int, size: int) -> bytes:
    return number.to_bytes(size, "little") + number.to_bytes(size, "big")


def _directory_record(name: bytes, sector: int, size: int, folder: bool) -> bytes:
    body = bytes(1) + _both(sector, 4) + _both(size, 4) + bytes([126, 1, 1, 0, 0, 0, 0, 2 if folder else 0, 0, 0])
    body += _both(1, 2) + bytes([len(name)]) + name + bytes(1 - len(name) % 2)
    return bytes([len(body) + 1]) + body


def _iso(text: str, label: str) -> bytes:
    """An ISO 9660 image with one file, /TEXT."""
    root = _directory_record(b"\0", 20, SECTOR, True)
    volume = b"\1CD001\1\0" + b"".ljust(32) + label.encode().ljust(32) + bytes(8) + _both(32, 4) + bytes(32)
    volume += _both(1, 2) * 2 + _both(SECTOR, 2) + _both(10, 4)
    volume += (18).to_bytes(4, "little") + bytes(4) + (19).to_bytes(4, "big") + bytes(4) + root
    volume += b"".ljust(623) + (b"0" * 16 + b"\0") * 4 + b"\1\0"
    tables = [b"\1\0" + (20).to_bytes(4, order) + (1).to_bytes(2, order) + b"\0\0" for order in ("little", "big")]
    files = root + _directory_record(b"\1", 20, SECTOR, True) + _directory_record(b"TEXT.;1", 21, len(text), False)
    sectors = [b""] * 16 + [volume, b"\xffCD001\1", *tables, files, text.encode()] + [b""] * 10
    return b"".join(sector.ljust(SECTOR, b"\0") for sector in sectors)


def _put_iso(lab, path: str, text: str, label: str) -> None:
    lab.host.run(f"cat >{path}", stdin=_iso(text, label))


def _until(condition, seconds: float = 30.0):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.3)
    return value


def _listens(vm) -> None:
    """Wait for the control socket of a VM that has just been started."""
    _until(lambda: vm.host.run(f"test -S {vm.directory}/control", check=False).rc == 0)


@quick
def test_twenty_disks_on_two_controllers_are_seen_where_they_are(lab):
    folder = "/tmp/twenty"
    lab.host.run(f"mkdir -p {folder}; cd {folder}; for n in $(seq 0 19); do truncate -s {8 << 20} $n; printf 'disk%02d' $n >$n.t; dd if=$n.t of=$n conv=notrunc status=none; done")
    options = " ".join(f"--disk {folder}/{n},controller={n % 2},lun={3 * n}" for n in range(19))
    options += f" --disk {folder}/19,controller=1,lun=63,serial=the-last-one"
    script = """ls -d /sys/block/sd* | wc -l
for d in /sys/block/sd*; do a=$(basename $(readlink -f $d/device)); echo "AT ${a#*:} HOST ${a%%:*} $(head -c 6 /dev/$(basename $d))"; done
grep -l . /sys/class/scsi_host/*/proc_name | wc -l
for p in /sys/block/sd*/device/vpd_pg80; do tail -c +5 $p; echo; done"""
    done = lab.vm(script, options=options).finish()
    lines = done.console.replace("\r", "").splitlines()
    assert done.rc == 0 and "20" in lines, done
    hosts = set()
    for n in range(19):
        line = next(line for line in lines if line.startswith("AT") and line.endswith(f"disk{n:02d}"))
        assert line.startswith(f"AT 0:0:{3 * n} "), line
        hosts.add((n % 2, line.split()[3]))
    assert len(hosts) == 2, hosts
    assert "the-last-one" in lines, done.console


def test_a_medium_is_mounted_changed_and_ejected_by_the_guest(lab):
    _put_iso(lab, "/tmp/first.iso", "the first text\n", "FIRST")
    _put_iso(lab, "/tmp/second.iso", "another text\n", "SECOND")
    script = """mkdir -p /m; echo TYPE $(cat /sys/block/sr0/device/type) SECTOR $(cat /sys/block/sr0/queue/logical_block_size)
mount -t iso9660 -o ro /dev/sr0 /m && cat /m/text; umount /m; echo READ-FIRST; sleep 5
until [ "$(blockdev --getsz /dev/sr0 2>/dev/null)" ] && mount -t iso9660 -o ro /dev/sr0 /m 2>/dev/null && grep another /m/text; do umount /m 2>/dev/null; sleep 0.3; done
echo MOUNTED-SECOND; until dd if=/dev/sr1 of=/dev/null bs=2048 count=1 2>/dev/null; do sleep 0.3; done
echo 1 >/proc/sys/dev/cdrom/autoeject; umount /m && echo UNMOUNTED; sleep 1; dd if=/dev/sr0 bs=2048 count=1 2>&1 | grep -i medium
dmesg | grep -iE 'I/O error|critical' | head -3; echo GUEST-DONE; sleep 60"""
    vm = lab.vm(script, options="--dvd /tmp/first.iso --dvd empty")
    vm.wait_for("READ-FIRST")
    assert vm.control("medium-eject", lun=0) == {"done": True}  # nobody uses it in these seconds
    assert vm.control("statistics")["disks"][0]["path"] is None
    vm.control("medium-insert", file="/tmp/second.iso", mode="ro", lun=0, path="second")
    vm.wait_for("MOUNTED-SECOND")
    try:
        vm.control("medium-eject", lun=0)
        raise AssertionError("a locked drive gave its medium away")
    except LabError as e:
        assert "asked to eject" in str(e)
    vm.control("medium-insert", file="/tmp/first.iso", mode="ro", lun=1)  # the sign to go on
    console = vm.wait_for("GUEST-DONE")
    assert vm.control("statistics")["disks"][0]["path"] is None, console
    assert "TYPE 5 SECTOR 2048" in console and "the first text" in console and "another text" in console, console
    assert "UNMOUNTED" in console and "No medium found" in console, console
    vm.control("stop")
    assert vm.finish().rc == 0


@quick
def test_sectors_of_4096_bytes_are_seen_and_written(lab):
    lab.host.run("truncate -s 64M /tmp/4k.raw; head -c 1M /dev/urandom >/tmp/page")
    script = """cat /sys/block/sda/queue/logical_block_size | sed 's/^/LOGICAL /'; echo SIZE $(cat /sys/block/sda/size)
dd if=/dev/sda of=/dev/null bs=512 count=1 iflag=direct 2>&1 | grep -i invalid && echo REFUSED
dd if=/dev/zero of=/dev/sda bs=4096 seek=3 count=5 oflag=direct conv=notrunc 2>/dev/null && echo WRITTEN"""
    done = lab.vm(script, options="--disk /tmp/4k.raw,sector-size=4096").finish()
    assert done.rc == 0 and "LOGICAL 4096" in done.console and "SIZE 131072" in done.console, done
    assert "WRITTEN" in done.console, done


def test_both_processors_have_a_channel_of_their_own_to_a_disk(lab):
    lab.host.run("truncate -s 64M /tmp/mq.raw")
    script = """ls /sys/block/sda/mq | wc -l | sed 's/^/QUEUES /'
for c in 0 1; do taskset $((c + 1)) dd if=/dev/sda of=/dev/null bs=4096 count=1500 iflag=direct 2>/dev/null; done; echo LOADED; sleep 20"""
    vm = lab.vm(script, cpus=2, options="--disk /tmp/mq.raw")
    vm.wait_for("LOADED")
    channels = [c for c in vm.control("statistics")["channels"] if c["device"] == "storvsp"]
    assert {c["sub_channel"] for c in channels} == {0, 1}, channels
    assert all(c["state"] == "open" and c["packets_in"] > 1000 for c in channels), channels
    assert "QUEUES 2" in vm.console()
    vm.control("stop")
    assert vm.finish().rc == 0


@timeout(900)
def test_disks_come_and_go_while_fio_verifies_another(lab):
    lab.host.run("truncate -s 96M /tmp/fio.raw; truncate -s 40M /tmp/hot.raw; echo hot-content >/tmp/t; dd if=/tmp/t of=/tmp/hot.raw conv=notrunc status=none")
    script = """find_disk() { for p in /sys/block/sd*/device/vpd_pg80; do
 if grep -qa "$1" $p 2>/dev/null; then p=${p#/sys/block/}; echo /dev/${p%%/*}; return; fi; done; return 1; }
f=$(find_disk fio-disk); echo "FIO-DISK ${f#/dev/} END"
fio --name=v --filename=$f --size=64M --rw=randrw --bs=4k-64k --ioengine=libaio --iodepth=8 --direct=1 \
 --verify=crc32c --verify_fatal=1 --do_verify=1 --loops=1000 --runtime=60 --output-format=terse >/dev/null && echo FIO-OK &
n=0; while [ $n -lt 3 ]; do
 until d=$(find_disk hot-disk) && [ -b "$d" ]; do sleep 0.2; done
 echo "SEEN $n $(head -c 11 $d)"; dd if=/dev/zero of=$d bs=1M seek=1 count=4 oflag=direct 2>/dev/null; udevadm settle; echo "USED $n"
 while [ -e /sys/block/$(basename $d) ]; do sleep 0.2; done; echo "GONE $n"; n=$((n+1))
done; wait; dmesg | grep -iE 'I/O error|reset' | head -3"""
    vm = lab.vm(script, root=True, memory="1G", options="--disk /tmp/fio.raw,serial=fio-disk --controllers 2")
    _listens(vm)
    device = lab.host.run("losetup -f --show /tmp/hot.raw").out.strip()
    for n, hot in enumerate(("/tmp/hot.raw", device, "/tmp/hot.raw")):
        place = {"controller": n % 2, "lun": 20 + n}
        assert vm.control("disk-add", file=hot, serial="hot-disk", **place) == place
        vm.wait_for(f"USED {n}", timeout=300)
        vm.control("disk-remove", **place)
        vm.wait_for(f"GONE {n}")
        _until(lambda: len(vm.control("statistics")["disks"]) == 3)
        lab.host.run(f"flock -n {hot} true")
    lab.host.run(f"losetup -d {device}")
    done = vm.finish(timeout=400)
    assert done.rc == 0 and "FIO-OK" in done.console, done
    assert done.console.count("hot-content") == 3, done.console
    # What udev reads of a disk that goes may fail; the disk that stays has no errors.
    fio_disk = done.console.split("FIO-DISK ")[1].split()[0]
    assert f"dev {fio_disk}," not in done.console, done.console


def test_a_full_disk_pauses_the_vm_until_there_is_room(lab):
    lab.host.run("umount -l /tmp/small 2>/dev/null; mkdir -p /tmp/small; mountpoint -q /tmp/small || mount -t tmpfs -o size=8M none /tmp/small; truncate -s 64M /tmp/small/d")
    try:
        script = """dd if=/dev/zero of=/dev/sda bs=1M count=24 conv=fsync 2>/dev/null && echo ALL-WRITTEN
dmesg | grep -iE 'I/O error|Sense Key' | head -3; echo LOOKED; sleep 60"""
        vm = lab.vm(script, options="--disk /tmp/small/d")
        _listens(vm)
        status = _until(lambda: (s := vm.control("status"))["state"] == "paused" and s, 60)
        assert "cannot be written: No space left on device" in status["reason"], status
        vm.control("resume")  # nothing has changed: it fails again
        _until(lambda: vm.control("status")["state"] == "paused", 30)
        lab.host.run("mount -o remount,size=64M /tmp/small")
        vm.control("resume")
        vm.wait_for("LOOKED")
        assert vm.control("statistics")["disks"][0]["errors"] == 0
        assert vm.control("status")["reason"] == ""
        vm.control("stop")
        done = vm.finish()
        assert done.rc == 0 and "ALL-WRITTEN" in done.console and "I/O error" not in done.console, done
        assert "paused: the disk /tmp/small/d cannot be written" in done.log, done.log
    finally:
        lab.host.run("umount -l /tmp/small", check=False)


@contextlib.contextmanager
def _freezable(lab):
    """A block device of the host whose requests are taken and do not end while /tmp/frozen is frozen."""
    image = lab.tmp / "fs"
    run(["truncate", "-s", "96M", str(image)])
    run(["mkfs.ext4", "-q", "-F", str(image)])
    lab.host.put(image, "/tmp/fs")
    lab.host.run("set -e; cd /tmp; mkdir -p frozen; mount -o loop fs frozen; dd if=/dev/zero of=frozen/d bs=1M count=32 conv=fsync status=none")
    device = lab.host.run("losetup --show -f /tmp/frozen/d").out.strip()
    try:
        yield device
    finally:
        lab.host.run(f"fsfreeze -u /tmp/frozen; losetup -d {device}; umount -l /tmp/frozen", check=False)


def test_a_disk_that_hangs_pauses_the_vm_until_it_answers(lab):
    with _freezable(lab) as device:
        vm = lab.vm(_WRITING, options=f"--disk {device} --disk-timeout 4")
        vm.wait_for("ROUND")
        lab.host.run("fsfreeze -f /tmp/frozen")
        _until(lambda: vm.control("status")["state"] == "paused", 60)
        assert vm.control("status")["reason"] == f"the disk {device} has not answered for 4 s"
        rounds = vm.console().count("ROUND")
        lab.host.run("fsfreeze -u /tmp/frozen")
        _until(lambda: vm.control("status")["state"] == "running", 30)
        _until(lambda: vm.console().count("ROUND") > rounds + 1, 60)
        assert vm.control("status")["reason"] == ""
        vm.control("stop")
        done = vm.finish()
    assert done.rc == 0 and "I/O error" not in done.console, done
    assert "it goes on when the disk answers" in done.log and "resumed: the disk has answered" in done.log, done.log


def test_a_disk_that_hangs_leaves_the_control_socket_alive(lab):
    with _freezable(lab) as device:
        vm = lab.vm(_WRITING, options=f"--disk {device}")
        vm.wait_for("ROUND")
        lab.host.run("fsfreeze -f /tmp/frozen")
        lab.host.run("sleep 5")
        assert vm.control("status")["state"] == "running"
        vm.control("reset")
        lab.host.run("sleep 2")
        assert vm.control("status")["state"] == "resetting"
        lab.host.run("fsfreeze -u /tmp/frozen")
        _until(lambda: vm.control("status")["state"] == "running", 30)
        assert vm.control("status")["resets"] == 1
        rounds = vm.console().count("ROUND")
        _until(lambda: vm.console().count("ROUND") > rounds + 1, 60)
        lab.host.run("fsfreeze -f /tmp/frozen; sleep 3")
        vm.control("stop")
        lab.host.run("sleep 2")
        assert vm.control("status")["state"] == "stopped"
        lab.host.run("fsfreeze -u /tmp/frozen")
        assert vm.finish().rc == 0
