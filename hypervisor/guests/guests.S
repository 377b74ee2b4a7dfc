/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tiny guests, one instruction or one loop each. A guest is copied to CODE_AT of a child in long
 * mode and ends with OUT to DONE_PORT; its exceptions end with OUT of the vector to FAULT_PORT (the
 * handlers are the client's). RSI: a number of the case's own.
 */
	.section .rodata

	.macro guest name
	.globl guest_\name, guest_\name\()_end
guest_\name:
	.endm

	.macro done name
	mov $0x99, %edx
	out %al, %dx
guest_\name\()_end:
	.endm

	guest cpuid
	xor %eax, %eax
	cpuid
	done cpuid

	guest rdmsr
	mov %esi, %ecx
	rdmsr
	done rdmsr

	guest wrmsr
	mov %esi, %ecx
	mov $-1, %eax
	mov $-1, %edx
	wrmsr
	done wrmsr

	guest halt
	hlt
	done halt

	guest in
	in $0x10, %al
	done in

	guest invd
	invd
	done invd

	guest wbinvd
	wbinvd
	done wbinvd

	guest rdpmc
	xor %ecx, %ecx
	rdpmc
	done rdpmc

	guest monitor
	xor %ecx, %ecx
	xor %edx, %edx
	mov $0x2000, %eax
	monitor
	done monitor

	guest mwait
	xor %ecx, %ecx
	xor %eax, %eax
	mwait
	done mwait

	guest xsetbv /* without CR4.OSXSAVE */
	xor %ecx, %ecx
	xor %edx, %edx
	mov $3, %eax
	xsetbv
	done xsetbv

	guest xsetbv_value /* ESI */
	mov %cr4, %rax
	bts $18, %rax
	mov %rax, %cr4
	xor %ecx, %ecx
	xor %edx, %edx
	mov %esi, %eax
	xsetbv
	done xsetbv_value

	guest vmrun
	xor %eax, %eax
	vmrun
	done vmrun

	guest vmload
	xor %eax, %eax
	vmload
	done vmload

	guest vmsave
	xor %eax, %eax
	vmsave
	done vmsave

	guest stgi
	stgi
	done stgi

	guest clgi
	clgi
	done clgi

	guest skinit
	xor %eax, %eax
	skinit
	done skinit

	guest invlpga
	xor %eax, %eax
	xor %ecx, %ecx
	invlpga %rax, %ecx
	done invlpga

	guest vmmcall
	xor %eax, %eax
	vmmcall
	done vmmcall

	guest svme /* EFER with SVM on */
	mov $0xC0000080, %ecx
	rdmsr
	bts $12, %eax
	wrmsr
	done svme

	guest mask /* POP SS keeps an interrupt and a trap away for one instruction */
	mov %ss, %eax
	mov %eax, %ss
	cpuid
	done mask


	guest fault_by_store /* #GP, whose frame is where RSP is */
	mov %rsi, %rsp
	mov $0x8000000000000000, %rdi
	mov %rax, (%rdi)
	done fault_by_store

	guest invalid
	mov %rsi, %rsp
	ud2
	done invalid

	/* A load from each step of [RSI, RDI), RBX apart; the sum of what was there in RAX. */
	guest sweep
	xor %eax, %eax
1:	mov (%rsi), %rcx
	add %rcx, %rax
	add %rbx, %rsi
	cmp %rdi, %rsi
	jb 1b
	done sweep

	guest reload /* other page tables for ever: the top table is written, and CR3 */
1:	incq (%rsi)
	decq (%rsi)
	mov %cr3, %rax
	mov %rax, %cr3
	jmp 1b
	done reload

	guest traps /* TF: a trap after each instruction, for ever */
	pushfq
	orl $0x100, (%rsp)
	popfq
1:	jmp 1b
	done traps

	guest watch /* a trap whose frame is written where the next trap waits */
	mov %rsp, %rax
	sub $16, %rax
	mov %rax, %db0
	mov $0x000D0003, %eax /* writes of eight bytes */
	mov %rax, %db7
	push %rax
	push %rax
	push %rax
1:	push %rax
	pop %rax
	jmp 1b
	done watch

	guest again /* an exception for ever */
1:	ud2
	done again

	guest calls_of_nobody /* exits that are handled inside, for ever */
1:	cpuid
	jmp 1b
	done calls_of_nobody

	guest waits /* x2APIC on, then interrupts on, for ever */
	mov $0x1B, %ecx
	rdmsr
	or $0xC00, %eax
	wrmsr
	mov $0x80F, %ecx
	mov $0x1FF, %eax
	xor %edx, %edx
	wrmsr
	mov $0x99, %edx
	out %al, %dx
	mov %rsi, %rsp
	sti
1:	jmp 1b
	done waits

	/*
	 * Processor 0 of several, x2APIC: commands to all others, for ever. R8: the commands, low
	 * halves; R9: how many.
	 */
	guest storm
	mov $0x1B, %ecx
	rdmsr
	or $0xC00, %eax
	wrmsr
	mov $0x80F, %ecx
	mov $0x1FF, %eax
	xor %edx, %edx
	wrmsr
	mov $0x832, %ecx /* the timer: periodic, vector 0x40 */
	mov $0x20040, %eax
	wrmsr
	mov $0x83E, %ecx
	mov $0xB, %eax
	wrmsr
	mov $0x838, %ecx
	mov $1, %eax
	wrmsr
1:	xor %ebx, %ebx
2:	mov (%r8,%rbx,4), %eax
	mov $0x830, %ecx
	xor %edx, %edx
	wrmsr
	incq 0x530
	mov %ebx, %eax /* the priority: by its MSR, since QEMU aborts at CR8 with one waiting */
	shl $4, %eax
	and $0xFF, %eax
	mov $0x808, %ecx
	wrmsr
	sti
	nop
	cli
	inc %rbx
	cmp %r9, %rbx
	jb 2b
	jmp 1b
	done storm

	/* Where a SIPI lets a processor begin. */
	.code16
	guest other
	cs incl 0x100
1:	sti
	nop
	cli
	jmp 1b
guest_other_end:
	.code64
	.section .note.GNU-stack, "", @progbits
