"""GRUB: a disc that boots a host, on BIOS and on UEFI; the start of a disk that boots by its own."""

from __future__ import annotations

import shutil
import struct
import tempfile
from pathlib import Path

from .process import LabError, run

_FIRMWARE = ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_CODE_4M.fd")
VERSION = 1
PARTITION_MIB = 1
_BOOT_BYTES = 440  # of the first sector; the disk's signature and partitions follow
_MENU = """set timeout=1
set default=0
search --no-floppy --label --set=root {label}
menuentry 'Debian GNU/Linux' {{
 linux /boot/{kernel} root=LABEL={label} ro console=ttyS0 quiet
 initrd /boot/{initrd}
}}
"""
_CONFIG = """set timeout=0
set default=0
serial --unit=0 --speed=115200
terminal_output serial
menuentry oya {{
 {boot}
}}
"""
_PLAIN = """linux /boot/vmlinuz {append}
 initrd /boot/initrd.img"""
_BENEATH = """multiboot2 /boot/hypervisor {words}
 module2 --nounzip /boot/vmlinuz {append}
 module2 --nounzip /boot/initrd.img"""


def disc(out: Path, hypervisor: Path | None, kernel: Path, initrd: Path, append: str, words: str = "serial") -> Path:
    """Write the image `out`; the kernel gets the command line `append`, and the hypervisor, if any, `words`."""
    with tempfile.TemporaryDirectory(dir=out.parent) as name:
        top = Path(name)
        folder = top / "boot" / "grub"
        folder.mkdir(parents=True)
        if hypervisor:
            shutil.copyfile(hypervisor, top / "boot" / "hypervisor")
        shutil.copyfile(kernel, top / "boot" / "vmlinuz")
        shutil.copyfile(initrd, top / "boot" / "initrd.img")
        boot = (_BENEATH if hypervisor else _PLAIN).format(append=append, words=words)
        (folder / "grub.cfg").write_text(_CONFIG.format(boot=boot), encoding="ascii")
        done = run(["grub-mkrescue", "-o", str(out), str(top)], timeout=120)
    if done.returncode:
        raise LabError(f"grub-mkrescue made no {out}: {done.stderr.decode(errors='replace')[-400:]}")
    return out


def configure(tree: Path, label: str) -> None:
    """Put GRUB's modules and a menu with the kernel of a root file system into it."""
    folder = tree / "boot" / "grub"
    shutil.copytree(tree / "usr/lib/grub/i386-pc", folder / "i386-pc", ignore=shutil.ignore_patterns("*.image"))
    kernel = max((tree / "boot").glob("vmlinuz-*")).name
    initrd = max((tree / "boot").glob("initrd.img-*")).name
    text = _MENU.format(label=label, kernel=kernel, initrd=initrd)
    (folder / "grub.cfg").write_text(text, encoding="ascii")


def write_start(disk: Path, tree: Path, size_mib: int) -> None:
    """Write what lies before the partition of a disk: GRUB's first sector with the table, and its core."""
    modules = tree / "usr/lib/grub/i386-pc"
    core = disk.parent / "core.img"
    argv = ["grub-mkimage", "-d", str(modules), "-O", "i386-pc", "-o", str(core), "-p", "(hd0,msdos1)/boot/grub"]
    done = run([*argv, "biosdisk", "part_msdos", "ext2"], timeout=60)
    if done.returncode:
        raise LabError(f"grub-mkimage made no {core}: {done.stderr.decode(errors='replace')[-400:]}")
    first = bytearray((modules / "boot.img").read_bytes()[:_BOOT_BYTES].ljust(512, b"\0"))
    start = PARTITION_MIB * 2048
    struct.pack_into("<B3sB3sII", first, 446, 0x80, b"\0\2\0", 0x83, b"\xff\xff\xff", start, size_mib * 2048 - start)
    first[510:] = b"\x55\xaa"
    with open(disk, "wb") as file:
        file.write(bytes(first) + core.read_bytes())
    core.unlink()


def uefi() -> Path:
    """The firmware of Debian's package ovmf."""
    for path in map(Path, _FIRMWARE):
        if path.exists():
            return path
    raise LabError("there is no UEFI firmware; install the package ovmf.")
