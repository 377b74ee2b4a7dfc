"""`oya role` on hosts that boot by themselves: the hypervisor comes, falls back, and goes."""

import contextlib
import json
import time
from collections.abc import Iterator

import lab as oya_lab
from lab.parent import CALM, install
from lab.runner import Session, timeout


_BROKEN = "no multiboot header found"  # says GRUB
_PLAIN = "Booting `Debian GNU/Linux'"  # too
_PANIC = "asked for by the boot loader"  # the hypervisor


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
    assert not now["installed"] and now["next_boot"] == "linux", now
    host.reboot()
    now = _status(host)
    assert not now["parent"] and not now["driver_loaded"], now
    host.run("modprobe kvm_amd; test -e /dev/kvm; ! test -e /boot/oya; ! test -e /etc/grub.d/42_oya")
    assert host.run("dkms status oya-kvm; ls /usr/src | grep oya || true").out == ""


def _wait_for(host: oya_lab.Host, text: str, more_than: int) -> None:
    for _ in range(600):
        if host.console().count(text) > more_than:
            return
        time.sleep(0.5)
    raise AssertionError(f"no {text!r}: {host.console()[-2000:]}")


def _has_fallen_back(host: oya_lab.Host) -> None:
    now = _status(host)
    assert not now["parent"] and now["last_boot"] == "failed" and now["next_boot"] == "linux", now
    assert "did not come up" in host.run("oya role status").out


def _falls_back_when_switched_off_and_on(host: oya_lab.Host) -> None:
    """A hypervisor that GRUB refuses: whoever finds the host dead switches it off and on."""
    host.run("head -c 8192 /dev/zero >/boot/oya/oya-hv; sync")
    seen = host.console().count(_BROKEN)
    host.kill_host()
    host.power_on(wait=False)
    _wait_for(host, _BROKEN, seen)
    host.power_on()
    _has_fallen_back(host)
    host.reboot()
    assert not _status(host)["parent"], "it is tried again by itself"


def _falls_back_by_itself(host: oya_lab.Host) -> None:
    """A hypervisor that panics once it is asked for: it resets the machine."""
    host.run("sed -i 's/^GRUB_CMDLINE_OYA=.*/GRUB_CMDLINE_OYA=\"serial panic=test\"/' /etc/default/grub; update-grub 2>&1; sync")
    seen = host.console().count(_PLAIN)
    host.run("(sleep 0.5; systemctl reboot) >/dev/null 2>&1 </dev/null &")
    host.shell.close()
    _wait_for(host, _PANIC, 0)
    host.machine.forget_ready()
    _wait_for(host, _PLAIN, seen)
    host.comes_back()
    _has_fallen_back(host)


@timeout(2400)
def test_role_comes_falls_back_and_goes_on_bios(lab):
    with _server(lab) as host:
        before = _status(host)
        assert (before["installed"], before["parent"], before["next_boot"]) == (False, False, "linux"), before
        assert "would write GRUB's menu" in host.run("oya role install --dry-run").out
        assert _status(host) == before
        _installs(host)
        _comes(host)
        _falls_back_when_switched_off_and_on(host)
        _installs(host)
        _comes(host)
        _goes(host)


@timeout(2400)
def test_role_comes_falls_back_and_goes_on_uefi(lab):
    with _server(lab, uefi=True) as host:
        _installs(host)
        _comes(host)
        _falls_back_by_itself(host)
        _goes(host)


@timeout(300)
def test_role_is_refused_where_grub_does_not_start_the_host(lab):
    install(lab.host, lab.build, lab.tmp)
    done = lab.host.run("oya role install", check=False)
    assert done.rc == 1 and "not started by Debian's GRUB" in done.err, done
