# SPDX-License-Identifier: GPL-2.0-or-later
"""A real gdb, driven by its command line.

    with Gdb(symbols) as gdb:
        gdb.do("target remote " + path)
        assert "work" in gdb.do("bt")
"""

import os
import re
import shutil
import signal
import time

from vmmtest import TIMEOUT_FACTOR, Failure, Skip, Vm

GDB_PROMPT = "(gdb) "


class Gdb(Vm):
    """A gdb process. do() types a command and returns what it printed. beside: a Vm whose output is
    taken while we wait for gdb; a guest that prints on a full terminal would wait for us."""

    def __init__(self, symbols=None, beside=None):
        self.beside = beside
        program = shutil.which("gdb")
        if not program:
            raise Skip("there is no gdb")
        settings = ["set confirm off", "set pagination off", "set width 0", "set remotetimeout 20",
                    "set tcp connect-timeout 20", "set debuginfod enabled off", "set print entry-values no"]
        args = ["-nx", "-q"] + [arg for setting in settings for arg in ("-iex", setting)]
        super().__init__(args + ([symbols] if symbols else []), tty=False, program=program)
        self.expect(GDB_PROMPT)

    def _pump(self, timeout):
        if not self.beside:
            return super()._pump(timeout)
        self.beside._pump(0)
        return super()._pump(min(timeout, 0.01))

    def start(self, command):
        """Types a command that does not come back by itself."""
        self.begin = len(self.text)
        self.process.stdin.write((command + "\n").encode())
        self.process.stdin.flush()

    def finish(self, timeout=60):
        """Waits for the end of what start() began."""
        self.expect(GDB_PROMPT, timeout)
        # Errors are on another pipe and may come a little later or earlier.
        return self.text[self.begin:self.position - len(GDB_PROMPT)] + self.take_errors()

    def do(self, command, timeout=60):
        self.start(command)
        return self.finish(timeout)

    def take_errors(self):
        while self._pump(0.02):
            pass
        errors, self.errors = self.errors, ""
        return errors

    def interrupt(self):
        """Ctrl-C."""
        self.expect("Continuing.")
        self.process.send_signal(signal.SIGINT)
        return self.finish()

    def value(self, expression):
        """An integer, whatever gdb makes of its type."""
        text = self.do(f"output/x {expression}")
        match = re.search(r"0x[0-9a-f]+", text)
        if not match:
            raise Failure(f"gdb has no value for {expression}: {text}")
        return int(match[0], 16)

    def connect(self, address, kind="remote"):
        return self.do(f"target {kind} {address}")


def wait_for_socket(vm, path, timeout=20):
    deadline = time.monotonic() + timeout * TIMEOUT_FACTOR
    while not os.path.exists(path):
        if vm.process.poll() is not None or time.monotonic() > deadline:
            vm._pump(0)
            raise Failure(f"no {path}: {vm.errors}")
        time.sleep(0.02)
