"""How wide a VM can be: pages, nodes, pinning, many processors, many VMs; seen by stock guests."""

import re

from lab.runner import timeout

NODES = """for n in /sys/devices/system/node/node[0-9]*; do
echo NODE $(basename $n) CPUS $(cat $n/cpulist) DISTANCE $(cat $n/distance) TOTAL $(sed -n 's/.*MemTotal: *//p' $n/meminfo)
done"""
TOPOLOGY = """cd /sys/devices/system/cpu
echo SOCKETS $(cat cpu[0-9]*/topology/physical_package_id | sort -u | wc -l)
echo CORES $(cat cpu[0-9]*/topology/core_cpus_list | sort -u | wc -l)
echo CACHE $(cat cpu0/cache/index3/shared_cpu_list)
dmesg | grep -iE 'not on the same node|topology|WARNING' | head -5
echo ONLINE $(nproc)"""


def _threads(vm) -> dict[str, str]:
    """Name and allowed processors of the worker's threads."""
    text = vm.host.run(
        "for p in $(pidof oya-worker); do for t in /proc/$p/task/*; do "
        "echo $(cat $t/comm) $(sed -n 's/Cpus_allowed_list:\\s*//p' $t/status); done; done"
    ).out
    return dict(line.split(maxsplit=1) for line in text.splitlines())


def test_the_guest_sees_its_numa_nodes_and_their_processors(lab):
    done = lab.vm(f"{NODES}\n{TOPOLOGY}", cpus=2, options="--numa memory=192M,cpus=1,host=0 --numa memory=320M,cpus=1").finish()
    assert done.rc == 0, done
    nodes = re.findall(r"NODE node(\d) CPUS (\S+) DISTANCE (\d+) (\d+) TOTAL (\d+)", done.console)
    assert [n[:4] for n in nodes] == [("0", "0", "10", "20"), ("1", "1", "20", "10")], done.console
    assert int(nodes[0][4]) < 196608 < int(nodes[1][4]) <= 327680, nodes
    # The emulated host's processor is of a family whose last cache Linux takes for the socket's.
    strange = [line for line in done.console.splitlines() if "not on the same node" in line]
    assert all("llc-sibling" in line for line in strange), strange


def test_processors_with_threads_are_one_socket_of_cores(lab):
    done = lab.vm(TOPOLOGY, cpus=4, options="--threads 2").finish()
    assert done.rc == 0, done
    for line in ("SOCKETS 1", "CORES 2", "ONLINE 4"):
        assert line in done.console, done.console


def test_a_pinned_processor_stays_where_it_is_told_also_after_a_reset(lab):
    vm = lab.vm("echo READY; sleep 60", cpus=2, options="--pin 1:0-1")
    vm.wait_for("READY")
    threads = _threads(vm)
    assert threads["vcpu0"] == "1" and threads["vcpu1"] == "0-1", threads
    vm.control("reset")
    for _ in range(60):
        if vm.console().count("READY") == 2:
            break
        vm.host.run("sleep 0.5")
    assert vm.console().count("READY") == 2
    assert _threads(vm)["vcpu0"] == "1"
    vm.control("stop")
    assert vm.finish().rc == 0


def test_memory_in_pages_of_2_mib_is_taken_from_the_pool_and_given_back(lab):
    host = lab.host
    host.run("sysctl -q vm.nr_hugepages=300; test $(cat /proc/sys/vm/nr_hugepages) -ge 256")
    try:
        vm = lab.vm("echo READY; sleep 60", options="--memory-pages 2m")
        vm.wait_for("READY")
        free = int(host.run("awk '/HugePages_Free/{print $2}' /proc/meminfo").out)
        second = lab.vm("true", name="second", options="--memory-pages 2m").finish()
        vm.control("reset")
        for _ in range(60):
            if vm.console().count("READY") == 2:
                break
            host.run("sleep 0.5")
        assert vm.console().count("READY") == 2
        vm.control("stop")
        assert vm.finish().rc == 0
        total, after = host.run("awk '/HugePages_(Total|Free)/{print $2}' /proc/meminfo").out.split()
        assert int(total) - free == 256 and total == after, (total, free, after)
        assert second.rc == 1 and "256 are needed and" in second.log and "vm.nr_hugepages" in second.log, second
    finally:
        host.run("sysctl -q vm.nr_hugepages=0")


@timeout(900)
def test_sixteen_processors_are_up(lab):
    with lab.hosts(cpus=8, memory_mib=3072) as hosts:
        done = lab.vm(TOPOLOGY, host=hosts[0], cpus=16).finish(timeout=400)
    assert done.rc == 0, done
    for line in ("SOCKETS 1", "CORES 16", "ONLINE 16"):
        assert line in done.console, done.console


def _private_kib(host) -> list[int]:
    """Memory of each worker beside its guest's RAM (PSS) in KiB."""
    text = host.run(
        "for p in $(pidof oya-worker); do "
        "awk '/^[0-9a-f]+-/{ram=/guest-ram/} /^Pss:/{if(!ram)sum+=$2} END{print sum}' /proc/$p/smaps; done"
    ).out
    return [int(word) for word in text.split()]


@timeout(1200)
def test_ten_vms_run_side_by_side_with_disks_and_addresses_of_their_own(lab):
    host, count = lab.host, 10
    if host.run("ip link show oya9", check=False).rc:
        host.run("ip link add oya9 type bridge; ip addr add 198.51.100.1/24 dev oya9; ip link set oya9 up")
    vms = []
    for n in range(count):
        host.run(
            f"ip link show many{n} >/dev/null 2>&1 || {{ ip tuntap add many{n} mode tap; ip link set many{n} master oya9 up; }}; "
            f"truncate -s 8M /tmp/many{n}.raw; echo disk-of-{n} | dd of=/tmp/many{n}.raw conv=notrunc status=none"
        )
        script = f"""ip addr add 198.51.100.{10 + n}/24 dev eth0; ip link set eth0 up
for i in $(seq 60); do ping -c1 -W1 198.51.100.1 >/dev/null && echo PINGED-{n} && break; done
head -n1 /dev/sda; echo READY-{n}
read -r line </dev/tty1"""
        vms.append(lab.vm(script, name=f"many{n}", memory="128M", options=f"--disk /tmp/many{n}.raw --net tap=many{n}"))
        if n == 1:
            for k in range(2):
                vms[k].wait_for(f"READY-{k}", timeout=300)
    for n in range(count):
        text = vms[n].wait_for(f"READY-{n}", timeout=600)
        assert f"PINGED-{n}" in text and f"disk-of-{n}" in text, text
    assert all(vm.control("status")["state"] == "running" for vm in vms)
    pss = _private_kib(host)
    print("# memory of each worker beside guest RAM (PSS, KiB):", *pss, flush=True)
    assert len(pss) == count and max(pss) < 8192, pss
    for vm in vms:
        vm.control("type", text="\n")
    for vm in vms:
        done = vm.finish(timeout=300)
        assert done.rc == 0, done
