"""The lab by hand: `python3 -m lab image|shell|run|prune`."""

from __future__ import annotations

import argparse
import shlex
import sys

from . import cache
from .hosts import SNAPSHOTS_KEPT, hosts
from .images import golden_image, guest_image, guest_initrd, host_image, server_image
from .process import LabError, spawn
from .recipes import SUITES


def main(argv: list[str]) -> int:
    """Run one verb; its exit code."""
    args = _parse(argv)
    try:
        return int(args.verb(args) or 0)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m lab", description="Emulated hosts and guest images.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    image = verbs.add_parser("image", help="build an image if the cache lacks it, print its paths")
    image.add_argument("kind", choices=("host", "server", "guest", "golden", "initrd"))
    image.add_argument("suite", choices=SUITES)
    image.set_defaults(verb=_image)

    shell = verbs.add_parser("shell", help="start hosts, open a shell on the first")
    shell.add_argument("-n", type=int, default=1, help="how many hosts")
    _host_options(shell)
    shell.set_defaults(verb=_shell)

    run = verbs.add_parser("run", help="start one host, run a command there, exit with its code")
    _host_options(run)
    run.add_argument("--timeout", type=float, default=600.0, help="seconds")
    run.add_argument("command", nargs="+", metavar="-- COMMAND")
    run.set_defaults(verb=_run)

    prune = verbs.add_parser("prune", help="remove snapshots from the cache, or with --all everything")
    prune.add_argument("--all", action="store_true")
    prune.set_defaults(verb=_prune)
    return parser.parse_args(argv)


def _host_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--suite", choices=SUITES, default="bookworm")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--memory", type=int, default=2048, help="MiB")
    parser.add_argument("--shared-disk", type=int, default=None, help="MiB")
    parser.add_argument("--disk", action="append", default=[], help="raw image, plugged in read-only")
    parser.add_argument("--no-snapshot", action="store_true", help="boot from power-off")


def _options(args: argparse.Namespace) -> dict[str, object]:
    return {
        "suite": args.suite,
        "cpus": args.cpus,
        "memory_mib": args.memory,
        "shared_disk_mib": args.shared_disk,
        "extra_disks": args.disk,
        "snapshot": not args.no_snapshot,
    }


def _image(args: argparse.Namespace) -> None:
    if args.kind == "initrd":
        print(guest_initrd(args.suite))
        return
    makers = {"host": host_image, "server": server_image, "guest": guest_image, "golden": golden_image}
    image = makers[args.kind](args.suite)
    for name, value in vars(image).items():
        print(f"{name}={value}")


def _shell(args: argparse.Namespace) -> int:
    with hosts(n=args.n, **_options(args)) as group:  # type: ignore[arg-type]
        for host in group:
            print(f"{host.name} {host.address}  {shlex.join(host.shell.argv('', terminal=True))}", file=sys.stderr)
        return spawn(group[0].shell.argv("", terminal=True)).wait()


def _run(args: argparse.Namespace) -> int:
    command = args.command[0] if len(args.command) == 1 else shlex.join(args.command)
    with hosts(**_options(args)) as group:  # type: ignore[arg-type]
        result = group[0].run(command, timeout=args.timeout, check=False)
    sys.stdout.write(result.out)
    sys.stderr.write(result.err)
    return result.rc


def _prune(args: argparse.Namespace) -> None:
    kinds = ("snapshot", "host", "guest", "golden", "initrd") if args.all else ("snapshot",)
    for kind in kinds:
        for path in cache.prune_to(kind, 0):
            print(f"removed {path}")
    if not args.all:
        print(f"images stay (--all removes them); at most {SNAPSHOTS_KEPT} snapshots are kept in any case")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
