# SPDX-License-Identifier: GPL-2.0-or-later
"""oya run on a terminal: the live console and the commands behind Ctrl-]."""

import os
import pty
import re
import select
import signal
import termios
import time

from harness import SLOWNESS, Failed, Paths, check, children, test

ESCAPE = b"\x1d"


class Terminal:
    """oya run as the leader of a session on a pseudo terminal."""

    def __init__(self, place, guest_test, *arguments):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        command = [Paths.oya, "run", "--kernel", Paths.guest, "--append", f"test={guest_test}"]
        self.process = place.spawn(
            [*command, "--memory", "64M", *arguments],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
        )

    def expect(self, pattern, seconds=8.0, count=1):
        end = time.monotonic() + seconds * SLOWNESS
        while len(re.findall(pattern, self.seen)) < count:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                raise Failed(f"no {pattern!r} on the terminal but {self.seen[-300:]!r}")
            self.seen += os.read(self.master, 4096)

    def type(self, keys):
        os.write(self.master, keys)

    def ended(self, status):
        end = time.monotonic() + 8 * SLOWNESS
        while self.process.poll() is None:
            if select.select([self.master], [], [], 0.02)[0]:
                self.seen += os.read(self.master, 4096)
            if time.monotonic() > end:
                raise Failed(f"did not end; the terminal shows {self.seen[-300:]!r}")
        check(self.process.returncode == status, f"exit status {self.process.returncode}")
        check(termios.tcgetattr(self.slave) == self.before, "the terminal is not as before")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def on_terminal(title, guest_test, *arguments):
    def note(function):
        @test(title)
        def run(place):
            terminal = Terminal(place, guest_test, *arguments)
            try:
                function(terminal)
            finally:
                terminal.close()

        return run

    return note


@on_terminal("terminal_is_a_live_console", "echo")
def live(t):
    t.expect(rb"Ctrl-\] \? lists the commands")
    t.expect(b"READY")
    t.type(b"abc")
    t.expect(b"ABC")
    t.type(b"\x03")  # Ctrl-C is the guest's
    t.expect(b"\x03")
    t.type(b"q")
    t.expect(b"PASS echo")
    t.ended(0)


@on_terminal("log_lines_return_the_carriage_of_the_raw_terminal", "contact")
def log_lines(t):
    t.expect(b"oya-worker: vmbus: the guest connected, version 5.3\r\n")
    t.expect(b"PASS contact")
    t.ended(0)


@on_terminal("escape_lists_its_commands_and_sends_itself", "echo")
def escape_help(t):
    t.expect(b"READY")
    t.type(ESCAPE + b"?")
    t.expect(b"s shut down, r reset, n NMI, q switch off")
    t.type(ESCAPE + ESCAPE)
    t.expect(ESCAPE)
    t.type(b"q")
    t.ended(0)


@on_terminal("escape_q_switches_off", "halted")
def escape_quit(t):
    t.expect(b"READY")
    t.type(ESCAPE + b"q")
    t.ended(0)


@on_terminal("escape_r_resets", "reset")
def escape_reset(t):
    t.expect(b"BOOT 1")
    t.type(ESCAPE + b"r")
    t.expect(b"BOOT 1", count=2)
    t.type(b"q")
    t.ended(0)


@on_terminal("escape_n_sends_an_nmi", "nmi")
def escape_nmi(t):
    t.expect(b"READY")
    time.sleep(0.1)
    t.type(ESCAPE + b"n")
    t.expect(b"NMI 1")
    t.ended(0)


@on_terminal("escape_s_asks_the_guest_to_shut_down", "shutdown")
def escape_shutdown(t):
    t.expect(b"READY")
    t.type(ESCAPE + b"s")
    t.expect(b"PASS shutdown")
    t.ended(0)


@on_terminal("escape_s_without_the_service_says_why_not", "halted")
def escape_shutdown_refused(t):
    t.expect(b"READY")
    t.type(ESCAPE + b"s")
    t.expect(b"its shutdown service is not ready")
    t.type(ESCAPE + b"q")
    t.ended(0)


@on_terminal("sigterm_after_a_command_ends_at_once_and_restores_the_terminal", "halted")
def sigterm(t):
    t.expect(b"READY")
    t.type(ESCAPE + b"?")
    t.expect(b"switch off")
    time.sleep(0.2)
    t.process.send_signal(signal.SIGTERM)
    t.ended(0)


@on_terminal("killed_worker_restores_the_terminal", "halted")
def worker_killed(t):
    t.expect(b"READY")
    os.kill(children(t.process.pid)[0], signal.SIGKILL)
    t.ended(1)
    t.expect(b"signal 9")


@on_terminal("failure_to_start_leaves_the_terminal_as_it_was", "halted", "--disk", "/nope")
def start_failure(t):
    t.ended(1)
    t.expect(b"cannot open the disk /nope: No such file")
