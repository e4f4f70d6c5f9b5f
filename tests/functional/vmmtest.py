# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs vmm through its real command line, as a user at a terminal or a script would.

    from vmmtest import Suite, Vm, guest

    suite = Suite()

    @suite.test
    def it_says_hello():
        with Vm(["-kernel", ...]) as vm:
            vm.expect("hello")
            vm.send("exit\\n")
            assert vm.wait() == 0

    suite.main()

A failed assertion, an unmet expectation or a time-out fails the case and shows the end of what the
guest printed. Environment: VMM (the program, set by meson), VMM_GUEST_DIR (the stock guest, see
scripts/lib/guest.sh), VMM_ACCEL (for tests that name no accelerator; dbt), VMM_TIMEOUT_FACTOR for slow
hosts.
"""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import time
import traceback

VMM = os.environ.get("VMM", "build/vmm")
ACCEL = os.environ.get("VMM_ACCEL", "dbt")
GUEST_DIR = os.environ.get("VMM_GUEST_DIR") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "vmm/guest")
TIMEOUT_FACTOR = float(os.environ.get("VMM_TIMEOUT_FACTOR", "1"))
TIMEOUT = 120  # s, for what takes a second or two; hosts may be busy
PROMPT = re.compile(r"guest:\S*# ")


class Skip(Exception):
    """Raised by a test that cannot run here; the text is the reason."""


class Failure(AssertionError):
    pass


def guest(name):
    """The path of a part of the stock guest."""
    path = os.path.join(GUEST_DIR, name)
    if not os.path.exists(path):
        raise Skip(f"no {path}; scripts/quickstart.sh --build-only fetches it")
    return path


def kvm_is_real():
    """Whether /dev/kvm opens and the host CPU has VT-x or AMD-V. Otherwise the reason."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    with open("/proc/cpuinfo") as info:
        if re.search(r"^flags\s*:.*\b(vmx|svm)\b", info.read(), re.M):
            return True
    return "the host CPU shows no VT-x or AMD-V"


