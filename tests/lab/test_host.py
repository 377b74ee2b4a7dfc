"""The packages on a host with a real systemd: VMs are units, which outlive oyad and its upgrade, and stop and start with the host."""

import json
import time
from collections.abc import Callable

from lab import Host, images, parent
from lab import vm as vms
from lab.runner import ON_HYPERVISOR, Session, timeout
from lab.service import packages

_END = "/var/log/oya-end"
_GUEST = "while :; do sleep 60; done"
# What there is behind the end of its VMs: what was said of them, oyad, and the network.
_NOTES = f"""[Service]
ExecStopPost=/bin/sh -c 'journalctl --sync; (journalctl -b -o cat -u oyad -u oya-vms; systemctl is-active oyad; cat /sys/class/net/eth0/operstate) >{_END}; sync'
"""
# As the lab's other VMs have it (lab/vm.py), also after the host's next start.
_HUGE_PAGES = f"w {vms.HUGE_PAGES} - - - - advise"


def _wait(what: str, condition: Callable[[], object], seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.5)


class _Tiny:
    """The VM `tiny` on a host with the package."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.unit = f"oya-vm-{self.show()['uuid']}.service"

    def show(self) -> dict:
        """As the API tells it; empty while nobody answers."""
        done = self.host.run("oya vm show tiny -o json", check=False)
        return json.loads(done.out) if done.rc == 0 else {}

    def wait_running(self) -> None:
        """Until oyad knows that it runs."""
        _wait("tiny does not run", lambda: self.show().get("state") == "running")

    def wait_heartbeat(self) -> None:
        """Until its guest has integration services."""

        def beats() -> bool:
            status = self.show().get("status") or {}
            return status.get("integration", {}).get("heartbeat", {}).get("state") == "ok"

        _wait("the guest of tiny has no heartbeat", beats, 240)

    def answers(self) -> int:
        """How often its guest has answered heartbeats since its worker began, as the channel counts now."""
        told = json.loads(self.host.run("oya vm stat tiny -o json").out)
        return sum(int(channel["packets_in"]) for channel in told["channels"] if channel["device"] == "heartbeat")

    def pid(self) -> int:
        """Of its worker, as systemd knows it; 0: it does not run."""
        return int(self.host.run(f"systemctl show -P MainPID {self.unit}").out)


def _prepare(lab: Session, host: Host) -> None:
    """A kernel and an initrd on the host's own disk; notes of its end."""
    kernel, _ = vms.kernel(host, "bookworm")
    host.run(f"cp {kernel} /srv/vmlinuz; umount {host.home}/bookworm")
    host.detach("guest-bookworm")
    initrd = images.initrd_with_job(images.guest_initrd("bookworm"), _GUEST, lab.tmp / "initrd")
    host.put(initrd, "/srv/initrd")
    host.run("cat >/etc/tmpfiles.d/oya-lab.conf", stdin=_HUGE_PAGES + "\n")
    host.run("systemd-tmpfiles --create oya-lab.conf", check=False)
    host.run("mkdir -p /etc/systemd/system/oya-vms.service.d; cat >/etc/systemd/system/oya-vms.service.d/lab.conf", stdin=_NOTES)


def _installs(lab: Session, host: Host) -> None:
    host.put(packages(lab.binary("host/oyad").parent.parent)[0], "/root/oya.deb")
    host.run("dpkg -i /root/oya.deb", timeout=300)
    host.run("systemctl is-active oyad.service oya-vms.service")
    assert host.run("stat -c '%a %G' /run/oya /run/oya/api").out == "711 oya\n660 oya\n"
    # Who is in the group may, others may not.
    host.run("useradd -G oya ann; useradd bob; runuser -u ann -- oya vm list")
    refused = host.run("runuser -u bob -- oya vm list", check=False)
    assert refused.rc == 1 and "you may not use" in refused.err, refused


def _starts_as_a_unit(host: Host) -> _Tiny:
    host.run("oya vm create tiny --kernel /srv/vmlinuz --initrd /srv/initrd --append 'console=ttyS0 quiet' --memory 256M")
    host.run("oya vm set tiny start.action=always limits.cpu_percent=150 limits.cpu_weight=200")
    host.run("oya vm start tiny", timeout=200)
    tiny = _Tiny(host)
    group = f"/sys/fs/cgroup/oya.slice/{tiny.unit}"
    assert host.run(f"cat {group}/cpu.max {group}/cpu.weight").out == "150000 100000\n200\n"
    assert f"{tiny.pid()}\n" in host.run(f"cat {group}/cgroup.procs").out
    return tiny


