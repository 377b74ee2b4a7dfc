"""Boot by firmware: a disk's and a disc's own GRUB, the seed, each disk once, and the firmware again after a reboot."""

import re
import shutil

from lab import grub, images
from lab.process import run
from lab.runner import timeout

FIRST = """
users:
  - name: ada
    ssh_authorized_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGxhYi1vbmx5LWtleS1vZi1hLXRlc3QtdmFsdWUtMDEy ada]
runcmd:
  - [sh, -c, "(FACTS echo FACTS-END) >/dev/ttyS0 2>&1; systemctl poweroff"]
"""
FACTS = (
    "echo HOST=$(hostname); echo KEY=$(cut -d ' ' -f 3 /home/ada/.ssh/authorized_keys); "
    "echo BLOCKS=$(cd /sys/block; ls -d sd* sr*); echo DRIVER=$(cat /sys/block/sda/device/../../scsi_host/host*/proc_name); "
    "echo ROOT=$(findmnt -no SOURCE /); echo ADDRESS=$(ip -br -4 address show dev eth0); "
    "dmesg | grep -E 'Hypervisor detected|piix|ACPI: PM-Timer'; "
)
NETWORK = """version: 2
ethernets:
  eth0: {addresses: [10.99.0.7/24]}
"""


def _text(console: str) -> str:
    """What a console shows: without the cursor movements by which the firmware writes a screen."""
    return re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|c)", "", console).replace("\r", "")


def _disk(lab) -> str:
    """A writable copy of the golden disk, plugged into the host."""
    copy = lab.tmp / "golden.raw"
    run(["cp", "--sparse=always", str(images.golden_image().disk), str(copy)], timeout=120)
    return lab.host.attach(copy, "golden", read_only=False)


@timeout(1500)
def test_a_disk_boots_by_its_grub_and_takes_its_seed(lab):
    if not shutil.which("xorriso"):
        lab.skip("there is no xorriso")
    device = _disk(lab)
    seed = images.seed(lab.tmp / "seed.iso", FIRST.replace("FACTS", FACTS, 1), "lovelace", NETWORK)
    folder = lab.host.run("mktemp -d").out.strip()
    lab.host.put(seed, f"{folder}/seed.iso")
    try:
        done = lab.boot(f"--disk {device} --dvd {folder}/seed.iso --net user", memory="768M").finish(1300)
        console = _text(done.console)
        assert done.rc == 0 and "FACTS-END" in console, done
        assert "Debian GNU/Linux" in console, console  # GRUB's menu
        assert "HOST=lovelace" in console and "KEY=ada" in console, console
        assert "BLOCKS=sda sr0" in console and "DRIVER=storvsc_host" in console, console
        assert "ROOT=/dev/sda" in console and "detected: Microsoft Hyper-V" in console, console
        assert "ADDRESS=eth0" in console and "10.99.0.7/24" in console, console
        assert "piix" not in console, console
    finally:
        lab.host.detach("golden")


@timeout(900)
def test_a_disc_boots_when_the_disk_before_it_does_not_and_again_after_a_reboot(lab):
    script = """if grep -q wrote /dev/sda; then echo SECOND-RUN; exit; fi
    echo BLOCKS=$(cd /sys/block; ls -d sd* sr*); echo wrote >/dev/sda; sync; reboot -f; sleep 600
    """
    guest = lab.guest()
    initrd = images.initrd_with_job(lab.guest_initrd(), script, lab.tmp / "initrd")
    disc = grub.disc(lab.tmp / "disc.iso", None, guest.kernel, initrd, "console=ttyS0 quiet")
    folder = lab.host.run("mktemp -d").out.strip()
    lab.host.put(disc, f"{folder}/disc.iso")
    lab.host.run(f"truncate -s 8M {folder}/blank.raw")
    done = lab.boot(f"--disk {folder}/blank.raw --dvd {folder}/disc.iso", cpus=2).finish(600)
    console = _text(done.console)
    assert done.rc == 0 and "not a bootable disk" in console and "Booting from DVD/CD" in console, done
    assert "BLOCKS=sda sr0" in console, console
    assert console.count("SeaBIOS (version") == 2 and "SECOND-RUN" in console, console
    assert "reset: the guest asked for a reset" in done.log, done.log
    assert lab.host.run(f"head -c 5 {folder}/blank.raw").out == "wrote"


def test_without_the_firmware_a_sentence_says_what_to_install(lab):
    lab.host.run("mount --bind /mnt /usr/share/seabios && mount --bind /mnt /usr/share/qemu")
    try:
        lab.host.run("truncate -s 1M /tmp/none.raw")
        done = lab.boot("--disk /tmp/none.raw").finish(60)
        assert done.rc == 1 and "there is no firmware" in done.log and "install the package seabios" in done.log, done
    finally:
        lab.host.run("umount /usr/share/seabios /usr/share/qemu")