class Vm:
    """A vmm process. tty: its standard input and output are a pseudo-terminal of its own session;
    otherwise pipes. Standard error is always a pipe of its own, in self.errors after the end."""

    def __init__(self, args, tty=True, stdin=None, stdout=None, env=None, program=None):
        self.args = [program or VMM] + [str(arg) for arg in args]
        self.text = ""       # all that was printed
        self.position = 0    # how far expect has looked
        self.errors = ""
        self.status = None
        self.tty = tty
        self.started = time.monotonic()
        error_read, error_write = os.pipe()
        if tty:
            self.master, slave = pty.openpty()
            self.slave = slave  # kept open: the modes can be read after the end
            self.modes_before = termios.tcgetattr(slave)
            self.output = self.master
            files = (slave, slave)
        else:
            self.master = None
            self.output, child_out = (None, stdout) if stdout is not None else os.pipe()
            files = (subprocess.PIPE if stdin is None else stdin, child_out)
        self.process = subprocess.Popen(
            self.args, stdin=files[0], stdout=files[1], stderr=error_write, env=env, close_fds=True,
            start_new_session=True, preexec_fn=self._take_terminal if tty else None)
        os.close(error_write)
        if not tty and stdout is None:
            os.close(files[1])
        self.error_pipe = error_read

    @staticmethod
    def _take_terminal():
        import fcntl
        import resource
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None and not issubclass(kind, Skip):
            self.show()
        self.kill()
        for fd in (self.master, self.output if self.output != self.master else None, self.error_pipe,
                   self.slave if self.tty else None):
            if fd is not None:
                os.close(fd)

    def show(self):
        """The end of what happened, as TAP comments."""
        print(f"# command: {' '.join(self.args)}")
        for title, text in (("output", self.text), ("errors", self.errors)):
            lines = text.replace("\r", "").split("\n")[-25:]
            if any(lines):
                print(f"# --- end of {title}")
                print("".join(f"#   {ascii_only(line)}\n" for line in lines), end="")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _pump(self, timeout):
        """Takes what is there, waiting at most timeout for it; False if there was nothing."""
        fds = [fd for fd in (self.output, self.error_pipe) if fd is not None]
        ready = select.select(fds, [], [], max(timeout, 0))[0] if fds else []
        for fd in ready:
            try:
                data = os.read(fd, 65536)
            except OSError:  # a pty nobody has open any more
                data = b""
            if fd == self.error_pipe:
                self.errors += data.decode("utf-8", "replace")
                self.error_pipe = self.error_pipe if data else self._close(fd)
            else:
                self.text += data.decode("utf-8", "replace")
                self.output = self.output if data else self._close(fd)
        return bool(ready)

    def _close(self, fd):
        if fd != self.master:
            os.close(fd)

    def expect(self, pattern, timeout=TIMEOUT):
        """Waits for text (a string, or a compiled pattern) after what was found before; returns the
        match."""
        pattern = re.compile(re.escape(pattern)) if isinstance(pattern, str) else pattern
        deadline = time.monotonic() + timeout * TIMEOUT_FACTOR
        while True:
            match = pattern.search(self.text, self.position)
            if match:
                self.position = match.end()
                return match
            ended = self.process.poll() is not None
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failure(f"no {pattern.pattern!r} within {timeout} s")
            if not self._pump(0 if ended else min(left, 0.5)) and ended:
                raise Failure(f"vmm ended (status {self.process.returncode}) before {pattern.pattern!r}")

    def send(self, text):
        os.write(self.master if self.tty else self.process.stdin.fileno(), text.encode())

    def run(self, command, timeout=TIMEOUT):
        """Runs a command at the guest's shell prompt and returns what it printed."""
        # The quotes keep the markers out of the echo of what is typed.
        self.send(f"echo '<''<<'; {command}; echo '>''>>'\n")
        match = self.expect(re.compile(r"<<<\r*\n(.*?)[\r\n]*>>>\r*\n", re.S), timeout)
        self.expect(PROMPT)
        return match.group(1).replace("\r", "")

    def wait(self, timeout=TIMEOUT):
        """Waits for the end; returns the exit status (negative: the signal)."""
        deadline = time.monotonic() + timeout * TIMEOUT_FACTOR
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise Failure(f"vmm did not end within {timeout} s")
            self._pump(0.1)
        while self._pump(0):
            continue
        return self.process.returncode

    def modes(self):
        return termios.tcgetattr(self.slave)

    def terminal_is_restored(self):
        return self.modes() == self.modes_before

    def terminal_is_raw(self):
        return not self.modes()[3] & (termios.ICANON | termios.ECHO)


class QmpError(Exception):
    """A command's error: .error_class, and the description as text."""

    def __init__(self, error):
        super().__init__(error["desc"])
        self.error_class = error["class"]


class Qmp:
    """A QMP connection to a vmm made with qmp_args(path).

        with Vm([*args, *qmp_args(path)]) as vm, Qmp(path) as qmp:
            qmp.cmd("stop")                      # the answer's "return"; QmpError otherwise
            qmp.wait_event("STOP")               # the event; those before it are dropped
            qmp.hmp("info status")               # the human monitor's answer
    """

    def __init__(self, path, negotiate=True, timeout=TIMEOUT):
        self.timeout = timeout * TIMEOUT_FACTOR
        self.events = []    # arrived and not asked for yet
        self.buffer = b""
        self.socket = self._connect(path)
        self.greeting = self.read()
        if negotiate:
            self.cmd("qmp_capabilities")

    def _connect(self, path):
        """The socket is there some time after vmm has started."""
        deadline = time.monotonic() + self.timeout
        while True:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(self.timeout)
            try:
                connection.connect(path)
                return connection
            except OSError:
                connection.close()
                if time.monotonic() > deadline:
                    raise Failure(f"nobody listens at {path}") from None
                time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()

    def close(self):
        self.socket.close()

    def send_bytes(self, data):
        self.socket.sendall(data)

    def read(self):
        """The next message, whatever it is; None if vmm has closed the connection."""
        while b"\n" not in self.buffer:
            try:
                data = self.socket.recv(65536)
            except socket.timeout:
                raise Failure(f"no QMP message within {self.timeout} s") from None
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def read_answer(self):
        while True:
            message = self.read()
            if message is None:
                raise Failure("vmm closed the QMP connection")
            if "event" not in message:
                return message
            self.events.append(message)

    def send(self, command, arguments=None, **more):
        request = {"execute": command, **({"arguments": arguments} if arguments else {}), **more}
        self.send_bytes(json.dumps(request).encode() + b"\n")

    def cmd(self, command, arguments=None):
        """arguments: a dict, as their names may have dashes."""
        self.send(command, arguments)
        answer = self.read_answer()
        if "error" in answer:
            raise QmpError(answer["error"])
        return answer["return"]

    def hmp(self, line):
        return self.cmd("human-monitor-command", {"command-line": line}).replace("\r", "")

    def wait_event(self, name):
        """The next event of this name."""
        while True:
            while self.events:
                event = self.events.pop(0)
                if event["event"] == name:
                    return event
            message = self.read()
            if message is None:
                raise Failure(f"vmm closed the QMP connection before {name}")
            if "event" in message:
                self.events.append(message)


