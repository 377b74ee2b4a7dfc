"""The hypervisor and the machine: devices that reach for memory, crashes, odd machines, power."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator

import lab as oya_lab
from lab.machine import Hardware
from lab.parent import CALM, load_driver, made, memory_range, peek, put_driver
from lab.runner import PROJECT, Session, timeout

_EDU = ("-device", "edu,dma_mask=0xffffffff")


@contextlib.contextmanager
def _parent(lab: Session, cpus: int = 2, memory_mib: int = 2048, uefi: bool = False, **hardware) -> Iterator[oya_lab.Host]:
    hypervisor = lab.binary("hypervisor/oya-hv")
    machine = Hardware(**hardware)
    with lab.hosts(cpus=cpus, memory_mib=memory_mib, hypervisor=hypervisor, uefi=uefi, hardware=machine) as hosts:
        yield hosts[0]


def _until(done: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it does not come to that"
        time.sleep(0.1)


def _info(lab: Session, host: oya_lab.Host) -> dict[str, str]:
    """What the hypervisor tells the driver."""
    load_driver(host, lab.tmp)
    return dict(line.split() for line in host.run("cat /sys/kernel/debug/oya/info").out.splitlines())


def _attacker(lab: Session, host: oya_lab.Host) -> str:
    """The command that has a device do DMA; operands follow."""
    program = lab.tmp / "dma_attack"
    made(["gcc", "-O2", "-static", "-o", str(program), str(PROJECT / "tests/system/dma_attack.c")])
    host.put(program, "/root/dma_attack")
    folder = host.run("dirname $(grep -l 0x11e8 /sys/bus/pci/devices/*/device)").out.strip()
    return f"timeout 60 /root/dma_attack {folder}"


def _log_at(host: oya_lab.Host) -> int:
    """The page of the hypervisor's that the parent may read: its log."""
    at, size = memory_range(host)
    script = f"""import mmap, os
f = os.open("/dev/mem", os.O_RDONLY)
m = mmap.mmap(f, {size}, mmap.MAP_SHARED, mmap.PROT_READ, offset={at})
print(m.find(b"oya-hv: version") // 4096 * 4096)"""
    return at + int(host.run("python3 -", stdin=script).out)


