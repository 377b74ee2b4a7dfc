/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How memory and processors lie: pages, threads, nodes, pinning. Decoded and checked against
 * each other here; whether the host has them shows when they are asked for.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "worker/config_priv.h"

#define HOST_NODE_MAX 1023u

static const struct {
	const char *name;
	uint64_t mib; /* memory comes in multiples of it */
} pages[] = {
	[PAGES_TRANSPARENT] = {"transparent", 1},
	[PAGES_4K] = {"4k", 1},
	[PAGES_2M] = {"2m", 2},
	[PAGES_1G] = {"1g", 1024},
};

static int decode_pages(json_t *root, struct config *c, struct failure *f)
{
	const char *text = json_string_value(json_object_get(root, "memory_pages"));
	unsigned i = 0;

	while (text && i < ARRAY_LEN(pages) && strcmp(text, pages[i].name) != 0)
		i++;
	if (i == ARRAY_LEN(pages))
		return OR_INVALID(f,
				  "'memory_pages' is '%.32s', allowed are transparent, 4k, 2m and "
				  "1g",
				  text);
	c->memory_pages = (enum config_pages)i;
	if (c->memory_bytes % (pages[i].mib << 20))
		return OR_INVALID(f, "%llu MiB of memory are no whole number of pages of %llu MiB",
				  (unsigned long long)(c->memory_bytes >> 20),
				  (unsigned long long)pages[i].mib);
	return 0;
}

static int decode_threads(json_t *root, struct config *c, struct failure *f)
{
	uint64_t threads = 1;
	int r = field_number(root, "threads", 1, CONFIG_THREADS_MAX, &threads, f);

	if (r < 0)
		return r;
	c->threads = (unsigned)threads;
	if (c->cpus % c->threads)
		return OR_INVALID(f, "%u processors cannot be cores of %u threads", c->cpus,
				  c->threads);
	return 0;
}

static int decode_node(json_t *obj, const struct config *c, struct config_node *n,
		       struct failure *f)
{
	static const struct field keys[] = {
		{"memory_mib", JSON_INTEGER},
		{"cpus", JSON_INTEGER},
		{"host_node", JSON_INTEGER},
	};
	uint64_t memory = 0, cpus = 0, host = UINT64_MAX;
	int r = fields_check(obj, "a node", keys, ARRAY_LEN(keys), f);

	if (r == 0)
		r = field_number(obj, "memory_mib", 1, CONFIG_MEMORY_MAX_MIB, &memory, f);
	if (r == 0)
		r = field_number(obj, "cpus", 0, CONFIG_CPUS_MAX, &cpus, f);
	if (r == 0)
		r = field_number(obj, "host_node", 0, HOST_NODE_MAX, &host, f);
	if (r < 0)
		return r;
	if (!memory || memory % pages[c->memory_pages].mib)
		return OR_INVALID(f, "a node has %llu MiB of memory, a multiple of %llu is needed",
				  (unsigned long long)memory,
				  (unsigned long long)pages[c->memory_pages].mib);
	if (cpus % c->threads)
		return OR_INVALID(f, "a node has %llu processors, but cores have %u threads",
				  (unsigned long long)cpus, c->threads);
	*n = (struct config_node){
		.memory_bytes = memory << 20,
		.cpus = (unsigned)cpus,
		.host_node = host == UINT64_MAX ? -1 : (int)host,
	};
	return 0;
}

static int decode_nodes(json_t *list, struct config *c, struct failure *f)
{
	uint64_t memory = 0, cpus = 0;

	if (json_array_size(list) > CONFIG_NODES_MAX)
		return OR_INVALID(f, "%zu nodes, at most %u are possible", json_array_size(list),
				  CONFIG_NODES_MAX);
	for (size_t i = 0; i < json_array_size(list); i++) {
		int r = decode_node(json_array_get(list, i), c, &c->node[i], f);

		if (r < 0)
			return r;
		memory += c->node[i].memory_bytes;
		cpus += c->node[i].cpus;
		c->node_count++;
	}
	if (c->node_count && (memory != c->memory_bytes || cpus != c->cpus))
		return OR_INVALID(f,
				  "the nodes have %llu MiB and %llu processors together, the VM "
				  "has %llu MiB and %u",
				  (unsigned long long)(memory >> 20), (unsigned long long)cpus,
				  (unsigned long long)(c->memory_bytes >> 20), c->cpus);
	return 0;
}

/* A number below CPU_SETSIZE at the front of *text, which moves behind it. */
static int take_cpu(const char **text, unsigned *ret_cpu)
{
	unsigned n = 0;

	if (**text < '0' || **text > '9')
		return -EINVAL;
	for (; **text >= '0' && **text <= '9'; (*text)++) {
		n = n * 10 + (unsigned)(**text - '0');
		if (n >= CPU_SETSIZE)
			return -EINVAL;
	}
	*ret_cpu = n;
	return 0;
}

/* A list of processors as Linux writes it: 0-3,8. */
static int decode_cpu_list(const char *text, cpu_set_t *ret_set)
{
	CPU_ZERO(ret_set);
	for (;;) {
		unsigned first, last;

		if (take_cpu(&text, &first) < 0)
			return -EINVAL;
		last = first;
		if (*text == '-') {
			text++;
			if (take_cpu(&text, &last) < 0 || last < first)
				return -EINVAL;
		}
		for (unsigned n = first; n <= last; n++)
			CPU_SET(n, ret_set);
		if (*text == '\0')
			return 0;
		if (*text++ != ',')
			return -EINVAL;
	}
}

static int decode_pin(json_t *list, struct config *c, struct failure *f)
{
	size_t count = json_array_size(list);

	if (!list)
		return 0;
	if (count != c->cpus)
		return OR_INVALID(f,
				  "'pin' has %zu members, one for each of %u processors is needed",
				  count, c->cpus);
	c->pin = calloc(count, sizeof(*c->pin));
	if (!c->pin)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const char *text = json_string_value(json_array_get(list, i));

		if (!text)
			return OR_INVALID(f, "'pin' holds something else than text");
		if (decode_cpu_list(text, &c->pin[i]) < 0)
			return OR_INVALID(f, "'%.32s' is no list of processors such as 0-3,8",
					  text);
	}
	return 0;
}

int config_decode_layout(json_t *root, struct config *c, struct failure *f)
{
	int r = decode_pages(root, c, f);

	if (r == 0)
		r = decode_threads(root, c, f);
	if (r == 0)
		r = decode_nodes(json_object_get(root, "numa"), c, f);
	if (r == 0)
		r = decode_pin(json_object_get(root, "pin"), c, f);
	return r;
}
