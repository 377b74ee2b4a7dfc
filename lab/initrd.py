"""The tiny initrd: busybox and the guest kernel's own Hyper-V and virtio drivers.

All comes out of the guest's disk image with debugfs, so that it fits the guest's kernel.
"""

from __future__ import annotations

import lzma
import stat
import tempfile
from pathlib import Path

from . import cpio, recipes
from .process import LabError, run

VERSION = 1
_DIRECTORIES = ("bin", "dev", "proc", "sys", "root", "mnt", "lib", "lib/modules")


def build(disk: Path, init: Path, out: Path) -> None:
    """Write `out`/initrd.img from an ext4 guest `disk`; `init` becomes /init."""
    with tempfile.TemporaryDirectory(dir=out) as name:
        work = Path(name)
        busybox, modules = work / "busybox", work / "modules"
        _debugfs(disk, f"dump /usr/bin/busybox {busybox}")
        if not busybox.is_file() or not busybox.stat().st_size:
            _debugfs(disk, f"dump /bin/busybox {busybox}")
        modules.mkdir()
        _debugfs(disk, f"rdump /usr/lib/modules {modules}")
        tree = next(modules.glob("modules/*/modules.dep"), None)
        if tree is None or not busybox.stat().st_size:
            raise LabError(f"tiny initrd: {disk} has no busybox or no kernel modules.")
        entries = [cpio.Entry(path, mode=stat.S_IFDIR | 0o755) for path in _DIRECTORIES]
        entries.append(cpio.Entry("dev/console", mode=stat.S_IFCHR | 0o600, rdev=(5, 1)))
        entries.append(cpio.Entry("bin/busybox", busybox.read_bytes(), 0o755))
        entries.append(cpio.Entry("init", init.read_bytes(), 0o755))
        entries += _modules(tree.parent)
    (out / "initrd.img").write_bytes(cpio.archive(entries))


def load_order(modules_dep: str, wanted: tuple[str, ...]) -> list[str]:
    """Paths of `wanted` modules and what they depend on, dependencies first.

    `modules_dep` is the text of modules.dep; names that it lacks are left out (built in).
    """
    depends: dict[str, list[str]] = {}
    by_name: dict[str, str] = {}
    for line in modules_dep.splitlines():
        path, _, rest = line.partition(":")
        depends[path] = rest.split()
        by_name[path.rpartition("/")[2].partition(".ko")[0].replace("-", "_")] = path
    order: list[str] = []

    def add(path: str) -> None:
        # modules.dep lists all dependencies, those used by all others last.
        for needed in reversed(depends[path]):
            if needed not in order:
                order.append(needed)
        if path not in order:
            order.append(path)

    for name in wanted:
        if name in by_name:
            add(by_name[name])
    return order


def _modules(top: Path) -> list[cpio.Entry]:
    text = (top / "modules.dep").read_text(encoding="ascii")
    files: dict[str, bytes] = {}
    lists: list[cpio.Entry] = []
    for name, wanted in (("hyperv", recipes.HYPERV_MODULES), ("virtio", recipes.VIRTIO_MODULES)):
        loads = []
        for path in load_order(text, wanted):
            data = (top / path).read_bytes()
            if path.endswith(".xz"):
                data = lzma.decompress(data)
            inside = "lib/modules/" + path.rpartition("/")[2].removesuffix(".xz")
            files[inside] = data
            loads.append("/" + inside)
        lists.append(cpio.Entry(f"modules.{name}", "".join(f"{path}\n" for path in loads).encode()))
    return [cpio.Entry(path, data) for path, data in files.items()] + lists


def _debugfs(disk: Path, request: str) -> None:
    result = run(["debugfs", "-R", request, str(disk)], timeout=120)
    if result.returncode:
        raise LabError(f"debugfs {request!r} on {disk}: {result.stderr.decode(errors='replace').strip()}")
