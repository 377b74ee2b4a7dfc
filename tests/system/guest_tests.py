# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine as the guest finds it, with a look from outside where that says more."""

import datetime
import re
import time

from harness import check, test, wait_for


def simple(name, title, *arguments):
    """A test that the guest does alone."""

    @test(title)
    def run(place):
        place.vm(name, *arguments).passed()

    return run


simple("hello", "guest_finds_its_zero_page_and_acpi_tables")
simple("cpuid", "guest_sees_hyper_v_and_not_kvm")
simple("identity", "hypercall_page_needs_an_identity_and_goes_with_it")
simple("hypercalls", "hypercalls_that_are_wrong_get_a_status")
simple("clock", "reference_counter_and_tsc_page_agree")
simple("msr", "msrs_that_are_not_offered_fault")
simple("synic", "synic_registers_hold_what_is_written")
simple("contact", "guest_contacts_vmbus_twice_and_gets_its_offers")
simple("smp", "second_processor_starts_and_takes_the_interrupts_of_a_channel", "--cpus", "2")
simple("x2apic", "interrupts_arrive_in_x2apic_mode")
simple("serial", "serial_port_has_its_registers_and_interrupts")


@test("memory_of_the_guest_is_what_was_asked_for")
def memory(place):
    vm = place.vm("hello", "--memory", "96M")
    ram = int(vm.expect(r"RAM (\d+)\n").group(1))
    check(95 << 20 <= ram <= 96 << 20, f"{ram} bytes")
    vm.passed()


@test("memory_above_4_gib_and_64_processors_are_handed_over")
def large(place):
    vm = place.vm("hello", "--memory", "5G", "--cpus", "64")
    ram = int(vm.expect(r"RAM (\d+)\n").group(1))
    check(5119 << 20 <= ram <= 5 << 30, f"{ram} bytes")
    vm.passed()


@test("initrd_is_handed_over")
def initrd(place):
    vm = place.vm("hello", "--initrd", place.write("initrd", b"x" * 12345))
    vm.expect(r"INITRD 12345\b")
    vm.passed()


@test("older_versions_of_vmbus_are_offered_on_demand")
def vmbus_versions(place):
    for version in ("4.0", "3.0", "5.1"):
        vm = place.vm("contact", "--vmbus", version)
        found = vm.expect(r"VMBUS (\S+)\n").group(1)
        check(found == version, f"{found} instead of {version}")
        vm.passed()


@test("heartbeat_is_negotiated_and_answered")
def heartbeat(place):
    vm = place.vm("heartbeat")
    vm.expect("READY")
    status = vm.result("status")
    beat = status["integration"]["heartbeat"]
    check(beat["state"] == "ok", f"heartbeat is {beat}")
    check(beat["version"] == "3.0", f"version {beat['version']}")
    check(beat["answers"] >= 2, f"answers {beat['answers']}")
    check(status["vmbus"] == "5.3", f"vmbus {status['vmbus']}")
    vm.type("x")
    vm.passed()


@test("kicks_reach_the_worker_without_an_exit")
def kick(place):
    vm = place.vm("kick")
    vm.expect("READY")
    before = vm.result("statistics")
    vm.type("x")
    vm.expect("KICKED")
    after = wait_for(
        lambda: kicked(vm, before), "the worker saw no kick although the guest made 1000"
    )
    exits = after["processors"]["port"] - before["processors"]["port"]
    check(exits < 100, f"{exits} exits of ports for 1000 kicks")
    calls = after["processors"]["hypercalls"] - before["processors"]["hypercalls"]
    check(calls == 0, f"{calls} hypercalls for 1000 kicks")
    vm.type("x")
    vm.passed()


def kicked(vm, before):
    now = vm.result("statistics")
    more = sum(c["kicks"] for c in now["channels"]) - sum(c["kicks"] for c in before["channels"])
    return now if more > 0 else None


@test("guest_is_asked_to_shut_down_and_obeys")
def shutdown(place):
    vm = place.vm("shutdown")
    vm.expect("READY")
    vm.result("shutdown")
    vm.expect(r"SHUTDOWN flags [01]\b")
    vm.passed()


