#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""QMP through sockets, as libvirt and scripts use it. The guests are tiny."""

import json
import os
import re
import socket
import tempfile

import tinyguest
from vmmtest import ACCEL, Qmp, QmpError, Suite, Vm, check_refused, qmp_args

suite = Suite()
folder = tempfile.TemporaryDirectory()
PATH = os.path.join(folder.name, "qmp")
ECHO = tinyguest.write(os.path.join(folder.name, "echo"), tinyguest.text("ready\n") + tinyguest.ECHO)
OFF = tinyguest.write(os.path.join(folder.name, "off"), tinyguest.TRIPLE_FAULT)
BASE = ["-accel", ACCEL, "-m", "16", "-display", "none"]


def start(*more, kernel=ECHO):
    """A VM with QMP at PATH."""
    return Vm(BASE + ["-kernel", kernel, *qmp_args(PATH), *more], tty=False)


def error_of(qmp, command, arguments=None):
    try:
        result = qmp.cmd(command, arguments)
    except QmpError as error:
        return error
    raise AssertionError(f"{command} {arguments} was accepted: {result}")


def check_error(qmp, text, error_class, desc):
    """The answer to these bytes is this error."""
    qmp.send_bytes(text if isinstance(text, bytes) else text.encode())
    answer = qmp.read_answer()
    assert "error" in answer, answer
    assert answer["error"]["class"] == error_class, answer
    assert desc in answer["error"]["desc"], answer


@suite.test
def the_greeting_names_the_version_and_no_capability():
    with start("-S"), Qmp(PATH, negotiate=False) as qmp:
        greeting = qmp.greeting["QMP"]
        assert set(greeting["version"]["qemu"]) == {"major", "minor", "micro"}
        assert greeting["version"]["package"].startswith("vmm ")
        assert greeting["capabilities"] == []


@suite.test
def commands_wait_for_negotiation_and_it_happens_once():
    with start("-S"), Qmp(PATH, negotiate=False) as qmp:
        assert error_of(qmp, "query-status").error_class == "CommandNotFound"
        assert "oob" in str(error_of(qmp, "qmp_capabilities", {"enable": ["oob"]}))
        assert qmp.cmd("qmp_capabilities") == {}
        assert error_of(qmp, "qmp_capabilities").error_class == "CommandNotFound"


@suite.test
def stop_and_cont_change_the_state_and_say_so_in_events():
    with start(), Qmp(PATH) as qmp:
        assert qmp.cmd("query-status") == {"status": "running", "singlestep": False, "running": True}
        qmp.cmd("stop")
        stamp = qmp.wait_event("STOP")["timestamp"]
        assert stamp["seconds"] > 1600000000 and 0 <= stamp["microseconds"] < 1000000
        assert qmp.cmd("query-status")["status"] == "paused"
        qmp.cmd("cont")
        qmp.wait_event("RESUME")
        assert qmp.cmd("query-status")["running"]


@suite.test
def a_vm_made_with_S_waits_for_cont():
    with start("-S", "-serial", "stdio") as vm, Qmp(PATH) as qmp:
        assert qmp.cmd("query-status")["status"] == "prelaunch"
        assert vm.text == ""
        qmp.cmd("cont")
        vm.expect("ready")


@suite.test
def system_reset_starts_the_guest_anew():
    with start("-serial", "stdio") as vm, Qmp(PATH) as qmp:
        vm.expect("ready")
        qmp.cmd("system_reset")
        assert qmp.wait_event("RESET")["data"] == {"guest": False, "reason": "host-qmp-system-reset"}
        vm.expect("ready")


@suite.test
def quit_ends_the_vm_with_an_event_and_status_0():
    with start() as vm, Qmp(PATH) as qmp:
        assert qmp.cmd("quit") == {}
        assert qmp.wait_event("SHUTDOWN")["data"] == {"guest": False, "reason": "host-qmp-quit"}
        assert vm.wait() == 0
        assert not os.path.exists(PATH)


