"""The hypervisor beneath a whole Debian, which it boots as its parent partition."""

import contextlib
from collections.abc import Iterator

import lab as oya_lab
from lab.parent import CALM, load_driver, made, memory_range, nothing_left, numbers, peek, put_driver
from lab.runner import PROJECT, Session, timeout


@contextlib.contextmanager
def _parent(lab: Session, cpus: int = 4, memory_mib: int = 2048, uefi: bool = False) -> Iterator[oya_lab.Host]:
    hypervisor = lab.binary("hypervisor/oya-hv")
    with lab.hosts(cpus=cpus, memory_mib=memory_mib, hypervisor=hypervisor, uefi=uefi) as hosts:
        yield hosts[0]


@timeout(400)
def test_driver_shows_what_the_hypervisor_tells(lab):
    with _parent(lab, cpus=2) as host:
        load_driver(host, lab.tmp)
        at, size = memory_range(host)
        text = host.run("cat /sys/kernel/debug/oya/log").out
        assert "oya-hv: the parent starts at" in text and text in host.console(), text
        info = dict(line.split() for line in host.run("cat /sys/kernel/debug/oya/info").out.splitlines())
        assert int(info["memory_at"], 16) == at and int(info["memory_bytes"]) == size, info
        assert int(info["pages_left"]) > 500, info
        assert int(host.run("cat /sys/kernel/debug/oya/call").out) > 0
        host.run("rmmod oya_kvm")
        # Calls are for ring 0, and the instructions of SVM for nobody.
        program = lab.tmp / "call"
        for instruction in ("vmmcall", "vmrun", "clgi", "stgi"):
            source = f'int main(void) {{ __asm__ volatile("{instruction}" : : "a"(1), "b"(0)); return 0; }}'
            program.with_suffix(".c").write_text(source, encoding="ascii")
            made(["gcc", "-static", "-o", str(program), f"{program}.c"])
            host.put(program, "/root/call")
            done = host.run("/root/call 2>/dev/null; echo $?").out.strip()
            assert done in ("132", "139"), f"{instruction}: {done}"
        assert host.run(CALM).out == ""


@timeout(600)
def test_children_run_side_by_side_and_leave_nothing(lab):
    with _parent(lab, cpus=2) as host:
        load_driver(host, lab.tmp)
        program = lab.tmp / "child"
        made(["gcc", "-O2", "-static", "-pthread", "-o", str(program), str(PROJECT / "tests/system/kvm_child.c")])
        host.put(program, "/root/child")
        for name in ("real", "long", "spin", "broken", "strings", "fault", "device"):
            host.run(f"timeout 60 /root/child /dev/oya {name}")
        before = numbers(host)
        host.run("timeout 120 /root/child /dev/oya real 100")
        nothing_left(before, numbers(host))
        # Two that never stop, on the two processors, beside others that come and go; killed, again and again.
        spin = "rm -f forever; (/root/child /dev/oya forever >forever 2>&1 &); for n in $(seq 100); do grep -q spinning forever && exit; sleep 0.1; done; exit 1"
        kill = "pkill -9 -x child; for n in $(seq 100); do pgrep -x child >/dev/null || exit 0; sleep 0.1; done; exit 1"
        for _ in range(10):
            host.run(spin)
            busy = numbers(host)
            assert busy["partitions"] == 2 and busy["pinned"] > before["pinned"], busy
            host.run("timeout 60 /root/child /dev/oya long 2 && timeout 60 /root/child /dev/oya real 2")
            assert numbers(host)["partitions"] == 2
            host.run(kill)
        nothing_left(before, numbers(host))
        host.run("rmmod oya_kvm")
        assert host.run(CALM).out == "", host.run("dmesg | tail -50").out


@timeout(120)
def test_driver_refuses_a_system_that_is_no_parent(lab):
    done = lab.host.run(f"insmod {put_driver(lab.host, lab.tmp)}; dmesg | tail -3", check=False)
    assert "does not run as the parent partition of oya-hv" in done.out and "No such device" in done.err, done


@timeout(400)
def test_installed_system_runs_as_the_parent_and_cannot_reach_the_hypervisor(lab):
    with _parent(lab) as host:
        assert host.run("nproc").out.strip() == "4"
        assert "disabled by bios" in host.run("modprobe kvm_amd; dmesg | grep kvm:", check=False).out
        at, size = memory_range(host)
        for offset in (0, 4096, size // 2, size - 4096):
            assert peek(host, at + offset, write=False) == "zeros\n0", hex(at + offset)
        assert peek(host, at, write=True) == "139", "a write is not answered by SIGSEGV"
        # Off line and on line again, each processor but the first, and work on all of them.
        for _ in range(5):
            host.run("for c in 1 2 3; do echo 0 >/sys/devices/system/cpu/cpu$c/online; done")
            assert host.run("nproc").out.strip() == "1"
            host.run("for c in 3 1 2; do echo 1 >/sys/devices/system/cpu/cpu$c/online; done")
            assert host.run("nproc").out.strip() == "4"
        host.run("for n in 1 2 3 4; do (head -c 8M /dev/urandom | sha256sum >/dev/null) & done; wait")
        assert host.run(CALM).out == "", host.run("dmesg | tail -50").out


@timeout(400)
def test_parent_reboots_and_comes_back(lab):
    with _parent(lab, cpus=2) as host:
        before = host.run("cat /proc/sys/kernel/random/boot_id").out
        host.reboot()
        assert host.run("cat /proc/sys/kernel/random/boot_id").out != before
        assert host.console().count("oya-hv: the parent starts") == 2


@timeout(400)
def test_parent_boots_by_uefi_with_memory_above_four_gib(lab):
    with _parent(lab, cpus=2, memory_mib=5120, uefi=True) as host:
        assert int(host.run("grep MemTotal /proc/meminfo").out.split()[1]) > 4 << 20
        assert host.run("ls /sys/firmware/efi/systab /sys/firmware/efi/runtime >/dev/null && echo EFI").out == "EFI\n"
        assert host.run(CALM).out == ""
