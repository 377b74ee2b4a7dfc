/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entry of the first processor (64-bit, flat, RSI is the zero page), of further ones (a
 * trampoline that is copied below 1 MiB), of interrupts and exceptions, and the instructions
 * that may fault.
 */
#define CODE_SELECTOR 0x10
#define DATA_SELECTOR 0x18
#define STACK_BYTES 16384
#define CR4_PAE 0x20
#define MSR_EFER 0xC0000080
#define EFER_LME 0x100
#define CR0_LONG 0x80000011 /* PG, ET, PE */

	.section .note.GNU-stack, "", @progbits

	.text
	.globl guest_entry
guest_entry:
	cli
	lea	first_stack + STACK_BYTES(%rip), %rsp
	xor	%ebp, %ebp
	mov	%rsi, %rdi
	call	guest_main
1:	hlt
	jmp	1b

/* The further processor: one only, so that one stack is enough. */
	.globl second_entry
second_entry:
	mov	$DATA_SELECTOR, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	lea	second_stack + STACK_BYTES(%rip), %rsp
	xor	%ebp, %ebp
	call	second_main
1:	hlt
	jmp	1b

/* int msr_read(uint32_t msr, uint64_t *ret_value): 0, or -1 when it faulted. */
	.globl msr_read, msr_write, msr_read_at, msr_write_at, msr_faulted
msr_read:
	mov	%edi, %ecx
msr_read_at:
	rdmsr
	shl	$32, %rdx
	or	%rdx, %rax
	mov	%rax, (%rsi)
	xor	%eax, %eax
	ret
/* int msr_write(uint32_t msr, uint64_t value) */
msr_write:
	mov	%edi, %ecx
	mov	%rsi, %rdx
	mov	%esi, %eax
	shr	$32, %rdx
msr_write_at:
	wrmsr
	xor	%eax, %eax
	ret
msr_faulted:
	mov	$-1, %eax
	ret

/* void user_gate(void): a fault of ring 3 that trap.c takes as a call. */
	.globl user_gate, user_return
user_gate:
	hlt
user_return:
	ret

/* 256 entries of 16 bytes each; exceptions with an error code push it themselves. */
	.balign 16
	.globl trap_entries
trap_entries:
	.set	vector, 0
	.rept	256
	.balign	16
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	pushq	$0
	.endif
	pushq	$vector
	jmp	trap_common
	.set	vector, vector + 1
	.endr

trap_common:
	push	%rax
	push	%rbx
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%rbp
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, %rdi
	cld
	call	trap_dispatch
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rbp
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rbx
	pop	%rax
	add	$16, %rsp
	iretq

/* Real mode, CS = its page >> 4. The two variables are filled in by the first processor. */
	.section .rodata
	.code16
	.globl trampoline, trampoline_cr3, trampoline_gdt, trampoline_end
trampoline:
	cli
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	trampoline_gdt - trampoline
	mov	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	trampoline_cr3 - trampoline, %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_LME, %eax
	wrmsr
	mov	$CR0_LONG, %eax
	mov	%eax, %cr0
	ljmpl	$CODE_SELECTOR, $second_entry
	.balign 8
trampoline_cr3:
	.long	0
trampoline_gdt:
	.word	0
	.long	0
trampoline_end:
	.code64

	.bss
	.balign 16
first_stack:
	.skip	STACK_BYTES
second_stack:
	.skip	STACK_BYTES
