"""The host service as its package brings it: a VM of an image, over the switch that is there by itself, used and upgraded under."""

from lab.runner import timeout
from lab.service import PAGE, Service, packages


@timeout(2700)
def test_a_vm_of_an_image_serves_a_page_gets_a_disk_is_saved_and_loses_no_ping_to_an_upgrade(lab):
    deb = packages(lab.binary("host/oyad").parent.parent)[0]
    with lab.hosts(memory_mib=3072) as hosts:
        web = Service(hosts[0])
        assert web.install(deb).startswith("active")
        assert "debian" in web.import_image()
        assert "disk0.raw" in web.make(lab.tmp)
        assert web.address in web.start()
        assert web.page() == PAGE
        assert "storvsc" in web.guest("cat /sys/class/scsi_host/host*/proc_name")
        assert web.add_disk() == "sdb, 1024 MiB"
        assert web.save().startswith("saved, ")
        assert web.page() == PAGE
        sent, answered, new = web.upgrade()
        assert new and sent == answered and sent > 10, (sent, answered, new)
        assert web.page() == PAGE
        assert web.stop() == "off"
        assert web.purge() == ""
