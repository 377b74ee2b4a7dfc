"""What reaches into a stock guest: keys, and key-value pairs both ways."""

import time

from lab.process import LabError
from lab.runner import timeout

RECORD = "{ printf load; head -c 508 /dev/zero; printf 0.7; head -c 2045 /dev/zero; } >>/var/lib/hyperv/.kvp_pool_1"


def _until(what, seconds: float = 90.0):
    """The first value of what() that is not None; refusals of the control socket are None."""
    end = time.monotonic() + seconds
    while True:
        try:
            value = what()
        except LabError:
            value = None
        if value is not None:
            return value
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(2)


def test_typed_text_reaches_the_console_of_the_tiny_guest(lab):
    script = "cat /proc/bus/input/devices; echo TYPE-NOW; head -n 1 </dev/tty1; echo TYPED"
    vm = lab.vm(script)
    text = vm.wait_for("TYPE-NOW")
    assert "hyperv_keyboard" in text or "AT Translated Set 2 keyboard" in text or "AT Raw Set 2 keyboard" in text, text
    assert vm.control("status")["integration"]["keyboard"]["state"] == "ready"
    vm.control("type", text="Hello, World! {x|y} ~\n")
    done = vm.finish()
    assert done.rc == 0 and "Hello, World! {x|y} ~" in done.console, done


def test_ctrl_alt_del_restarts_the_tiny_guest(lab):
    vm = lab.vm("echo READY; sleep 60")
    vm.wait_for("READY")
    vm.control("key", keys="ctrl-alt-del")
    _until(lambda: True if vm.console().count("READY") == 2 else None)
    assert "the guest asked for a reset" in vm.log()
    vm.control("stop")
    assert vm.finish().rc == 0


@timeout(900)
def test_a_stock_guest_reads_keys_from_its_input_device(lab):
    script = """modprobe evdev; sleep 1; cat /proc/bus/input/devices
for d in /sys/class/input/event*; do readlink -f $d | grep -q VMBUS && E=/dev/input/$(basename $d); done
echo DEVICE $E; lsmod | grep -E 'hyperv_keyboard|evdev'
(sleep 1; echo PRESS-NOW) & timeout 60 dd if=$E bs=24 count=16 iflag=fullblock 2>/dev/null | od -An -v -w24 -tu2 | while read -r t; do set -- $t; [ $9 = 1 ] && echo KEY ${10} ${11}; done
wait"""
    vm = lab.vm(script, root=True, memory="768M")
    vm.wait_for("PRESS-NOW", timeout=300)
    vm.control("type", text="oK")
    vm.control("key", keys="up")
    done = vm.finish(timeout=300)
    assert done.rc == 0 and "hyperv_keyboard" in done.console, done
    for line in ("KEY 24 1", "KEY 24 0", "KEY 42 1", "KEY 37 1"):
        assert line in done.console, done.console


@timeout(1200)
def test_pairs_are_set_read_and_deleted_on_both_sides(lab):
    pool = "/var/lib/hyperv/.kvp_pool_0"
    script = f"""for n in $(seq 600); do grep -qs role {pool} && break; sleep 1; done
echo GUEST-SAW $(head -c 512 {pool} | tr '\\0' '\\n' | head -n 1) $(tail -c +513 {pool} | tr '\\0' '\\n' | head -n 1)
{RECORD}
for n in $(seq 120); do grep -qs role {pool} || break; sleep 1; done
[ -s {pool} ] || echo GUEST-SAW-IT-GO"""
    vm = lab.vm(script, root=True, memory="768M", keep=True)
    _until(lambda: vm.control("guest").get("OSName"), 600)
    vm.control("kvp-set", key="role", value="wéb")
    assert _until(lambda: vm.control("kvp-get", key="role")) == "wéb"
    vm.wait_for("GUEST-SAW role wéb", timeout=120)
    assert _until(lambda: vm.control("kvp-get", pool="guest", key="load")) == "0.7"
    vm.control("kvp-delete", key="role")
    vm.wait_for("GUEST-SAW-IT-GO", timeout=120)
    _until(lambda: True if vm.control("kvp-get") == {} else None)
    vm.control("kvp-delete", key="role")
    _until(lambda: vm.control("status")["integration"]["kvp"]["changes_failed"] or None)
    pairs = vm.control("status")["integration"]["kvp"]
    assert pairs["changes_made"] == 2 and pairs["changes_failed"] == 1, pairs
    vm.control("stop")
    assert vm.finish().rc == 0
