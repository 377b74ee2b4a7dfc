"""Emulated hosts and guest images for Oya's tests, benchmarks and demo. See README.md."""

from .hosts import Host, Hosts, hosts
from .images import guest_image, guest_initrd, host_image, initrd_with_job, job_disk
from .process import LabError
from .ssh import Background, CommandFailed, Result

__all__ = [
    "Background", "CommandFailed", "Host", "Hosts", "LabError", "Result", "guest_image", "guest_initrd",
    "host_image", "hosts", "initrd_with_job", "job_disk",
]  # fmt: skip
