/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the boot loader to C: 32-bit protected mode at any load address, to long mode with the
 * image at its link address and all physical memory mapped. Then the way in for the other
 * processors, and the table of the hypervisor's own exceptions.
 *
 * Spec: Multiboot2 2.0, section 3.
 */
#include "abi/multiboot2.h"
#include "hypervisor/cpu_start.h"
#include "hypervisor/memory.h"

#define CODE64 0x08
#define DATA 0x10
#define EFER 0xC0000080
#define EFER_LME (1 << 8)
#define PRESENT_WRITE 0x3
#define LARGE 0x83

	.section .multiboot, "a"
	.balign 8
header:
	.long MULTIBOOT2_HEADER_MAGIC, MULTIBOOT2_ARCH_I386
	.long header_end - header
	.long -(MULTIBOOT2_HEADER_MAGIC + MULTIBOOT2_ARCH_I386 + (header_end - header))
	.balign 8
	.word MULTIBOOT2_HEADER_TAG_RELOCATABLE, 0
	.long 24, 0x1000000, 0xFFFFFFFF, 0x200000, MULTIBOOT2_PREFER_HIGHEST
	.balign 8
	.word MULTIBOOT2_HEADER_TAG_MODULE_ALIGN, 0
	.long 8
	.balign 8
	.word MULTIBOOT2_HEADER_TAG_END, 0
	.long 8
header_end:

/* Where a symbol of the image is now, from the load base in ebp. */
#define AT(symbol) (symbol - HV_VIRTUAL_AT)(%ebp)

	.section .entry, "ax"
	.code32
	.globl hv_entry
hv_entry:
	cli
	cld
	/* A stack of one word: the second of the boot information is free. */
	lea	8(%ebx), %esp
	call	1f
1:	pop	%ebp
	sub	$(1b - HV_VIRTUAL_AT), %ebp
	mov	%eax, %esi
	mov	%ebp, AT(load_base)

	/* One table of 512 pages of 1 GiB serves the map of physical memory and, until the jump
	 * below, the address that we run at. Without such pages: 4 GiB in pages of 2 MiB, and C
	 * goes on. */
	push	%ebx
	mov	$0x80000001, %eax
	cpuid
	pop	%ebx
	bt	$26, %edx
	jnc	8f
	lea	AT(physical_map), %edi
	mov	$(LARGE), %eax
	xor	%edx, %edx
	mov	$512, %ecx
2:	mov	%eax, (%edi)
	mov	%edx, 4(%edi)
	add	$0x40000000, %eax
	adc	$0, %edx
	add	$8, %edi
	loop	2b
	jmp	9f
8:	lea	AT(physical_directories), %edi
	mov	$(LARGE), %eax
	mov	$(4 * 512), %ecx
2:	mov	%eax, (%edi)
	add	$0x200000, %eax
	add	$8, %edi
	loop	2b
	lea	AT(physical_directories), %eax
	or	$PRESENT_WRITE, %eax
	lea	AT(physical_map), %edi
	mov	$4, %ecx
2:	mov	%eax, (%edi)
	add	$4096, %eax
	add	$8, %edi
	loop	2b

9:	lea	AT(physical_map), %eax
	or	$PRESENT_WRITE, %eax
	mov	%eax, AT(hv_tables)
	mov	%eax, AT(hv_tables + 256 * 8)
	lea	AT(image_directories), %eax
	or	$PRESENT_WRITE, %eax
	mov	%eax, AT(hv_tables + 511 * 8)
	lea	AT(image_directory), %eax
	or	$PRESENT_WRITE, %eax
	mov	%eax, AT(image_directories + 510 * 8)
	lea	LARGE(%ebp), %eax
	mov	%eax, AT(image_directory)
	lea	(LARGE + 0x200000)(%ebp), %eax
	mov	%eax, AT(image_directory + 8)

	lea	AT(gdt), %eax
	mov	%eax, AT(gdt_low + 2)
	lgdt	AT(gdt_low)
	lea	AT(hv_tables), %eax
	mov	%eax, AT(hv_cr3)
	mov	%eax, %cr3
	mov	$0x20, %eax		/* PAE */
	mov	%eax, %cr4
	mov	$EFER, %ecx
	rdmsr
	or	$EFER_LME, %eax
	wrmsr
	mov	%cr0, %eax
	or	$0x80010001, %eax	/* PG, WP, PE */
	and	$0x9FFFFFFF, %eax	/* caches on */
	mov	%eax, %cr0
	lea	AT(boot_stack + STACK_BYTES), %esp
	lea	AT(3f), %eax
	push	$CODE64
	push	%eax
	lret
	.code64