@suite.test
def a_guest_that_ends_under_no_shutdown_needs_a_reset():
    with start("-S", "-no-reboot", "-no-shutdown", kernel=OFF), Qmp(PATH) as qmp:
        qmp.cmd("cont")
        assert qmp.wait_event("SHUTDOWN")["data"] == {"guest": True, "reason": "guest-reset"}
        qmp.wait_event("STOP")
        assert qmp.cmd("query-status") == {"status": "shutdown", "singlestep": False, "running": False}
        assert "Resetting" in str(error_of(qmp, "cont"))


@suite.test
def the_id_comes_back_whatever_it_is():
    with start("-S"), Qmp(PATH) as qmp:
        for value in (7, "text", None, [1, {"a": "\\u00fc"}], {"x": 1.5}):
            qmp.send("query-name", id=value)
            assert qmp.read_answer() == {"return": {}, "id": value}
        qmp.send("no-such-command", id="e")
        assert qmp.read_answer()["id"] == "e"


@suite.test
def requests_that_are_wrong_get_errors_and_the_session_goes_on():
    with start("-S"), Qmp(PATH) as qmp:
        check_error(qmp, '{"execute": "nonsense"}', "CommandNotFound", "nonsense")
        check_error(qmp, '{"exec": "stop"}', "GenericError", "'exec' is unexpected")
        check_error(qmp, '{}', "GenericError", "lacks member 'execute'")
        check_error(qmp, '[1]', "GenericError", "must be a JSON object")
        check_error(qmp, '{"execute": 1}', "GenericError", "must be a string")
        check_error(qmp, '{"execute": "stop", "arguments": []}', "GenericError", "must be an object")
        check_error(qmp, '{"execute": "stop", "arguments": {"a": 1}}', "GenericError", "'a' is unexpected")
        check_error(qmp, '{"execute": "stop",}', "GenericError", "JSON parse error")
        check_error(qmp, '{"execute": "stop", "execute": "cont"}', "GenericError", "JSON parse error")
        check_error(qmp, b'{"execute": "\xff{"execute": "\xc3\x28"}', "GenericError", "JSON parse error")
        check_error(qmp, 'stop\n', "GenericError", "JSON parse error")
        assert qmp.cmd("query-status")["status"] == "prelaunch"


@suite.test
def single_quotes_and_pieces_of_requests_are_understood():
    with start("-S"), Qmp(PATH) as qmp:
        for byte in b"{'execute': 'query-name', 'id': 'a\"b\\'c'}":
            qmp.send_bytes(bytes([byte]))
        assert qmp.read_answer() == {"return": {}, "id": "a\"b'c"}
        qmp.send_bytes(b'{"execute":"query-name","id":1}{"execute":"query-name","id":2}')
        assert [qmp.read_answer()["id"] for _ in range(2)] == [1, 2]


@suite.test
def json_bombs_are_refused_before_they_grow():
    with start("-S"), Qmp(PATH) as qmp:
        check_error(qmp, "[" * 100000 + "\n", "GenericError", "deeper than")
        check_error(qmp, '{"execute": "' + "x" * (2 << 20) + '"}\n', "GenericError", "longer than")
        assert qmp.cmd("query-status")["status"] == "prelaunch"


