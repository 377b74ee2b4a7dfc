#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Holds the direction of includes: abi <- base <- {lib, devices}; lib <- disk <- programs.

Run by itself it prints one line per breach and exits with 1 when there is one.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_HOSTED = {"abi", "base", "lib", "disk"}
_PROGRAMS = ("host", "cluster", "volume", "manager", "cli", "import")

# Folder -> the folders whose headers it may include. tests/ and fuzz/ may include any of them.
MAY_INCLUDE: dict[str, set[str]] = {
    "abi": {"abi"},
    "base": {"abi", "base"},
    "lib": {"abi", "base", "lib"},
    "disk": _HOSTED,
    "devices": {"abi", "base", "devices"},
    "worker": _HOSTED | {"devices", "worker"},
    "hypervisor": {"abi", "base", "hypervisor"},
    "parent": {"abi", "base", "parent"},
    **{name: _HOSTED | {name} for name in _PROGRAMS},
}
_FREE = ("tests", "fuzz")

# System headers that need no operating system behind them.
_NO_SYSTEM = {
    "assert.h", "errno.h", "inttypes.h", "limits.h", "stdarg.h", "stdbool.h", "stddef.h", "stdint.h",
    "string.h",
}  # fmt: skip
# More for devices and base: the heap, snprintf, struct iovec.
_SMALL = _NO_SYSTEM | {"stdio.h", "stdlib.h", "sys/uio.h"}
SYSTEM_HEADERS = {"abi": _NO_SYSTEM, "base": _SMALL, "devices": _SMALL, "hypervisor": _NO_SYSTEM}

_KVM = re.compile(r"(linux|asm)/kvm(_para)?\.h$")
_KVM_FOLDERS = ("worker/", "parent/", "tests/system/")
_GENERATED = {"dsdt.hex", "openapi.hex", "vm.hex"}  # made by the build
_INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')


def breaches(name: str, text: str, exists=lambda header: (ROOT / header).exists()) -> list[str]:
    """One sentence for each include of the file `name` that goes the wrong way."""
    found = []
    top = name.split("/")[0]
    for number, line in enumerate(text.splitlines(), 1):
        match = _INCLUDE.match(line)
        if not match:
            continue
        ours, system = match.groups()
        where = f"{name}:{number}:"
        if system:
            if _KVM.search(system) and not name.startswith(_KVM_FOLDERS):
                found.append(f"{where} <{system}> belongs to worker/ and parent/ only")
            elif top in SYSTEM_HEADERS and system not in SYSTEM_HEADERS[top]:
                found.append(f"{where} <{system}> is not among the system headers that {top}/ may use")
        elif ours in _GENERATED:
            continue
        elif "/" not in ours or not exists(ours):
            found.append(f'{where} "{ours}" is no path from the root')
        elif top in MAY_INCLUDE and ours.split("/")[0] not in MAY_INCLUDE[top]:
            found.append(f'{where} {top}/ may not include "{ours}"')
        elif top not in MAY_INCLUDE and top not in _FREE:
            found.append(f"{where} tools/includes.py knows no folder {top}/")
    return found


def all_breaches(names: list[str]) -> list[str]:
    """Those of all the files given."""
    return [line for name in names for line in breaches(name, (ROOT / name).read_text(encoding="utf-8"))]


def main() -> int:
    """Check the whole tree."""
    sys.path.insert(0, str(ROOT / "tools"))
    from checks import tree

    lines = all_breaches(tree.matching(".c", ".h"))
    print("\n".join(lines) or "all includes go the right way")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
