"""The lab itself: hosts, network, disks, snapshots, and that nothing outlives a run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import lab as oya_lab
from lab import cpio, initrd, process, switch
from lab.runner import PROJECT, quick


def _processes_naming(text: str) -> list[str]:
    """Command lines of live processes that contain `text`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


@quick
def test_module_order_puts_dependencies_first(lab):
    text = "a/x-1.ko: b/y.ko c/z.ko.xz\nb/y.ko: c/z.ko.xz\nc/z.ko.xz:\nd/w.ko:\n"
    assert initrd.load_order(text, ("x_1", "absent")) == ["c/z.ko.xz", "b/y.ko", "a/x-1.ko"]


@quick
def test_cpio_archive_is_aligned_and_ends(lab):
    data = cpio.archive([cpio.Entry("job", b"echo hello\n", 0o755)])
    assert len(data) % 512 == 0 and data.startswith(b"070701") and b"TRAILER!!!" in data
    assert int(data[14:22], 16) == 0o100755


@quick
def test_job_disk_refuses_a_text_that_does_not_fit(lab):
    path = oya_lab.job_disk(lab.tmp / "job", "echo hello", keep=True)
    assert path.stat().st_size == 65536 and path.read_bytes().startswith(b"#!oya-job keep\necho hello\0")
    try:
        oya_lab.job_disk(lab.tmp / "job", "x" * 65536)
    except oya_lab.LabError:
        return
    raise AssertionError("a job of 65536 bytes was taken")


@quick
def test_switch_refuses_a_frame_with_an_impossible_length(lab):
    port = switch.Port(None)
    port.inward += (60).to_bytes(4, "big") + bytes(60) + (20).to_bytes(4, "big") + bytes(5)
    assert [len(frame) for frame in port.frames()] == [64] and len(port.inward) == 9
    port.inward[:] = (1 << 20).to_bytes(4, "big")
    try:
        port.frames()
    except ValueError:
        return
    raise AssertionError("a frame of 1 MiB was taken")


@quick
def test_exit_codes_and_output_travel(lab):
    result = lab.host.run("echo out; echo err >&2; cat; exit 7", check=False, stdin="in\n")
    assert (result.rc, result.out, result.err) == (7, "out\nin\n", "err\n"), result
    try:
        lab.host.run("echo broken >&2; false")
    except oya_lab.CommandFailed as error:
        assert "broken" in str(error) and error.result.rc == 1
    else:
        raise AssertionError("a failed command raised nothing")


@quick
def test_files_and_folders_travel(lab):
    tree = lab.tmp / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "script").write_text("#!/bin/sh\necho hello\n")
    (tree / "sub" / "script").chmod(0o755)
    with open(tree / "sparse", "wb") as file:
        file.truncate(64 << 20)
    lab.host.put(tree, "/root/a/tree copy")
    assert lab.host.run("'/root/a/tree copy/sub/script'").out == "hello\n"
    assert int(lab.host.run("du -k '/root/a/tree copy/sparse' | cut -f1").out) < 1024
    lab.host.get("/root/a/tree copy", lab.tmp / "back")
    assert (lab.tmp / "back" / "sub" / "script").stat().st_mode & 0o777 == 0o755
    assert (lab.tmp / "back" / "sparse").stat().st_size == 64 << 20
    lab.host.put(tree / "sub" / "script", "/root/a/one")
    lab.host.get("/root/a/one", lab.tmp / "one")
    assert (lab.tmp / "one").read_bytes() == (tree / "sub" / "script").read_bytes()
    lab.host.run("rm -rf /root/a")


@quick
def test_a_large_file_travels(lab):
    data = os.urandom(1 << 20) * 8
    (lab.tmp / "large").write_bytes(data)
    for _ in range(2):
        lab.host.put(lab.tmp / "large", "/root/large")
    lab.host.get("/root/large", lab.tmp / "back")
    assert (lab.tmp / "back").read_bytes() == data
    lab.host.run("rm /root/large")


@quick
def test_a_disk_is_plugged_in_and_out(lab):
    device = lab.host.attach(oya_lab.job_disk(lab.tmp / "disk", "echo hello\n"), "spare", read_only=False)
    lab.host.run(f"echo written >{device}; sync")
    lab.host.detach("spare")
    assert (lab.tmp / "disk").read_bytes().startswith(b"written\n")
    lab.host.run(f"for n in $(seq 50); do [ -e {device} ] || exit 0; sleep 0.1; done; exit 1")


