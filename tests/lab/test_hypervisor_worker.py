"""Our worker on the hypervisor: the system tests with their tiny guest, in the parent partition."""

import re

from lab.parent import numbers, load_driver, nothing_left
from lab.runner import PROJECT, timeout


@timeout(1500)
def test_system_tests_pass_on_the_hypervisor(lab):
    with lab.hosts(memory_mib=3072, hypervisor=lab.binary("hypervisor/oya-hv")) as hosts:
        host = hosts[0]
        load_driver(host, lab.tmp)
        host.put(PROJECT / "tests/system", "/root/system")
        for name in ("cli/oya", "worker/oya-worker", "tests/system/oya-test-guest"):
            host.run(f"mkdir -p /root/build/{name.rpartition('/')[0]}")
            host.put(lab.binary(name), f"/root/build/{name}")
        before = numbers(host)
        report = host.run(
            "OYA_SYSTEM_SLOWNESS=4 python3 /root/system/run.py --build /root/build", timeout=1300, check=False
        )
        failed = re.findall(r"^not ok .*(?:\n#.*)*", report.out, re.M)
        assert report.rc == 0 and not failed, "\n".join(failed) or report
        assert len(re.findall("^ok ", report.out, re.M)) > 100, report
        nothing_left(before, numbers(host))