3:	movabs	$4f, %rax
	jmp	*%rax
4:	mov	$DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	lgdt	gdt_high(%rip)
	mov	$(boot_stack + STACK_BYTES), %rsp
	mov	%esi, %edi		/* the loader's magic number */
	mov	%ebx, %esi		/* its information */
	mov	load_base(%rip), %rdx
	call	hv_main
5:	hlt
	jmp	5b

/* The way in for another processor, copied to a page below 1 MiB: real mode, CS:IP = page:0. What it
 * needs lies behind it in struct cpu_start, which cpu.c fills in. */
	.section .text
	.code16
	.globl ap_code, ap_code_len, ap_code_64_offset
	.balign 16
ap_code:
	cli
	mov	%cs, %ax
	mov	%ax, %ds
	mov	(CPU_START_AT + CPU_START_PAGE), %esi
	lgdtl	(CPU_START_AT + CPU_START_GDT)
	mov	(CPU_START_AT + CPU_START_CR3), %eax
	mov	%eax, %cr3
	mov	$0x20, %eax		/* PAE */
	mov	%eax, %cr4
	mov	$EFER, %ecx
	rdmsr
	or	$EFER_LME, %eax
	wrmsr
	mov	$0x80010011, %eax	/* PG, WP, ET, PE */
	mov	%eax, %cr0
	ljmpl	*(CPU_START_AT + CPU_START_TARGET)
	.code64
ap_code_64:
	mov	$DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	(CPU_START_AT + CPU_START_STACK)(%rsi), %rsp
	movabs	$ap_entered, %rax
	jmp	*%rax
ap_code_end:

	.text
ap_entered:
	lgdt	gdt_high(%rip)
	call	cpu_entered
5:	hlt
	jmp	5b

/* Exceptions of our own, all on the current stack: vector and error code, then a frame for C. */
#define WITH_ERROR 0x60227D00 /* a bit for each vector whose error code the processor pushes */

	.macro PUSH_ALL registers:vararg
	.irp r, \registers
	push	%\r
	.endr
	.endm
	.macro POP_ALL registers:vararg
	.irp r, \registers
	pop	%\r
	.endr
	.endm

	.globl exception_entries
	.balign 16
exception_entries:
	vector = 0
	.rept 32
	.balign 16
	.if (WITH_ERROR >> vector & 1) == 0
	push	$0
	.endif
	push	$vector
	jmp	exception_common
	vector = vector + 1
	.endr
exception_common:
	PUSH_ALL rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	mov	%rsp, %rdi
	mov	%rsp, %rbp
	and	$-16, %rsp
	call	exception_taken
	mov	%rbp, %rsp
	POP_ALL r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax
	add	$16, %rsp
	iretq

/* An interrupt for a parent's processor that INIT has taken: it is lost, as INIT loses it. */
	.balign 16
	.globl interrupt_entry
interrupt_entry:
	PUSH_ALL rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11
	call	apic_end_interrupt
	POP_ALL r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax
	iretq

	.section .rodata
	.balign 4
ap_code_len:
	.long ap_code_end - ap_code
ap_code_64_offset:
	.long ap_code_64 - ap_code
	.balign 8
	.globl gdt
gdt:
	.quad 0
	.quad 0x00AF9B000000FFFF	/* CODE64 */
	.quad 0x00CF93000000FFFF	/* DATA */
gdt_end:
	.globl gdt_limit
gdt_high:
gdt_limit:
	.word gdt_end - gdt - 1
	.quad gdt

	.data
	.balign 8
gdt_low:
	.word gdt_end - gdt - 1
	.long 0
	.globl load_base, hv_cr3
	.balign 8
load_base:
	.quad 0
hv_cr3:
	.quad 0

	.bss
	.balign 4096
	.globl hv_tables, physical_map
hv_tables:
	.skip 4096
physical_map:
	.skip 4096
physical_directories:
	.skip 4 * 4096
image_directories:
	.skip 4096
image_directory:
	.skip 4096
	.balign STACK_BYTES
	.globl boot_stack
boot_stack:
	.skip STACK_BYTES
	.section .note.GNU-stack, "", @progbits