@timeout(400)
def test_iommu_keeps_devices_of_the_parent_out(lab):
    with _parent(lab, machine="q35", options=("-device", "amd-iommu", *_EDU)) as host:
        attack = _attacker(lab, host)
        assert host.run(f"{attack} read own").out.strip() == "41" * 16
        at, size = memory_range(host)
        found = re.search(r"IOMMU keeps the parent's devices out of what is ours, from (0x[0-9a-f]+)", host.console())
        assert found, host.console()[-2000:]
        nothing = ("00" * 16, "41" * 16, "ff" * 16)  # as the emulator has it, or what the device held before
        for place in (at, at + size // 2, int(found[1], 16), 0xFED80000):
            assert host.run(f"{attack} read {place}").out.strip() in nothing, hex(place)
        log = _log_at(host)
        host.run(f"{attack} write {log}")
        assert "41" * 16 not in peek(host, log, write=False)
        assert _info(lab, host)["iommus"] == "1"
        assert "AMD-Vi" not in host.run("dmesg").out
        assert host.run(CALM).out == ""


@timeout(400)
def test_log_says_that_no_iommu_protects(lab):
    """The control of the test above: the same attack succeeds, and the log has said so."""
    with _parent(lab, machine="q35", options=_EDU) as host:
        attack = _attacker(lab, host)
        assert "no IOMMU protects from the devices of the parent" in host.console()
        at, _ = memory_range(host)
        assert host.run(f"{attack} read {at}").out.strip().startswith("d65052e8"), "the image's first word is its magic"
        log = _log_at(host)
        host.run(f"{attack} write {log + 32}")
        assert "41" * 16 in peek(host, log, write=False)
        assert _info(lab, host)["iommus"] == "0"


def _next_kernel(lab: Session, host: oya_lab.Host, when: str, words: str) -> None:
    """The host's own kernel comes after itself, with `words` more on its command line."""
    program = lab.tmp / "next_kernel"
    made(["gcc", "-O2", "-static", "-o", str(program), str(PROJECT / "tests/system/next_kernel.c")])
    host.put(program, "/root/next_kernel")
    host.machine.forget_ready()
    command = f'/root/next_kernel {when} /boot/vmlinuz-$(uname -r) /boot/initrd.img-$(uname -r) "$(cat /proc/cmdline) {words}"'
    host.run(command if when == "crash" else f"(sleep 0.5; {command}) >/dev/null 2>&1 </dev/null &")


@timeout(900)
def test_a_crash_of_the_parent_boots_its_capture_kernel_as_the_parent(lab):
    with _parent(lab, append="crashkernel=384M") as host:
        _next_kernel(lab, host, "crash", "nr_cpus=1 reset_devices")
        assert host.run("cat /sys/kernel/kexec_crash_loaded").out == "1\n"
        host.run("(sleep 0.5; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 </dev/null &")
        host.comes_back()
        assert host.run("head -c 4 /proc/vmcore").out == "\x7fELF"
        assert host.run("nproc").out == "1\n"
        assert int(_info(lab, host)["memory_bytes"]) == memory_range(host)[1]
        assert host.console().count("oya-hv: the parent starts") == 1
        # The whole memory, as a tool for dumps reads it, with our holes in it.
        assert int(host.run("cat /proc/vmcore | wc -c", timeout=300).out) > 1400 << 20


@timeout(600)
def test_a_kexec_of_the_parent_has_all_processors_again(lab):
    with _parent(lab) as host:
        _next_kernel(lab, host, "now", "oya.again")
        host.comes_back()
        assert "oya.again" in host.run("cat /proc/cmdline").out and host.run("nproc").out == "2\n"
        assert host.console().count("oya-hv: the parent starts") == 1
        assert host.run(CALM).out == ""


@timeout(400)
def test_a_panic_tells_stops_all_processors_and_the_next_start_knows(lab):
    with _parent(lab, cpus=3, words="serial panic=test", options=("-device", "VGA")) as host:
        driver = put_driver(host, lab.tmp)
        host.run(f"(sleep 0.5; insmod {driver}) >/dev/null 2>&1 </dev/null &")
        _until(lambda: host.console().count(" stops") == 2)
        screen = host.machine.qmp.monitor("xp /16xb 0xb8000")
        text = bytes(int(word, 16) for word in re.findall(r"0x[0-9a-f]{2}\b", screen))[::2]
        assert text == b"oya-hv: ", screen
        console = host.console()
        assert "oya-hv: asked for by the boot loader" in console, console[-2000:]
        assert all(console.count(f"processor {n} stops") <= 1 for n in range(3)) and console.count(" stops") == 2, console[-2000:]
        # Some ten seconds later, by itself.
        _until(lambda: "the last start ended so: oya-hv: asked for by the boot loader" in host.console())
        _until(lambda: host.console().count("oya-hv: the parent starts") == 2)


@timeout(400)
def test_parent_with_little_memory_and_no_pages_of_one_gib_powers_off(lab):
    with _parent(lab, cpus=2, memory_mib=512, machine="q35", features="-pdpe1gb") as host:
        assert "pdpe1gb" not in host.run("cat /proc/cpuinfo").out
        at, size = memory_range(host)
        assert at + size <= 512 << 20
        assert peek(host, at, write=False) == "zeros\n0"
        host.run("(sleep 0.5; systemctl poweroff) >/dev/null 2>&1 </dev/null &")
        _until(lambda: not host.alive())


@timeout(700)
def test_memory_above_four_gib_without_pages_of_one_gib(lab):
    with _parent(lab, cpus=2, memory_mib=4608, machine="q35,max-ram-below-4g=1G", features="-pdpe1gb") as host:
        assert int(host.run("grep MemTotal /proc/meminfo").out.split()[1]) > 4 << 20
        # More than what lies below 4 GiB is touched, by both processors.
        host.run("for n in 1 2; do (head -c 900M /dev/zero | tail >/dev/null) & done; wait", timeout=400)
        assert int(_info(lab, host)["pages_left"]) > 500
        assert host.run(CALM).out == ""