@test("guest_is_asked_to_reboot")
def reboot(place):
    vm = place.vm("shutdown")
    vm.expect("READY")
    vm.result("reboot")
    vm.expect(r"SHUTDOWN flags [23]\b")
    vm.passed()


@test("shutdown_without_its_service_is_refused_with_a_sentence")
def shutdown_early(place):
    vm = place.vm("halted")
    vm.expect("READY")
    answer = vm.ask("shutdown")
    check(not answer["ok"] and "shutdown service" in answer["error"], f"{answer}")
    vm.result("stop")
    check(vm.wait() == 0, "exit status")


@test("disk_is_read_and_written_through_the_synthetic_controller")
def disk(place):
    path = place.disk()
    vm = place.vm("disk", "--disk", path)
    vm.passed()
    with open(path, "rb") as f:
        content = f.read()
    check(content[9 * 512 :].startswith(b"written by the tiny guest\0"), "sector 9 is another")
    check(content[5 * 512 :].startswith(b"sector 5 of the host's"), "sector 5 was changed")
    check(not any(content[10 * 512 :]), "sectors beside were changed")


@test("disk_works_through_the_page_cache_too")
def disk_cached(place):
    path = place.disk()
    place.vm("disk", "--disk", path + ",cache=writeback").passed()
    with open(path, "rb") as f:
        check(b"written by the tiny guest" in f.read(), "nothing was written")


@test("read_only_disk_refuses_writes")
def disk_read_only(place):
    path = place.disk()
    with open(path, "rb") as f:
        before = f.read()
    place.vm("disk-read-only", "--disk", path + ",ro").passed()
    with open(path, "rb") as f:
        check(f.read() == before, "it was written")


@test("resets_and_pauses_in_the_midst_of_disk_io")
def disk_load(place):
    vm = place.vm("disk-load", "--disk", place.disk(2048), "--cpus", "2")
    for count in range(1, 6):
        wait_for(
            lambda c=count: len(re.findall("ROUND 0\n", vm.output())) == c, f"boot {count} is slow"
        )
        for _ in range(10):
            vm.result("pause")
            vm.result("resume")
        if count < 5:
            vm.result("reset")
    disk_now = vm.result("statistics")["disks"][0]
    check(disk_now["reads"] > 50 and disk_now["errors"] == 0, f"{disk_now}")
    vm.type("x")
    vm.passed()


@test("rubbish_in_rings_breaks_only_its_channel")
def wild_ring(place):
    path = place.disk()
    for seed in range(3):
        place.vm("wild-ring", "--append", f"seed={seed}", "--disk", path + ",ro").passed()


@test("clock_of_the_day_is_the_host's_in_utc")
def rtc(place):
    vm = place.vm("rtc")
    text = vm.expect(r"RTC (\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)\n")
    shown = datetime.datetime(*(int(n) for n in text.groups()), tzinfo=datetime.timezone.utc)
    away = abs((datetime.datetime.now(datetime.timezone.utc) - shown).total_seconds())
    check(away < 3, f"{away:.0f} s away")
    vm.passed()


@test("typed_input_comes_by_interrupt_and_whole")
def echo(place):
    vm = place.vm("echo")
    vm.expect("READY")
    text = "abcdefgh" * 100  # more than the port's FIFO and one read of the worker
    vm.type(text + "q")
    vm.expect(text.upper() + "Q")
    vm.passed()


@test("input_typed_before_the_guest_listens_waits_for_it")
def echo_early(place):
    """But for one byte at most: switching the FIFO on clears the receiver, as on the chip."""
    vm = place.vm("echo")
    vm.type("early birdq")
    vm.expect("ARLY BIRDQ")
    vm.passed()


@test("much_output_comes_whole")
def flood(place):
    vm = place.vm("flood")
    vm.expect("PASS flood")
    lines = re.findall(r"line (\d+)", vm.output())
    check([int(n) for n in lines] == list(range(4000)), f"{len(lines)} lines")
    vm.passed()


@test("every_processor_takes_an_nmi")
def nmi(place):
    for arguments, count in (((), 1), (("--cpus", "2", "--append", "second=1"), 2)):
        vm = place.vm("nmi", *arguments)
        vm.expect("READY")
        time.sleep(0.1)
        vm.result("nmi")
        vm.expect(rf"NMI {count}\b")
        vm.passed()


