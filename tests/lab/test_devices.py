"""Disks, NICs and integration services, used by a stock Debian with systemd on a VMBus disk."""

import json
import re

from lab.runner import quick, timeout

TAP = "ip link add oya0 type bridge; ip addr add 192.0.2.1/24 dev oya0; ip link set oya0 up; ip tuntap add tap0 mode tap; ip link set tap0 master oya0 up"
GUEST_ADDRESS = "ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up; for n in $(seq 30); do ping -c1 -W1 192.0.2.1 >/dev/null && break; done"


def _bridge(host) -> None:
    if host.run("ip link show oya0", check=False).rc:
        host.run(TAP)


@quick
def test_a_disk_and_a_nic_work_in_the_tiny_guest(lab):
    _bridge(lab.host)
    lab.host.run("truncate -s 64M /tmp/d.raw; head -c 1M /dev/urandom >/tmp/page; dd if=/tmp/page of=/tmp/d.raw conv=notrunc status=none")
    server = lab.host.spawn("cd /tmp; python3 -m http.server 8000 --bind 192.0.2.1")
    script = f"""{GUEST_ADDRESS}
head -c 1048576 /dev/sda | md5sum
wget -q -O - http://192.0.2.1:8000/page | dd of=/dev/sda bs=1M seek=1 conv=fsync 2>/dev/null
echo 3 >/proc/sys/vm/drop_caches
dd if=/dev/sda bs=1M skip=1 count=1 2>/dev/null | md5sum
"""
    done = lab.vm(script, options="--disk /tmp/d.raw --net tap=tap0").finish()
    server.stop()
    expected = lab.host.run("md5sum </tmp/page").out.split()[0]
    assert done.rc == 0 and done.console.count(expected) == 2, done
    assert lab.host.run("dd if=/tmp/d.raw bs=1M skip=1 count=1 status=none | md5sum").out.split()[0] == expected


@timeout(900)
def test_systemd_is_up_on_the_vmbus_disk_and_services_answer(lab):
    vm = lab.vm("echo UP", root=True, keep=True, cpus=2, memory="1G", options="--net user")
    vm.wait_for("OYA-JOB-END", timeout=240)
    vm.wait_for("root@guest", timeout=120)
    for _ in range(60):
        facts = vm.control("guest")
        if "NetworkAddressIPv4" in facts and facts["NetworkAddressIPv4"]:
            break
        vm.host.run("sleep 2")
    assert facts["OSName"].startswith("Debian") and facts["OSVersion"].startswith("6.1"), facts
    assert re.match(r"10\.", facts["NetworkAddressIPv4"]), facts
    services = vm.control("status")["integration"]
    assert services["heartbeat"]["state"] == "ok" and services["heartbeat"]["answers"] > 2, services
    assert services["timesync"]["syncs"] > 0, services
    vm.control("shutdown", reason="the test is over")
    done = vm.finish()
    assert done.rc == 0 and "Power down" in done.console, done


@timeout(900)
def test_fio_verifies_its_writes_through_storvsc(lab):
    script = """fio --name=v --filename=/root/fio --size=48M --rw=randrw --bs=4k-64k --ioengine=libaio --iodepth=16 --direct=1 \
 --verify=crc32c --verify_fatal=1 --do_verify=1 --fsync=64 --runtime=60 --output-format=terse >/dev/null && echo FIO-OK
fio --name=w --filename=/root/fio2 --size=16M --rw=randwrite --bs=512 --ioengine=psync --sync=1 --number_ios=200 --verify=md5 --verify_fatal=1 >/dev/null && echo FIO-SYNC-OK
dmesg | grep -iE 'I/O error|storvsc.*fail|reset' | head"""
    done = lab.vm(script, root=True, cpus=2, memory="1G").finish(timeout=600)
    assert done.rc == 0 and "FIO-OK" in done.console and "FIO-SYNC-OK" in done.console, done
    assert "I/O error" not in done.console


@timeout(900)
def test_iperf3_runs_both_ways_and_ping_answers_while_the_disk_is_loaded(lab):
    _bridge(lab.host)
    lab.host.run("killall -q iperf3", check=False)
    server = lab.host.spawn("iperf3 -s -B 192.0.2.1")
    script = f"""{GUEST_ADDRESS}
iperf3 -c 192.0.2.1 -t 5 -J >/root/up.json; echo UP $(grep -c end /root/up.json)
iperf3 -c 192.0.2.1 -t 5 -R -J >/root/down.json
python3 -c 'pass' 2>/dev/null
grep -A12 sum_received /root/up.json | grep bits_per_second | sed 's/^/SENT /'
grep -A12 sum_received /root/down.json | grep bits_per_second | sed 's/^/RECEIVED /'
fio --name=l --filename=/root/fio --size=32M --rw=randwrite --bs=4k --ioengine=libaio --iodepth=32 --direct=1 --time_based --runtime=15 >/dev/null &
sleep 2; ping -i 0.2 -c 40 -q 192.0.2.1; wait"""
    done = lab.vm(script, root=True, cpus=2, memory="1G", options="--net tap=tap0").finish(timeout=600)
    server.stop()
    assert done.rc == 0, done
    for word in ("SENT", "RECEIVED"):
        found = re.search(rf'{word}\s+"bits_per_second":\s*([0-9.e+]+)', done.console)
        assert found and float(found.group(1)) > 1e6, done.console
    assert "40 packets transmitted, 40 received" in done.console, done.console


