/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * void svm_run(uint64_t vmcb_physical, struct cpu_registers *registers): into the guest and, with
 * its next exit, back. GIF is clear before and after.
 */
	.text
	.globl svm_run
	.balign 16
svm_run:
	.irp r, rbx, rbp, r12, r13, r14, r15, rsi
	push	%\r
	.endr
	mov	%rdi, %rax
	mov	%rsi, %rdi
	mov	0x08(%rdi), %rcx
	mov	0x10(%rdi), %rdx
	mov	0x18(%rdi), %rbx
	mov	0x28(%rdi), %rbp
	mov	0x30(%rdi), %rsi
	.irp n, 8, 9, 10, 11, 12, 13, 14, 15
	mov	(8 * \n)(%rdi), %r\n
	.endr
	mov	0x38(%rdi), %rdi
	vmrun	%rax
	xchg	%rdi, (%rsp)		/* the guest's rdi for the registers' address */
	mov	%rcx, 0x08(%rdi)
	mov	%rdx, 0x10(%rdi)
	mov	%rbx, 0x18(%rdi)
	mov	%rbp, 0x28(%rdi)
	mov	%rsi, 0x30(%rdi)
	.irp n, 8, 9, 10, 11, 12, 13, 14, 15
	mov	%r\n, (8 * \n)(%rdi)
	.endr
	pop	0x38(%rdi)
	.irp r, r15, r14, r13, r12, rbp, rbx
	pop	%\r
	.endr
	cld
	ret
	.section .note.GNU-stack, "", @progbits
