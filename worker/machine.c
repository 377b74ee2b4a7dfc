/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "abi/machine.h"
#include "base/util.h"
#include "devices/chipset/acpi.h"
#include "devices/chipset/smbios.h"

static_assert(CONFIG_NODES_MAX <= ACPI_NODES_MAX, "each node has a place in the tables");

#define APIC_HZ 1000000000u /* KVM's APIC timer counts nanoseconds */
#define GUEST_LOG_BURST 20u
#define GUEST_LOG_PERIOD_NS UINT64_C(10000000000)
#define CLOCKSOURCES "/sys/devices/system/clocksource/clocksource0/available_clocksource"

static uint64_t wall_ns(void *ctx)
{
	struct timespec t;

	(void)ctx;
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t monotonic_ns(void *ctx)
{
	(void)ctx;
	return loop_now_ns();
}

const struct clock_ops machine_clock = {.monotonic_ns = monotonic_ns, .wall_ns = wall_ns};

/* Interrupts of devices that outlive a run go to the partition of the day. */
static void machine_msi(void *ctx, uint64_t address, uint32_t data)
{
	struct machine *m = ctx;

	if (m->partition)
		partition_msi(m->partition, address, data);
}

static const struct irq_ops machine_irq = {.msi = machine_msi};

static void guest_log(void *ctx, const char *device, const char *text)
{
	struct machine *m = ctx;
	unsigned suppressed;

	if (!log_limit_pass(&m->log_limit, loop_now_ns(), &suppressed))
		return;
	if (suppressed)
		log_line(LOG_LEVEL_WARNING, "%u messages about the guest were left out",
			 suppressed);
	log_line(LOG_LEVEL_INFO, "%s: %s", device, text);
}

/* ---- what VMBus and the Hyper-V interface need of each other ---- */

static int world_post(void *ctx, uint32_t vp, const void *message, size_t len)
{
	struct machine *m = ctx;

	return m->hv ? hv_post(m->hv, vp, VMBUS_SINT, VMBUS_MESSAGE_TYPE, message, len) : -ENXIO;
}

static void world_signal(void *ctx, uint32_t vp, uint32_t flag)
{
	struct machine *m = ctx;

	if (m->hv)
		hv_signal(m->hv, vp, VMBUS_SINT, flag);
}

static int world_bind(void *ctx, uint32_t connection_id)
{
	struct machine *m = ctx;

	return kicks_bind(&m->kicks, m->partition, connection_id);
}

static void world_unbind(void *ctx, uint32_t connection_id)
{
	struct machine *m = ctx;

	kicks_unbind(&m->kicks, m->partition, connection_id);
}

static void world_defer(void *ctx)
{
	struct machine *m = ctx;

	m->deferred = true;
	loop_wake(m->loop);
}

static const struct vmbus_world_ops vmbus_world = {
	.post = world_post,
	.signal = world_signal,
	.bind_kick = world_bind,
	.unbind_kick = world_unbind,
	.defer = world_defer,
};

static void on_kick(void *ctx, uint32_t connection_id)
{
	struct machine *m = ctx;

	vmbus_signal(m->bus, connection_id);
}

/* The guest's TSC in units of the reference counter, as the host's is. */
static uint64_t scaled_tsc(const struct machine *m, uint64_t host_tsc)
{
	return (uint64_t)(((unsigned __int128)(host_tsc + m->tsc_offset) * m->tsc_scale) >> 64);
}

uint64_t machine_reference_time(const struct machine *m)
{
	if (!m->tsc_common)
		return (loop_now_ns() - m->started_ns) / 100;
	return scaled_tsc(m, __rdtsc()) - m->tsc_base;
}

static uint64_t reference_time(void *ctx)
{
	return machine_reference_time(ctx);
}

static int on_message(void *ctx, uint32_t connection_id, const void *payload, size_t len)
{
	struct machine *m = ctx;

	if (connection_id != VMBUS_CONNECTION_ID && connection_id != VMBUS_CONNECTION_ID_V5)
		return -ENOENT;
	return vmbus_message(m->bus, connection_id, payload, len);
}

static int on_event(void *ctx, uint32_t connection_id)
{
	struct machine *m = ctx;

	return vmbus_signal(m->bus, connection_id);
}

static void on_slot_free(void *ctx, unsigned sint)
{
	struct machine *m = ctx;

	if (sint == VMBUS_SINT)
		vmbus_slot_free(m->bus);
}

static void on_crash(void *ctx, const struct hv_crash *crash)
{
	struct machine *m = ctx;

	m->host.crash(m->host.ctx, crash);
}

static const struct hv_world_ops hv_world = {
	.reference_time = reference_time,
	.message = on_message,
	.event = on_event,
	.slot_free = on_slot_free,
	.crash = on_crash,
};

/* ---- the serial port and the IOAPIC ---- */

static void serial_output(void *ctx, const uint8_t *bytes, size_t n)
{
	struct machine *m = ctx;

	m->host.console.output(m->host.console_ctx, bytes, n);
}

/* Pins and lines have the same numbers. */
static void set_line(struct machine *m, unsigned line, bool level)
{
	ioapic_set_irq(m->ioapic, line, level);
	if (m->pc)
		pc_set_line(m->pc, line, level);
}

static void serial_irq(void *ctx, bool level)
{
	set_line(ctx, MACHINE_COM1_GSI, level);
}

static void serial_room(void *ctx)
{
	struct machine *m = ctx;

	m->host.console.input_room(m->host.console_ctx);
}

static void on_route_changed(void *ctx, unsigned pin)
{
	struct machine *m = ctx;

	if (m->pc && pin == MACHINE_PIT_GSI)
		pc_pin_changed(m->pc);
	m->routes_changed = true;
	loop_wake(m->loop);
}

static void update_routes(struct machine *m)
{
	struct partition_route routes[MACHINE_IOAPIC_PINS] = {0};

	m->routes_changed = false;
	for (unsigned pin = 0; pin < MACHINE_IOAPIC_PINS; pin++)
		routes[pin].used =
			ioapic_route(m->ioapic, pin, &routes[pin].address, &routes[pin].data);
	if (m->partition && partition_set_routes(m->partition, routes, MACHINE_IOAPIC_PINS) < 0)
		log_line(LOG_LEVEL_WARNING, "the interrupt routes could not be set");
}

/* The guest must not run on after it ended itself. */
static void end_run(struct machine *m, enum machine_event event, const char *text)
{
	vcpus_halt(m->vcpus);
	m->host.event(m->host.ctx, event, text);
}

/* ---- what only a machine with firmware has ---- */

static void pc_pin(void *ctx, unsigned pin, bool level)
{
	struct machine *m = ctx;

	ioapic_set_irq(m->ioapic, pin, level);
}

static bool pc_pin_masked(void *ctx, unsigned pin)
{
	const struct machine *m = ctx;
	uint64_t address;
	uint32_t data;

	return !ioapic_route(m->ioapic, pin, &address, &data);
}

static void pc_interrupt(void *ctx)
{
	struct machine *m = ctx;

	if (m->vcpus)
		vcpus_kick_first(m->vcpus);
}

static void on_pc_event(void *ctx, enum pc_event event)
{
	struct machine *m = ctx;

	if (event == PC_RESET)
		end_run(m, MACHINE_RESET, "the guest asked for a reset");
	else
		end_run(m, MACHINE_POWER_OFF, "the guest powered off");
}

static void pc_debug(void *ctx, uint8_t byte)
{
	struct machine *m = ctx;

	if (byte != '\n' && m->debug_len < sizeof(m->debug) - 1) {
		m->debug[m->debug_len++] = byte >= ' ' && byte < 0x7F ? (char)byte : '.';
		return;
	}
	m->debug[m->debug_len] = '\0';
	m->debug_len = 0;
	log_line(LOG_LEVEL_DEBUG, "firmware: %s", m->debug);
}

static void ide_irq(void *ctx, unsigned channel, bool level)
{
	set_line(ctx, channel ? MACHINE_IDE_SECOND_GSI : MACHINE_IDE_FIRST_GSI, level);
}

static bool pc_has_interrupt(void *ctx)
{
	const struct machine *m = ctx;

	return m->pc && pc_interrupts(m->pc);
}

static int pc_take(void *ctx)
{
	struct machine *m = ctx;
	int vector;

	pthread_mutex_lock(m->lock);
	vector = pc_take_interrupt(m->pc);
	pthread_mutex_unlock(m->lock);
	return vector;
}

static int make_pc(struct machine *m)
{
	struct pc_host host = {
		.clock = &machine_clock,
		.timers = loop_timers(m->loop),
		.pin = pc_pin,
		.pin_masked = pc_pin_masked,
		.interrupt = pc_interrupt,
		.event = on_pc_event,
		.debug = pc_debug,
		.ctx = m,
	};
	struct ide_host ide_host = {.irq = ide_irq, .ctx = m};

	m->ide = ide_new(&ide_host);
	m->pc = pc_new(&host);
	if (!m->ide || !m->pc)
		return -ENOMEM;
	m->pc->ide = m->ide;
	return 0;
}

/* ---- exits ---- */

static bool in_window(uint64_t at, uint64_t base, uint64_t bytes)
{
	return at >= base && at - base < bytes;
}

static uint32_t port_in(void *ctx, uint16_t port, unsigned bytes)
{
	struct machine *m = ctx;
	uint32_t value = bytes == 4 ? UINT32_MAX : (1u << bytes * 8) - 1;

	if (bytes != 1 && !m->pc)
		return value;
	pthread_mutex_lock(m->lock);
	if (m->pc && pc_in(m->pc, port, bytes, &value))
		;
	else if (bytes != 1)
		; /* no other register is wider */
	else if (in_window(port, MACHINE_COM1_PORT, MACHINE_COM1_PORTS))
		value = serial_read(m->serial, port - MACHINE_COM1_PORT);
	else if (in_window(port, MACHINE_RTC_PORT, MACHINE_RTC_PORTS))
		value = rtc_read(m->rtc, port - MACHINE_RTC_PORT);
	else if (port == MACHINE_SLEEP_CONTROL_PORT || port == MACHINE_SLEEP_STATUS_PORT)
		value = 0;
	pthread_mutex_unlock(m->lock);
	return value;
}

static void port_out(void *ctx, uint16_t port, unsigned bytes, uint32_t value)
{
	struct machine *m = ctx;
	uint64_t next;
	bool sooner;

	pthread_mutex_lock(m->lock);
	next = timerq_next(loop_timers(m->loop));
	if (port == MACHINE_HYPERCALL_KICK_PORT && bytes == MACHINE_HYPERCALL_PORT_BYTES)
		vmbus_signal(m->bus, value);
	else if (m->pc && pc_out(m->pc, port, bytes, value))
		;
	else if (bytes != 1)
		; /* no other register is wider */
	else if (in_window(port, MACHINE_COM1_PORT, MACHINE_COM1_PORTS))
		serial_write(m->serial, port - MACHINE_COM1_PORT, (uint8_t)value);
	else if (in_window(port, MACHINE_RTC_PORT, MACHINE_RTC_PORTS))
		rtc_write(m->rtc, port - MACHINE_RTC_PORT, (uint8_t)value);
	else if (port == MACHINE_SLEEP_CONTROL_PORT && value == MACHINE_SLEEP_S5)
		end_run(m, MACHINE_POWER_OFF, "the guest powered off");
	else if (port == MACHINE_RESET_PORT && value == MACHINE_RESET_VALUE)
		end_run(m, MACHINE_RESET, "the guest asked for a reset");
	sooner = timerq_next(loop_timers(m->loop)) < next;
	pthread_mutex_unlock(m->lock);
	if (sooner)
		loop_wake(m->loop);
}

static bool port_string(void *ctx, uint16_t port, unsigned bytes, bool out, void *data,
			uint32_t len)
{
	struct machine *m = ctx;
	bool done;

	if (!m->pc)
		return false;
	pthread_mutex_lock(m->lock);
	done = out ? pc_string_out(m->pc, port, bytes, data, len)
		   : pc_string_in(m->pc, port, bytes, data, len);
	pthread_mutex_unlock(m->lock);
	return done;
}

static uint64_t mmio_read(void *ctx, uint64_t gpa, unsigned bytes)
{
	struct machine *m = ctx;
	uint64_t value = UINT64_MAX;

	if (!in_window(gpa, MACHINE_IOAPIC_BASE, MACHINE_IOAPIC_BYTES))
		return value;
	pthread_mutex_lock(m->lock);
	value = ioapic_read(m->ioapic, gpa - MACHINE_IOAPIC_BASE, bytes);
	pthread_mutex_unlock(m->lock);
	return value;
}

static void mmio_write(void *ctx, uint64_t gpa, unsigned bytes, uint64_t value)
{
	struct machine *m = ctx;

	if (!in_window(gpa, MACHINE_IOAPIC_BASE, MACHINE_IOAPIC_BYTES))
		return;
	pthread_mutex_lock(m->lock);
	ioapic_write(m->ioapic, gpa - MACHINE_IOAPIC_BASE, bytes, value);
	pthread_mutex_unlock(m->lock);
}

static int msr_read(void *ctx, unsigned index, uint32_t msr, uint64_t *ret_value)
{
	struct machine *m = ctx;
	int r;

	pthread_mutex_lock(m->lock);
	r = hv_msr_read(m->hv, index, msr, ret_value);
	pthread_mutex_unlock(m->lock);
	return r;
}

static int msr_write(void *ctx, unsigned index, uint32_t msr, uint64_t value)
{
	struct machine *m = ctx;
	uint64_t next;
	bool sooner;
	int r;

	pthread_mutex_lock(m->lock);
	next = timerq_next(loop_timers(m->loop));
	r = hv_msr_write(m->hv, index, msr, value);
	sooner = timerq_next(loop_timers(m->loop)) < next; /* a synthetic timer was armed */
	pthread_mutex_unlock(m->lock);
	if (sooner)
		loop_wake(m->loop);
	return r;
}

static uint64_t hypercall(void *ctx, uint64_t control, uint64_t input)
{
	struct machine *m = ctx;
	uint64_t status;

	pthread_mutex_lock(m->lock);
	status = hv_hypercall(m->hv, control, input);
	pthread_mutex_unlock(m->lock);
	return status;
}

static void eoi(void *ctx, uint8_t vector)
{
	struct machine *m = ctx;

	pthread_mutex_lock(m->lock);
	ioapic_eoi(m->ioapic, vector);
	pthread_mutex_unlock(m->lock);
}

static void stopped(void *ctx, unsigned index, enum vcpu_stop why, const char *text)
{
	struct machine *m = ctx;
	char line[192];

	snprintf(line, sizeof(line), "processor %u stopped: %s", index, text);
	pthread_mutex_lock(m->lock);
	end_run(m, why == VCPU_TRIPLE_FAULT ? MACHINE_TRIPLE_FAULT : MACHINE_BROKEN, line);
	pthread_mutex_unlock(m->lock);
}

const struct vcpu_ops machine_vcpu_ops = {
	.port_in = port_in,
	.port_out = port_out,
	.port_string = port_string,
	.mmio_read = mmio_read,
	.mmio_write = mmio_write,
	.msr_read = msr_read,
	.msr_write = msr_write,
	.hypercall = hypercall,
	.eoi = eoi,
	.stopped = stopped,
	.pic_pending = pc_has_interrupt,
	.pic_take = pc_take,
};

/* ---- life ---- */

/* A kernel that lists the TSC among its clocks found it steady on all processors. */
static bool host_trusts_tsc(void)
{
	char text[256];
	FILE *file = fopen(CLOCKSOURCES, "re");
	bool listed = false;

	if (!file)
		return false;
	if (fgets(text, sizeof(text), file)) {
		for (char *save, *word = strtok_r(text, " \n", &save); word;
		     word = strtok_r(NULL, " \n", &save))
			listed |= strcmp(word, "tsc") == 0;
	}
	fclose(file);
	return listed;
}

int machine_init(struct machine *m, const struct config *config, pthread_mutex_t *lock,
		 struct loop *loop, const struct gmem *gmem, const struct machine_host *host,
		 struct failure *f)
{
	struct ioapic_host ioapic_host = {
		.irq = &machine_irq, .irq_ctx = m, .route_changed = on_route_changed, .ctx = m};
	struct vmbus_config bus = {
		.world = &vmbus_world,
		.world_ctx = m,
		.gmem = gmem,
		.log = &m->log,
		.vp_count = config->cpus,
		.max_version = config->vmbus_max_version,
	};

	*m = (struct machine){
		.lock = lock,
		.loop = loop,
		.gmem = gmem,
		.host = *host,
		.cpus = config->cpus,
		.stimer = config->stimer,
		.stimer_direct = config->stimer_direct,
		.log = {.write = guest_log, .ctx = m},
		.log_limit = {.period_ns = GUEST_LOG_PERIOD_NS, .burst = GUEST_LOG_BURST},
		.serial_host = {serial_output, serial_irq, serial_room},
	};
	m->host_tsc_trusted = host_trusts_tsc();
	kicks_init(&m->kicks, loop, on_kick, m);
	if ((config->firmware && make_pc(m) < 0) || ioapic_new(&ioapic_host, &m->ioapic) < 0 ||
	    serial_new(&m->serial_host, m, &m->serial) < 0 ||
	    rtc_new(&machine_clock, NULL, &m->rtc) < 0 || vmbus_new(&bus, &m->bus) < 0) {
		machine_done(m);
		return fail(f, -ENOMEM, "cannot make the VM's devices: out of memory");
	}
	return 0;
}

void machine_done(struct machine *m)
{
	machine_end(m);
	vmbus_free(m->bus);
	pc_free(m->pc);
	ide_free(m->ide);
	rtc_free(m->rtc);
	serial_free(m->serial);
	ioapic_free(m->ioapic);
	*m = (struct machine){0};
}

static int make_hv(struct machine *m, struct failure *f)
{
	struct vcpu_clock clock = vcpus_clock(m->vcpus);
	struct hv_config config = {
		.vp_count = m->cpus,
		.tsc_hz = clock.tsc_hz,
		.apic_hz = APIC_HZ,
		.apic_msrs = m->partition->apic_msrs,
		.reference_tsc = clock.common && m->host_tsc_trusted,
		.kick_port = MACHINE_HYPERCALL_KICK_PORT,
		.call_port = MACHINE_HYPERCALL_CALL_PORT,
		.gmem = m->gmem,
		.irq = &machine_irq,
		.irq_ctx = m,
		.timers = m->stimer ? loop_timers(m->loop) : NULL,
		.timers_by_message = !m->stimer_direct,
		.clock = &machine_clock,
		.log = &m->log,
		.world = &hv_world,
		.world_ctx = m,
	};

	m->started_ns = loop_now_ns();
	m->tsc_common = clock.common;
	m->tsc_offset = clock.tsc_offset;
	m->tsc_scale = (uint64_t)(((unsigned __int128)10000000 << 64) / clock.tsc_hz);
	m->tsc_base = scaled_tsc(m, __rdtsc()); /* the counter begins at 0 */
	config.tsc_offset = 0 - m->tsc_base;
	if (hv_new(&config, &m->hv) < 0)
		return fail(f, -EINVAL, "cannot make the Hyper-V interface: a clock of %llu Hz",
			    (unsigned long long)clock.tsc_hz);
	return 0;
}

void machine_continue(struct machine *m, uint64_t host_tsc, uint64_t reference_100ns)
{
	struct vcpu_clock clock = vcpus_clock(m->vcpus);

	m->started_ns = loop_now_ns() - reference_100ns * 100;
	m->tsc_common = clock.common;
	m->tsc_offset = clock.tsc_offset;
	m->tsc_base = scaled_tsc(m, host_tsc) - reference_100ns;
	hv_move_reference(m->hv, 0 - m->tsc_base);
}

/* Real-mode code at the reset vector: mov $port, %dx; mov $value, %al; out %al, %dx; hlt; and
 * the halt again, should something wake it. */
static int write_reset_vector(const struct gmem *gmem)
{
	static const uint8_t code[] = {
		0xba,
		MACHINE_RESET_PORT & 0xff,
		MACHINE_RESET_PORT >> 8,
		0xb0,
		MACHINE_RESET_VALUE,
		0xee,
		0xf4,
		0xeb,
		0xfd,
	};

	return gmem_write(gmem, MACHINE_RESET_VECTOR, code, sizeof(code));
}

int machine_begin(struct machine *m, const struct config *config, struct partition *partition,
		  struct vcpus *vcpus, uint64_t *ret_rsdp, struct failure *f)
{
	struct acpi_config acpi = {.cpus = config->cpus};
	char serial[GUID_TEXT_LEN];
	struct smbios_config smbios = {
		.bios_version = OYA_VERSION,
		.bios_date = "11/23/2026",
		.serial = serial,
		.uuid = config->uuid,
		.cpus = config->cpus,
		.memory_bytes = config->memory_bytes,
	};
	uint64_t entry;

	for (unsigned i = 0; i < config->node_count; i++)
		acpi.node[acpi.node_count++] = (struct acpi_node){
			.memory_bytes = config->node[i].memory_bytes,
			.cpus = config->node[i].cpus,
		};
	guid_format(&config->uuid, serial);
	m->partition = partition;
	m->vcpus = vcpus;
	update_routes(m);
	if (m->pc) {
		int r = firmware_place(m->firmware, config, m->gmem, &acpi, &smbios, m->pc, m->rtc,
				       f);

		return r < 0 ? r : make_hv(m, f);
	}
	if (acpi_build(&acpi, m->gmem, ret_rsdp) < 0 ||
	    smbios_build(&smbios, m->gmem, &entry) < 0 || write_reset_vector(m->gmem) < 0)
		return fail(f, -EINVAL, "cannot write the VM's firmware tables");
	return make_hv(m, f);
}

void machine_end(struct machine *m)
{
	if (m->bus)
		vmbus_reset(m->bus);
	if (m->serial)
		serial_reset(m->serial);
	if (m->ioapic)
		ioapic_reset(m->ioapic);
	if (m->pc)
		pc_reset(m->pc);
	hv_free(m->hv);
	m->hv = NULL;
	m->vcpus = NULL;
	m->partition = NULL;
	m->deferred = m->routes_changed = false;
}

void machine_run_deferred(struct machine *m)
{
	if (m->routes_changed)
		update_routes(m);
	if (m->deferred) {
		m->deferred = false;
		vmbus_run_deferred(m->bus);
	}
}
