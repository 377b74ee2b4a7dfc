/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two pages that the host fills for a guest: the hypercall page and the reference TSC page.
 *
 * The hypercall page is code in guest memory, and so part of every saved state: ports and
 * behaviour never change. A HvSignalEvent in registers with flag 0, which is every kick of a
 * channel, becomes an OUT of the connection id to the kick port, where the kernel can match it
 * without leaving to user space; when nothing matches there, the exit carries the same number
 * and the program signals it. Everything else becomes an OUT to the call port.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "devices/hv/internal.h"

#define KICK_PORT_AT 24 /* operand of the first OUT below */
#define CALL_PORT_AT 29 /* of the second */

static const uint8_t hypercall_code[] = {
	0xf3, 0x0f, 0x1e, 0xfa,             /*  0 endbr64 */
	0x81, 0xf9, 0x5d, 0x00, 0x01, 0x00, /*  4 cmp $0x1005d, %ecx: fast HvSignalEvent */
	0x75, 0x10,                         /* 10 jne call */
	0x48, 0x89, 0xd0,                   /* 12 mov %rdx, %rax */
	0x48, 0xc1, 0xe8, 0x20,             /* 15 shr $32, %rax: the event flag's number */
	0x75, 0x07,                         /* 19 jne call */
	0x89, 0xd0,                         /* 21 mov %edx, %eax: the connection id */
	0xe7, 0x00,                         /* 23 out %eax, $kick */
	0x31, 0xc0,                         /* 25 xor %eax, %eax: success */
	0xc3,                               /* 27 ret */
	0xe7, 0x00,                         /* 28 call: out %eax, $call; the exit sets RAX */
	0xc3,                               /* 30 ret */
};

int hypercall_page_fill(const struct hv *hv, uint64_t gpa)
{
	uint8_t *page = gmem_span(hv->config.gmem, gpa, 4096);

	if (!page)
		return -EFAULT;
	memset(page, 0xcc, 4096);
	memcpy(page, hypercall_code, sizeof(hypercall_code));
	page[KICK_PORT_AT] = hv->config.kick_port;
	page[CALL_PORT_AT] = hv->config.call_port;
	gmem_written(hv->config.gmem, page, 4096);
	return 0;
}

int reference_tsc_page_fill(const struct hv *hv, uint64_t gpa)
{
	struct hv_reference_tsc_page *page = gmem_span(hv->config.gmem, gpa, sizeof(*page));
	unsigned __int128 ticks = (unsigned __int128)10000000 << 64;

	if (!page)
		return -EFAULT;
	memset(page, 0, sizeof(*page));
	gmem_written(hv->config.gmem, page, sizeof(*page));
	if (!hv->config.reference_tsc)
		return 0; /* sequence 0: the guest reads the MSR */
	page->scale = (uint64_t)(ticks / hv->config.tsc_hz);
	page->offset = (int64_t)hv->config.tsc_offset;
	gmem_store32(&page->sequence, 1);
	gmem_written(hv->config.gmem, page, sizeof(*page));
	return 0;
}

void reference_tsc_page_renew(const struct hv *hv, uint64_t gpa)
{
	struct hv_reference_tsc_page *page = gmem_span(hv->config.gmem, gpa, sizeof(*page));
	uint32_t sequence;

	if (!page)
		return;
	sequence = gmem_load32(&page->sequence) + 1;
	if (sequence == 0 ||
	    sequence == UINT32_MAX) /* "read the MSR", in old versions the second */
		sequence = 1;
	if (reference_tsc_page_fill(hv, gpa) == 0 && hv->config.reference_tsc)
		gmem_store32(&page->sequence, sequence);
	gmem_written(hv->config.gmem, page, sizeof(*page));
}
