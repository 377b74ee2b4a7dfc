/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the engine's programs print of a cluster of two hosts. The input begins with a byte: even:
 * crm_mon's XML follows; odd: the text of corosync-cfgtool; 2: that of corosync-quorumtool.
 * Checked: the state keeps its members, and has no other.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/harness.h"
#include "host/cluster_alarms.h"
#include "host/cluster_status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct members m = {.name = "lab", .number = 2, .count = 2};
	struct failure f = {.text = ""};
	char *text = malloc(size + 1);
	json_t *status, *alarms;
	int r;

	must(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	for (unsigned i = 0; i < 2; i++) {
		m.member[i].name[0] = (char)('a' + i);
		m.member[i].id = i + 1;
		m.member[i].links = 1;
	}
	status = cluster_status_new(&m);
	must(status != NULL);
	if (size && data[0] == '2') {
		cluster_status_take_witness(status, text + 1);
	} else if (size && data[0] & 1) {
		cluster_status_take_links(status, text + 1);
	} else {
		r = cluster_status_take_engine(status, &m, text + (size > 0), size ? size - 1 : 0,
					       &f);
		must(r == 0 || f.text[0]);
		fuzz_tell(&r, sizeof(r));
	}
	must(json_array_size(json_object_get(status, "members")) == 2);
	must(json_object_size(status) <= 14);
	alarms = cluster_alarms(status);
	must(alarms && json_array_size(alarms) <= CLUSTER_ALARMS_MAX);
	json_decref(alarms);
	json_decref(status);
	free(text);
	return 0;
}
