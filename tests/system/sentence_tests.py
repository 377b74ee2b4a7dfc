# SPDX-License-Identifier: GPL-2.0-or-later
"""What oya and the worker say when they cannot: one sentence, the right status, no traces."""

import os
import re
import shutil
import struct
import subprocess

from harness import DEVICE, SLOWNESS, Paths, Skipped, check, in_use, one_sentence, test, wait_for

FAILED, USAGE = 1, 2


def refused(place, arguments, status, pattern, kernel=True, left=True, **options):
    """oya run with these arguments ends so; twice: with the console on pipes, and without one."""
    base = ["--kernel", Paths.guest, "--append", "test=hello"] if kernel else []
    for console in ("stdio", "none"):
        code, output, errors = place.run(
            "run", *base, "--console", console, *arguments, **options
        )
        check(code == status, f"exit status {code}: {errors!r}")
        check(output == "", f"on standard output: {output!r}")
        sentence = one_sentence(errors)
        check(re.search(pattern, sentence), f"another sentence: {sentence}")
        if left:
            place.nothing_left()


def sentence(title, arguments, pattern, status=FAILED, **options):
    """A test whose arguments need nothing but the folder: (lambda place: [...]) or a list."""

    @test(title)
    def run(place):
        made = arguments(place) if callable(arguments) else arguments
        refused(place, made, status, pattern, **options)

    return run


def kernel(make):
    return lambda place: ["--kernel", make(place)]


def packed_kernel(payload_at, sectors=4):
    """The header of a bzImage whose payload lies where the file has ended."""
    image = bytearray(512 * (sectors + 1) + 64)
    image[0x1F1] = sectors
    struct.pack_into("<H", image, 0x1FE, 0xAA55)
    image[0x200:0x202] = b"\xeb\x66"
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x206, 0x020F)
    struct.pack_into("<H", image, 0x236, 1)
    struct.pack_into("<II", image, 0x248, payload_at, 1 << 20)
    struct.pack_into("<Q", image, 0x258, 1 << 20)
    return bytes(image)


def elf(kind=2, machine=62, type_=2):
    ident = b"\x7fELF" + bytes([kind, 1, 1]) + bytes(9)
    return ident + struct.pack("<HHI", type_, machine, 1) + bytes(200)


def cut_guest(place):
    with open(Paths.guest, "rb") as f:
        return place.write("cut", f.read(9000))