def test_a_guest_is_reached_through_a_forwarded_port(lab):
    script = """ip link set eth0 up
printf '#!/bin/sh\\n[ "$1" != bound ] || { ip addr add $ip/$mask dev $interface; ip route add default via $router; }\\n' >/u
chmod +x /u; udhcpc -i eth0 -s /u -q -n -t 10; ip addr show dev eth0
mkdir -p /w; echo from-the-guest >/w/index.html; httpd -p 80 -h /w; echo SERVING; sleep 25"""
    vm = lab.vm(script, options="--net user,forward=tcp:8081:80")
    vm.wait_for("SERVING")
    text = ""
    for _ in range(10):
        text = vm.host.run("curl -s --max-time 5 http://127.0.0.1:8081/", check=False).out
        if text:
            break
        vm.host.run("sleep 1")
    assert text.strip() == "from-the-guest", (text, vm.console())
    vm.control("stop")
    assert vm.finish().rc == 0


def test_a_second_vm_cannot_open_the_same_disk(lab):
    lab.host.run("truncate -s 16M /tmp/shared.raw")
    first = lab.vm("echo READY; sleep 20", options="--disk /tmp/shared.raw")
    first.wait_for("READY")
    second = lab.vm("true", name="second", options="--disk /tmp/shared.raw").finish()
    assert second.rc == 1 and "in use by another VM" in second.log, second
    first.control("stop")
    assert first.finish().rc == 0


def test_statistics_tell_of_the_channels(lab):
    lab.host.run("truncate -s 16M /tmp/s.raw")
    vm = lab.vm("dd if=/dev/zero of=/dev/sda bs=1M count=8 conv=fsync; echo WRITTEN; sleep 30", options="--disk /tmp/s.raw")
    vm.wait_for("WRITTEN")
    statistics = vm.control("statistics")
    assert statistics["disks"][0]["written_bytes"] >= 8 << 20, json.dumps(statistics)
    assert statistics["disks"][0]["flushes"] >= 1
    storage = next(c for c in statistics["channels"] if "stor" in c["device"])
    assert storage["state"] == "open" and storage["kicks"] > 0
    vm.control("stop")
    assert vm.finish().rc == 0


def test_a_long_pause_is_no_lost_heartbeat(lab):
    vm = lab.vm("echo READY; sleep 60")
    vm.wait_for("READY")
    vm.host.run("sleep 5")
    assert vm.control("status")["integration"]["heartbeat"]["state"] == "ok"
    vm.control("pause")
    vm.host.run("sleep 20")
    vm.control("resume")
    vm.host.run("sleep 5")
    assert vm.control("status")["integration"]["heartbeat"]["state"] == "ok"
    assert "does not answer heartbeats" not in vm.log()
    vm.control("stop")
    assert vm.finish().rc == 0


def test_what_the_guest_discards_becomes_holes_that_read_as_zeros(lab):
    lab.host.run("head -c 64M /dev/urandom >/tmp/thin.raw; sync")
    before = int(lab.host.run("du -k /tmp/thin.raw").out.split()[0])
    script = """cd /sys/block/sda/queue; echo MODE $(cat /sys/class/scsi_disk/*/provisioning_mode) GRANULARITY $(cat discard_granularity) MAX $(cat discard_max_bytes)
blkdiscard -o 4194304 -l 33554432 /dev/sda && echo DISCARDED
echo 3 >/proc/sys/vm/drop_caches
dd if=/dev/sda bs=1M skip=4 count=32 2>/dev/null | md5sum
dmesg | grep -iE 'I/O error|Sense Key|critical' | head -5"""
    done = lab.vm(script, options="--disk /tmp/thin.raw").finish()
    after = int(lab.host.run("du -k /tmp/thin.raw").out.split()[0])
    assert done.rc == 0 and "DISCARDED" in done.console, done
    assert "MODE unmap" in done.console or "MODE writesame_16" in done.console, done
    zeros = lab.host.run("head -c 32M /dev/zero | md5sum").out.split()[0]
    assert zeros in done.console, done
    assert before - after >= 32000, (before, after)
    assert lab.host.run("dd if=/tmp/thin.raw bs=1M skip=4 count=32 status=none | md5sum").out.split()[0] == zeros
    assert "I/O error" not in done.console


@timeout(900)
def test_fstrim_of_the_root_leaves_its_files_and_is_a_hint_where_the_host_cannot_discard(lab):
    script = """dd if=/dev/urandom of=/root/kept bs=1M count=32 2>/dev/null; cp /root/kept /root/gone; sync; md5sum </root/kept >/root/sum
rm /root/gone; sync; fstrim -v / && fstrim -v / && echo TRIMMED
echo 3 >/proc/sys/vm/drop_caches; [ "$(md5sum </root/kept)" = "$(cat /root/sum)" ] && echo KEPT
cat /sys/class/scsi_disk/*/provisioning_mode
dmesg | grep -iE 'I/O error|EXT4-fs error|Sense Key' | head -5"""
    done = lab.vm(script, root=True, cpus=2, memory="1G").finish(timeout=600)
    assert done.rc == 0 and "TRIMMED" in done.console and "KEPT" in done.console, done
    assert "I/O error" not in done.console and "EXT4-fs error" not in done.console, done
