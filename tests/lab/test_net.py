"""The NIC in full width, used by a stock Debian: offloads, queues, VLAN, jumbo frames, links, NICs that come and go."""

import json
import re
import shlex

from lab import images
from lab import vm as machines
from lab.runner import quick, timeout

# iperf3, ethtool and the VLAN driver of the guest's own image, as an archive behind the tiny initrd.
TOOLS = r"""[ -e /tmp/tools.cpio ] && exit 0
cd /opt/oya/bookworm; stage=$(mktemp -d)
for b in usr/bin/iperf3 usr/sbin/ethtool; do
  for f in $b $(chroot . ldd /$b | grep -o '/[^ ]*'); do mkdir -p $stage/$(dirname $f); cp -L ./$f $stage/$f; done
done
mkdir -p $stage/tmp $stage/mods
for m in llc stp garp mrp 8021q; do cp $(find usr/lib/modules -name $m.ko) $stage/mods/; done
cd $stage; find . | cpio -o -H newc --quiet >/tmp/tools.cpio"""
BRIDGE = """ip link show oyan0 2>/dev/null || { ip link add oyan0 type bridge; ip addr add 192.0.2.65/26 dev oyan0; ip link set oyan0 up; }
for t in tapn0 tapn1; do ip link show $t >/dev/null 2>&1 || ip tuntap add $t mode tap; ip link set $t master oyan0 up; done"""
UP = """export PATH=/bin:/usr/bin:/usr/sbin
ip addr add 192.0.2.66/26 dev eth0; ip link set eth0 up
for n in $(seq 60); do ping -c1 -W1 192.0.2.65 >/dev/null && break; done
"""
# Opens a tap as the worker wants it and hands it over with a request.
PASS_TAP = """import fcntl, os, socket, struct, sys
fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", sys.argv[2].encode(), 0x5002))
s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1])
socket.send_fds(s, [sys.argv[3].encode() + b"\\n"], [fd])
print(s.recv(65536).decode())
"""


def _vm(lab, script: str, options: str = "--net tap=tapn0", **more):
    """A VM with the tiny initrd, the tools behind it, and `script` as its job."""
    lab.host.run(BRIDGE)
    machines.kernel(lab.host, "bookworm")
    lab.host.run(TOOLS, timeout=300)
    images.initrd_with_job(lab.guest_initrd(), UP + script, lab.tmp / "net.initrd")
    lab.host.put(lab.tmp / "net.initrd", "/tmp/net.initrd")
    lab.host.run("cat /tmp/net.initrd /tmp/tools.cpio >/tmp/all.initrd")
    return lab.vm(options=f"--initrd /tmp/all.initrd {options}", **more)


def _speed(console: str, word: str) -> float:
    found = re.search(rf"{word} .*?([0-9.]+) Mbits/sec.*receiver", console)
    assert found, console
    return float(found[1])


@timeout(900)
def test_offloads_are_on_and_data_is_right_both_ways(lab):
    lab.host.run(BRIDGE)
    server = lab.host.spawn("iperf3 -s -B 192.0.2.65")
    lab.host.run("cd /tmp; head -c 24M /dev/urandom >blob; killall -q python3 || true", check=False)
    files = lab.host.spawn("cd /tmp; python3 -m http.server 8100 --bind 192.0.2.65")
    script = """ethtool -k eth0 | grep -E '^(rx-checksumming|tx-checksumming|tcp-segmentation|large-receive)'
iperf3 -c 192.0.2.65 -t 3 -f m | grep receiver | sed 's/^/UP /'
iperf3 -c 192.0.2.65 -t 3 -f m -R | grep receiver | sed 's/^/DOWN /'
wget -q -O - http://192.0.2.65:8100/blob | md5sum
ethtool -K eth0 lro off gro off; wget -q -O - http://192.0.2.65:8100/blob | md5sum
ethtool -S eth0 | grep -E 'rx_queue_0|tx_queue_0'
netstat -s 2>/dev/null | grep -i bad; grep ^Tcp /proc/net/snmp"""
    done = _vm(lab, script).finish(timeout=600)
    server.stop()
    files.stop()
    assert done.rc == 0, done
    for feature in ("rx-checksumming", "tx-checksumming", "tcp-segmentation-offload", "large-receive-offload"):
        assert f"{feature}: on" in done.console, done.console
    assert _speed(done.console, "UP") > 1 and _speed(done.console, "DOWN") > 1
    assert done.console.count(lab.host.run("md5sum </tmp/blob").out.split()[0]) == 2, done.console
    # Large sends: far more bytes in a packet than the MTU.
    packets = int(re.search(r"tx_queue_0_packets: (\d+)", done.console)[1])
    size = int(re.search(r"tx_queue_0_bytes: (\d+)", done.console)[1])
    assert size / packets > 3000, (packets, size)
    names, values = (line.split()[1:] for line in done.console.splitlines() if line.startswith("Tcp:"))
    assert dict(zip(names, values, strict=True))["InErrs"] == "0", done.console


