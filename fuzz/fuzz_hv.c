/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Hyper-V interface: the input is a list of steps of a hostile guest with two VPs and 64 KiB
 * of RAM: MSR accesses, hypercalls, synthetic timers, writes to its memory, and posts and signals
 * of the host in between. Checked besides memory: what was refused changes nothing, what is told to
 * the world is within its limits, and a slot is never overwritten while it is taken.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/util.h"
#include "tests/unit/devices/hv/hvguest.h"

#define STEPS_MAX 1000u
#define WRITE_MAX 255u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum step {
	STEP_MSR_WRITE,
	STEP_MSR_READ,
	STEP_PLACE,
	STEP_HYPERCALL,
	STEP_MESSAGE,
	STEP_POST,
	STEP_SIGNAL,
	STEP_MEMORY,
	STEP_RESULT,
	STEP_RESET,
	STEP_STIMER,
	STEP_PASS,
	STEP_COUNT,
};

static void must(bool condition)
{
	if (!condition)
		abort();
}

/* Mostly the registers that there are. */
static uint32_t take_msr(struct cursor *c)
{
	return HV_MSR_FIRST + (cursor_u16(c) & (HV_MSR_COUNT * 2 - 1)) - 8;
}

static void step_msr_write(struct hvguest *g, struct cursor *c)
{
	unsigned vp = cursor_u8(c) % (HVGUEST_VPS + 1);
	uint32_t msr = take_msr(c);
	uint64_t before = 0, after = 0;
	int readable = hv_msr_read(g->hv, vp, msr, &before);

	if (hv_msr_write(g->hv, vp, msr, cursor_u64(c)) == 0)
		return;
	must(hv_msr_read(g->hv, vp, msr, &after) == readable && before == after);
}

static void step_msr_read(struct hvguest *g, struct cursor *c)
{
	unsigned vp = cursor_u8(c) % (HVGUEST_VPS + 1);
	uint64_t value = 0x5a5a;

	if (hv_msr_read(g->hv, vp, take_msr(c), &value) < 0)
		must(value == 0x5a5a);
}

/* Places one of the pages somewhere in or just behind RAM. */
static void step_place(struct hvguest *g, struct cursor *c)
{
	static const uint32_t placing[] = {HV_MSR_HYPERCALL, HV_MSR_REFERENCE_TSC,
					   HV_MSR_VP_ASSIST_PAGE, HV_MSR_SIEFP, HV_MSR_SIMP};
	uint8_t what = cursor_u8(c);
	uint64_t gpa = (cursor_u8(c) % (HVGUEST_RAM / 4096 + 2)) * UINT64_C(4096);
	int r;

	hv_msr_write(g->hv, 0, HV_MSR_GUEST_OS_ID, 1);
	r = hv_msr_write(g->hv, what & 1, placing[what / 2 % ARRAY_LEN(placing)],
			 gpa | HV_PAGE_ENABLE);
	must(gpa < HVGUEST_RAM || r < 0 || what / 2 % ARRAY_LEN(placing) == 0);
	hv_msr_write(g->hv, what & 1, HV_MSR_SCONTROL, 1);
}

static void step_hypercall(struct hvguest *g, struct cursor *c)
{
	static const uint16_t codes[] = {HV_CALL_POST_MESSAGE, HV_CALL_SIGNAL_EVENT,
					 HV_CALL_NOTIFY_LONG_SPIN_WAIT};
	uint8_t kind = cursor_u8(c);
	uint64_t control = cursor_u64(c), input = cursor_u64(c);

	if (kind & 1)
		control = (control & ~UINT64_C(0xffff)) | codes[kind / 2 % ARRAY_LEN(codes)];
	if (kind & 64)
		control &= ~HV_CONTROL_FAST;
	if (kind & 128)
		input = input % HVGUEST_RAM & ~UINT64_C(7);
	must(hv_hypercall(g->hv, control, input) <= HV_STATUS_INSUFFICIENT_BUFFERS);
}

static void step_message(struct hvguest *g, struct cursor *c)
{
	struct hv_post_message msg = {.connection_id = cursor_u8(c)};
	uint64_t gpa = cursor_u16(c) & 0xfff8;
	unsigned before = g->messages;
	uint64_t status;

	msg.payload_bytes = cursor_u8(c);
	cursor_copy_padded(c, msg.payload, 16);
	gmem_write(&g->gmem, gpa, &msg, sizeof(msg));
	status = hv_hypercall(g->hv, HV_CALL_POST_MESSAGE, gpa);
	must(status != HV_STATUS_SUCCESS || g->messages == before + 1);
	if (g->messages > before)
		must(gpa <= HVGUEST_RAM - sizeof(msg) && g->message_len == msg.payload_bytes);
}