@suite.test
def a_peer_that_does_not_read_holds_up_only_itself():
    """It asks until no more of it is read; another monitor goes on, and later it gets every answer."""
    other = os.path.join(folder.name, "other")
    request = json.dumps({"execute": "query-name", "id": "x" * 4000}).encode() + b"\n"
    with start("-S", *qmp_args(other)), Qmp(PATH) as slow, Qmp(other) as quick:
        sent = 0
        slow.socket.settimeout(1)
        try:
            while sent < 4096 * len(request):
                sent += slow.socket.send(request[sent % len(request):])
        except socket.timeout:
            pass
        assert sent < 4096 * len(request), "all of it was taken"
        quick.cmd("cont")
        quick.cmd("stop")
        slow.socket.settimeout(slow.timeout)
        for _ in range(sent // len(request)):
            assert slow.read_answer()["return"] == {}
        slow.wait_event("RESUME")
        slow.wait_event("STOP")


@suite.test
def peers_that_come_and_go_leave_nothing_behind():
    with start("-S"):
        for i in range(100):
            with Qmp(PATH, negotiate=False) as qmp:
                assert "QMP" in qmp.greeting
                if i % 3 == 0:
                    qmp.send_bytes(b'{"execute": "qmp_capabilities"}{"execute":"query-commands"}{"execute": "st')
        with Qmp(PATH) as qmp:
            assert qmp.events == []
            assert qmp.cmd("query-status")["status"] == "prelaunch"


@suite.test
def commands_and_goodbye_in_one_write_are_carried_out():
    with start() as vm:
        with Qmp(PATH) as qmp:
            qmp.send("quit")
        assert vm.wait() == 0


@suite.test
def several_monitors_have_sessions_of_their_own():
    other = os.path.join(folder.name, "second")
    chardev = ["-chardev", f"socket,id=c,path={other},server=on,wait=off", "-mon", "c,mode=control,pretty=on"]
    with start("-S", *chardev), Qmp(PATH) as first:
        with socket.socket(socket.AF_UNIX) as second:
            second.settimeout(30)
            second.connect(other)
            text = second.makefile()
            assert text.readline() == "{\n" and text.readline() == '    "QMP": {\n'
            first.cmd("cont")
            second.sendall(b'{"execute": "qmp_capabilities"}')
            while text.readline() != "}\n":
                pass
            assert text.readline() == "{\n" and text.readline() == '    "return": {}\n'
        first.wait_event("RESUME")


@suite.test
def the_schema_describes_every_command_and_refers_to_nothing_unknown():
    with start("-S"), Qmp(PATH) as qmp:
        infos = {(i["meta-type"] in ("command", "event"), i["name"]): i for i in qmp.cmd("query-qmp-schema")}
        commands = {c["name"] for c in qmp.cmd("query-commands")}
        assert commands == {i["name"] for i in infos.values() if i["meta-type"] == "command"}
        for info in infos.values():
            names = [info[k] for k in ("arg-type", "ret-type", "element-type") if k in info]
            names += [m["type"] for m in info.get("members", []) if "type" in m]
            for name in names:
                assert (False, name) in infos, f"{info['name']} refers to {name}"


class Schema:
    """Holds values against what query-qmp-schema says of their types."""

    JSON_TYPES = {"string": str, "int": int, "number": (int, float), "boolean": bool}

    def __init__(self, qmp):
        infos = qmp.cmd("query-qmp-schema")
        self.types = {i["name"]: i for i in infos if i["meta-type"] not in ("command", "event")}
        self.commands = {i["name"]: i for i in infos if i["meta-type"] == "command"}

    def check(self, name, value, where):
        info = self.types[name]
        kind = info["meta-type"]
        if kind == "builtin" and info["json-type"] != "value":
            assert isinstance(value, self.JSON_TYPES[info["json-type"]]), f"{where} is no {name}: {value!r}"
        elif kind == "enum":
            assert value in info["values"], f"{where} is no {name}: {value!r}"
        elif kind == "array":
            for i, item in enumerate(value):
                self.check(info["element-type"], item, f"{where}[{i}]")
        elif kind == "object":
            members = {m["name"]: m for m in info["members"]}
            missing = [m for m in members if "default" not in members[m] and m not in value]
            assert not missing, f"{where} lacks {missing}"
            for key, item in value.items():
                assert key in members or name == "SchemaInfo", f"{where}: {key} is not in {name}"
                if key in members:
                    self.check(members[key]["type"], item, f"{where}.{key}")


@suite.test
def every_query_answers_as_its_schema_says():
    objects = ["-object", "iothread,id=io0", "-object", "memory-backend-ram,id=ram0,size=16M",
               "-machine", "memory-backend=ram0", "-name", "x"]
    with start("-S", "-smp", "2", *objects), Qmp(PATH) as qmp:
        schema = Schema(qmp)
        asked = 0
        for name, info in schema.commands.items():
            arguments = schema.types[info["arg-type"]]["members"]
            if name.startswith("query-") and all("default" in m for m in arguments):
                schema.check(info["ret-type"], qmp.cmd(name), name)
                asked += 1
        assert asked >= 18, asked


@suite.test
def cpus_have_threads_of_their_own_and_places_in_the_topology():
    with start("-S", "-smp", "4,sockets=2,cores=1,threads=2") as vm, Qmp(PATH) as qmp:
        cpus = qmp.cmd("query-cpus-fast")
        tasks = {int(task) for task in os.listdir(f"/proc/{vm.process.pid}/task")}
        threads = {cpu["thread-id"] for cpu in cpus}
        assert len(threads) == 4 and threads <= tasks
        assert [(c["props"]["socket-id"], c["props"]["thread-id"]) for c in cpus] == [(0, 0), (0, 1), (1, 0), (1, 1)]


@suite.test
def chardevs_come_and_go():
    path = os.path.join(folder.name, "chardev")
    with start("-S", "-nodefaults"), Qmp(PATH) as qmp:
        unix = {"addr": {"type": "unix", "data": {"path": path}}}
        assert qmp.cmd("chardev-add", {"id": "s", "backend": {"type": "socket", "data": unix}}) == {}
        assert os.path.exists(path)
        assert "pts" in qmp.cmd("chardev-add", {"id": "p", "backend": {"type": "pty", "data": {}}})["pty"]
        qmp.cmd("chardev-add", {"id": "r", "backend": {"type": "ringbuf", "data": {"size": 4096}}})
        names = {c["label"]: c["filename"] for c in qmp.cmd("query-chardev")}
        assert names["s"].startswith("unix:") and names["p"].startswith("pty:/dev/pts/"), names
        assert qmp.cmd("ringbuf-read", {"device": "r", "size": 10}) == ""
        for wrong, desc in (({"id": "s", "backend": {"type": "null", "data": {}}}, "used twice"),
                            ({"id": "n", "backend": {"type": "nope", "data": {}}}, "nope"),
                            ({"id": "n", "backend": {"type": "null", "data": {"x": 1}}}, "'x'"),
                            ({"id": "n", "backend": {"type": "socket", "data": {"wait": True, **unix}}}, "wait")):
            assert desc in str(error_of(qmp, "chardev-add", wrong)), wrong
        for label in ("s", "p", "r"):
            qmp.cmd("chardev-remove", {"id": label})
        assert not os.path.exists(path)
        assert "in use" in str(error_of(qmp, "chardev-remove", {"id": "compat_monitor0"}))
        assert "not found" in str(error_of(qmp, "chardev-remove", {"id": "s"}))


@suite.test
def objects_and_types_are_known_by_their_properties():
    with start("-S"), Qmp(PATH) as qmp:
        names = {p["name"] for p in qmp.cmd("device-list-properties", {"typename": "isa-serial"})}
        assert {"iobase", "irq", "chardev"} <= names
        assert error_of(qmp, "device-list-properties", {"typename": "nope"}).error_class == "DeviceNotFound"
        types = {t["name"] for t in qmp.cmd("qom-list-types")}
        assert {"isa-serial", "iothread"} <= types
        qmp.cmd("object-add", {"qom-type": "iothread", "id": "io1", "poll-max-ns": 0})
        assert [io["id"] for io in qmp.cmd("query-iothreads")] == ["io1"]
        assert "used already" in str(error_of(qmp, "object-add", {"qom-type": "iothread", "id": "io1"}))
        assert "nope" in str(error_of(qmp, "object-add", {"qom-type": "iothread", "id": "io2", "nope": 1}))
        qmp.cmd("object-del", {"id": "io1"})
        assert qmp.cmd("query-iothreads") == []


@suite.test
def memory_is_saved_to_files():
    path = os.path.join(folder.name, "memory")
    with start("-S"), Qmp(PATH) as qmp:
        for command in ("memsave", "pmemsave"):
            qmp.cmd(command, {"val": 0x100000, "size": 5000, "filename": path})
            with open(path, "rb") as saved:
                assert len(saved.read()) == 5000
        assert "no memory" in str(error_of(qmp, "pmemsave", {"val": 1 << 40, "size": 1, "filename": path}))
        assert "/nonexistent" in str(error_of(qmp, "pmemsave", {"val": 0, "size": 1, "filename": "/nonexistent/x"}))
        assert "no CPU 9" in str(error_of(qmp, "memsave", {"val": 0, "size": 1, "filename": path, "cpu-index": 9}))


@suite.test
def monitors_that_cannot_be_are_refused_in_one_line():
    check_refused(BASE + ["-kernel", ECHO, "-mon", "nope,mode=control"], "-mon", "nope", "-chardev")
    check_refused(BASE + ["-kernel", ECHO, "-qmp", "unix:/nonexistent/x,server=on"], "-qmp", "/nonexistent/x")
    check_refused(BASE + ["-kernel", ECHO, "-mon", "x,mode=tree"], "mode=tree")
    check_refused(BASE + ["-kernel", ECHO, "-chardev", "null,id=c", "-mon", "c,mode=control", "-mon", "c,mode=control"],
                  "'c' is in use")


class Ports:
    """A machine without running CPUs, whose ports the test reads (qtest on its standard input and output)."""

    def __init__(self, vm):
        self.vm = vm

    def command(self, line):
        self.vm.send(line + "\n")
        return self.vm.expect(re.compile(r"^OK(.*)\n", re.M)).group(1).split()

    def received(self):
        """What the 8042 has for the guest, and whether it came from the mouse."""
        data = []
        while (status := int(self.command("inb 0x64")[0], 16)) & 1:
            data.append((int(self.command("inb 0x60")[0], 16), bool(status & 0x20)))
        return data

    def keyboard(self):
        data = self.received()
        assert all(not mouse for _, mouse in data), data
        return bytes(value for value, _ in data).hex()


@suite.test
def keys_and_movements_reach_the_guest():
    args = ["-accel", "qtest", "-display", "none", "-nodefaults", "-qtest", "stdio", *qmp_args(PATH)]
    with Vm(args, tty=False) as vm, Qmp(PATH) as qmp:
        ports = Ports(vm)
        ports.command("outb 0x64 0x60")
        ports.command("outb 0x60 0x40")  # both devices on, translation to the first scan code set
        ports.received()
        assert qmp.hmp("sendkey ctrl-alt-delete") == ""
        assert qmp.hmp("sendkey 0x1e 20") == ""
        assert ports.keyboard() == "1d38e053"
        ports.command(f"clock_step {100 * 10**6}")
        assert ports.keyboard() == "e0d3b89d" + "1e"  # all let go, then the next
        ports.command(f"clock_step {20 * 10**6}")
        assert ports.keyboard() == "9e"
        qmp.cmd("send-key", {"keys": [{"type": "qcode", "data": "shift"}, {"type": "number", "data": 0x10}],
                             "hold-time": 5})
        ports.command(f"clock_step {5 * 10**6}")
        assert ports.keyboard() == "2a10" + "90aa"
        for byte in (0xd4, 0xf4):  # the mouse sends
            ports.command(f"outb {0x64 if byte == 0xd4 else 0x60:#x} {byte:#x}")
        assert ports.received() == [(0xfa, True)]
        assert qmp.hmp("mouse_move 5 -3") == "" and qmp.hmp("mouse_button 1") == ""
        qmp.cmd("input-send-event", {"events": [
            {"type": "btn", "data": {"button": "left", "down": False}},
            {"type": "key", "data": {"down": True, "key": {"type": "qcode", "data": "spc"}}}]})
        data = ports.received()
        packets = [value for value, mouse in data if mouse]
        assert packets[1:3] == [5, 3] and packets[0] & 7 == 0 and packets[3] & 7 == 1 and packets[6] & 7 == 0, data
        assert [value for value, mouse in data if not mouse] == [0x39]


@suite.test
def hot_plug_is_told_in_registers_and_by_an_event():
    args = ["-accel", "qtest", "-display", "none", "-nodefaults", "-qtest", "stdio", *qmp_args(PATH)]
    with Vm(args, tty=False) as vm, Qmp(PATH) as qmp:
        ports = Ports(vm)
        up, down, eject, removable, bus = range(0xae00, 0xae14, 4)

        def read(port):
            return int(ports.command(f"inl {port:#x}")[0], 16)
        qmp.cmd("device_add", {"driver": "virtio-rng-pci", "id": "rng", "addr": "7"})
        assert int(ports.command("inb 0x620")[0], 16) & 2, "general-purpose event 1"
        assert read(removable) == 1 << 7 and read(down) == 0
        assert read(up) == 1 << 7 and read(up) == 0
        qmp.cmd("device_del", {"id": "rng"})
        assert read(down) == 1 << 7
        ports.command(f"outl {bus:#x} 1")  # there is no such bus
        assert read(down) == 0
        ports.command(f"outl {eject:#x} 0xffffffff")
        ports.command(f"outl {bus:#x} 0")
        ports.command(f"outl {eject:#x} 0xffffff7f")  # all but this one: the board's own stay
        assert "rng" in qmp.hmp("info qtree")
        ports.command(f"outl {eject:#x} 0x80")
        assert qmp.wait_event("DEVICE_DELETED")["data"]["device"] == "rng"
        assert read(removable) == 0 and read(down) == 0
        assert "dev: i440FX" in qmp.hmp("info qtree") and "dev: piix3-ide" in qmp.hmp("info qtree")


@suite.test
def keys_that_are_not_are_refused():
    with Vm(BASE + qmp_args(PATH)), Qmp(PATH) as qmp:
        for line, mention in (("sendkey hyper-x", "'hyper'"), ("sendkey a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-p-q", "1 to 16"),
                              ("sendkey 0x80", "'0x80'"), ("sendkey a 100000", "60000"),
                              ("mouse_button 9", "4 (right)"),
                              ("mouse_move 1", "how far down"), ("mouse_move 1 x", "'x'")):
            assert mention in qmp.hmp(line), line
        key = {"type": "qcode", "data": "nokey"}
        assert "'nokey'" in str(error_of(qmp, "send-key", {"keys": [key]}))
        assert "1 to 16" in str(error_of(qmp, "send-key", {"keys": []}))
        button = {"type": "btn", "data": {"down": True}}
        assert "'button'" in str(error_of(qmp, "input-send-event", {"events": [button]}))
        assert "'nokey'" in str(error_of(qmp, "input-send-event", {"events": [
            {"type": "key", "data": {"down": True, "key": key}}]}))


@suite.test
def cpu_models_are_expanded_to_their_features():
    with Vm(BASE + qmp_args(PATH)), Qmp(PATH) as qmp:
        def props(name, **more):
            answer = qmp.cmd("query-cpu-model-expansion", {"type": "full", "model": {"name": name, "props": more}})
            assert answer["model"]["name"] == name
            return answer["model"]["props"]
        plain, changed = props("qemu64"), props("qemu64", avx2=True, sse2=False)
        assert plain["lm"] is True and plain["avx2"] is False and changed["sse2"] is False
        assert {name for name in plain if plain[name] != changed[name]} >= {"sse2"}
        unknown = {"type": "full", "model": {"name": "qemu65"}}
        assert "qemu64" in str(error_of(qmp, "query-cpu-model-expansion", unknown))


suite.main()
