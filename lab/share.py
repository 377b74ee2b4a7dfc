"""A folder of one host that others have too, at the same path, by NFSv4.2.

Client and server are those of Linux. What nfs-utils would tell them, which hosts do not have, is told here: who may
mount what by the kernel's own files below /proc, and the server's address by the mount's options.

Invariants
1. The server answers a write when it is on its disk, and locks are the server's: what one host has locked is locked on all.
2. A host that starts anew has the folder again before its services start (its fstab).
"""

from __future__ import annotations

from collections.abc import Sequence

from .hosts import Host

_FOR_EVER = 2147483647  # seconds since 1970
_FLAGS = 0x2400  # no check of subtrees, and a number of its own; root is root
_PATIENCE_S = 10  # for clients of before the server's start: the least

# One line at a time: each is a message of its own to the kernel.
_SERVE = """set -e
modprobe nfsd
mkdir -p FOLDER /var/lib/nfs/v4recovery
mountpoint -q /proc/fs/nfsd || mount -t nfsd nfsd /proc/fs/nfsd
echo '-2 -3 +4 +4.1 +4.2' >/proc/fs/nfsd/versions
echo PATIENCE >/proc/fs/nfsd/nfsv4leasetime
echo PATIENCE >/proc/fs/nfsd/nfsv4gracetime
echo 'tcp 2049' >/proc/fs/nfsd/portlist
echo 8 >/proc/fs/nfsd/threads
for client in CLIENTS; do echo "nfsd $client EVER lab" >/proc/net/rpc/auth.unix.ip/channel; done
echo 'lab FOLDER EVER FLAGS 65534 65534 0' >/proc/net/rpc/nfsd.export/channel
echo 'lab 1 \\x00000000 EVER FOLDER' >/proc/net/rpc/nfsd.fh/channel
"""


def share(server: Host, clients: Sequence[Host], folder: str) -> None:
    """Have `folder`, made where it is absent, of `server` on each of `clients`. CommandFailed when one does not get it."""
    words = {
        "FOLDER": folder, "PATIENCE": str(_PATIENCE_S), "EVER": str(_FOR_EVER), "FLAGS": str(_FLAGS),
        "CLIENTS": " ".join(host.address for host in clients),
    }  # fmt: skip
    script = _SERVE
    for word, value in words.items():
        script = script.replace(word, value)
    server.run(script)
    for host in clients:
        options = f"vers=4.2,proto=tcp,hard,addr={server.address},clientaddr={host.address},_netdev"
        host.run(f"mkdir -p {folder} && echo '{server.address}:/ {folder} nfs4 {options} 0 0' >>/etc/fstab")
        host.run(f"systemctl daemon-reload; mount {folder} && touch {folder}/.{host.name}", timeout=90)
