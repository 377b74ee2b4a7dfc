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
    # A processor of family 0x17 before model 0x20 shares its last cache by number, whatever CPUID tells.
    assert "not on the same node" not in done.console.replace("llc-sibling", "") or "llc-sibling" in done.console, done.console


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
    done = lab.vm(TOPOLOGY, cpus=16).finish(timeout=600)
    assert done.rc == 0, done
    for line in ("SOCKETS 1", "CORES 16", "ONLINE 16"):
        assert line in done.console, done.console
