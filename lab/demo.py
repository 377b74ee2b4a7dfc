"""The demo: a stock Debian in a VM of ours, used through its own Hyper-V drivers; then the host service, as its package brings it.

`python3 -m lab.demo [--build DIR] [--emulated] [--hypervisor]`. On a machine whose KVM carries a whole guest the VM runs on the machine
itself, else inside an emulated host. Exit code 1 when a step failed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from . import vm
from .cluster import Cluster
from .hosts import Host, Hosts, hosts
from .images import guest_image
from .live import FOLDER, NAME, Live, Moved, each
from .local import LocalHost
from .machine import accel
from .process import LabError, say
from .service import PAGE as PAGE_OF_VM
from .service import Service, cluster_package, packages

PROJECT = Path(__file__).resolve().parent.parent
SUITE = "bookworm"
ADDRESS = "192.0.2.1"  # of documentation (RFC 5737): nobody's
PAGE = "This page came over the virtual NIC."
INTERFACE = "oya-demo"

GUEST_SCRIPT = f"""section() {{ echo; echo "== $1"; }}
section "what the guest's kernel says"
dmesg | grep -E 'Hypervisor detected|Vmbus version|Attached SCSI disk|netvsc|IC version' | sed 's/^\\[ *[0-9.]*\\] //' | sort -u
section "a file on the VMBus disk"
head -c 16M /dev/urandom >/root/file; sync; a=$(md5sum </root/file); echo 3 >/proc/sys/vm/drop_caches; b=$(md5sum </root/file)
[ "$a" = "$b" ] && echo "FILE-OK 16 MiB written, read back from $(findmnt -no SOURCE /)"
section "a page over the VMBus NIC"
for n in $(seq 60); do ip -4 -br addr show dev eth0 | grep -q '\\.' && break; sleep 0.5; done
ip -4 -br addr show dev eth0
curl -sS --retry 5 --retry-connrefused --max-time 20 http://{ADDRESS}:8000/ && echo
"""


class Steps:
    """The steps of the demo, with what each found and how long it took."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, bool, str]] = []
        self._words: list[str] = []
        self._began = time.monotonic()

    def check(self, name: str, good: bool, detail: str) -> None:
        """Record and print one step."""
        self._rows.append((name, good, detail))
        print(f"  {'ok    ' if good else 'FAILED'}  {name}: {detail}", flush=True)

    def tell(self, text: str) -> None:
        """A line of the summary."""
        self._words.append(text)

    def summary(self) -> int:
        """Print the end; the exit code."""
        failed = sum(not good for _, good, _ in self._rows)
        seconds = time.monotonic() - self._began
        print(f"\nSummary: {len(self._rows) - failed} of {len(self._rows)} steps done, {seconds:.0f} s.")
        for text in self._words:
            print(f"  {text}")
        return 1 if failed else 0


@contextlib.contextmanager
def place(emulated: bool) -> Iterator[vm.Place]:
    """Where the VM runs; everything there is undone at the end."""
    if emulated:
        say("this machine cannot carry a whole guest: the VM runs in an emulated host (expect a tenth of the speed)")
        with hosts(memory_mib=3072) as hs:
            yield hs[0]
        return
    with tempfile.TemporaryDirectory(prefix="oya-demo.") as folder:
        host = LocalHost(Path(folder))
        try:
            yield host
        finally:
            host.run(f"ip link del {INTERFACE}", check=False)


def serve(host: vm.Place) -> None:
    """A web server of the host at ADDRESS."""
    host.run(f"ip link add {INTERFACE} type dummy && ip addr add {ADDRESS}/32 dev {INTERFACE} && ip link set {INTERFACE} up")
    host.run(f"mkdir -p {host.home}/www && echo '{PAGE}' >{host.home}/www/index.html")
    host.spawn(f"exec python3 -m http.server --directory {host.home}/www --bind {ADDRESS} 8000")


def line_with(console: str, text: str) -> str:
    """The first line of the console with `text`, without its timestamp; "" when there is none."""
    found = next((line for line in console.splitlines() if text in line), "")
    return found.rsplit("] ", 1)[-1].strip()


