/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The worker's configuration: the input is the JSON text. Checked: what is accepted keeps the
 * limits that the rest of the worker relies on; what is refused comes with a sentence.
 */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "worker/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void check(const struct config *c)
{
	must(c->name && c->kernel && c->append);
	must(c->cpus >= 1 && c->cpus <= CONFIG_CPUS_MAX);
	must(c->memory_bytes >= (uint64_t)CONFIG_MEMORY_MIN_MIB << 20 &&
	     c->memory_bytes <= (uint64_t)CONFIG_MEMORY_MAX_MIB << 20 &&
	     is_aligned(c->memory_bytes, 4096));
	must(c->disk_count <= CONFIG_DISKS_MAX && c->nic_count <= CONFIG_NICS_MAX);
	for (unsigned i = 0; i < c->disk_count; i++)
		must((c->disk[i].path || c->disk[i].dvd) &&
		     c->disk[i].controller < c->controllers && c->disk[i].lun < CONFIG_LUNS_MAX);
	must(c->controllers <= CONFIG_CONTROLLERS_MAX && c->scsi_queues >= 1 &&
	     c->scsi_queues <= CONFIG_SCSI_QUEUES_MAX);
	for (unsigned i = 0; i < c->nic_count; i++)
		must(!(c->nic[i].mac[0] & 1) && (c->nic[i].type != NIC_TAP || c->nic[i].ifname) &&
		     !c->nic[i].forward[CONFIG_FORWARDS_MAX]);
	must(c->console != CONSOLE_SOCKET || c->console_path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *c = NULL;
	struct failure f;

	memset(&f, 0, sizeof(f));
	if (config_decode((const char *)data, size, &c, &f) == 0) {
		check(c);
		config_free(c);
	} else {
		must(!c && f.text[0]);
	}
	return 0;
}
