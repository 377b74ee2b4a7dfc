"""The cache of built things: images and memory snapshots.

Invariants
1. An entry is a directory `<kind>-<name>.<hash>`; it exists complete or not at all: it is
   built under a temporary name and renamed into place.
2. The hash covers all that the content depends on, so an entry is never refreshed.
3. One builder at a time per kind and name (a lock file); other builders wait and then use its result.
4. Pruning only unlinks: a process that has a file open goes on with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .process import LabError, Progress


def root() -> Path:
    """The cache directory ($OYA_CACHE or ~/.cache/oya), created when absent."""
    path = Path(os.environ.get("OYA_CACHE") or Path.home() / ".cache" / "oya")
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()


def digest(recipe: object) -> str:
    """16 hex digits over a JSON-able recipe."""
    text = json.dumps(recipe, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def tree_digest(top: Path) -> str:
    """16 hex digits over the names, modes and contents of a directory tree."""
    state = hashlib.sha256()
    for path in sorted(top.rglob("*")):
        state.update(f"\0{path.relative_to(top)}\0".encode())
        if path.is_symlink():
            state.update(os.readlink(path).encode())
        elif path.is_file():
            state.update(path.read_bytes())
    return state.hexdigest()[:16]


@contextlib.contextmanager
def locked(name: str, wait_s: float = 1800.0) -> Iterator[None]:
    """Hold the lock file `name` of the cache; LabError after `wait_s` seconds."""
    progress = Progress(f"waiting for another builder of {name}")
    with open(root() / f".lock-{name}", "w", encoding="ascii") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if progress.seconds() > wait_s:
                    raise LabError(f"{name}: another builder held the lock for {wait_s:.0f} s") from None
                progress.tick()
                time.sleep(0.2)
        yield


def find(kind: str, name: str, key: str) -> Path | None:
    """The entry if it is there; its use is noted for `prune_to`."""
    path = root() / f"{kind}-{name}.{key}"
    if not path.is_dir():
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return path


def obtain(kind: str, name: str, key: str, build: Callable[[Path], None]) -> Path:
    """The entry of this key; when absent `build(directory)` fills a new one.

    Entries of the same kind and name with other keys are removed after a build.
    """
    path = find(kind, name, key)
    if path:
        return path
    with locked(f"{kind}-{name}"):
        path = find(kind, name, key)
        if path:
            return path
        path = root() / f"{kind}-{name}.{key}"
        temporary = root() / f".new-{kind}-{name}"
        remove(temporary)
        temporary.mkdir()
        try:
            build(temporary)
            temporary.rename(path)
        finally:
            remove(temporary)
        for other in root().glob(f"{kind}-{name}.*"):
            if other != path:
                remove(other)
    return path


def prune_to(kind: str, keep: int) -> list[Path]:
    """Remove all but the `keep` most recently used entries of a kind; what was removed."""

    def used(path: Path) -> float:
        try:
            return path.stat().st_mtime
        except FileNotFoundError:
            return 0.0

    entries = sorted(root().glob(f"{kind}-*.*"), key=used, reverse=True)
    for path in entries[keep:]:
        remove(path)
    return entries[keep:]


def remove(path: Path) -> None:
    """Remove a directory tree; absent is fine."""
    shutil.rmtree(path, ignore_errors=True)
