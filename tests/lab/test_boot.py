"""Stock Debian kernels as guests: they find Hyper-V, VMBus and each of its devices."""

from lab.runner import ON_HYPERVISOR, quick

FACTS = "dmesg | grep -E 'Hypervisor detected|Vmbus version|IC version'; nproc"


def _boots(lab, suite: str, cpus: int, **options) -> str:
    done = lab.vm(FACTS, suite=suite, cpus=cpus, **options).finish()
    assert done.rc == 0, done
    for line in ("Hypervisor detected: Microsoft Hyper-V", "Heartbeat IC version 3.0", "Shutdown IC version 3.2"):
        assert line in done.console, done.console
    assert f"\n{cpus}\n" in done.console.replace("\r", ""), done.console
    return done.console


@quick
def test_debian_12_boots_with_one_processor(lab):
    assert "Vmbus version:5.3" in _boots(lab, "bookworm", 1)


def test_debian_13_boots_with_two_processors(lab):
    assert "Vmbus version:5.3" in _boots(lab, "trixie", 2)


def test_guest_ends_interrupts_by_the_assist_page(lab):
    """The host's KVM serves Hyper-V's MSRs of the local APIC."""
    if ON_HYPERVISOR:
        lab.skip("the hypervisor has no assist page")
    script = """dmesg | grep 'enlightened APIC'; ticks() { awk '/LOC:/ {print $2}' /proc/interrupts; }
n=$(ticks); sleep 2; [ $(ticks) -gt $n ] && echo TICKS-GO-ON"""
    done = lab.vm(script, suite="trixie").finish()
    assert done.rc == 0 and "Hyper-V: Using enlightened APIC (x2apic mode)" in done.console, done
    assert "TICKS-GO-ON" in done.console, done


def test_debian_12_boots_with_two_processors(lab):
    assert "Vmbus version:5.3" in _boots(lab, "bookworm", 2)


def test_debian_12_boots_with_four_processors(lab):
    assert "Vmbus version:5.3" in _boots(lab, "bookworm", 4)


@quick
def test_debian_13_boots_with_one_processor(lab):
    assert "Vmbus version:5.3" in _boots(lab, "trixie", 1)


def test_debian_13_boots_with_four_processors(lab):
    assert "Vmbus version:5.3" in _boots(lab, "trixie", 4)


def test_the_guest_falls_back_to_vmbus_4_0(lab):
    console = _boots(lab, "bookworm", 2, options="--vmbus 4.0")
    assert "Vmbus version:4.0" in console


def test_the_guest_uses_synthetic_timers_when_they_are_offered(lab):
    script = """
    for n in 0 1; do cat /sys/devices/system/clockevents/clockevent$n/current_device; done
    grep -i hyper-v /proc/interrupts; sleep 1.5; cut -d ' ' -f 1 /proc/uptime; sleep 2; cut -d ' ' -f 1 /proc/uptime
    echo SLEPT
    """
    _uses_timers(lab, script, "--stimer")


def test_the_guest_uses_synthetic_timers_by_message_without_direct_mode(lab):
    script = """
    for n in 0 1; do cat /sys/devices/system/clockevents/clockevent$n/current_device; done
    grep -i hypervisor.callback /proc/interrupts; sleep 1.5; cut -d ' ' -f 1 /proc/uptime; sleep 2; cut -d ' ' -f 1 /proc/uptime
    echo SLEPT
    """
    console = _uses_timers(lab, script, "--stimer-messages")
    assert int(console.split("HYP:")[1].split()[0]) > 100, console


def _uses_timers(lab, script: str, option: str) -> str:
    done = lab.vm(script, cpus=2, options=option).finish()
    lines = done.console.replace("\r", "").splitlines()
    assert done.rc == 0 and "SLEPT" in lines, done
    assert lines.count("Hyper-V clockevent") == 2, done.console
    end = lines.index("SLEPT")
    slept = float(lines[end - 1]) - float(lines[end - 2])
    assert 1.9 < slept < 4, done.console
    return done.console


def test_the_guest_may_decompress_its_kernel_itself(lab):
    assert "Vmbus version:5.3" in _boots(lab, "bookworm", 1, options="--no-unpack")


def test_memory_above_the_gap_is_used(lab):
    done = lab.vm("grep MemTotal /proc/meminfo; free -m", memory="5G").finish()
    total = int(done.console.split("MemTotal:")[1].split()[0])
    assert total > 4_800_000, done.console


@quick
def test_the_text_of_a_panic_reaches_the_log(lab):
    vm = lab.vm("echo 0 >/proc/sys/kernel/panic; echo c >/proc/sysrq-trigger", append="panic=0")
    vm.wait_for("Kernel panic")
    vm.wait_for("end Kernel panic")
    status = vm.control("status")
    assert status["crashes"] == 1 and "Kernel panic" in status["crash"], status
    assert "the guest crashed" in vm.log() and "Kernel panic" in vm.log()
    vm.control("stop")
    assert vm.finish().rc == 0


def test_a_panic_with_a_timeout_reboots_the_guest(lab):
    vm = lab.vm("[ -e /dev/sda ]; echo c >/proc/sysrq-trigger", append="panic=1")
    vm.wait_for("Rebooting in 1 seconds")
    for _ in range(60):
        if vm.control("status")["resets"]:
            break
        vm.host.run("sleep 0.5")
    assert vm.control("status")["resets"] >= 1
    vm.control("stop")
    assert vm.finish().rc == 0


def test_a_guest_reboots_and_comes_up_again(lab):
    disk = f"{lab.host.run('mktemp -d').out.strip()}/flag.raw"
    lab.host.run(f"truncate -s 1M {disk}")
    script = "if grep -q done /dev/sda; then echo SECOND-RUN; else echo done >/dev/sda; sync; reboot -f; sleep 60; fi"
    done = lab.vm(script, options=f"--disk {disk}").finish()
    assert done.rc == 0 and "SECOND-RUN" in done.console, done
    assert "reset: the guest asked for a reset" in done.log


def test_an_nmi_reaches_every_processor(lab):
    vm = lab.vm("echo READY; sleep 8; cat /proc/interrupts", cpus=2)
    vm.wait_for("READY")
    vm.control("nmi")
    done = vm.finish()
    line = next(line for line in done.console.splitlines() if line.strip().startswith("NMI:"))
    assert line.split()[1:3] == ["1", "1"] or "NMI received" in done.console, done.console


def test_a_paused_guest_stands_still_and_goes_on(lab):
    vm = lab.vm("i=0; while [ $i -lt 30 ]; do echo tick $i; i=$((i+1)); sleep 0.5; done", cpus=2)
    vm.wait_for("tick 3")
    vm.control("pause")
    assert vm.control("status")["state"] == "paused"
    before = vm.console()
    vm.host.run("sleep 3")
    assert vm.console() == before
    vm.control("resume")
    vm.wait_for("tick 29")
    assert vm.finish().rc == 0