@quick
def test_a_background_command_runs_and_stops(lab):
    job = lab.host.spawn("echo started; sleep 300 & wait")
    job.wait_for("started", timeout=20)
    assert job.running()
    job.stop()
    assert lab.host.run("pgrep -x sleep", check=False).rc == 1


@quick
def test_nested_kvm_is_there(lab):
    lab.host.run("test -c /dev/kvm && lsmod | grep -qE '^kvm_(amd|intel)'")
    lab.host.run("modprobe -a brd null_blk tun bridge")


@quick
def test_the_second_start_is_from_the_snapshot(lab):
    with lab.hosts():
        pass
    with lab.hosts() as hosts:
        host = hosts[0]
        assert host.restored
        assert abs(float(host.run("date +%s.%N").out) - time.time()) < 5
        assert host.run("hostname").out == "host1\n"


def test_two_hosts_reach_each_other(lab):
    with lab.hosts(2) as hosts:
        hosts[0].run("ping -c 2 -W 5 host2")
        hosts[1].run("ping -c 2 -W 5 10.77.0.10")
        server = hosts[1].spawn("iperf3 -s -1 --forceflush")
        server.wait_for("listening", timeout=30)
        hosts[0].run("iperf3 -c host2 -t 2")
        ids = [host.run("cat /etc/machine-id").out for host in hosts]
        assert ids[0] != ids[1]


def test_a_shared_disk_written_by_one_host_is_read_by_the_other(lab):
    with lab.hosts(2, shared_disk_mib=64) as hosts:
        disk = hosts[0].shared_disk
        for round_number in range(3):
            text = f"round {round_number} of the shared disk"
            hosts[0].run(f"dd of={disk} bs=4096 seek=7 conv=sync oflag=direct", stdin=text)
            got = hosts[1].run(f"dd if={disk} bs=4096 skip=7 count=1 iflag=direct | tr -d '\\0'").out
            assert got == text, got


def test_an_extra_disk_is_read_only(lab):
    disk = oya_lab.job_disk(lab.tmp / "disk.raw", "echo hello\n")
    with lab.hosts(extra_disks=[disk]) as hosts:
        device = hosts[0].extra_disks[0]
        assert hosts[0].run(f"head -c 9 {device}").out == "#!oya-job"
        assert hosts[0].run(f"dd if=/dev/zero of={device} bs=512 count=1 oflag=direct", check=False).rc != 0


def test_a_host_comes_back_after_a_power_loss(lab):
    with lab.hosts() as hosts:
        host = hosts[0]
        host.run("echo kept >/root/kept; sync")
        host.kill_host()
        assert not host.alive()
        host.power_on()
        assert host.run("cat /root/kept").out == "kept\n" and not host.restored


def test_a_killed_run_leaves_no_process_behind(lab):
    script = (
        "import lab, time\n"
        "with lab.hosts(2) as hs:\n"
        "    hs[0].spawn('sleep 1000')\n"
        "    print(hs.directory, flush=True)\n"
        "    time.sleep(1000)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=PROJECT)
    directory = child.stdout.readline().decode().strip()
    before = _processes_naming(directory)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    end = time.monotonic() + 10
    while (left := _processes_naming(directory)) and time.monotonic() < end:
        time.sleep(0.1)
    assert len(before) >= 5, before  # two QEMU, two ssh masters, the switch
    assert not left, left
    assert Path(directory).is_dir()
    process.run_dir()
    assert not Path(directory).exists()


def test_a_stock_guest_kernel_boots_in_a_host(lab):
    guest = lab.guest()
    job = oya_lab.initrd_with_job(lab.guest_initrd(), "uname -r; ls /sys/bus", lab.tmp / "initrd")
    lab.host.put(guest.kernel, "/root/vmlinuz")
    lab.host.put(job, "/root/initrd")
    out = lab.host.run(
        "timeout 120 qemu-system-x86_64 -accel kvm -cpu host -m 256 -nodefaults -display none -serial stdio "
        "-kernel /root/vmlinuz -initrd /root/initrd -append 'console=ttyS0 quiet'",
        timeout=150,
    ).out
    assert "cloud-amd64" in out and "OYA-JOB-END rc=0" in out, out
