"""The QEMU of the hosts: this machine's own where its KVM carries them, else Debian 13's, unpacked in the cache and mended.

A QEMU that emulates several processors loses what the first one notes of its own mode (docs/design/lab.md, The emulator):
interrupts of hosts, page tables of their guests. The instruction that does it is taken out of the cache's copy. That
runs from a folder, by its own loader and libraries: nothing is installed.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

from . import cache, recipes
from .process import LabError, Progress, run, run_logged, say

_NAME = "qemu-system-x86_64"
_SUITE = "trixie"
_PACKAGES = ("qemu-system-x86", "seabios", "ipxe-qemu")
# What follows a call that finds the first processor: `and dword [rax + hflags2], ~IGNNE`, not atomic, by whichever
# processor loads its FPU's state. Nothing in a host sets IGNNE, a matter of MS-DOS.
_FAULT = re.compile(rb"(\xe8.{4})\x81\xa0.{4}\x7f\xff\xff\xff", re.DOTALL)
_NOP = bytes.fromhex("662e0f1f840000000000")
_MENDED = 1  # counts up when `_mend` changes


@functools.cache
def command(by: str) -> tuple[str, ...]:
    """What begins QEMU's command line; `by`: "kvm" or "tcg". LabError when there is none."""
    if by == "kvm":
        return (_NAME,)
    key = cache.digest([_SUITE, _PACKAGES, _MENDED])
    top = cache.obtain("emulator", _SUITE, key, _unpack) / "tree/usr"
    libraries = top / "lib/x86_64-linux-gnu"
    loader = [str(top / "lib64/ld-linux-x86-64.so.2"), "--library-path", str(libraries), str(top / "bin" / _NAME)]
    firmware = ["-L", str(top / "share/qemu"), "-L", str(top / "share/seabios")]
    return ("env", f"QEMU_MODULE_DIR={libraries / 'qemu'}", *loader, *firmware)


@functools.cache
def version(by: str) -> str:
    """The first line of what it says of itself."""
    try:
        return run([*command(by), "--version"]).stdout.decode(errors="replace").partition("\n")[0]
    except FileNotFoundError:
        raise LabError(f"{_NAME} is not installed: install qemu-system-x86.") from None


def _mend(program: Path) -> None:
    """Take the instruction out. Where it is not found once, hosts run all the same, and some of their guests fail."""
    mended, count = _FAULT.subn(lambda found: found[1] + _NOP, program.read_bytes())
    if count == 1:
        program.write_bytes(mended)
    else:
        say(f"{program}: the instruction to be taken out was found {count} times, so guests of emulated hosts will fail now and then")


def _unpack(out: Path) -> None:
    log, progress = out / "build.log", Progress("the emulator")
    say(f"unpacking the emulator of Debian {_SUITE}; log in {log}")
    argv = ["mmdebstrap", "--variant=extract", "--mode=root", "--format=directory", f"--include={','.join(_PACKAGES)}"]
    argv += ["--aptopt=Acquire::Languages \"none\"", _SUITE, str(out / "tree"), *recipes.mirrors(_SUITE)]
    run_logged(argv, log, "the emulator")
    for name in ("var", "dev", "tmp", "usr/share/doc", "usr/share/locale", "usr/share/man", "usr/share/icons"):
        cache.remove(out / "tree" / name)
    _mend(out / "tree/usr/bin" / _NAME)
    progress.done()