sentence("kernel_missing", ["--kernel", "/nope"], "cannot open the kernel /nope: No such file")
sentence("kernel_option_missing", [], "--kernel or --firmware is missing", USAGE, kernel=False)
sentence("kernel_empty", kernel(lambda p: p.write("k", b"")), "kernel .* is empty")
sentence("kernel_is_text", kernel(lambda p: p.write("k", b"hello\n" * 99)), "not a Linux kernel")
sentence("kernel_of_two_bytes", kernel(lambda p: p.write("k", b"MZ")), "not a Linux kernel")
sentence("kernel_is_a_folder", kernel(lambda p: p.tmp), "not a regular file")
sentence("kernel_is_a_device", ["--kernel", "/dev/zero"], "not a regular file")
sentence(
    "kernel_packed_and_cut_short",
    kernel(lambda p: p.write("k", packed_kernel(0x10000))),
    "damaged or cut short",
)
sentence(
    "kernel_packed_and_cut_within_its_header",
    kernel(lambda p: p.write("k", packed_kernel(0)[:0x260])),
    "not a Linux kernel",
)
sentence(
    "kernel_for_32_bits", kernel(lambda p: p.write("k", elf(kind=1, machine=3))), "64-bit x86"
)
sentence("kernel_for_arm", kernel(lambda p: p.write("k", elf(machine=183))), "64-bit x86")
sentence("kernel_elf_cut_short", kernel(cut_guest), "damaged or cut short")
sentence("initrd_missing", ["--initrd", "/nope"], "cannot open the initrd /nope: No such file")
sentence("initrd_empty", lambda p: ["--initrd", p.write("i", b"")], "initrd .* is empty")
sentence(
    "initrd_too_big",
    lambda p: ["--memory", "64M", "--initrd", p.sparse("i", 65 << 20)],
    "initrd does not fit into the VM's 64 MiB of memory",
)
sentence(
    "command_line_too_long", ["--append", "x" * 3000], "command line has 30.. characters, .* takes"
)
sentence("memory_0", ["--memory", "0"], "is no size", USAGE)
sentence("memory_0M", ["--memory", "0M"], "'memory_mib' is 0, allowed are 32 to")
sentence("memory_16M", ["--memory", "16M"], "'memory_mib' is 16, allowed are 32 to")
sentence("memory_100T", ["--memory", "100T"], "is no size", USAGE)
sentence("memory_100000G", ["--memory", "102400G"], "memory", FAILED)
sentence("memory_that_wraps", ["--memory", "99999999999999999999G"], "more than any VM", USAGE)
sentence("memory_negative", ["--memory", "-1G"], "is no size", USAGE)
sentence("memory_without_number", ["--memory", "G"], "is no size", USAGE)
sentence("cpus_0", ["--cpus", "0"], "'cpus' is 0, allowed are 1 to 64")
sentence("cpus_65", ["--cpus", "65"], "'cpus' is 65, allowed are 1 to 64")
sentence("cpus_of_words", ["--cpus", "two"], "'two' is no number, as cpus needs it", USAGE)
sentence("cpus_far_too_many", ["--cpus", "99999999999999999999"], "cpus|processors")
sentence("threads_that_do_not_divide", ["--cpus", "3", "--threads", "2"], "cannot be cores of 2")
sentence("pages_of_3m", ["--memory-pages", "3m"], "allowed are transparent, 4k, 2m and 1g")
sentence(
    "pages_of_a_pool_that_is_short",
    ["--memory", "2048G", "--memory-pages", "2m"],
    "in pages of 2 MiB: (1048576 are needed and|this host has no)",
)
sentence("node_without_memory", ["--numa", "cpus=1"], "a node has 0 MiB of memory")
sentence("node_option_unknown", ["--numa", "ram=1G"], "no option 'ram'", USAGE)
sentence("nodes_that_do_not_add_up", ["--numa", "memory=1G,cpus=2"], "the VM has 1024 MiB and 1")
sentence(
    "node_of_the_host_missing",
    ["--memory", "64M", "--numa", "memory=64M,cpus=1,host=1000"],
    "cannot place the memory of node 0 on the host's node 1000",
)
sentence("pins_too_few", ["--cpus", "2", "--pin", "0"], "'pin' has 1 members, one for each of 2")
sentence("pin_of_words", ["--pin", "first"], "'first' is no list of processors")
sentence("pin_to_a_missing_processor", ["--pin", "1023"], "cannot pin processor 0")
sentence("uuid_wrong", ["--uuid", "abc"], "is no UUID")
sentence("vmbus_version_wrong", ["--vmbus", "9.9"], "no version of VMBus")
sentence("console_unknown", ["--console", "sixel"], "no console", USAGE)
sentence("console_without_path", ["--console", "socket="], "no console", USAGE)
sentence("text_that_is_no_utf8", ["--append", b"\xff"], "is not UTF-8", USAGE)
sentence("forward_on_a_tap", ["--net", "tap=t0,forward=tcp:1:2"], "forwards no ports")
sentence("option_unknown", ["--colour"], "no option", USAGE)
sentence("option_without_value", ["--disk"], "lacks its argument", USAGE)
sentence("argument_extra", ["vmlinuz"], "not expected", USAGE)
sentence("disk_missing", ["--disk", "/nope.raw"], "cannot open the disk /nope.raw: No such file")
sentence("disk_of_odd_size", lambda p: ["--disk", p.sparse("d", 513)], "no multiple of 512")
sentence("disk_empty", lambda p: ["--disk", p.sparse("d", 0)], "is empty or its size")
sentence("disk_is_a_folder", lambda p: ["--disk", p.tmp], "disk .* (directory|neither)")
sentence("disk_is_a_device_of_characters", ["--disk", "/dev/zero"], "neither a file nor a block")
sentence(
    "disk_cache_unknown", lambda p: ["--disk", p.disk() + ",cache=x"], "allowed are none and"
)
sentence("disk_option_unknown", ["--disk", "d,rw"], "no option 'rw'", USAGE)
sentence("disks_too_many", lambda p: ["--disk", p.disk()] * 65, "controller 0 has more than 64 disks")
sentence("disk_twice", lambda p: ["--disk", p.disk()] * 2, "is in use by another VM or program")
sentence("nic_option_unknown", ["--net", "bridge"], "no option 'bridge'", USAGE)
sentence("nic_without_type", ["--net", "mac=00:15:5d:00:00:01"], "'type' of a NIC")
sentence("nic_mac_wrong", ["--net", "user,mac=01:00:00:00:00:00"], "is no MAC address")
sentence("nic_forward_wrong", ["--net", "user,forward=tcp:x"], "forward|port")
sentence(
    "console_path_too_long", lambda p: ["--console", "socket=/tmp/" + "x" * 120], "is longer than"
)
sentence("control_path_too_long", ["--control", "/tmp/" + "x" * 120], "is too long")
sentence("control_folder_missing", ["--control", "/nope/control"], "control socket /nope/control")
sentence("control_is_a_file", lambda p: ["--control", p.write("c", b"x")], "another kind of file")
sentence("device_missing", ["--device", "/dev/nope"], "there is no /dev/nope")
sentence("device_that_is_no_kvm", ["--device", "/dev/null"], "does not speak the KVM interface")