def _is_found_in_the_journal(host: Host, tiny: _Tiny) -> None:
    """By its name: what oyad says of it, and its worker."""
    told = host.run("journalctl --sync; journalctl -o json OYA_VM=tiny").out
    lines = [json.loads(line) for line in told.splitlines()]
    units = {line["_SYSTEMD_UNIT"] for line in lines}
    assert units == {"oyad.service", tiny.unit}, units
    assert "the VM 'tiny' is running" in [line["MESSAGE"] for line in lines], told
    assert {line["OYA_VM_UUID"] for line in lines} == {tiny.show()["uuid"]}, told


def _is_saved_and_goes_on(host: Host, tiny: _Tiny) -> None:
    """As a unit, whose folder is the VM's: three times, with its heartbeat each time."""
    for _ in range(3):
        before = tiny.pid()
        host.run("oya vm save tiny", timeout=200)
        assert tiny.show()["state"] == "saved" and tiny.pid() == 0, tiny.show()
        host.run("oya state verify /var/lib/oya/vms/tiny/saved.state && oya vm start tiny", timeout=200)
        assert tiny.pid() not in (0, before)
        tiny.wait_running()
        answers = tiny.answers()
        _wait("the guest of tiny does not go on", lambda: tiny.answers() > answers, 60)
    assert host.run("test -e /var/lib/oya/vms/tiny/saved.state", check=False).rc == 1


def _stands_a_clock_that_jumps(host: Host, tiny: _Tiny) -> None:
    """A day ahead and back: nothing of the VM is told by the hour."""
    worker = tiny.pid()
    for day in ("+1 day", "-1 day"):
        host.run(f"date -s '{day}' && oya vm list && oya job list")
        assert tiny.show()["state"] == "running" and tiny.pid() == worker
    host.run("oya vm pause tiny && oya vm resume tiny")
    tiny.wait_running()


def _begins_anew_at_once(host: Host, tiny: _Tiny) -> None:
    """The unit of the run before may still be there."""
    before = tiny.pid()
    for _ in range(3):
        host.run("oya vm stop tiny --off && oya vm start tiny", timeout=200)
    assert tiny.pid() not in (0, before)
    before = tiny.pid()
    host.run(f"kill -9 {before}")
    _wait("its crash is not followed by a start", lambda: tiny.pid() not in (0, before))
    tiny.wait_running()


def _outlives(host: Host, tiny: _Tiny, command: str) -> None:
    worker = tiny.pid()
    daemon = host.run("systemctl show -P MainPID oyad").out
    host.run(command, timeout=200)
    _wait("oyad is the old one", lambda: host.run("systemctl show -P MainPID oyad").out not in ("0\n", daemon))
    tiny.wait_running()
    assert tiny.pid() == worker, "the worker is another one"
    assert host.run("systemctl is-active oya-vms.service").out == "active\n"


def _reboots(host: Host, tiny: _Tiny) -> None:
    if ON_HYPERVISOR:
        parent.keep_driver(host)
    host.reboot(timeout=500)
    tiny.wait_running()
    assert tiny.pid()
    told = host.run(f"cat {_END}").out
    end = told[told.rindex("1 VMs are stopped, since the host ends") :]
    assert "the VM 'tiny' is off" in end and "All VMs of this host are off." in end, told
    assert "has not shut down" not in end and end.endswith("active\nup\n"), told


def _goes(host: Host, tiny: _Tiny) -> None:
    worker = tiny.pid()
    told = host.run("dpkg -r oya", timeout=200).out
    assert "VMs that run go on (1)" in told, told
    assert tiny.pid() == worker and host.run(f"systemctl is-active {tiny.unit}").out == "active\n"
    assert host.run("systemctl is-active oyad.service", check=False).out == "inactive\n"
    told = host.run("dpkg -P oya", timeout=200).out
    assert "are kept in /var/lib/oya/vms" in told, told
    host.run("test -e /var/lib/oya/vms/tiny/vm.json; systemctl stop oya.slice", timeout=200)
    assert host.run("pgrep oya-worker", check=False).rc == 1


@timeout(2700)
def test_packages_and_vms_live_with_systemd(lab):
    with lab.hosts() as hosts:
        host = hosts[0]
        _prepare(lab, host)
        _installs(lab, host)
        tiny = _starts_as_a_unit(host)
        _begins_anew_at_once(host, tiny)
        tiny.wait_heartbeat()
        _is_found_in_the_journal(host, tiny)
        _is_saved_and_goes_on(host, tiny)
        _stands_a_clock_that_jumps(host, tiny)
        _outlives(host, tiny, "systemctl restart oyad")
        _outlives(host, tiny, "kill -9 $(systemctl show -P MainPID oyad)")
        _outlives(host, tiny, "dpkg -i /root/oya.deb")
        _reboots(host, tiny)
        _goes(host, tiny)
