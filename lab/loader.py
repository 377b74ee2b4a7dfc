"""A disk that boots by its own GRUB, on BIOS and on UEFI: partition table, boot loader, root file system.

GRUB's two images are made by its own tools; where they lie is written into them here, since its installer
wants block devices. Debian's update-grub works in the started system as on any server.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

from .process import LabError, run_logged

SECTOR = 512
_MIB = 1 << 20
_BIOS_MIB, _EFI_MIB, _ROOT_MIB = 1, 16, 1 + 1 + 16  # sizes of the first two; where the third begins
_BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
_PREFIX = "(,gpt3)/boot/grub"
_GRUB = Path("/usr/lib/grub")
_PLACE_OF_CORE = 0x5C  # in boot.img: the first sector of the rest
_PLACE_OF_LIST = 0x1F4  # in the rest's first sector: sector, count and segment of what follows it
_LOAD_SEGMENT = 0x820


def modules(tree: Path) -> None:
    """GRUB's modules into `/boot/grub` of a root file system, where its images look for them."""
    for target in ("i386-pc", "x86_64-efi"):
        folder = tree / "boot/grub" / target
        folder.mkdir(parents=True)
        for path in (_GRUB / target).glob("*"):
            if path.suffix in (".mod", ".lst"):
                shutil.copyfile(path, folder / path.name)


def assemble(root: Path, disk: Path, log: Path) -> None:
    """Write the raw image `disk` with the ext4 image `root` as its third partition. LabError when a tool fails."""
    size_mib = _ROOT_MIB + root.stat().st_size // _MIB + 1
    disk.touch()
    os.truncate(disk, size_mib * _MIB)
    table = f"label: gpt\nsize={_BIOS_MIB}MiB, type={_BIOS_BOOT}\nsize={_EFI_MIB}MiB, type=U\nsize={root.stat().st_size // _MIB}MiB, type=L\n"
    done = subprocess.run(["sfdisk", "-q", str(disk)], input=table, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise LabError(f"sfdisk for {disk}: {done.stderr.strip()}")
    shown = subprocess.run(["sfdisk", "-J", str(disk)], capture_output=True, timeout=60, check=True).stdout
    starts = [part["start"] for part in json.loads(shown)["partitiontable"]["partitions"]]
    _bios(disk, starts[0], log)
    _efi(disk, starts[1], log)
    copy = ["dd", f"if={root}", f"of={disk}", "bs=1M", "conv=sparse,notrunc", f"seek={starts[2] * SECTOR // _MIB}"]
    run_logged(copy, log, f"root file system into {disk}")


def _image(kind: str, out: Path, log: Path, names: list[str]) -> bytes:
    argv = ["grub-mkimage", "-O", kind, "-o", str(out), "-p", _PREFIX, "part_gpt", "ext2", "normal", *names]
    run_logged(argv, log, f"GRUB's image for {kind}")
    data = out.read_bytes()
    out.unlink()
    return data


def _bios(disk: Path, start: int, log: Path) -> None:
    core = bytearray(_image("i386-pc", disk.with_suffix(".core"), log, ["biosdisk"]))
    sectors = -(-len(core) // SECTOR)
    if sectors > _BIOS_MIB * _MIB // SECTOR:
        raise LabError(f"GRUB's image of {len(core)} bytes does not fit into its partition.")
    struct.pack_into("<QHH", core, _PLACE_OF_LIST, start + 1, sectors - 1, _LOAD_SEGMENT)
    boot = bytearray((_GRUB / "i386-pc/boot.img").read_bytes())
    struct.pack_into("<Q", boot, _PLACE_OF_CORE, start)
    with open(disk, "r+b") as file:
        file.write(boot[:440])
        file.seek(start * SECTOR)
        file.write(core)


def _efi(disk: Path, start: int, log: Path) -> None:
    program = disk.with_suffix(".efi")
    program.write_bytes(_image("x86_64-efi", disk.with_suffix(".core"), log, []))
    at = f"{disk}@@{start * SECTOR}"
    run_logged(["mformat", "-i", at, "-T", str(_EFI_MIB * _MIB // SECTOR), "-h", "16", "-s", "63", "::"], log, "EFI file system")
    run_logged(["mmd", "-i", at, "::/EFI", "::/EFI/BOOT"], log, "EFI folders")
    run_logged(["mcopy", "-i", at, str(program), "::/EFI/BOOT/BOOTX64.EFI"], log, "EFI program")
    program.unlink()
