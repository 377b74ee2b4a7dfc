"""Faults of the host around a VM; seen by a stock guest beside it."""

from lab.runner import ON_HYPERVISOR

FILL = """echo READY; until [ -b /dev/sda ]; do sleep 0.3; done
dd if=/dev/zero of=/filled bs=1M count=300; echo FILLED; sleep 60"""


def test_out_of_memory_in_the_cgroup_of_a_vm_ends_that_vm_only(lab):
    if ON_HYPERVISOR:
        lab.skip("all memory is taken as the VM starts: test_hypervisor_worker.py has the trial of that")
    host, cgroup = lab.host, "/sys/fs/cgroup/oya-test"
    neighbour = lab.vm("n=0; while :; do n=$((n + 1)); echo ALIVE-$n; sleep 1; done", name="neighbour", memory="128M")
    neighbour.wait_for("ALIVE-1")
    victim = lab.vm(FILL, name="victim", options="--controllers 1")
    victim.wait_for("READY")
    worker = host.run("pidof oya-worker").out.split()[0]  # the newest comes first
    try:
        host.run(
            f"set -e; mkdir -p {cgroup}; echo 64M >{cgroup}/memory.max; echo 0 >{cgroup}/memory.swap.max; echo {worker} >{cgroup}/cgroup.procs; truncate -s 1M /tmp/go"
        )
        victim.control("disk-add", file="/tmp/go")  # the sign to go on
        done = victim.finish(timeout=120)
        assert done.rc == 1 and "FILLED" not in done.console, done
        assert "the worker was ended by signal 9 (Killed); if the host ran out of memory, the kernel's log tells" in done.log, done.log
        assert "oom_kill 1" in host.run(f"cat {cgroup}/memory.events").out
        alive = neighbour.console().count("ALIVE")
        neighbour.wait_for(f"ALIVE-{alive + 3}")
        neighbour.control("stop")
        assert neighbour.finish().rc == 0
    finally:
        host.run(f"rmdir {cgroup}", check=False)
