# SPDX-License-Identifier: GPL-2.0-or-later
"""Leases of VMs as another host reads and writes them."""

import struct
import uuid

FREE, HELD, OFFERED = range(3)
HERE = uuid.UUID("11111111-2222-3333-4444-555555555555")
THERE = uuid.UUID("99999999-8888-7777-6666-555555555555")
VM = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
NOBODY = uuid.UUID(int=0)


def _crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _slot(vm, state, epoch, owner, target):
    head = struct.pack("<8sIIQ", b"OYALEASE", 1, state, epoch) + vm.bytes_le + owner.bytes_le + target.bytes_le
    body = (head + struct.pack("<Q", 1764000000)).ljust(508, b"\0")
    return body + struct.pack("<I", _crc32c(body))


def write_lease(path, vm, state, epoch, owner=NOBODY, target=NOBODY):
    """As another host would have left it."""
    data = bytearray(1024)
    at = epoch % 2 * 512
    data[at : at + 512] = _slot(vm, state, epoch, owner, target)
    with open(path, "wb") as f:
        f.write(data)


def read_lease(path):
    """State, epoch and owner."""
    with open(path, "rb") as f:
        data = f.read()
    good = []
    for at in (0, 512):
        slot = data[at : at + 512]
        if slot[:8] == b"OYALEASE" and struct.pack("<I", _crc32c(slot[:508])) == slot[508:]:
            _, state, epoch = struct.unpack_from("<IIQ", slot, 8)
            good.append((epoch, state, uuid.UUID(bytes_le=slot[40:56])))
    epoch, state, owner = max(good)
    return state, epoch, owner
