"""In the guest of the VM that moves: a page, a count, a shell and a load. For tests only.

`guest.py`: a page on port 80; on 7000 numbers from 1 on, one each 50 ms; on 7001 a shell, which answers with its exit
code in the first line, then what was printed. `guest.py load SECONDS`: writes to memory and to /data, and looks at the
end whether all is as it was written; exit code 1 when it is not.
"""

import http.server
import os
import socketserver
import struct
import subprocess
import sys
import threading
import time
import zlib

PAGE = b"This page came from a VM that moves.\n"
PAGE_BYTES = 4096
MEMORY_PAGES = 2048
BLOCK_BYTES = 16384
BLOCKS = 256


class Page(http.server.BaseHTTPRequestHandler):
    """The page, with its length."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: object) -> None:
        pass


class Count(socketserver.StreamRequestHandler):
    """Counts until the client goes."""

    def handle(self) -> None:
        number = 0
        while True:
            number += 1
            self.wfile.write(b"%d\n" % number)
            time.sleep(0.05)


class Shell(socketserver.StreamRequestHandler):
    """Runs what it is sent."""

    def handle(self) -> None:
        done = subprocess.run(["bash"], input=self.rfile.read(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.wfile.write(b"%d\n" % done.returncode + done.stdout)


class Server(socketserver.ThreadingTCPServer):
    """One thread a client, none is asked for its name."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        pass


def serve() -> None:
    """All three, for ever."""
    for port, handler in ((80, Page), (7000, Count), (7001, Shell)):
        threading.Thread(target=Server(("", port), handler).serve_forever).start()


def filling(number: int, size: int) -> bytes:
    """Bytes that tell their number, and that they are whole."""
    body = struct.pack("<Q", number) * ((size - 8) // 8)
    return body + struct.pack("<Q", zlib.crc32(body))


def load_memory(until: float, told: list[str]) -> None:
    """Writes pages here and there, and remembers the number in each."""
    memory, last = bytearray(MEMORY_PAGES * PAGE_BYTES), [0] * MEMORY_PAGES
    number = 0
    while time.monotonic() < until:
        number += 1
        page = number * 2654435761 % MEMORY_PAGES
        memory[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = filling(number, PAGE_BYTES)
        last[page] = number
        if number % 8 == 0:
            time.sleep(0.005)
    bad = sum(
        memory[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] != filling(number, PAGE_BYTES) for page, number in enumerate(last) if number
    )
    told.append(f"memory: {number} writes, {bad} bad")


def load_disk(until: float, told: list[str]) -> None:
    """Writes blocks in a circle, each on the disk before the next; then reads them past the page cache."""
    last = [0] * BLOCKS
    number = 0
    with open("/data/load", "w+b") as file:
        while time.monotonic() < until:
            number += 1
            block = number % BLOCKS
            os.pwrite(file.fileno(), filling(number, BLOCK_BYTES), block * BLOCK_BYTES)
            os.fdatasync(file.fileno())
            last[block] = number
        with open("/proc/sys/vm/drop_caches", "wb") as drop:
            drop.write(b"3\n")
        bad = sum(
            os.pread(file.fileno(), BLOCK_BYTES, block * BLOCK_BYTES) != filling(number, BLOCK_BYTES)
            for block, number in enumerate(last)
            if number
        )
    told.append(f"disk: {number} writes, {bad} bad")


def load(seconds: float) -> int:
    """Both; the exit code."""
    told: list[str] = []
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=what, args=(until, told)) for what in (load_memory, load_disk)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("; ".join(sorted(told)))
    return 0 if len(told) == 2 and all(text.endswith(" 0 bad") for text in told) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["load"]:
        sys.exit(load(float(sys.argv[2])))
    serve()
