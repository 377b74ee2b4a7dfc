/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM for tests and fuzzers that never runs: the worker's own loop, console, machine, bus and
 * integration services, in the state "built", with neither a hypervisor nor processors. Static
 * inline; what cannot be made aborts.
 */
#ifndef OYA_TESTS_LIB_STILLVM_H
#define OYA_TESTS_LIB_STILLVM_H

#include <stdlib.h>

#include "worker/vm.h"

#define STILLVM_RAM (1u << 20)

struct stillvm {
	struct config config;
	struct vm vm;
	uint8_t *ram;
	unsigned ended;
};

static inline void stillvm_must(int r)
{
	if (r < 0)
		abort();
}

static inline void stillvm_on_event(void *ctx, enum machine_event event, const char *text)
{
	(void)event;
	(void)text;
	((struct stillvm *)ctx)->ended++;
}

static inline void stillvm_on_crash(void *ctx, const struct hv_crash *crash)
{
	(void)ctx;
	(void)crash;
}

static inline struct stillvm *stillvm_new(void)
{
	struct stillvm *s = calloc(1, sizeof(*s));
	struct machine_host host = {.event = stillvm_on_event,
				    .crash = stillvm_on_crash,
				    .ctx = s,
				    .console = console_serial_ops};
	struct failure f;
	struct vm *vm;

	if (!s)
		abort();
	vm = &s->vm;
	s->ram = aligned_alloc(4096, STILLVM_RAM);
	if (!s->ram)
		abort();
	s->config.name = (char *)(uintptr_t) "still";
	s->config.cpus = 1;
	s->config.memory_bytes = STILLVM_RAM;
	vm->config = &s->config;
	vm->device_fd = vm->memory.fd = vm->partition.vm_fd = -1;
	vm->storage.source.fd = -1;
	vm->saver.fd = vm->lease.fd = vm->state_fd = -1;
	migrate_init(&vm->migration);
	incoming_init(&vm->incoming);
	mirror_init(&vm->mirror);
	lazy_init(&vm->lazy);
	pthread_mutex_init(&vm->lock, NULL);
	stillvm_must(gmem_add(&vm->memory.gmem, 0, STILLVM_RAM, s->ram));
	stillvm_must(loop_new(&vm->lock, &vm->loop));
	stillvm_must(console_new(&s->config, vm->loop, &vm->console, &f));
	host.console_ctx = vm->console;
	stillvm_must(machine_init(&vm->machine, &s->config, &vm->lock, vm->loop, &vm->memory.gmem,
				  &host, &f));
	console_set_port(vm->console, vm->machine.serial);
	stillvm_must(integration_init(&vm->integration, &vm->machine, &f));
	return s;
}

static inline void stillvm_free(struct stillvm *s)
{
	integration_done(&s->vm.integration);
	machine_done(&s->vm.machine);
	console_free(s->vm.console);
	loop_free(s->vm.loop);
	pthread_mutex_destroy(&s->vm.lock);
	free(s->ram);
	free(s);
}

#endif
