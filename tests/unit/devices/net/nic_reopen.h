/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A NIC that was read from a record, and its guest, whose channels were open then; beside
 * nic_queues.h. Stands in for the bus, which has no record here: the guest opens each channel by
 * messages, but the device is told that it was open before. Everything is where nic_open(),
 * nic_long_rx() and nic_open_subs() have it, by the same numbers, and the rings are empty.
 */
#ifndef OYA_TESTS_NIC_REOPEN_H
#define OYA_TESTS_NIC_REOPEN_H

#include "devices/vmbus/internal.h"
#include "tests/unit/devices/net/nic_queues.h"

static const struct vmbus_device_ops *nic_real_ops;

static inline int nic_open_as_reopen(void *dev, struct vmbus_channel *ch, const uint8_t *user)
{
	(void)user;
	nic_real_ops->reopen(dev, ch);
	return 0;
}

/* The bus serves a channel only once all has been read. */
static inline void nic_not_yet(void *dev, struct vmbus_channel *ch)
{
	(void)dev;
	(void)ch;
}

/* The guest is connected and knows the offers of the NIC: how many, and their relids. */
static inline unsigned nic_find_all(struct nic *n, uint32_t relid[NIC_QUEUES])
{
	unsigned count = 0;

	vmguest_connect(n->guest);
	while (count < NIC_QUEUES &&
	       (relid[count] = vmguest_find_offer(n->guest, &nic_guid, count)))
		count++;
	n->relid = relid[0];
	return count;
}

/* Reopens the channels `from` to `end` of them. */
static inline void nic_reopen_some(struct nic *n, const uint32_t relid[NIC_QUEUES], unsigned from,
				   unsigned end, struct vmguest_channel sub[NIC_QUEUES])
{
	struct vmbus_device_ops ops;

	for (unsigned i = from; i < end; i++) {
		struct vmbus_channel *ch = n->guest->bus->channel[relid[i]];

		nic_real_ops = ch->offer.ops;
		ops = *nic_real_ops;
		ops.open = nic_open_as_reopen;
		ops.ready = nic_not_yet;
		ch->offer.ops = &ops;
		if (i == 0) {
			nic_open(n);
			nic_long_rx(n);
			sub[0] = n->ch;
		} else if (!vmguest_open(n->guest, relid[i], NIC_RING_PAGES, &sub[i])) {
			abort();
		}
		ch->offer.ops = nic_real_ops;
	}
}

/* Reopens all of them, and serves each once; how many there are. */
static inline unsigned nic_reopen(struct nic *n, struct vmguest_channel sub[NIC_QUEUES])
{
	uint32_t relid[NIC_QUEUES];
	unsigned count = nic_find_all(n, relid);

	nic_reopen_some(n, relid, 0, count, sub);
	for (unsigned i = 0; i < count; i++)
		vmguest_kick(&sub[i]);
	return count;
}

/* Where the field `name`, the nth of it from 0, stands in a record, and its bytes. */
static inline uint8_t *nic_field(uint8_t *record, size_t len, const char *name, unsigned nth,
				 size_t *ret_bytes)
{
	struct record r = record_reader(1, record, len);
	struct record_field f;

	while (record_next(&r, &f) == 0) {
		if (strcmp(f.name, name) != 0 || nth--)
			continue;
		*ret_bytes = f.len;
		return record + (f.value - record);
	}
	abort();
}

/* Puts `bytes` in lieu of the field's value, whose length it may change; the record's length. */
static inline size_t nic_edit(uint8_t *record, size_t len, const char *name, unsigned nth,
			      const void *bytes, size_t bytes_len)
{
	size_t was, rest;
	uint8_t *at = nic_field(record, len, name, nth, &was);

	rest = len - (size_t)(at + was - record);
	memmove(at + bytes_len, at + was, rest);
	if (bytes_len)
		memcpy(at, bytes, bytes_len);
	if (bytes_len != was)
		le32_store(at - 4, (uint32_t)bytes_len);
	return len - was + bytes_len;
}

#endif
