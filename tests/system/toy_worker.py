#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker without a VM, as far as oyad sees it: its files, its control socket, and both ends of a migration.

A test steers it by the verb `toy` of the control socket, or lets it go its way: with `manual` in boot.append the
source waits in its rounds until it is told `switch`.
"""

import contextlib
import fcntl
import json
import os
import socket
import sys
import threading
import uuid

from leases import HELD, OFFERED, read_lease, write_lease

MIB = 1 << 20


class Toy:
    """What the worker is; `lock` is held while any of it changes."""

    def __init__(self, config):
        self.config = config
        self.lock = threading.RLock()
        self.state = "incoming" if config.get("incoming") else "running"
        self.migrate = None
        self.streams = []
        self.asked = None  # with which request it was given them
        self.muted = False  # it tells of nothing
        self.deaf = False  # it does not hear that the other one runs
        self.watchers = []
        self.end = open(config["end"], "w", encoding="utf-8")
        fcntl.flock(self.end, fcntl.LOCK_EX)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(config["control"])
        self.listener.listen(8)

    def manual(self):
        return "manual" in self.config.get("boot", {}).get("append", "")

    def status(self):
        status = {"version": 1, "name": self.config["name"], "state": self.state, "migrate": self.migrate, "restored": False}
        older = "older-" + ("destination" if self.state == "incoming" else "source")
        return status if older in self.config.get("boot", {}).get("append", "") else {**status, "connections": 8}

    def told(self):
        """What it was asked to do with how many streams."""
        return {"request": self.asked, "streams": len(self.streams)}

    def mute(self):
        self.muted = True

    def tell(self):
        if self.muted:
            return
        line = json.dumps({"event": "status", "result": self.status()}) + "\n"
        for watcher in self.watchers:
            try:
                watcher.sendall(line.encode())
            except OSError:
                pass

    def leave(self, result, reason="", **more):
        """Ends the process with its word in `end`."""
        with self.lock:
            os.unlink(self.config["control"])
            self.end.write(json.dumps({"result": result, "reason": reason, **more}) + "\n")
            self.end.flush()
            os._exit(0 if result != "failed" else 1)

    # ---- the source ----

    def phase(self, phase, **more):
        with self.lock:
            self.migrate = {
                "phase": phase, "round": 1, "total_bytes": 64 * MIB, "sent_bytes": 32 * MIB, "rate": 100 * MIB,
                "dirty_rate": 1000, "promised_us": 9000, "stopped_us": 0, "error": "", **more,
            }  # fmt: skip
            self.tell()

    def give(self):
        """The source's thread."""
        stream = self.streams[0]
        try:
            if stream.recv(6) != b"hello\n":
                raise OSError("it did not say hello")
            for n, more in enumerate(self.streams[1:]):
                if more.recv(1) != b"%d" % n:
                    raise OSError(f"stream {n} is another one there")
            if not self.manual():
                self.switch()
            if stream.recv(8) != b"running\n":
                raise OSError("the connection has ended")
        except OSError as e:
            if not self.deaf and not self.has_gone():
                with self.lock:
                    if self.migrate["phase"] != "failed":
                        self.phase("failed", error=f"the other side does not answer: {e}")
                return
        if self.deaf:
            return
        self.phase("done", sent_bytes=70 * MIB, stopped_us=8400)
        self.leave("moved", migrate=self.migrate)

    def lease(self, state, *whose):
        """Makes it so, an epoch later."""
        path = self.config["lease"]["path"]
        write_lease(path, uuid.UUID(self.config["uuid"]), state, read_lease(path)[1] + 1, *map(uuid.UUID, whose))

    def has_gone(self):
        """Whether the other one has the lease; else it is ours again."""
        state, _, owner = read_lease(self.config["lease"]["path"])
        if state == OFFERED:
            self.lease(HELD, self.config["lease"]["host"])
        return state == HELD and str(owner) != self.config["lease"]["host"]

    def switch(self):
        self.phase("switching")
        self.give_away()
        self.streams[0].sendall(b"run\n")

    def give_away(self):
        """With its disks it has a lease there too."""
        if self.asked.get("storage"):
            self.lease(HELD, self.target)
        else:
            self.lease(OFFERED, self.config["lease"]["host"], self.target)

    def lose_the_word(self):
        """The lease is given away, and nobody is told to run."""
        self.deafen()
        self.give_away()
        self.phase("asks")

    def hear(self, there):
        """What the other host says of it."""
        if there:
            self.phase("done")
            self.leave("moved", migrate=self.migrate)
        self.lease(HELD, self.config["lease"]["host"])
        self.phase("failed", error="the toy does not run there")

    def follow(self, left):
        """Post-copy: it runs there, and so many pages are to follow."""
        self.switch()
        self.phase("postcopy", pages_left=left)

    def lose(self):
        """They will not."""
        self.leave("moved", migrate={**self.migrate, "phase": "failed", "error": "the toy has lost pages"})

    def deafen(self):
        self.deaf = True

    def switch_deaf(self):
        self.deafen()
        self.switch()

    # ---- the destination ----

    def take(self):
        stream = self.streams[0]
        try:
            stream.sendall(b"hello\n")
            for n, more in enumerate(self.streams[1:]):
                more.sendall(b"%d" % n)
            word = stream.recv(4)
        except OSError:
            word = b""
        with self.lock:
            if word != b"run\n" or read_lease(self.config["lease"]["path"])[0] != OFFERED:
                self.leave("failed", "the connection has ended before the VM was here")
            self.lease(HELD, self.config["lease"]["host"])
            self.state = "running"
            self.tell()
            with contextlib.suppress(OSError):
                stream.sendall(b"running\n")
            for served in self.streams:
                with contextlib.suppress(OSError):
                    served.shutdown(socket.SHUT_WR)

    # ---- the control socket ----

    def obey(self, request, fds, client):
        verb = request["verb"]
        if verb in ("watch", "status"):
            if verb == "watch":
                self.watchers.append(client)
            return self.status()
        if verb == "guest":
            return {}
        if verb == "stop":
            self.leave("failed" if self.state == "incoming" else "off", "it was told to stop")
        elif verb in ("incoming", "migrate"):
            self.streams, self.asked = [socket.socket(fileno=fd) for fd in fds], request
            fds.clear()
            for stream in self.streams:  # they wait for who takes them
                stream.setblocking(True)
            if verb == "migrate":
                self.target = request["target"]
                self.phase("rounds")
            threading.Thread(target=self.take if verb == "incoming" else self.give, daemon=True).start()
        elif verb == "migrate-hear":
            self.hear(request["there"])
        elif verb == "incoming-cancel":
            if self.state != "incoming":
                raise ValueError("the toy runs")
            self.leave("failed", "it was taken back")
        elif verb == "migrate-cancel":
            self.phase("failed", error="it was cancelled")
            for stream in self.streams:
                stream.shutdown(socket.SHUT_RDWR)
        elif verb == "toy":
            return getattr(self, request["do"])(*request.get("with", []))
        else:
            raise ValueError(f"there is no verb '{verb}'")
        return None

    def serve(self, client):
        text, held = b"", []
        while True:
            try:
                more, fds, _, _ = socket.recv_fds(client, 4096, 16)
            except OSError:
                return
            held += fds
            text += more
            if not more:
                return
            while b"\n" in text:
                line, text = text.split(b"\n", 1)
                with self.lock:
                    try:
                        answer = {"ok": True, "result": self.obey(json.loads(line), held, client)}
                        if answer["result"] is None:
                            del answer["result"]
                    except (ValueError, IndexError, OSError) as e:
                        answer = {"ok": False, "error": str(e)}
                    client.sendall(json.dumps(answer).encode() + b"\n")

    def run(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=[client], daemon=True).start()


def main():
    if "--check" in sys.argv:
        return 0
    if "--processor" in sys.argv:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            vendor = next(line.split(":")[1].strip() for line in f if line.startswith("vendor_id"))
        print(json.dumps({"version": 1, "vendor": vendor, "words": {}}))
        return 0
    with open(sys.argv[sys.argv.index("--config") + 1], encoding="utf-8") as f:
        config = json.load(f)
    if "refuse" in config.get("boot", {}).get("append", "") and config.get("incoming"):
        with open(config["end"], "w", encoding="utf-8") as end:
            fcntl.flock(end, fcntl.LOCK_EX)
            end.write(json.dumps({"result": "failed", "reason": "the toy does not want to"}) + "\n")
        return 1
    Toy(config).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
