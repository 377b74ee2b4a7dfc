"""A VM that serves a page moves between two hosts that share storage, under clients and load; refusals; a host that dies amid it."""

import time

from lab import Hosts
from lab.live import DOWNTIME, NAME, Live
from lab.machine import Hardware
from lab.process import say
from lab.runner import Session, timeout
from lab.service import packages

# The third host: of the same maker, and without much of what the others have. Where the machine is busy, the timer is late.
_OTHER = Hardware(model="qemu64,+svm,+npt", append="no_timer_check")
_SLOW = f"{DOWNTIME} --bandwidth 3M --compress never"
_FILE_MIB = 16


def _set_up(lab: Session, hosts: Hosts) -> Live:
    live = Live(hosts, lab.tmp)
    deb = packages(lab.binary("host/oyad").parent.parent)[0]
    live.install(deb)
    live.install_one(live.keeper, deb)
    live.trust(live.pair[0], live.keeper)
    live.switch(live.pair[0])
    live.make()
    live.start()
    return live


def _is_refused(live: Live) -> None:
    """With all that stands in the way; and nothing has changed."""
    told = live.ask(0, 1)
    assert told.rc == 1 and "there is no switch 'lan' for its NIC" in told.err, told
    assert "processor" not in told.err and "image" not in told.err, told
    told = live.ask(0, 2)
    assert told.rc == 1 and "there is no switch 'lan'" in told.err, told
    assert "the processor here lacks what its guest may use" in told.err and "ssse3" in told.err, told
    assert "virtio-root-of" in told.err, told
    assert live.where() == [[f"{NAME} running"], []], live.where()


def _reads(live: Live) -> int:
    """How often the guest has read from its root disk."""
    return int(live.guest("cat /sys/block/$(basename $(findmnt -no SOURCE /))/stat").split()[0])


def _moves_with_its_files(live: Live) -> None:
    """What is on the disk, what was read into memory on the way, clock and boot id."""
    boot = live.boot_id()
    apart = live.clock_apart(live.pair[0])
    live.guest(f"head -c {_FILE_MIB}M /dev/urandom >before; md5sum before >sums; sync; echo 3 >/proc/sys/vm/drop_caches")

    def meanwhile() -> None:
        live.in_rounds(0)
        live.guest("cat before >/dev/null")
        assert live.job(0)["state"] == "running", "it had moved before the file was read"
        live.guest("head -c 1M /dev/urandom >during; md5sum during >>sums; sync")

    moved = live.move(0, 1, _SLOW, meanwhile)
    say(f"there, while files are read and written: {moved}")
    assert moved.seen.whole(), moved
    assert live.boot_id() == boot
    assert abs(live.clock_apart(live.pair[1]) - apart) < 2
    before = _reads(live)
    live.guest("md5sum -c sums")
    assert _reads(live) - before < _FILE_MIB, "the file was read from the disk, not from memory"
    live.guest("head -c 1M /dev/urandom >after; md5sum after >>sums; sync; echo 3 >/proc/sys/vm/drop_caches; md5sum -c sums")


def _moves_under_load(live: Live) -> None:
    live.guest("systemd-run -q --unit=load -p StandardOutput=file:/root/load.txt -p RemainAfterExit=yes python3 /root/guest.py load 75")
    time.sleep(3)
    moved = live.move(1, 0, timeout=900)
    say(f"back, with load: {moved}")
    assert moved.seen.whole(), moved
    told = live.guest("while ! [ -s /root/load.txt ]; do sleep 1; done; cat /root/load.txt", 300)
    say(f"its load: {told}")
    assert told.count(" 0 bad") == 2, told
    live.guest("systemctl stop load; md5sum -c sums")


def _outlives_the_other_host(live: Live) -> None:
    """Which loses its power amid the move, and comes back with nothing of it."""
    client = live.client()
    command = live.begin(0, 1, _SLOW)
    live.in_rounds(0)
    live.pair[1].kill_host()
    began = time.monotonic()
    assert command.wait(120) == 1, command.output()
    say(f"given up {time.monotonic() - began:.0f} s after the other host's end: {command.output().strip()}")
    seen = live.seen(client)
    say(f"meanwhile: {seen}")
    assert seen.whole(), seen
    live.pair[1].power_on()
    live.pair[1].run("systemctl start oyad.service", timeout=200)  # which has to wait for the folder
    assert live.where() == [[f"{NAME} running"], []], live.where()


@timeout(2700)
def test_a_vm_moves_between_hosts_and_its_clients_lose_nothing(lab):
    with lab.hosts(3, hardware=[Hardware(), Hardware(), _OTHER]) as hosts:
        live = _set_up(lab, hosts)
        _is_refused(live)
        live.switch(live.pair[1])
        _moves_with_its_files(live)
        _moves_under_load(live)
        _outlives_the_other_host(live)
        moved = live.move(0, 1)
        say(f"to the host that has come back: {moved}")
        assert moved.seen.whole(), moved
        live.pair[1].run(f"oya vm stop {NAME}", timeout=300)
        assert live.where() == [[], [f"{NAME} off"]], live.where()