@test("disk_of_a_running_vm_is_refused")
def disk_in_use(place):
    path = place.disk()
    vm = place.vm("halted", "--disk", path)
    vm.expect("READY")
    code, _, errors = place.run("run", "--kernel", Paths.guest, "--disk", path)
    check(code == FAILED, f"exit status {code}")
    check("in use by another VM" in one_sentence(errors), errors)
    vm.result("stop")
    check(vm.wait() == 0, "exit status")


@test("read_only_disk_is_shared_by_readers")
def disk_shared(place):
    path = place.disk()
    vm = place.vm("halted", "--disk", path + ",ro")
    vm.expect("READY")
    place.vm("disk-read-only", "--disk", path + ",ro").passed()
    vm.result("stop")
    check(vm.wait() == 0, "exit status")


@test("sockets_of_a_running_vm_are_refused")
def sockets_in_use(place):
    vm = place.vm("halted", "--console", "socket=" + place.path("console"), stdio=False)
    for option in (["--control", vm.control], ["--console", "socket=" + place.path("console")]):
        path = option[1].removeprefix("socket=")
        wait_for(lambda p=path: in_use(p), f"nobody listens at {path}")
        code, _, errors = place.run(
            "run", "--kernel", Paths.guest, "--append", "test=hello", *option
        )
        check(code == FAILED, f"exit status {code}")
        check("is in use by another VM" in one_sentence(errors), errors)
    check(in_use(vm.control), "the sockets of the first VM are gone")
    vm.result("stop")
    check(vm.wait() == 0, "exit status")


def need_root():
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        raise Skipped("needs root and setpriv")


@test("device_without_permission")
def device_permission(place):
    need_root()
    os.chmod(place.tmp, 0o777)
    copies = [shutil.copy(path, place.tmp) for path in (Paths.oya, Paths.worker, Paths.guest)]
    prefix = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    p = subprocess.run(
        [*prefix, copies[0], "run", "--kernel", copies[2], "--device", DEVICE],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=10 * SLOWNESS,
        check=False,
        cwd="/",
    )
    if p.returncode == 0:
        raise Skipped(f"everybody may use {DEVICE} here")
    check(p.returncode == FAILED, f"exit status {p.returncode}")
    check(f"no permission for {DEVICE}" in one_sentence(p.stderr.decode()), p.stderr.decode())