def qmp_args(path):
    return ["-qmp", f"unix:{path},server=on,wait=off"]


def ascii_only(text):
    return text.encode("ascii", "backslashreplace").decode()


def boot_args(*more, append="", smp=1, memory=512, accel=ACCEL):
    """The command line that boots the stock guest to its shell on the terminal."""
    return ["-m", memory, "-smp", smp, "-accel", accel, "-kernel", guest("vmlinuz"), "-initrd", guest("initrd.gz"),
            "-append", f"console=ttyS0 {append}".strip(), "-nographic", *more]


def initrd(directory, *parts):
    """The stock guest's initrd with more of its archives appended, as a file in directory."""
    path = os.path.join(directory, "initrd.gz")
    with open(path, "wb") as out:
        for part in ("initrd.gz", *parts):
            with open(guest(part), "rb") as source:
                out.write(source.read())
    return path


def load_modules(vm):
    """In a guest that was booted with modules.gz and is at its prompt."""
    failed = vm.run("for m in $(cat /modules/order); do insmod /modules/$m.ko || echo failed: $m; done")
    if "No such file" in failed:
        raise Skip("the guest's modules are old; scripts/quickstart.sh --build-only makes new ones")
    assert "failed" not in failed, failed


def check_refused(args, *mentions, tty=True, timeout=TIMEOUT):
    """vmm refuses these arguments: one line on stderr that mentions all of these, status 1, nothing on
    stdout, the terminal as before."""
    with Vm(args, tty=tty) as vm:
        status = vm.wait(timeout)
        assert status == 1, f"exit status {status}"
        lines = vm.errors.splitlines()
        assert len(lines) == 1, f"{len(lines)} lines on stderr: {lines}"
        assert lines[0].startswith("vmm: "), lines[0]
        for text in mentions:
            assert text in lines[0], f"{text!r} is not mentioned in: {lines[0]}"
        assert vm.text == "", f"stdout: {vm.text!r}"
        if tty:
            assert vm.terminal_is_restored(), "the terminal is not as it was"


class Suite:
    def __init__(self):
        self.tests = []

    def test(self, function):
        self.tests.append(function)
        return function

    def main(self):
        names = sys.argv[1:]
        tests = [t for t in self.tests if not names or t.__name__ in names]
        failed = False
        print(f"1..{len(tests)}", flush=True)
        for number, test in enumerate(tests, 1):
            start = time.monotonic()
            title = test.__name__.replace("_", " ")
            try:
                test()
                result, note = "ok", ""
            except Skip as reason:
                result, note = "ok", f" # SKIP {reason}"
            except AssertionError as error:
                result, note, failed = "not ok", "", True
                where = traceback.extract_tb(error.__traceback__)
                line = next((f for f in reversed(where) if f.filename == sys.argv[0] or f.filename.endswith(
                    os.path.basename(sys.argv[0]))), where[-1])
                print(f"# {os.path.basename(line.filename)}:{line.lineno}: {error or line.line}")
            except Exception:  # a bug of the test is a failed case, not the end of the suite
                result, note, failed = "not ok", "", True
                print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()), end="")
            print(f"{result} {number} - {title}{note}", flush=True)
            print(f"# {time.monotonic() - start:.1f} s", flush=True)
        sys.exit(failed)


signal.signal(signal.SIGPIPE, signal.SIG_IGN)
