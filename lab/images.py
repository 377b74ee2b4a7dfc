"""Host and guest images: built once, cached, handed out as paths.

`host_image`, `guest_image` and `guest_initrd` return at once when the cache has the image.
Building needs root, mmdebstrap and e2fsprogs, and takes a minute or two each.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from . import cache, cpio, initrd, loader, recipes
from .process import LabError, run, run_logged, say, Progress

HOST_DISK_MIB = 8192
GUEST_DISK_MIB = 1536
GOLDEN_DISK_MIB = 2048
JOB_MARK = "#!oya-job"
JOB_MAX_BYTES = 65536


@dataclasses.dataclass(frozen=True)
class HostImage:
    """A Debian host: `base` is a qcow2 disk that is never written, `key` the root's ssh key.

    `boots_itself`: by GRUB from its disk; else QEMU is given `kernel` and `initrd`.
    """

    suite: str
    kernel: Path
    initrd: Path
    base: Path
    key: Path
    known_hosts: Path
    boots_itself: bool = False


@dataclasses.dataclass(frozen=True)
class GuestImage:
    """A stock Debian guest: unmodified kernel and initrd, raw ext4 disk labelled oya-root."""

    suite: str
    kernel: Path
    initrd: Path
    disk: Path


@dataclasses.dataclass(frozen=True)
class GoldenImage:
    """A Debian that boots by its own GRUB: a raw disk with a partition, set up by cloud-init from a seed."""

    suite: str
    disk: Path


def host_image(suite: str = "bookworm") -> HostImage:
    """The host image of a suite, built when absent; LabError when that fails."""
    key = cache.digest([recipes.recipe("host", suite), cache.tree_digest(recipes.FILES / "host"), HOST_DISK_MIB])
    top = cache.obtain("host", suite, key, functools.partial(_build_host, suite))
    return HostImage(suite, top / "vmlinuz", top / "initrd.img", top / "disk.qcow2", top / "key", top / "known_hosts")


def server_image(suite: str = "bookworm") -> HostImage:
    """The image of a host that boots by GRUB from its own disk, built when absent; LabError when that fails."""
    files = [cache.tree_digest(recipes.FILES / kind) for kind in ("host", "server")]
    key = cache.digest([recipes.recipe("server", suite), files, HOST_DISK_MIB])
    top = cache.obtain("server", suite, key, functools.partial(_build_host, suite, kind="server"))
    names = ("vmlinuz", "initrd.img", "disk.qcow2", "key", "known_hosts")
    return HostImage(suite, *(top / name for name in names), boots_itself=True)


def guest_image(suite: str = "bookworm") -> GuestImage:
    """The guest image of a suite, built when absent; LabError when that fails."""
    key = cache.digest([recipes.recipe("guest", suite), cache.tree_digest(recipes.FILES / "guest"), GUEST_DISK_MIB])
    top = cache.obtain("guest", suite, key, functools.partial(_build_guest, suite))
    return GuestImage(suite, top / "vmlinuz", top / "initrd.img", top / "disk.raw")


def golden_image(suite: str = "bookworm") -> GoldenImage:
    """The bootable image of a suite, built when absent; LabError when that fails."""
    parts = [recipes.recipe("golden", suite), cache.tree_digest(recipes.FILES / "golden"), GOLDEN_DISK_MIB]
    top = cache.obtain("golden", suite, cache.digest(parts), functools.partial(_build_golden, suite))
    return GoldenImage(suite, top / "disk.raw")


def seed(path: Path, user_data: str, hostname: str = "golden", network: str = "") -> Path:
    """Write an ISO image from which cloud-init takes its settings (NoCloud): YAML texts, of which the second may be empty."""
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        top = Path(name)
        (top / "meta-data").write_text(f"instance-id: {hostname}\nlocal-hostname: {hostname}\n", encoding="utf-8")
        (top / "user-data").write_text(f"#cloud-config\n{user_data}", encoding="utf-8")
        if network:
            (top / "network-config").write_text(network, encoding="utf-8")
        argv = ["xorriso", "-as", "mkisofs", "-quiet", "-V", "cidata", "-J", "-r", "-o", str(path), str(top)]
        done = run(argv, timeout=60)
    if done.returncode:
        raise LabError(f"xorriso made no {path}: {done.stderr.decode(errors='replace')[-400:]}")
    return path


def guest_initrd(suite: str = "bookworm") -> Path:
    """The tiny initrd for the kernel of `guest_image(suite)`: busybox, Hyper-V and virtio drivers."""
    guest = guest_image(suite)
    parts = [guest.disk.parent.name, cache.tree_digest(recipes.FILES / "initrd"), initrd.VERSION]
    key = cache.digest(parts + [recipes.HYPERV_MODULES, recipes.VIRTIO_MODULES])

    def build(out: Path) -> None:
        progress = Progress(f"tiny initrd of {suite}")
        initrd.build(guest.disk, recipes.FILES / "initrd" / "init", out)
        progress.done()

    return cache.obtain("initrd", suite, key, build) / "initrd.img"


def initrd_with_job(base: Path, script: str, out: Path) -> Path:
    """Write `base` (from `guest_initrd`) plus /job with the shell text `script` to `out`."""
    shutil.copyfile(base, out)
    with open(out, "ab") as file:
        file.write(cpio.archive([cpio.Entry("job", script.encode(), 0o755)]))
    return out


def job_disk(path: Path, script: str, keep: bool = False) -> Path:
    """Write a raw disk whose bash text the stock guest runs at boot.

    The guest prints `OYA-JOB-END rc=N` on its serial port and powers off, unless `keep`.
    64 KiB in size; LabError when the text with its first line does not fit.
    """
    text = f"{JOB_MARK}{' keep' if keep else ''}\n{script}".encode()
    if len(text) >= JOB_MAX_BYTES or b"\0" in text:
        raise LabError(f"job text of {len(text)} bytes for {path}: at most {JOB_MAX_BYTES - 1}, and no NUL.")
    path.write_bytes(text.ljust(JOB_MAX_BYTES, b"\0"))
    return path


def _build_host(suite: str, out: Path, kind: str = "host") -> None:
    def finish(tree: Path) -> None:
        if kind == "server":
            shutil.copytree(recipes.FILES / "server", tree, dirs_exist_ok=True)
            loader.modules(tree)
        for path in (tree / "etc/ssh").glob("ssh_host_*"):
            path.unlink()
        host_key = tree / "etc/ssh/ssh_host_ed25519_key"
        _new_key(host_key, "oya-lab-host")
        _new_key(out / "key", "oya-lab")
        cipher, data, _ = host_key.with_suffix(".pub").read_text(encoding="ascii").split()
        (out / "known_hosts").write_text(f"oya-lab {cipher} {data}\n", encoding="ascii")
        ssh = tree / "root/.ssh"
        ssh.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(out / "key.pub", ssh / "authorized_keys")

    progress = Progress(f"{kind} image {suite}")
    raw = out / "disk.raw"
    log = out / "build.log"
    _build_disk(kind, suite, out, raw, HOST_DISK_MIB, "oya-host", finish)
    if kind == "server":
        root = raw.rename(out / "root.raw")
        loader.assemble(root, raw, log)
        root.unlink()
    run_logged(["qemu-img", "convert", "-O", "qcow2", str(raw), str(out / "disk.qcow2")], log, "qcow2 conversion")
    raw.unlink()
    progress.done()


def _build_guest(suite: str, out: Path) -> None:
    def finish(tree: Path) -> None:
        (tree / "etc/hostname").write_text("guest\n", encoding="ascii")

    progress = Progress(f"guest image {suite}")
    _build_disk("guest", suite, out, out / "disk.raw", GUEST_DISK_MIB, "oya-root", finish)
    progress.done()


def _build_golden(suite: str, out: Path) -> None:
    progress = Progress(f"golden image {suite}")
    _build_disk("golden", suite, out, out / "root.raw", GOLDEN_DISK_MIB, "oya-golden", loader.modules)
    loader.assemble(out / "root.raw", out / "disk.raw", out / "build.log")
    (out / "root.raw").unlink()
    progress.done()


def _build_disk(
    kind: str, suite: str, out: Path, disk: Path, size_mib: int, label: str, finish: Callable[[Path], None]
) -> None:
    """Root file system by mmdebstrap, `finish(tree)`, kernel and initrd taken out, ext4 into `disk`."""
    _need_tools()
    tree, log = out / "tree", out / "build.log"
    say(f"building the {kind} image of {suite}; log in {log}")
    try:
        run_logged(_mmdebstrap(kind, suite, tree), log, f"root file system of {kind} {suite}")
        _trim(tree, kind)
        finish(tree)
        for name in ("vmlinuz", "initrd.img"):
            source = max((tree / "boot").glob(f"{name}-*"))
            shutil.copyfile(source, out / name)
        disk.touch()
        os.truncate(disk, size_mib << 20)
        mke2fs = ["mke2fs", "-q", "-F", "-t", "ext4", "-L", label, "-d", str(tree), "-m", "0"]
        mke2fs += ["-N", "131072", "-E", "lazy_itable_init=0,lazy_journal_init=1", str(disk)]
        run_logged(mke2fs, log, f"ext4 of {kind} {suite}")
    except LabError:
        shutil.copyfile(log, cache.root() / f"failed-{kind}-{suite}.log")
        raise
    finally:
        cache.remove(tree)


def _mmdebstrap(kind: str, suite: str, tree: Path) -> list[str]:
    argv = ["mmdebstrap", "--variant=apt", "--mode=root", "--format=directory"]
    argv.append(f"--include={','.join(recipes.PACKAGES[kind])}")
    for pattern in ("doc/*", "man/*", "locale/*", "info/*", "lintian/*"):
        argv.append(f"--dpkgopt=path-exclude=/usr/share/{pattern}")
    argv += ["--dpkgopt=force-unsafe-io", "--dpkgopt=force-confold"]
    argv.append('--aptopt=Acquire::Languages "none"')
    files = recipes.FILES / ("host" if kind == "server" else kind)
    argv.append(f'--essential-hook=cp -rT --no-preserve=all "{files}" "$1"')
    return argv + [suite, str(tree), *recipes.mirrors(suite)]


def _trim(tree: Path, kind: str) -> None:
    """Mask units, or do not start them at boot; take away what ties the image to the machine that built it."""
    for unit in recipes.ASLEEP.get(kind, ()):
        for link in (tree / "etc/systemd/system").glob(f"*.wants/{unit}"):
            link.unlink()
    for unit in recipes.MASKED[kind]:
        link = tree / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    generators = tree / "etc/systemd/system-generators"
    generators.mkdir(exist_ok=True)
    for name in recipes.MASKED_GENERATORS:
        (generators / name).symlink_to("/dev/null")
    default = tree / "etc/systemd/system/default.target"
    default.unlink(missing_ok=True)
    default.symlink_to("/usr/lib/systemd/system/multi-user.target")
    for name in ("etc/apt/sources.list", "etc/resolv.conf"):
        path = tree / name
        path.unlink(missing_ok=True)
        path.touch()
    for path in (tree / "etc/apt/sources.list.d").glob("*"):
        path.unlink()
    shutil.rmtree(tree / "var/log/journal", ignore_errors=True)
    # Empty, not "uninitialized": that would cost a run over all unit presets at each first boot.
    (tree / "etc/machine-id").write_bytes(b"")


def _new_key(path: Path, comment: str) -> None:
    path.unlink(missing_ok=True)
    result = run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])
    if result.returncode:
        raise LabError(f"ssh-keygen for {path}: {result.stderr.decode(errors='replace').strip()}")


def _need_tools() -> None:
    missing = [tool for tool in ("mmdebstrap", "mke2fs", "debugfs", "qemu-img", "ssh-keygen") if not shutil.which(tool)]
    if missing:
        packages = "mmdebstrap, e2fsprogs, qemu-utils and openssh-client"
        raise LabError(f"building images needs {', '.join(missing)}: install {packages}.")
    if os.geteuid():
        raise LabError("building images needs root, for the owners and devices of a Debian root file system.")