@test("tap_unknown_or_without_permission")
def tap(place):
    need_root()
    refused(
        place,
        ["--net", "tap=oyanosuch0"],
        FAILED,
        "tap device 'oyanosuch0'",
        prefix=["setpriv", "--bounding-set=-all", "--inh-caps=-all"],
    )


@test("tap_name_that_is_none")
def tap_name(place):
    refused(place, ["--net", "tap=" + "x" * 40], FAILED, "tap|name")


@test("interface_that_is_no_tap")
def tap_kind(place):
    need_root()
    refused(place, ["--net", "tap=lo"], FAILED, "'lo': .*is no tap")


@test("tap_is_made_for_root_is_refused_to_others_and_goes_away")
def tap_made(place):
    need_root()
    name = f"oyat{os.getpid()}"
    vm = place.vm("halted", "--net", "tap=" + name)
    vm.expect("READY")
    check(os.path.exists("/sys/class/net/" + name), "there is no such interface")
    refused(place, ["--net", "tap=" + name], FAILED, "another process uses it", left=False)
    vm.result("stop")
    check(vm.wait() == 0, "exit status")
    check(not os.path.exists("/sys/class/net/" + name), "the interface stays")


@test("passt_missing")
def passt_missing(place):
    refused(place, ["--net", "user"], FAILED, "passt", env={"PATH": "/nope"})


@test("worker_missing")
def worker_missing(place):
    refused(
        place, [], FAILED, "cannot find the worker /nope/worker", env={"OYA_WORKER": "/nope/worker"}
    )


def worker_says(place, text, pattern, status=FAILED):
    p = place.spawn(
        [Paths.worker, "--config", place.write("config", text)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = p.communicate(timeout=10 * SLOWNESS)
    check(p.returncode == status, f"exit status {p.returncode}: {errors!r}")
    check(output == b"", "on standard output")
    said = one_sentence(errors.decode())
    check(re.search(pattern, said), f"another sentence: {said}")


@test("configuration_that_is_wrong_is_refused_with_its_place")
def configurations(place):
    for text, pattern in (
        (b"", "is not JSON"),
        (b"{", "line 1 is not JSON"),
        (b"[]", "not an object"),
        (b"{}", "no 'version'"),
        (b'{"version":2}', "'version' is 2"),
        (b'{"version":1}', "names no kernel"),
        (b'{"version":1,"colour":1}', "no setting 'colour'"),
        (b'{"version":1,"cpus":"1"}', "'cpus' of .* wrong type"),
        (b'{"version":1,"version":1}', "not JSON"),
        (b'{"version":1,"disks":[7]}', "not an object"),
        (b'{"version":1,"disks":[{}]}', "no 'path'"),
        (b'{"version":1,"name":"a\\u0000b"}', "."),
        (b"\xff\xfe", "not JSON"),
        (b" " * (1 << 20), "longer than 1 MiB"),
    ):
        worker_says(place, text, pattern)


@test("configuration_file_missing")
def configuration_missing(place):
    p = place.spawn([Paths.worker, "--config", "/nope"], stderr=subprocess.PIPE)
    _, errors = p.communicate(timeout=10 * SLOWNESS)
    check(p.returncode == FAILED, "exit status")
    check("/nope: No such file" in one_sentence(errors.decode()), errors.decode())


@test("verbs_and_help")
def help_text(place):
    code, _, errors = place.run()
    check(code == USAGE and "usage:" in errors, "without a verb")
    code, _, errors = place.run("dance")
    check(code == USAGE and "no noun 'dance'" in one_sentence(errors), errors)
    for arguments in (["--help"], ["run", "--help"], ["--version"]):
        code, output, errors = place.run(*arguments)
        check(code == 0 and output and not errors, f"{arguments}")
