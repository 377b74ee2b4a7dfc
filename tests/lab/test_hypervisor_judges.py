"""kvm-unit-tests, unmodified, on the driver as /dev/kvm and on stock KVM: Debian 12's QEMU in an emulated host runs both.

OYA_KVM_UNIT_TESTS names a built copy, which is no part of the tree (`./configure && make` in it, for x86-64). Left out are
those of what is KVM's own (its clock, its page faults, its MSRs), of nested SVM and VMX, and of counters of events.
"""

import os
import re
import shlex
from pathlib import Path

from lab import LabError
from lab.hosts import Host
from lab.parent import CALM, load_driver, nothing_left, numbers
from lab.runner import Session, timeout

_NAMES = """realmode idt_test setjmp smptest smptest3 hypercall emulator eventinj memory msr syscall tsc tsc_adjust umip smap
xsave debug rmap_chain pcid-disabled pcid-asymmetric ioapic-split vmexit_cpuid vmexit_mov_from_cr8 vmexit_mov_to_cr8
vmexit_inl_pmtimer vmexit_ipi vmexit_ipi_halt vmexit_tscdeadline vmexit_cr0_wp s3"""

# Those that do not pass, and why. What is said of the emulated processor is QEMU's, which carries both hosts.
_FAIL_ON_STOCK = {
    "emulator": "an address beyond the canonical ones in the stack's segment ends in #GP in place of #SS",
    "eventinj": "a segment that is not present, and INT behind MOV SS: the emulated processor",
    "msr": "the emulated processor takes an FS base that is not canonical",
    "debug": "ICEBP behind MOV SS: the emulated processor",
}
_CR4 = "CR4 is the child's own: bits that CPUID hides can be set"
_FAIL_ON_OURS = {
    "xsave": _CR4,
    "pcid-disabled": _CR4,
    "pcid-asymmetric": _CR4,
    "debug": "as on stock KVM",
    "tsc": "RDTSCP and RDPID are not offered, so nothing is left of it",
    "tsc_adjust": "that MSR is not offered",
    "hypercall": "KVM's own calls are not offered",
    "idt_test": "the emulated processor ends a write of bits of CR4 that there are not as a control block that is not valid",
    "emulator": "changes of memory of devices in place (OR and the like) are not carried out",
    "eventinj": "an NMI that comes while IRET faults is taken before it is done (docs/design/hypervisor.md)",
    "msr": "as on stock KVM",
}

_PASSED = 1  # of the device isa-debug-exit: twice the result, plus 1
_LIMIT_S = 90


def _sections(folder: Path) -> dict[str, dict[str, str]]:
    """The keys of each test in the copy's own list."""
    text = (folder / "x86/unittests.cfg").read_text(encoding="utf-8")
    parts = (part.split("]", 1) for part in re.split(r"^\[", text, flags=re.M)[1:])
    return {name: dict(re.findall(r"^(\w+)\s*=\s*(.*)$", body, re.M)) for name, body in parts}


def _copy(lab: Session) -> Path:
    named = os.environ.get("OYA_KVM_UNIT_TESTS")
    if not named:
        lab.skip("OYA_KVM_UNIT_TESTS names no built copy of kvm-unit-tests")
    return Path(named)


def _judge(host: Host, folder: Path, test: dict[str, str]) -> str:
    """The end of the output of one that does not pass; empty: it passes."""
    host.put(folder / "x86" / test["file"], "/root/test.flat")
    done = host.run(
        f"timeout {_LIMIT_S} qemu-system-x86_64 --no-reboot -nodefaults -device pc-testdev "
        "-device isa-debug-exit,iobase=0xf4,iosize=0x4 -vnc none -serial stdio -kernel /root/test.flat "
        f"-machine accel=kvm,kernel_irqchip=split -smp {shlex.quote(test.get('smp', '1'))} "
        f"{test.get('extra_params', '')} </dev/null 2>&1",
        timeout=_LIMIT_S + 30,
        check=False,
    )
    return "" if done.rc == _PASSED else f"exit {done.rc}: {done.out[-1500:]}"


def _failing(host: Host, folder: Path) -> dict[str, str]:
    """The ends of the outputs of those that do not pass."""
    sections = _sections(folder)
    ends = {name: _judge(host, folder, sections[name]) for name in _NAMES.split()}
    return {name: text for name, text in ends.items() if text}


def _as_known(failing: dict[str, str], known: dict[str, str]) -> None:
    new = [f"{name} does not pass: {text}" for name, text in failing.items() if name not in known]
    assert not new, "\n".join(new)
    better = sorted(set(known) - set(failing))
    assert not better, f"{better} pass, and are listed as failing"


@timeout(2400)
def test_kvm_unit_tests_pass_on_the_driver_but_for_those_that_are_listed(lab):
    folder = _copy(lab)
    with lab.hosts(cpus=2, memory_mib=3072, hypervisor=lab.binary("hypervisor/oya-hv")) as hosts:
        load_driver(hosts[0], lab.tmp, "kvm=1")
        before = numbers(hosts[0])
        failing = _failing(hosts[0], folder)
        nothing_left(before, numbers(hosts[0]))
        _as_known(failing, _FAIL_ON_OURS)
        assert hosts[0].run(CALM).out == "", hosts[0].run("dmesg | tail -50").out


@timeout(2400)
def test_kvm_unit_tests_pass_on_stock_kvm_but_for_those_that_are_listed(lab):
    folder = _copy(lab)
    sections, failing = _sections(folder), {}
    for name in _NAMES.split():
        lab.host.run("modprobe kvm_amd || modprobe kvm_intel")
        try:
            text = _judge(lab.host, folder, sections[name])
        except LabError as error:  # the next one gets another host
            text = f"the emulated host did not survive it: {error}"
            lab.drop_host()
        if text:
            failing[name] = text
    _as_known(failing, _FAIL_ON_STOCK)