@test("reset_by_the_guest_starts_it_anew_with_clear_memory")
def reset_by_guest(place):
    vm = place.vm("reset")
    vm.expect("BOOT 1")
    for count in (1, 2):
        vm.type("r")
        wait_for(lambda c=count: vm.output().count("BOOT 1\n") == c + 1, "no further boot")
        check(vm.result("status")["resets"] == count, "the count of resets")
    vm.type("q")
    vm.passed()


@test("reset_from_outside_starts_the_guest_anew")
def reset_from_outside(place):
    vm = place.vm("reset")
    vm.expect("BOOT 1")
    vm.result("reset")
    wait_for(lambda: vm.output().count("BOOT 1\n") == 2, "no second boot")
    status = vm.result("status")
    check(status["resets"] == 1 and status["state"] == "running", f"{status}")
    vm.type("q")
    vm.passed()


@test("reset_while_channels_are_open_lets_the_guest_open_them_again")
def reset_with_channels(place):
    vm = place.vm("kick", "--disk", place.disk(), "--cpus", "2")
    for count in (1, 2, 3):
        wait_for(lambda c=count: vm.output().count("READY") == c, f"boot {count} is not ready")
        if count < 3:
            vm.result("reset")
    vm.type("x")
    vm.expect("KICKED")
    vm.type("x")
    vm.passed()


@test("paused_guest_stands_still_and_goes_on")
def pause(place):
    vm = place.vm("ticks", "--cpus", "2")
    vm.expect("TICK 5")
    vm.result("pause")
    check(vm.result("status")["state"] == "paused", "the state is another")
    time.sleep(0.1)
    shown = vm.output()
    time.sleep(0.5)
    check(vm.output() == shown, "it printed while it was paused")
    check(not vm.ask("pause")["ok"], "a second pause")
    vm.result("resume")
    ticks = shown.count("TICK")
    wait_for(lambda: vm.output().count("TICK") > ticks + 5, "it does not go on")
    check(not vm.ask("resume")["ok"], "a second resume")
    vm.type("x")
    vm.passed()


@test("paused_vm_can_be_reset_and_stopped")
def pause_reset(place):
    vm = place.vm("ticks")
    vm.expect("TICK 2")
    vm.result("pause")
    vm.result("reset")
    wait_for(lambda: vm.output().count("TICK 0\n") == 2, "no second boot")
    vm.result("pause")
    vm.result("stop")
    check(vm.wait() == 0, "exit status")


@test("crash_report_is_in_the_log_and_in_the_status")
def crash(place):
    vm = place.vm("crash")
    vm.expect("READY")
    status = vm.result("status")
    check(status["crashes"] == 1, f"{status}")
    check(status["crash"] == "the tiny guest panics\nfor the test\n", f"{status['crash']!r}")
    check("guest: the tiny guest panics\n" in vm.errors(), vm.errors())
    check("000000000000dead 000000000000beef" in vm.errors(), vm.errors())
    vm.type("x")
    vm.passed()


@test("triple_fault_ends_the_vm_with_a_sentence")
def triple(place):
    vm = place.vm("triple")
    check(vm.wait() == 1, "exit status")
    check("triple fault" in vm.errors(), vm.errors())


@test("wild_guest_does_no_harm")
def random(place):
    for seed in range(2):
        place.vm("random", "--append", f"seed={seed}", "--disk", place.disk()).passed()


@test("worker_runs_by_itself_from_a_configuration")
def worker_alone(place):
    vm = place.vm("echo", worker={"name": "alone", "cpus": 2})
    vm.expect("READY")
    status = vm.result("status")
    check((status["name"], status["cpus"], status["state"]) == ("alone", 2, "running"), f"{status}")
    vm.type("hiq")
    vm.expect("HIQ")
    vm.passed()


@test("wrong_requests_to_the_control_socket_get_a_sentence")
def control_requests(place):
    vm = place.vm("halted")
    vm.expect("READY")
    for request in ({"verb": "dance"}, {"verb": 7}, {"verb": "x" * 500}):
        answer = vm.ask(**request)
        check(not answer["ok"] and answer["error"], f"{answer}")
    vm.result("stop")
    check(vm.wait() == 0, "exit status")
