"""Monitors that are not ours, on the driver as /dev/kvm: what they ask of a KVM, and QEMU with a stock Debian."""

from lab import job_disk
from lab.hosts import Host
from lab.parent import CALM, load_driver, nothing_left, numbers
from lab.process import run
from lab.runner import PROJECT, Session, timeout

# What the client is asked for; INT3 is left out, since an emulated processor does not intercept it.
_TESTS = "windows lines apic fpu events msrs carried timer memory log steps signals"

_JOB = """echo PROCESSORS $(nproc)
head -c 4M /dev/urandom | sha256sum
dmesg | grep -E 'BUG|WARN|Oops|stall'
true
"""

_QEMU = """cd /root && timeout 400 qemu-system-x86_64 -machine q35,accel=kvm,kernel-irqchip={irqchip} -cpu qemu64 -smp {cpus} \
-m 512 -nodefaults -no-user-config -display none -serial stdio -no-reboot \
-kernel vmlinuz -initrd initrd -append 'root=LABEL=oya-root ro console=ttyS0 quiet TERM=dumb {append}' \
-device virtio-scsi-pci -drive if=none,id=root,format=raw,snapshot=on,file={disk} -device scsi-hd,drive=root \
-drive if=none,id=job,format=raw,readonly=on,file=job -device scsi-hd,drive=job {more} </dev/null 2>&1"""


def _client(lab: Session, host: Host, device: str) -> None:
    program = lab.tmp / "state"
    done = run(["gcc", "-O2", "-static", "-o", str(program), str(PROJECT / "tests/system/kvm_state.c")], timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    host.put(program, "/root/state")
    for name in _TESTS.split():
        host.run(f"timeout 60 /root/state {device} {name}")


@timeout(400)
def test_stock_kvm_does_what_the_client_of_its_interface_expects(lab):
    lab.host.run("modprobe kvm_amd || modprobe kvm_intel")
    _client(lab, lab.host, "/dev/kvm")


@timeout(600)
def test_driver_does_what_the_client_of_stock_kvm_expects(lab):
    with lab.hosts(cpus=2, memory_mib=2048, hypervisor=lab.binary("hypervisor/oya-hv")) as hosts:
        load_driver(hosts[0], lab.tmp)
        before = numbers(hosts[0])
        _client(lab, hosts[0], "/dev/oya")
        nothing_left(before, numbers(hosts[0]))
        assert hosts[0].run(CALM).out == "", hosts[0].run("dmesg | tail -50").out


@timeout(900)
def test_qemu_boots_a_stock_debian_on_the_driver(lab):
    guest = lab.guest("bookworm")
    with lab.hosts(cpus=2, memory_mib=3072, hypervisor=lab.binary("hypervisor/oya-hv")) as hosts:
        host = hosts[0]
        load_driver(host, lab.tmp, "kvm=1")
        host.put(guest.kernel, "/root/vmlinuz")
        host.put(guest.initrd, "/root/initrd")
        host.put(job_disk(lab.tmp / "job", _JOB), "/root/job")
        disk = host.attach(guest.disk, "guest")
        before = numbers(host)
        command = _QEMU.format(irqchip="split", cpus=2, disk=disk, append="", more="")
        done = host.run(command, timeout=420, check=False)
        assert done.rc == 0 and "PROCESSORS 2" in done.out and "OYA-JOB-END rc=0" in done.out, done
        nothing_left(before, numbers(host))
        assert host.run(CALM).out == "", host.run("dmesg | tail -50").out
