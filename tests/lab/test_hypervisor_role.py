"""`oya role` on hosts that boot by themselves: the hypervisor comes, falls back, and goes."""

import contextlib
import json
import time
from collections.abc import Iterator

import lab as oya_lab
from lab.parent import CALM, install
from lab.runner import Session, timeout


_BROKEN = "no multiboot header found"  # says GRUB


@contextlib.contextmanager
def _server(lab: Session, uefi: bool = False) -> Iterator[oya_lab.Host]:
    with lab.hosts(boots_itself=True, uefi=uefi, memory_mib=2048) as hosts:
        install(hosts[0], lab.build, lab.tmp)
        yield hosts[0]


def _status(host: oya_lab.Host) -> dict:
    return json.loads(host.run("oya role status -o json").out)


def _installs(host: oya_lab.Host) -> None:
    # On an emulated processor the compiler takes its time over the driver.
    told = host.run("oya role install", timeout=900).out
    assert "At the next boot the hypervisor starts first" in told, told
    now = _status(host)
    assert now["next_boot"] == "hypervisor" and not now["parent"], now


def _comes(host: oya_lab.Host) -> None:
    host.reboot()
    now = _status(host)
    assert now["installed"] and now["parent"] and now["driver_loaded"] and now["last_boot"] == "good", now
    assert "the parent partition of oya-hv" in host.run("oya role status").out
    assert host.run(CALM).out == ""


def _goes(host: oya_lab.Host) -> None:
    host.run("oya role remove", timeout=200)
    now = _status(host)
    assert not now["installed"] and now["parent"] and now["next_boot"] == "linux", now
    host.reboot()
    now = _status(host)
    assert not now["parent"] and not now["driver_loaded"], now
    host.run("modprobe kvm_amd; test -e /dev/kvm; ! test -e /boot/oya; ! test -e /etc/grub.d/42_oya")
    assert host.run("dkms status oya-kvm; ls /usr/src | grep oya || true").out == ""


def _falls_back(host: oya_lab.Host) -> None:
    """A hypervisor that does not come up; whoever finds the host dead switches it off and on."""
    host.run("cp /boot/oya/oya-hv /root/good; head -c 8192 /dev/zero >/boot/oya/oya-hv; sync")
    seen = host.console().count(_BROKEN)
    host.kill_host()
    host.power_on(wait=False)
    for _ in range(240):
        if host.console().count(_BROKEN) > seen:
            break
        time.sleep(0.5)
    assert host.console().count(_BROKEN) > seen, host.console()[-2000:]
    host.power_on()
    now = _status(host)
    assert not now["parent"] and now["last_boot"] == "failed" and now["next_boot"] == "linux", now
    assert "did not come up" in host.run("oya role status").out
    host.reboot()
    assert not _status(host)["parent"], "it is tried again by itself"


@timeout(2400)
def test_role_comes_falls_back_and_goes_on_bios(lab):
    with _server(lab) as host:
        before = _status(host)
        assert (before["installed"], before["parent"], before["next_boot"]) == (False, False, "linux"), before
        assert "would write GRUB's menu" in host.run("oya role install --dry-run").out
        assert _status(host) == before
        _installs(host)
        _comes(host)
        _falls_back(host)
        host.run("cp /root/good /boot/oya/oya-hv; grub-editenv /boot/grub/grubenv unset oya_state")
        _comes(host)
        _goes(host)


@timeout(2000)
def test_role_comes_and_goes_on_uefi(lab):
    with _server(lab, uefi=True) as host:
        _installs(host)
        _comes(host)
        _goes(host)


@timeout(300)
def test_role_is_refused_where_grub_does_not_start_the_host(lab):
    install(lab.host, lab.build, lab.tmp)
    done = lab.host.run("oya role install", check=False)
    assert done.rc == 1 and "not started by Debian's GRUB" in done.err, done
