"""A client of the VM that moves: `client.py ADDRESS`, until SIGTERM; then one line of JSON.

Asks for the page again and again, each time by a connection of its own, and reads the count of one connection.
Times in ms. `pages`: answers; `lost`: requests without a good one; `page_gap`: the longest time between two answers;
`count`: the last number; `breaks`: numbers that do not follow the one before; `count_gap`: the longest time between two.
"""

import json
import signal
import socket
import sys
import threading
import time

PATIENCE_S = 60
PAUSE_S = 0.05
PAGE = b"This page came from a VM that moves.\n"


class Gaps:
    """The longest time between two things."""

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.longest = 0.0

    def now(self) -> None:
        """One more has come."""
        now = time.monotonic()
        self.longest = max(self.longest, now - self.last)
        self.last = now

    def ms(self) -> int:
        """The longest, also the one that lasts still."""
        return round(1000 * max(self.longest, time.monotonic() - self.last))


def page(address: str) -> bool:
    """Asks once; whether the answer is the right one. OSError when there is none."""
    with socket.create_connection((address, 80), PATIENCE_S) as s:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        text = b""
        while more := s.recv(65536):
            text += more
    return text.startswith(b"HTTP/1.0 200 ") and text.endswith(PAGE)


def ask(address: str, told: dict, gaps: Gaps, over: threading.Event) -> None:
    """Asks for the page until `over`."""
    while not over.is_set():
        try:
            good = page(address)
        except OSError as error:
            good = False
            told["problem"] = str(error)
        told["pages" if good else "lost"] += 1
        if good:
            gaps.now()
        time.sleep(PAUSE_S)


def count(address: str, told: dict, gaps: Gaps, over: threading.Event) -> None:
    """Reads the count until `over`."""
    try:
        with socket.create_connection((address, 7000), PATIENCE_S) as s:
            s.settimeout(PATIENCE_S)
            for line in s.makefile("rb"):
                number = int(line)
                told["breaks"] += number != told["count"] + 1
                told["count"] = number
                gaps.now()
                if over.is_set():
                    return
    except OSError as error:
        told["problem"] = str(error)
    told["breaks"] += not over.is_set()


def main(address: str) -> None:
    """Both, and what they have seen."""
    told: dict = {"pages": 0, "lost": 0, "count": 0, "breaks": 0}
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    pages, numbers = Gaps(), Gaps()
    threads = [threading.Thread(target=what, args=(address, told, gaps, over)) for what, gaps in ((ask, pages), (count, numbers))]
    for thread in threads:
        thread.start()
    print("asking", flush=True)
    while not over.is_set():
        time.sleep(0.1)
    gaps = {"page_gap": pages.ms(), "count_gap": numbers.ms()}
    for thread in threads:
        thread.join(2 * PATIENCE_S)
    print(json.dumps({**told, **gaps}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
