"""Our worker on the hypervisor: the system tests with their tiny guest, in the parent partition."""

import re

from lab.parent import CALM, load_driver, nothing_left, numbers
from lab.runner import PROJECT, timeout
from lab.vm import HUGE_PAGES, kernel


@timeout(1500)
def test_system_tests_pass_on_the_hypervisor(lab):
    with lab.hosts(memory_mib=7168, hypervisor=lab.binary("hypervisor/oya-hv")) as hosts:
        host = hosts[0]
        load_driver(host, lab.tmp)
        host.run(f"echo advise >{HUGE_PAGES}")
        host.put(PROJECT / "tests/system", "/root/system")
        for name in ("cli/oya", "worker/oya-worker", "tests/system/oya-test-guest"):
            host.run(f"mkdir -p /root/build/{name.rpartition('/')[0]}")
            host.put(lab.binary(name), f"/root/build/{name}")
        before = numbers(host)
        report = host.run(
            "OYA_SYSTEM_SLOWNESS=10 python3 /root/system/run.py --build /root/build", timeout=1300, check=False
        )
        failed = re.findall(r"^not ok .*(?:\n#.*)*", report.out, re.M)
        assert report.rc == 0 and not failed, "\n".join(failed) or report
        assert len(re.findall("^ok ", report.out, re.M)) > 100, report
        nothing_left(before, numbers(host))


@timeout(900)
def test_stock_guests_under_load_run_side_by_side_and_a_killed_worker_leaves_nothing(lab):
    with lab.hosts(memory_mib=3072, hypervisor=lab.binary("hypervisor/oya-hv")) as hosts:
        host = hosts[0]
        load_driver(host, lab.tmp)
        lab.vm("true", host=host, name="first").finish()  # what the first one puts into the host stays
        before = numbers(host)
        work = "for n in 1 2; do (head -c 16M /dev/urandom | sha256sum >/dev/null) & done; wait; echo WORK-DONE"
        busy = [lab.vm(work, host=host, name=f"busy{n}", cpus=2, memory="256M") for n in (1, 2)]
        idle = lab.vm("echo UP; sleep 1000", host=host, name="idle", memory="256M")
        idle.wait_for("UP")
        assert numbers(host)["partitions"] >= 1
        for vm in busy:
            done = vm.finish(400)
            assert done.rc == 0 and "WORK-DONE" in done.console, done
        host.run("pkill -9 -x oya-worker")
        assert idle.finish().rc != 0
        nothing_left(before, numbers(host))
        # More than there is: refused, and nobody else pays for it.
        greedy = lab.vm(host=host, name="greedy", memory="8G").finish()
        assert greedy.rc == 1 and "too little free memory" in greedy.log, greedy
        nothing_left(before, numbers(host))
        assert host.run(CALM).out == "", host.run("dmesg | tail -50").out


@timeout(600)
def test_a_vm_that_outgrows_its_cgroup_as_it_starts_ends_alone(lab):
    with lab.hosts(memory_mib=3072, hypervisor=lab.binary("hypervisor/oya-hv")) as hosts:
        host, cgroup = hosts[0], "/sys/fs/cgroup/oya-test"
        load_driver(host, lab.tmp)
        neighbour = lab.vm("n=0; while :; do n=$((n + 1)); echo ALIVE-$n; sleep 1; done", host=host, name="neighbour", memory="128M")
        neighbour.wait_for("ALIVE-1")
        vmlinuz, _ = kernel(host, "bookworm")
        host.run(f"mkdir {cgroup} && echo 64M >{cgroup}/memory.max && echo 0 >{cgroup}/memory.swap.max")
        before = numbers(host)
        run = f"{host.home}/oya run --memory 512M --kernel {vmlinuz} --append console=ttyS0"
        done = host.run(f"(echo $BASHPID >{cgroup}/cgroup.procs; exec {run}) </dev/null 2>&1", check=False)
        assert done.rc == 1 and "if the host ran out of memory, the kernel's log tells" in done.out, done
        assert "oom_kill 1" in host.run(f"cat {cgroup}/memory.events").out
        nothing_left(before, numbers(host))
        alive = neighbour.console().count("ALIVE")
        neighbour.wait_for(f"ALIVE-{alive + 3}")
        neighbour.control("stop")
        assert neighbour.finish().rc == 0
