"""A disc that boots a host by GRUB, on BIOS and on UEFI: the hypervisor, a kernel, an initrd."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from .process import LabError, run

_FIRMWARE = ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_CODE_4M.fd")
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


def uefi() -> Path:
    """The firmware of Debian's package ovmf."""
    for path in map(Path, _FIRMWARE):
        if path.exists():
            return path
    raise LabError("there is no UEFI firmware; install the package ovmf.")