static void step_post(struct hvguest *g, struct cursor *c)
{
	uint8_t payload[HV_MESSAGE_PAYLOAD + 1] = {0};
	unsigned vp = cursor_u8(c) % (HVGUEST_VPS + 1), sint = cursor_u8(c) % (HV_SINTS + 1);
	size_t len = cursor_u8(c) % (sizeof(payload) + 1);
	uint64_t control = 0, simp = 0;
	bool taken = false, on;

	hv_msr_read(g->hv, vp, HV_MSR_SCONTROL, &control);
	hv_msr_read(g->hv, vp, HV_MSR_SIMP, &simp);
	on = (control & 1) && (simp & HV_PAGE_ENABLE) && vp < HVGUEST_VPS && sint < HV_SINTS &&
	     len <= HV_MESSAGE_PAYLOAD;
	if (on)
		taken = le32_load(hvguest_at(g, (simp & ~UINT64_C(0xfff)) + sint * 256)) != 0;
	must(hv_post(g->hv, vp, sint, 1, payload, len) == 0 ? on && !taken : !on || taken);
}

static void step_signal(struct hvguest *g, struct cursor *c)
{
	unsigned vp = cursor_u8(c) % (HVGUEST_VPS + 1), sint = cursor_u8(c) % (HV_SINTS + 1);
	unsigned flag = cursor_u16(c) % (HV_EVENT_FLAGS + 8), before = g->interrupts;
	int r = hv_signal(g->hv, vp, sint, flag);

	must(flag < HV_EVENT_FLAGS || r == -EINVAL);
	if (r == 0) /* set now: no second interrupt, unless the flag lies under a message */
		must(hv_signal(g->hv, vp, sint, flag) == 0 && g->interrupts <= before + 1);
}

static void step_memory(struct hvguest *g, struct cursor *c)
{
	uint8_t bytes[WRITE_MAX];
	uint64_t gpa = cursor_u16(c);
	size_t n = cursor_copy_padded(c, bytes, cursor_u8(c));

	gmem_write(&g->gmem, gpa, bytes, n);
}

/* A timer that is likely to run; without timers both writes fault. */
static void step_stimer(struct hvguest *g, struct cursor *c)
{
	unsigned vp = cursor_u8(c) % HVGUEST_VPS;
	uint32_t msr = HV_MSR_STIMER0_CONFIG + cursor_u8(c) % HV_STIMERS * 2;
	uint64_t config = cursor_u32(c), count = cursor_u16(c);
	bool offered = g->config.timers != NULL;

	if (!(config & HV_STIMER_PERIODIC))
		count += g->reference_time;
	must((hv_msr_write(g->hv, vp, msr, config) == 0) == offered);
	must((hv_msr_write(g->hv, vp, msr + 1, count) == 0) == offered);
}

/* Time passes: no timer interrupts more often than once in the shortest period. */
static void step_pass(struct hvguest *g, struct cursor *c)
{
	unsigned before = g->interrupts, ticks = cursor_u8(c) * 16u;

	hvguest_pass(g, ticks);
	must(g->interrupts - before <= HVGUEST_VPS * HV_STIMERS * (ticks / 1000 + 1));
}

static void run_step(struct hvguest *g, struct cursor *c)
{
	switch (cursor_u8(c) % STEP_COUNT) {
	case STEP_MSR_WRITE:
		step_msr_write(g, c);
		break;
	case STEP_MSR_READ:
		step_msr_read(g, c);
		break;
	case STEP_PLACE:
		step_place(g, c);
		break;
	case STEP_HYPERCALL:
		step_hypercall(g, c);
		break;
	case STEP_MESSAGE:
		step_message(g, c);
		break;
	case STEP_POST:
		step_post(g, c);
		break;
	case STEP_SIGNAL:
		step_signal(g, c);
		break;
	case STEP_MEMORY:
		step_memory(g, c);
		break;
	case STEP_RESULT:
		g->result = cursor_u8(c) & 1 ? -ENOENT : 0;
		break;
	case STEP_STIMER:
		step_stimer(g, c);
		break;
	case STEP_PASS:
		step_pass(g, c);
		break;
	default:
		hv_reset(g->hv);
		must(hv_guest_os_id(g->hv) == 0);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(data, size);
	struct hvguest *g = hvguest_new(size & 1);

	if (size & 2)
		hvguest_offer_stimers(g);
	for (unsigned n = 0; n < STEPS_MAX && c.left && cursor_ok(&c); n++)
		run_step(g, &c);
	hvguest_free(g);
	return 0;
}
