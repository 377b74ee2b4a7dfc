# SPDX-License-Identifier: GPL-2.0-or-later
"""Results of tests: one test, the TAP of a program, the list of skips that are allowed."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"

_TAP_LINE = re.compile(
    r"^\s*(?P<bad>not )?ok\b\s*\d*\s*(?:- )?(?P<name>.*?)\s*"
    r"(?:#\s*(?P<skip>SKIP)\b\s*(?P<reason>.*))?$",
    re.IGNORECASE,
)
_TAP_PLAN = re.compile(r"^\s*1\.\.(\d+)\b(?:\s*#\s*SKIP\b\s*(.*))?", re.IGNORECASE)
_SECONDS = re.compile(r"\s*\(\d+(\.\d+)? s\)$")  # what our own runners add to a name


@dataclasses.dataclass
class Result:
    """The end of one test; `text` tells why it failed or was skipped."""

    name: str
    outcome: str
    seconds: float = 0.0
    text: str = ""


def tap_result(line: str, said_before: str = "") -> Result | None:
    """The result on one line of TAP, None on any other line.

    cmocka writes `not ok 3 # SKIP name` and has no reason: then it is the line said before.
    """
    found = _TAP_LINE.match(line.rstrip())
    if not found or found["name"].startswith("#"):
        return None
    name, reason = found["name"], found["reason"] or ""
    if found["skip"]:
        if not name:
            name, reason = reason, said_before
        name = _SECONDS.sub("", name)
        return Result(name, SKIPPED, text=reason)
    return Result(_SECONDS.sub("", name), FAILED if found["bad"] else PASSED)


def tap_plan(line: str) -> tuple[int, str] | None:
    """The number of tests that `1..N` announces, and why all of them are skipped."""
    found = _TAP_PLAN.match(line)
    return (int(found[1]), found[2] or "") if found else None


def allowed_skips(path: Path) -> dict[str, str]:
    """Name of a test to the reason why it may be skipped; ValueError for a line without one."""
    allowed = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, space, reason = re.match(r"^(.*?)(\s+#)?(?(2)\s*(.*))$", line).groups()  # type: ignore[union-attr]
        if not space or not reason:
            raise ValueError(f"{path}:{number}: no `# reason` behind the name")
        allowed[name.strip()] = reason
    return allowed
