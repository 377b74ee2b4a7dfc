"""What the images contain: packages, units that are masked, where packages come from.

The address of the package mirror is read from this machine's apt configuration.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from .process import LabError

SUITES = ("bookworm", "trixie")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
FILES = Path(__file__).resolve().parent / "files"

# Raised when a build step changes in a way that the recipe's data does not show.
BUILD_VERSION = 2

_COMMON = ("systemd-sysv", "udev", "kmod", "iproute2", "iputils-ping", "procps", "fio", "iperf3", "ethtool", "curl")

_HOST = _COMMON + (
    "linux-image-cloud-amd64", "initramfs-tools", "lz4", "dbus", "openssh-server", "passt", "nftables",
    "python3-minimal", "qemu-system-x86", "qemu-utils", "seabios",
    "libjansson4", "liburing2", "libsystemd0", "liblzma5", "libzstd1", "zlib1g", "liblz4-1",
    "libseccomp2", "libcap-ng0", "libmicrohttpd12", "dnsmasq-base", "libarchive13", "libexpat1", "libext2fs2",
    "corosync", "pacemaker", "pacemaker-cli-utils", "resource-agents", "libiscsi-bin", "open-iscsi", "tgt",
)  # fmt: skip

_GUEST = _COMMON + (
    "linux-image-cloud-amd64", "initramfs-tools", "zstd", "busybox-static", "hyperv-daemons",
    "sg3-utils", "parted", "dbus",
)  # fmt: skip

# A server as it is installed: it boots from its own disk, and can build a driver for its kernel.
_SERVER = _HOST + ("grub2-common", "grub-pc-bin", "grub-efi-amd64-bin", "dkms", "linux-headers-cloud-amd64")

# A guest as a server is: it boots from its own disk, and takes its settings from a seed.
_GOLDEN = (
    "systemd-sysv", "udev", "kmod", "iproute2", "procps", "linux-image-cloud-amd64", "initramfs-tools", "zstd",
    "grub2-common", "grub-pc-bin", "cloud-init", "openssh-server", "sudo", "dbus", "hyperv-daemons",
)  # fmt: skip

PACKAGES: dict[str, tuple[str, ...]] = {"host": _HOST, "guest": _GUEST, "server": _SERVER, "golden": _GOLDEN}

# Units that a test machine does not need and that cost seconds at boot or noise later.
_MASK_COMMON = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer",
    "e2scrub_reap.service", "fstrim.timer", "man-db.timer", "logrotate.timer", "systemd-timesyncd.service",
    "systemd-tmpfiles-clean.timer", "getty@tty1.service", "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service", "systemd-pstore.service", "systemd-firstboot.service",
    "systemd-hwdb-update.service", "ldconfig.service", "systemd-journal-catalog-update.service",
    "systemd-networkd-wait-online.service", "systemd-fsck-root.service", "systemd-pcrphase.service",
    "systemd-tpm2-setup.service", "systemd-tpm2-setup-early.service", "keyboard-setup.service",
    "modprobe@configfs.service", "modprobe@dm_mod.service", "modprobe@drm.service", "modprobe@efi_pstore.service",
    "modprobe@fuse.service", "modprobe@loop.service", "systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount",
    "sys-kernel-tracing.mount", "systemd-logind.service", "fio.service", "iperf3.service",
)  # fmt: skip

# Generators run one after the other at each boot; none of these has anything to generate here.
MASKED_GENERATORS = tuple(
    f"systemd-{name}-generator"
    for name in (
        "bless-boot", "cryptsetup", "debug", "gpt-auto", "hibernate-resume", "integritysetup", "rc-local", "run",
        "system-update", "sysv", "veritysetup", "ssh", "tpm2",
    )
)  # fmt: skip
MASKED: dict[str, tuple[str, ...]] = {
    "host": _MASK_COMMON + ("serial-getty@ttyS0.service", "systemd-networkd.service", "nftables.service"),
    "guest": _MASK_COMMON,
    "golden": _MASK_COMMON,
}
MASKED["server"] = MASKED["host"]

# Units that packages start by themselves, and that only a test which needs them is to start.
_ASLEEP = (
    "corosync.service", "pacemaker.service", "tgt.service", "open-iscsi.service", "iscsid.service", "iscsid.socket",
)  # fmt: skip
ASLEEP: dict[str, tuple[str, ...]] = {"host": _ASLEEP, "server": _ASLEEP}

# Drivers of the tiny initrd; what they depend on is added. Absent ones are built in.
HYPERV_MODULES = (
    "hv_vmbus", "hv_utils", "hv_balloon", "hv_storvsc", "hv_netvsc", "hyperv_keyboard", "hid_hyperv",
    "hv_sock", "sd_mod", "sr_mod", "isofs",
)  # fmt: skip
VIRTIO_MODULES = ("virtio_pci", "virtio_mmio", "virtio_blk", "virtio_scsi", "virtio_net", "sd_mod", "sr_mod")


def recipe(kind: str, suite: str) -> dict[str, object]:
    """What a root file system of `kind` (of PACKAGES) depends on; LabError on a strange suite."""
    if suite not in SUITES:
        raise LabError(f"no recipe for the suite {suite!r}; there are {' and '.join(SUITES)}.")
    masked = MASKED[kind] + MASKED_GENERATORS
    told = {"version": BUILD_VERSION, "kind": kind, "suite": suite, "packages": PACKAGES[kind], "masked": masked}
    return {**told, "asleep": ASLEEP[kind]} if kind in ASLEEP else told


def mirrors(suite: str) -> list[str]:
    """apt source lines for `suite`, after the Debian sources of this machine's own configuration.

    The suite itself, its updates and its security are taken over, other sources left out.
    LabError when apt knows no Debian mirror. OYA_MIRROR overrides with one address.
    """
    option = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    override = os.environ.get("OYA_MIRROR")
    if override:
        return [f"deb {option}{override} {suite} main"]
    own = _own_codename()
    lines = []
    for uri, local in _apt_entries():
        if local in (own, f"{own}-updates", f"{own}-security"):
            lines.append(f"deb {option}{uri} {suite}{local.removeprefix(own)} main")
    if not any(line.endswith(f" {suite} main") for line in lines):
        raise LabError("apt's configuration names no Debian mirror; set OYA_MIRROR to the address of one.")
    return list(dict.fromkeys(lines))


def _own_codename() -> str:
    text = Path("/etc/os-release").read_text(encoding="utf-8")
    found = re.search(r'^VERSION_CODENAME="?([a-z]+)"?$', text, re.MULTILINE)
    return found[1] if found else "bookworm"


def _apt_entries() -> list[tuple[str, str]]:
    """(address, suite) of each Debian entry with the component main."""
    entries: list[tuple[str, str]] = []
    apt = Path("/etc/apt")
    for path in [apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list"))]:
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        for line in text.splitlines():
            found = re.match(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+(.*)", line.strip())
            if found and "main" in found[4].split() and _is_debian(found[1] or ""):
                entries.append((found[2], found[3]))
    for path in sorted(apt.glob("sources.list.d/*.sources")):
        for paragraph in re.split(r"\n\s*\n", path.read_text(encoding="utf-8", errors="replace")):
            fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", paragraph, re.MULTILINE))
            if "deb" not in fields.get("Types", "").split() or fields.get("Enabled", "yes") == "no":
                continue
            signed_by = "signed-by=" + fields.get("Signed-By", "")
            if "main" in fields.get("Components", "").split() and _is_debian(signed_by):
                for uri in fields.get("URIs", "").split():
                    entries += [(uri, suite) for suite in fields.get("Suites", "").split()]
    return entries


def _is_debian(options: str) -> bool:
    """An entry signed by another keyring than Debian's belongs to someone else."""
    found = re.search(r"signed-by=(\S+)", options)
    return not found or "debian-archive" in found[1]
