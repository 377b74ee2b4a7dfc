#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the bytes of an array in C of a JSON file, without its layout: embed.py INPUT OUTPUT."""

import json
import sys

_A_LINE = 16  # bytes


def initializer(text: str) -> str:
    """What stands between the braces of the array."""
    data = text.encode()
    lines = (data[at : at + _A_LINE] for at in range(0, len(data), _A_LINE))
    return "".join("".join(f"0x{byte:02x}," for byte in line) + "\n" for line in lines)


def main(argv: list[str]) -> int:
    """Write the output file."""
    with open(argv[0], encoding="utf-8") as file:
        text = file.read()
    if argv[0].endswith(".json"):
        text = json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)
    with open(argv[1], "w", encoding="ascii") as file:
        file.write(initializer(text))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
