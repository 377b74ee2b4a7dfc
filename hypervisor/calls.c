/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/calls.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "abi/oya.h"
#include "hypervisor/child.h"
#include "hypervisor/frames.h"
#include "hypervisor/iommu.h"
#include "hypervisor/memory.h"
#include "hypervisor/parent.h"
#include "hypervisor/partition.h"
#include "hypervisor/x86.h"

static int info(uint64_t *b)
{
	switch (*b) {
	case OYA_INFO_LOG_AT:
		*b = parent_log().start;
		return 0;
	case OYA_INFO_LOG_BYTES:
		*b = parent_log().len;
		return 0;
	case OYA_INFO_MEMORY_AT:
		*b = hv_physical_start();
		return 0;
	case OYA_INFO_MEMORY_BYTES:
		*b = HV_BYTES;
		return 0;
	case OYA_INFO_PAGES_LEFT:
		*b = pool_left();
		return 0;
	case OYA_INFO_PARTITIONS:
		*b = partition_count();
		return 0;
	case OYA_INFO_IOMMUS:
		iommu_tell_faults();
		*b = iommu_count();
		return 0;
	default:
		return -EINVAL;
	}
}

static int create(uint64_t *b, uint64_t khz, uint64_t kick)
{
	unsigned number = 0;
	int r = partition_create(*b, khz, kick, &number);

	*b = number;
	return r;
}

/* A page of the parent, which must not become ours or another partition's while we use it. */
static int borrow(const struct partition *p, uint64_t page, void **ret_at)
{
	int r = page % PAGE_BYTES ? -EINVAL : frames_lend(page, PAGE_BYTES, p->number);

	*ret_at = physical_to_pointer(page);
	return r;
}

/* A copy of what such a page holds, which the parent may change meanwhile. */
static int copy_in(const struct partition *p, void *to, uint64_t page, size_t len)
{
	void *at;
	int r = borrow(p, page, &at);

	if (r < 0)
		return r;
	memcpy(to, at, len);
	frames_return(page, PAGE_BYTES);
	return 0;
}

/* What is told of a processor, and what it is given: a page, or less of it. */
union told {
	struct oya_state state;
	struct oya_cpuid leaves[OYA_CPUID_MAX];
	uint8_t page[PAGE_BYTES];
};

static int get_told(const struct partition *p, struct child *c, uint64_t number, uint64_t page)
{
	size_t len = PAGE_BYTES;
	union told told;
	void *at;
	int r = borrow(p, page, &at);

	if (r < 0)
		return r;
	if (number == OYA_CALL_GET_STATE) {
		len = sizeof(told.state);
		child_get_state(c, &told.state);
	} else if (number == OYA_CALL_GET_FPU) {
		child_get_fpu(c, told.page);
	} else {
		len = OYA_APIC_BYTES;
		r = child_get_apic(c, told.page);
	}
	if (r == 0)
		memcpy(at, &told, len);
	frames_return(page, PAGE_BYTES);
	return r;
}

static int set_told(const struct partition *p, struct child *c, uint64_t number, uint64_t page,
		    uint64_t count)
{
	union told told;
	size_t len = PAGE_BYTES;
	int r;

	if (number == OYA_CALL_SET_STATE)
		len = sizeof(told.state);
	else if (number == OYA_CALL_SET_CPUID && count > OYA_CPUID_MAX)
		return -EINVAL;
	else if (number == OYA_CALL_SET_CPUID)
		len = count * sizeof(told.leaves[0]);
	r = copy_in(p, &told, page, len);
	if (r < 0)
		return r;
	switch (number) {
	case OYA_CALL_SET_STATE:
		return child_set_state(c, &told.state);
	case OYA_CALL_SET_FPU:
		return child_set_fpu(c, told.page);
	case OYA_CALL_SET_APIC:
		return child_set_apic(c, told.page);
	default:
		return child_set_cpuid(c, told.leaves, count);
	}
}

static int map(struct partition *p, uint64_t guest, uint64_t page, uint64_t pages,
	       uint64_t *ret_done)
{
	void *list;
	int r = borrow(p, page, &list);

	*ret_done = 0;
	if (r < 0)
		return r;
	r = partition_map(p, guest, list, pages, ret_done);
	frames_return(page, PAGE_BYTES);
	return r;
}

static int take_written(struct partition *p, uint64_t guest, uint64_t page, uint64_t pages)
{
	void *bitmap;
	int r = borrow(p, page, &bitmap);

	if (r < 0)
		return r;
	r = partition_take_written(p, guest, pages, bitmap);
	frames_return(page, PAGE_BYTES);
	return r;
}

static int call_processor(struct partition *p, uint64_t number, uint64_t processor, uint64_t d,
			  uint64_t s)
{
	struct child *c = child_take(p, processor);
	int r = 0;

	if (!c)
		return -ENOENT;
	if (number == OYA_CALL_RUN && (d & ~(uint64_t)OYA_RUN_FINISH))
		r = -EINVAL;
	else if (number == OYA_CALL_RUN)
		child_run(c, d & OYA_RUN_FINISH);
	else if (number == OYA_CALL_GET_STATE || number == OYA_CALL_GET_FPU ||
		 number == OYA_CALL_GET_APIC)
		r = get_told(p, c, number, d);
	else
		r = set_told(p, c, number, d, s);
	child_release(c);
	return r;
}

static int call_partition(uint64_t number, uint64_t *b, uint64_t c, uint64_t d, uint64_t s)
{
	struct partition *p = partition_get(*b);
	int r;

	if (!p)
		return -ENOENT;
	switch (number) {
	case OYA_CALL_DONATE:
		r = partition_donate(p, c);
		break;
	case OYA_CALL_MAP:
		r = map(p, c, d, s, b);
		break;
	case OYA_CALL_UNMAP:
		r = partition_unmap(p, c, d);
		break;
	case OYA_CALL_TAKE_WRITTEN:
		r = take_written(p, c, d, s);
		break;
	case OYA_CALL_CREATE_PROCESSOR:
		r = child_create(p, c, d);
		break;
	case OYA_CALL_MESSAGE:
		r = child_message(p, c, d, b);
		break;
	default:
		r = call_processor(p, number, c, d, s);
	}
	partition_put(p);
	return r;
}

int64_t call(uint64_t number, uint64_t *b, uint64_t c, uint64_t d, uint64_t s)
{
	switch (number) {
	case OYA_CALL_NOTHING:
		return 0;
	case OYA_CALL_INFO:
		return info(b);
	case OYA_CALL_CREATE:
		return create(b, c, d);
	case OYA_CALL_DESTROY:
		return partition_destroy(*b);
	case OYA_CALL_DONATE:
	case OYA_CALL_MAP:
	case OYA_CALL_UNMAP:
	case OYA_CALL_CREATE_PROCESSOR:
	case OYA_CALL_RUN:
	case OYA_CALL_GET_STATE:
	case OYA_CALL_SET_STATE:
	case OYA_CALL_SET_CPUID:
	case OYA_CALL_MESSAGE:
	case OYA_CALL_GET_FPU:
	case OYA_CALL_SET_FPU:
	case OYA_CALL_GET_APIC:
	case OYA_CALL_SET_APIC:
	case OYA_CALL_TAKE_WRITTEN:
		return call_partition(number, b, c, d, s);
	default:
		return -ENOSYS;
	}
}