@timeout(900)
def test_several_queues_carry_several_flows(lab):
    lab.host.run(BRIDGE)
    server = lab.host.spawn("iperf3 -s -B 192.0.2.65")
    script = """ethtool -l eth0 | grep Combined; ethtool -x eth0 | head -8
iperf3 -c 192.0.2.65 -t 4 -P 8 -R -f m | grep SUM.*receiver
iperf3 -c 192.0.2.65 -t 4 -P 8 -f m | grep SUM.*receiver
ethtool -S eth0 | grep -E '[rt]x_queue_[01]_packets'
ethtool -L eth0 combined 1 && ethtool -l eth0 | grep Combined; ping -c 3 192.0.2.65
ethtool -L eth0 combined 2 && ethtool -l eth0 | grep Combined; ping -c 3 192.0.2.65"""
    done = _vm(lab, script, cpus=2).finish(timeout=600)
    server.stop()
    assert done.rc == 0, done
    assert re.findall(r"Combined:\s+(\d+)", done.console) == ["2", "2", "2", "1", "2", "2"], done.console
    for way in ("rx", "tx"):
        for queue in (0, 1):
            assert int(re.search(rf"{way}_queue_{queue}_packets: (\d+)", done.console)[1]) > 100, done.console
    assert done.console.count("3 packets received") == 2, done.console


@timeout(900)
def test_vlans_and_jumbo_frames_pass(lab):
    lab.host.run(BRIDGE)
    lab.host.run("ip link set tapn0 mtu 9000; ip link set oyan0 mtu 9000; ip link show oyan0.7 2>/dev/null || { ip link add link oyan0 name oyan0.7 type vlan id 7; ip addr add 198.51.100.1/24 dev oyan0.7; ip link set oyan0.7 up; }")
    script = """ip link set eth0 mtu 9000; for n in $(seq 30); do ping -c1 -W1 192.0.2.65 >/dev/null && break; done
ping -c 5 -s 8972 192.0.2.65 | sed 's/^/JUMBO /'
for m in llc stp garp mrp 8021q; do insmod /mods/$m.ko; done
ip link add link eth0 name eth0.7 type vlan id 7; ip addr add 198.51.100.2/24 dev eth0.7; ip link set eth0.7 up
for n in $(seq 10); do ping -c1 -W1 198.51.100.1 >/dev/null && break; done
ping -c 5 198.51.100.1 | sed 's/^/VLAN /'"""
    done = _vm(lab, script, options="--net tap=tapn0,mtu=9000").finish(timeout=400)
    lab.host.run("ip link set oyan0 mtu 1500; ip link set tapn0 mtu 1500", check=False)
    assert done.rc == 0, done
    assert "JUMBO 5 packets transmitted, 5 packets received" in done.console, done.console
    assert "VLAN 5 packets transmitted, 5 packets received" in done.console, done.console
    received = json.loads(lab.host.run("ip -j -s link show oyan0.7").out)[0]["stats64"]["rx"]["packets"]
    assert received >= 5, received


@quick
def test_the_cable_is_pulled_and_plugged_in(lab):
    script = """echo CARRIER $(cat /sys/class/net/eth0/carrier)
for n in $(seq 200); do [ $(cat /sys/class/net/eth0/carrier) = 0 ] && break; sleep 0.1; done; echo CARRIER $(cat /sys/class/net/eth0/carrier)
for n in $(seq 200); do [ $(cat /sys/class/net/eth0/carrier) = 1 ] && break; sleep 0.1; done; echo CARRIER $(cat /sys/class/net/eth0/carrier)
ping -c 3 192.0.2.65"""
    vm = _vm(lab, script)
    vm.wait_for("CARRIER 1")
    vm.control("link", nic=0, up=False)
    vm.wait_for("CARRIER 0")
    assert vm.control("statistics")["nics"][0]["link"] is False
    vm.control("link", nic=0, up=True)
    done = vm.finish()
    assert done.rc == 0 and done.console.count("CARRIER 1") == 2 and "3 packets received" in done.console, done


@timeout(900)
def test_a_nic_comes_and_goes_while_the_guest_runs(lab):
    script = """echo READY
for round in 1 2; do
for n in $(seq 300); do [ -e /sys/class/net/eth1 ] && break; sleep 0.1; done
echo FOUND $round $(cat /sys/class/net/eth1/address)
ip addr flush dev eth0; ip addr add 192.0.2.67/26 dev eth1; ip link set eth1 up
for n in $(seq 60); do ping -c1 -W1 -I eth1 192.0.2.65 >/dev/null && break; done
ping -c 3 -I eth1 192.0.2.65 | sed 's/^/NEW /'; echo USED $round
for n in $(seq 300); do [ -e /sys/class/net/eth1 ] || break; sleep 0.1; done
[ -e /sys/class/net/eth1 ] || echo GONE $round
done
ip addr add 192.0.2.66/26 dev eth0; ping -c 3 192.0.2.65 | sed 's/^/OLD /'; dmesg | grep -iE 'BUG|WARNING|Call Trace'"""
    vm = _vm(lab, script)
    vm.wait_for("READY")
    vm.host.run("cat >/tmp/pass_tap.py", stdin=PASS_TAP)
    for turn in (1, 2):
        request = json.dumps({"verb": "nic-add", "mac": f"00:15:5d:00:77:0{turn}"})
        answer = vm.host.run(f"python3 /tmp/pass_tap.py {vm.directory}/control tapn1 {shlex.quote(request)}").out
        assert json.loads(answer) == {"ok": True, "result": {"nic": 1}}, answer
        vm.wait_for(f"FOUND {turn} 00:15:5d:00:77:0{turn}")
        vm.wait_for(f"USED {turn}")
        assert [n["number"] for n in vm.control("statistics")["nics"]] == [0, 1]
        vm.control("nic-remove", nic=1)
        vm.wait_for(f"GONE {turn}")
    done = vm.finish()
    assert done.console.count("NEW 3 packets transmitted, 3 packets received") == 2, done
    assert "OLD 3 packets transmitted, 3 packets received" in done.console, done
    assert "Call Trace" not in done.console and "BUG" not in done.console, done
