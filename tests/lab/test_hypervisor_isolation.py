"""A parent and children that attack the hypervisor and one another: all is refused, all else goes on."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import lab as oya_lab
from lab.parent import load_driver, made, put_module
from lab.runner import PROJECT, Session, timeout

_CALM = "dmesg --level=emerg,alert,crit,err,warn | grep -E 'BUG|WARN|Oops|Stale|FOUND|MCE|hung|stall' || true"


@contextlib.contextmanager
def _parent(lab: Session, cpus: int) -> Iterator[oya_lab.Host]:
    with lab.hosts(cpus=cpus, memory_mib=2048, hypervisor=lab.binary("hypervisor/oya-hv")) as hosts:
        host = hosts[0]
        load_driver(host, lab.tmp)
        yield host


def _program(lab: Session, host: oya_lab.Host, sources: list[str]) -> None:
    name = Path(sources[0]).stem
    program = lab.tmp / name
    made(["gcc", "-O2", "-static", "-pthread", "-o", str(program), *(str(PROJECT / source) for source in sources)])
    host.put(program, f"/root/{name}")


def _state(host: oya_lab.Host) -> dict[str, str]:
    words = dict(line.split() for line in host.run("cat /sys/kernel/debug/oya/info").out.splitlines())
    return {name: words[name] for name in ("pages_left", "partitions")}


@timeout(600)
def test_parent_that_attacks_gets_nothing(lab):
    seed = int(os.environ.get("OYA_SEED", "0")) or int.from_bytes(os.urandom(4), "little") | 1
    print(f"# seed {seed} (OYA_SEED)")
    with _parent(lab, cpus=2) as host:
        _program(lab, host, ["tests/system/kvm_child.c"])
        attack = put_module(host, PROJECT / "tests/lab/attacks", lab.tmp)
        # Two children that must not notice anything.
        host.run("(/root/kvm_child /dev/oya forever >forever 2>&1 &); for n in $(seq 100); do grep -q spinning forever && exit; sleep 0.1; done; exit 1")
        before = _state(host)
        assert before["partitions"] == "2", before
        done = host.run(f"timeout 200 insmod {attack} seed={seed} milliseconds=10000 rounds=20; echo $?; dmesg | grep oya_attack", timeout=230, check=False)
        found = re.search(r"seed \d+: (\d+) found", done.out)
        assert found and found[1] == "0", f"seed {seed}: {done.out}{done.err}"
        print("# " + "; ".join(line.split("oya_attack: ")[1] for line in done.out.splitlines() if "oya_attack: " in line))
        assert _state(host)["partitions"] == before["partitions"]
        host.run("pgrep -x kvm_child && timeout 60 /root/kvm_child /dev/oya long && timeout 60 /root/kvm_child /dev/oya spin")
        host.run("pkill -9 -x kvm_child; for n in $(seq 100); do pgrep -x kvm_child >/dev/null || exit 0; sleep 0.1; done; exit 1")
        assert _state(host)["partitions"] == "0"
        assert "nothing was" not in host.console() and "panic" not in host.console(), host.console()[-2000:]
        assert host.run(_CALM).out == "", host.run("dmesg | tail -50").out


@timeout(600)
def test_children_get_no_further_than_their_own(lab):
    with _parent(lab, cpus=2) as host:
        _program(lab, host, ["tests/system/kvm_guests.c", "hypervisor/guests/guests.S"])
        before = _state(host)
        done = host.run("timeout 300 /root/kvm_guests /dev/oya; echo status $?", timeout=330, check=False)
        print("".join(f"# {line}\n" for line in done.out.splitlines()))
        assert "status 0\n" in done.out, done.out + done.err
        host.run("for n in $(seq 100); do pgrep -x kvm_guests >/dev/null || exit 0; sleep 0.1; done; exit 1")
        assert _state(host)["partitions"] == before["partitions"]
        assert host.run(_CALM).out == "", host.run("dmesg | tail -50").out
