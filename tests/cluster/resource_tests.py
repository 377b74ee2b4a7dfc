# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM as a resource of the cluster: started, watched, and failed over once and only once."""

import os
import signal
import time
import uuid

from harness import check, test, wait_for
from leases import HELD, write_lease
from nodes import Cluster
from vms import ClusterVm, Watch, start


def cluster_test(name):
    return test(name, suite="cluster")


@cluster_test("a_vm_of_a_host_that_is_killed_runs_once_on_another_after_the_host_was_fenced")
def _(place):
    with Cluster(place, 3, links=2, start=False) as c:
        vm = ClusterVm(c, prefer="n2")
        start(c, vm)
        vm.wait_on(c[2])
        with Watch(vm):
            _, epoch, _ = vm.lease()
            before = vm.count()
            c[2].kill()
            where = vm.wait_on(c[1], c[3])
            check([name for _, name in c.fenced()] == ["n2"], f"fenced: {c.fenced()}")
            state, after, owner = vm.lease()
            check((state, after) == (HELD, epoch + 1), f"the lease is {vm.lease()}, was at epoch {epoch}")
            check(str(owner) == where.oyad.good("GET", "/v1/host")["uuid"], f"it is {owner}'s")
            check(vm.count() > before, "the guest did not go on from where it was")
            check("was held by n2" in where.oyad.errors(), f"no reason is told: {where.oyad.errors()[-600:]}")
            # It comes back, lists nothing, and gets its VM by the engine alone.
            c[2].start()
            c.wait_online(*c.nodes)
            vm.wait_on(c[2])
            check(where.oyad.good("GET", "/v1/vms")["vms"] == [], "it is still listed where it was")
            check(len(c.fenced()) == 1, f"fenced: {c.fenced()}")
