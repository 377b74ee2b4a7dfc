# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of the tree, and a hash of all of them."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
from pathlib import Path

from .process import ROOT

_SKIPPED_FOLDERS = {".git", "build", "__pycache__"}


def _walk() -> list[str]:
    found = []
    for folder, inner, names in os.walk(ROOT):
        inner[:] = [name for name in inner if name not in _SKIPPED_FOLDERS]
        found += [os.path.relpath(os.path.join(folder, name), ROOT) for name in names]
    return found


@functools.cache
def files() -> tuple[str, ...]:
    """Paths from the root: what git tracks or would track; without git, all outside build/."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    names = listed.stdout.decode().split("\0") if listed.returncode == 0 else _walk()
    return tuple(sorted(name for name in set(names) if name and (ROOT / name).is_file()))


def matching(*suffixes: str) -> list[str]:
    """The files whose names end in one of the suffixes."""
    return [name for name in files() if name.endswith(suffixes)]


def scripts(*interpreters: str) -> list[str]:
    """Files without a suffix that begin with `#!` and one of the interpreters."""
    found = []
    for name in files():
        if "." in Path(name).name:
            continue
        with open(ROOT / name, "rb") as file:
            first = file.readline(128).decode(errors="replace").split()
        if first and first[0].startswith("#!") and any(Path(word).name in interpreters for word in first):
            found.append(name)
    return found


def digest() -> str:
    """A hash over the names, modes and contents of all files."""
    total = hashlib.sha256()
    for name in files():
        path = ROOT / name
        total.update(f"{name}\0{path.stat().st_mode:o}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]