def use(machine: vm.Vm, steps: Steps) -> None:
    """Watch the guest come up, and look at it from outside."""
    console = machine.wait_for("OYA-JOB-END", timeout=240)
    started = console.find("== what the guest")
    print("\n".join("    " + line.strip("\r") for line in console[started:].splitlines()), flush=True)
    for name, text in (
        ("hypervisor", "Hypervisor detected: Microsoft Hyper-V"),
        ("bus", "Vmbus version:5.3"),
        ("disk", "Attached SCSI disk"),
        ("NIC", "hv_netvsc"),
        ("heartbeat", "Heartbeat IC version"),
        ("shutdown service", "Shutdown IC version"),
        ("time synchronisation", "TimeSync IC version"),
        ("file written and read back", "FILE-OK"),
        ("page fetched", PAGE),
    ):
        steps.check(name, bool(line_with(console, text)), line_with(console, text) or f"no line with {text!r}")
    console = machine.wait_for("root@guest", timeout=120)
    steps.check("login", True, "root@guest, on the serial console")
    facts: dict[str, str] = {}
    for _ in range(40):
        facts = machine.control("guest")
        if facts.get("NetworkAddressIPv4"):
            break
        time.sleep(1)
    told = f"{facts.get('OSName', 'nothing')} at {facts.get('NetworkAddressIPv4', 'no address')}"
    steps.check("key-value exchange, seen from the host", "OSName" in facts, told)
    status = machine.control("status")["integration"]["heartbeat"]
    steps.check("heartbeat, seen from the host", status["state"] == "ok", f"{status['answers']} answers")


def show_guest(host: vm.Place, build: Path, tmp: Path, steps: Steps) -> None:
    """A stock Debian in a VM of ours on `host`, from its start to its end."""
    serve(host)
    say("booting a stock Debian 12: its own kernel, initrd and root disk, 2 processors, 1 GiB")
    machine = vm.start(
        host, build, tmp, script=GUEST_SCRIPT, suite=SUITE, root=True, keep=True,
        cpus=2, memory="1G", options="--net user",
    )  # fmt: skip
    try:
        use(machine, steps)
        machine.control("shutdown", reason="the demo is over")
        done = machine.finish(timeout=120)
        steps.check("shut down by the guest's own service", done.rc == 0, line_with(done.console, "Power down"))
    finally:
        machine.end()


def show_service(host: Host, build: Path, tmp: Path, steps: Steps) -> None:
    """The package on a host: a VM of an image, which boots by itself, is used, changed and upgraded under."""
    service = Service(host)
    steps.check("the package is installed", True, service.install(packages(build)[0]))
    say("a stock Debian with its own boot loader becomes an image of the host")
    steps.check("oya image import debian", True, service.import_image())
    steps.check("oya vm create web --image debian", True, service.make(tmp))
    say("starting it: firmware, GRUB, Linux; GRUB reads its kernel by an emulated processor, which takes minutes")
    steps.check("oya vm start web; it has an address", True, service.start())
    page = service.page()
    steps.check("curl to its web server", page == PAGE_OF_VM, page)
    steps.check("a disk is added while it runs", True, service.add_disk())
    steps.check("oya vm save web; oya vm start web", True, service.save())
    sent, answered, new = service.upgrade()
    steps.check("oyad is upgraded, without a lost ping", new and sent == answered, f"{answered} of {sent} answered")
    steps.check("shut down by its guest", service.stop() == "off", "oya vm stop web")
    left = service.purge()
    steps.check("removed, and nothing is left", left == "", left or "no process")


def show_live(build: Path, tmp: Path, steps: Steps) -> None:
    """A VM goes from one host to another and back while a client asks for its page."""
    say("a VM that moves: two hosts, and a third with the folder that they share, and with the client")
    with hosts(3) as members:
        live = Live(members, tmp)
        live.install(packages(build)[0])
        each(live.pair, live.switch)
        steps.check("two hosts with the package, a switch, a token for each other and a folder that both have", True, FOLDER)
        live.make()
        live.start()
        steps.check("a VM with a web server, which has an address of the hosts' network", True, live.where()[0][0])
        gaps = []
        for what, go in (
            ("oya vm migrate web host2", lambda: live.move(0, 1)),
            ("oya vm migrate web host1", lambda: live.move(1, 0)),
            ("oya vm migrate web host2 --quick", lambda: live.move(0, 1, "--quick")),
            ("oya vm save web; oya vm start web", lambda: live.save(1)),
        ):
            done = go()
            seen = done.seen if isinstance(done, Moved) else done
            steps.check(what, seen.whole(), str(done))
            gaps.append(f"{seen.page_gap} ms by `{what}`")
        gaps += show_cluster(members, live, build, steps)
    steps.tell("Longest time between two answers to the VM's client, on emulated processors:")
    for gap in gaps:
        steps.tell(f"  {gap}")


