// SPDX-License-Identifier: GPL-2.0-or-later
/* What a parent's ring 0 can reach for without a call. */
#include <asm/apic.h>
#include <asm/asm.h>
#include <asm/msr.h>
#include <asm/nmi.h>
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/smp.h>

#include "abi/oya.h"
#include "parent/hypercall.h"
#include "tests/lab/attacks/attack.h"

#define MSR_VM_CR_AT 0xC0010114u
#define MSR_VM_HSAVE_AT 0xC0010117u
#define SVME (1ull << 12)
#define NOWHERE 0xFEu /* no processor has this number, nor those right below */
#define BROADCAST 0xFFu

/* Whether it faulted, as it must. */
#define REFUSED(instruction)                                                               \
	({                                                                                 \
		int fault = 1;                                                             \
		asm volatile("1: " instruction "\n\txor %0, %0\n2:\n" _ASM_EXTABLE(1b, 2b) \
			     : "+r"(fault)                                                 \
			     : "a"(0ul), "c"(0ul)                                          \
			     : "memory");                                                  \
		fault;                                                                     \
	})

static void expect(bool refused, const char *what)
{
	if (!refused)
		attack_found(what, 0, 0);
}

static void attack_instructions(void)
{
	expect(REFUSED("vmrun"), "VMRUN");
	expect(REFUSED("vmload"), "VMLOAD");
	expect(REFUSED("vmsave"), "VMSAVE");
	expect(REFUSED("stgi"), "STGI");
	expect(REFUSED("clgi"), "CLGI");
	expect(REFUSED("invlpga %%rax, %%ecx"), "INVLPGA");
	expect(REFUSED("skinit"), "SKINIT");
}

static void attack_msrs(void)
{
	u64 value;

	expect(rdmsrl_safe(MSR_EFER, &value) == 0 && !(value & SVME), "EFER shows SVME");
	expect(wrmsrl_safe(MSR_EFER, value | SVME) != 0, "EFER.SVME");
	expect(wrmsrl_safe(MSR_VM_CR_AT, 0) != 0, "VM_CR");
	expect(wrmsrl_safe(MSR_VM_HSAVE_AT, 0x1000) != 0, "VM_HSAVE_PA");
	expect(rdmsrl_safe(MSR_VM_HSAVE_AT, &value) == 0 && value == 0, "VM_HSAVE_PA is shown");
	expect(rdmsrl_safe(MSR_IA32_APICBASE, &value) == 0, "no base of the APIC");
	expect(wrmsrl_safe(MSR_IA32_APICBASE, value ^ 0x100000) != 0, "the APIC's base moves");
}

static bool store_refused(void *at)
{
	int fault = 1;

	asm volatile("1: movq $-1, (%1)\n\txor %0, %0\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : "+r"(fault)
		     : "r"(at)
		     : "memory");
	return fault;
}

/* All of it: zeros but for the log, and no byte can be written. */
static void attack_memory(void)
{
	u64 at = oya_info(OYA_INFO_MEMORY_AT), bytes = oya_info(OYA_INFO_MEMORY_BYTES), offset;
	u64 log = oya_info(OYA_INFO_LOG_AT), log_bytes = oya_info(OYA_INFO_LOG_BYTES);
	u8 *map = memremap(at, bytes, MEMREMAP_WB);

	if (!map) {
		attack_found("no map of the hypervisor's memory", at, bytes);
		return;
	}
	for (offset = 0; offset < bytes; offset += PAGE_SIZE) {
		bool is_log = at + offset >= log && at + offset < log + log_bytes;

		if (!is_log && memchr_inv(map + offset, 0, PAGE_SIZE))
			attack_found("the hypervisor's memory can be read", at + offset, 0);
		expect(store_refused(map + offset + 8 * (offset / PAGE_SIZE % 512)),
		       "the hypervisor's memory can be written");
	}
	memunmap(map);
}

static atomic_t nmis;

static int on_nmi(unsigned int type, struct pt_regs *regs)
{
	atomic_inc(&nmis);
	return NMI_HANDLED;
}

/* INIT to nobody, taken back, to a logical destination, to oneself; SIPI to processors that run and
 * to such as there are not: none of them does anything. NMIs to all reach the kernel. */
static void attack_processors(unsigned int rounds)
{
	static const struct {
		u32 command, to;
	} commands[] = {
		{APIC_DM_INIT | APIC_INT_ASSERT, NOWHERE},
		{APIC_DM_INIT | APIC_INT_LEVELTRIG, BROADCAST},
		{APIC_DM_INIT | APIC_INT_ASSERT | APIC_DEST_LOGICAL, NOWHERE},
		{APIC_DM_INIT | APIC_INT_ASSERT | APIC_DEST_SELF, 1},
		{APIC_DM_STARTUP | APIC_INT_ASSERT | 0x99, NOWHERE},
		{APIC_DM_STARTUP | APIC_INT_ASSERT | 0x99, NOWHERE - 1},
		{APIC_DM_STARTUP | APIC_INT_ASSERT | 0x99, NOWHERE - 2},
		{APIC_DM_STARTUP | APIC_INT_ASSERT | 0x99, BROADCAST},
		{APIC_DM_STARTUP | APIC_INT_ASSERT | APIC_DEST_ALLBUT | 0x99, 0},
		{APIC_DM_STARTUP | APIC_INT_ASSERT | APIC_DEST_ALLINC | 0x99, 0},
	};
	unsigned int i, j;

	for (i = 0; i < rounds; i++) {
		for (j = 0; j < ARRAY_SIZE(commands); j++) {
			unsigned long flags;

			local_irq_save(flags);
			apic->icr_write(commands[j].command, commands[j].to);
			local_irq_restore(flags);
		}
		apic->send_IPI_allbutself(NMI_VECTOR);
		cond_resched();
	}
}

void attack_machine(unsigned int rounds)
{
	attack_instructions();
	attack_msrs();
	attack_memory();
	if (register_nmi_handler(NMI_LOCAL, on_nmi, 0, "oya_attack"))
		return;
	attack_processors(rounds);
	msleep(100);
	unregister_nmi_handler(NMI_LOCAL, "oya_attack");
	if (rounds && num_online_cpus() > 1 && !atomic_read(&nmis))
		attack_found("no NMI comes", 0, 0);
	pr_info("oya_attack: %d NMIs were taken\n", atomic_read(&nmis));
}