def show_cluster(members: Hosts, live: Live, build: Path, steps: Steps) -> list[str]:
    """The three hosts become a cluster, and the VM one of its; its host dies. How long the client had no answer."""
    say("a failover cluster of the three hosts, with the power board of the emulators to fence by")
    cluster = Cluster(live)
    cluster.install(packages(build)[0], cluster_package(build))
    cluster.form()
    steps.check("oya cluster create lab; oya cluster join, on two more hosts", True, cluster.told_nodes())
    cluster.fence()
    cluster.take()
    steps.check("oya vm cluster web", True, cluster.told(f"vm-{NAME}"))
    gaps = []
    for options in ("", "--quick"):
        told, seen = cluster.move(options)
        steps.check(f"oya vm migrate web, by the cluster {options}".rstrip(), seen.whole(), f"{told} The client: {seen}")
        gaps.append(f"{seen.page_gap} ms by a move of the cluster's {options}".rstrip())
    lost = cluster.lose_host(members.board)
    steps.check("its host loses power: the VM answers again from another", True, str(lost))
    gaps.append(f"{1000 * lost.answers:.0f} ms by the death of its host")
    cluster.comes_back()
    steps.check("the host that was lost is a member again", True, cluster.told_nodes())
    return gaps


def show_host(host: vm.Place, build: Path, tmp: Path, steps: Steps) -> None:
    """All that a host shows; packages are installed in emulated ones only."""
    show_guest(host, build, tmp, steps)
    if isinstance(host, Host):
        show_service(host, build, tmp, steps)
    else:
        say("`./demo --emulated` shows the package and its host service too, in an emulated host")


def show_role(host: Host, build: Path, tmp: Path, steps: Steps) -> None:
    """A server that boots by itself gets the hypervisor beneath it, runs VMs, and is a plain server again."""
    for deb in packages(build):
        host.put(deb, f"/root/{deb.name}")
    say("installing the packages; DKMS compiles the driver on the emulated processor, which takes minutes")
    host.run("dpkg -i /root/*.deb", timeout=2400)
    steps.check("the packages are installed", True, host.run("dkms status oya-kvm").out.strip())
    print("    " + host.run("oya role install", timeout=1200).out.replace("\n", "\n    ").rstrip(), flush=True)
    say("rebooting: firmware, GRUB, hypervisor, Linux")
    host.reboot()
    host.run("mountpoint -q /sys/kernel/debug || mount -t debugfs d /sys/kernel/debug")
    print("    " + host.run("cat /sys/kernel/debug/oya/log; oya role status").out.replace("\n", "\n    ").rstrip(), flush=True)
    status = json.loads(host.run("oya role status -o json").out)
    steps.check("the installed Debian is the parent partition", status["parent"], f"interface {status['interface']}")
    steps.check("its driver is loaded", status["driver_loaded"], "/dev/oya")
    second = vm.start(host, build, tmp, name="second", script="echo SECOND-CHILD; sleep 3600", memory="256M")
    try:
        second.wait_for("SECOND-CHILD")
        show_guest(host, build, tmp, steps)
        told = host.run("grep partitions /sys/kernel/debug/oya/info").out.strip()
        steps.check("the second child still runs", second.running() and told == "partitions 1", told)
    finally:
        second.end()
    host.run("oya role remove", timeout=300)
    host.reboot()
    status = json.loads(host.run("oya role status -o json").out)
    steps.check("removed, and plain Linux again", not status["parent"] and not status["installed"], "rebooted")


def _place_of(args: argparse.Namespace) -> contextlib.AbstractContextManager[vm.Place]:
    if args.hypervisor:
        return _server()
    return place(args.emulated or accel(nested=False) == "tcg")


@contextlib.contextmanager
def _server() -> Iterator[Host]:
    say("an emulated server with plain Debian, which boots by GRUB from its own disk")
    with hosts(memory_mib=3072, boots_itself=True) as hs:
        yield hs[0]


def main(argv: list[str]) -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(prog="demo", description="Boots a stock Debian in a VM of ours and uses it.")
    parser.add_argument("--build", type=Path, default=PROJECT / "build" / "release")
    parser.add_argument("--emulated", action="store_true", help="inside an emulated host, even with hardware KVM")
    parser.add_argument("--hypervisor", action="store_true", help="a server gets the hypervisor beneath it, and VMs on that")
    args = parser.parse_args(argv)
    guest_image(SUITE)
    steps = Steps()
    show: Callable[..., None] = show_role if args.hypervisor else show_host
    try:
        with _place_of(args) as host, tempfile.TemporaryDirectory() as tmp:
            show(host, args.build, Path(tmp), steps)
        if isinstance(host, Host) and not args.hypervisor:
            with tempfile.TemporaryDirectory() as tmp:
                show_live(args.build, Path(tmp), steps)
    except LabError as error:
        steps.check("demo", False, str(error))
    return steps.summary()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
