/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest of ./bench migrate: it fills its memory, then writes to pages at a given rate, in ring
 * 3, and tells in one page how far it is. The host writes what it shall do into another page.
 *
 * Entered at its first byte, GUEST_AT, in 64-bit mode with the memory below 4 MiB mapped one to
 * one: by a loader of ELF files, or by migrate_rom.S in the place of firmware. There is no
 * interrupt, no stack is used, and memory that is named nowhere here is never touched.
 */
#define GUEST_AT 0x200000
#define TABLES_AT 0x280000 /* 3 pages, zeros before */
#define ORDERS_AT 0x300000
#define SEEN_AT 0x301000
#define FILL_AT 0x400000

/* What the host writes, 64 bits each; it may change them, but for the first three, at any time. */
#define FILL_PAGES 0x00
#define SEED 0x08 /* not 0 */
#define GO 0x10 /* the last to be written */
#define SET_PAGES 0x18 /* of the working set, from FILL_AT on; 0: none is written */
#define INTERVAL 0x20 /* from a page to the next, in ticks of the TSC */
#define SLACK 0x28 /* who is later than that does not make up for it */

/* What the guest tells. */
#define COUNTER 0x00
#define TSC 0x08
#define WRITTEN 0x10 /* pages */
#define PHASE 0x18
#define PHASE_WAITS 1
#define PHASE_FILLS 2
#define PHASE_RUNS 3

#define PAGE_SHIFT 12
#define WORDS_SHIFT 9 /* of a page */
#define TABLE 0x27 /* accessed, user, writable, present */
#define LARGE_PAGE 0xE7 /* and dirty, 2 MiB */
#define LARGE_PAGES 512
#define TASK 0x18
#define USER_CODE 0x2B
#define USER_DATA 0x33

/* RAX: the TSC; RDX is lost. */
.macro read_tsc
	rdtsc
	shl	$32, %rdx
	or	%rdx, %rax
.endm

/* The next of a series of random numbers in `at`; RDX is lost. */
.macro shuffle at
	mov	\at, %rdx
	shl	$13, %rdx
	xor	%rdx, \at
	mov	\at, %rdx
	shr	$7, %rdx
	xor	%rdx, \at
	mov	\at, %rdx
	shl	$17, %rdx
	xor	%rdx, \at
.endm

	.text
	.globl _start
_start:
	cli
	mov	$TABLES_AT, %edi
	lea	0x1000 + TABLE(%rdi), %eax
	mov	%rax, (%rdi)
	lea	0x2000 + TABLE(%rdi), %eax
	mov	%rax, 0x1000(%rdi)
	mov	$LARGE_PAGE, %eax
	xor	%ecx, %ecx
1:	mov	%rax, 0x2000(%rdi,%rcx,8)
	add	$0x200000, %eax
	inc	%ecx
	cmp	$LARGE_PAGES, %ecx
	jne	1b
	mov	%rdi, %cr3
	lgdt	table(%rip)
	mov	$TASK, %eax
	ltr	%ax
	/* IRETQ takes what lies here for a stack. */
	lea	user_frame(%rip), %rsp
	iretq

user:
	mov	$ORDERS_AT, %ebx
	mov	$SEEN_AT, %ebp
	movq	$PHASE_WAITS, PHASE(%rbp)
1:	read_tsc
	mov	%rax, TSC(%rbp)
	pause
	cmpq	$0, GO(%rbx)
	je	1b
	movq	$PHASE_FILLS, PHASE(%rbp)
	mov	SEED(%rbx), %rsi
	mov	$FILL_AT, %edi
	mov	FILL_PAGES(%rbx), %rcx
	shl	$WORDS_SHIFT, %rcx
	jz	3f
2:	shuffle	%rsi
	mov	%rsi, (%rdi)
	add	$8, %rdi
	dec	%rcx
	jnz	2b
3:	movq	$PHASE_RUNS, PHASE(%rbp)

/* R8: when the next page is due; R9: which; RCX, R10: the counters. */
	read_tsc
	mov	%rax, %r8
	xor	%r9d, %r9d
	xor	%ecx, %ecx
	xor	%r10d, %r10d
loop:
	inc	%rcx
	mov	%rcx, COUNTER(%rbp)
	read_tsc
	mov	%rax, TSC(%rbp)
	cmpq	$0, SET_PAGES(%rbx)
	je	loop
	mov	%rax, %rdi
	sub	%r8, %rdi
	jl	early
	cmp	SLACK(%rbx), %rdi
	ja	leap
	shuffle	%rsi
	mov	%r9, %rdi
	shl	$PAGE_SHIFT, %rdi
	mov	%rsi, FILL_AT(%rdi)
	inc	%r10
	mov	%r10, WRITTEN(%rbp)
	add	INTERVAL(%rbx), %r8
	inc	%r9
	cmp	SET_PAGES(%rbx), %r9
	jb	loop
	xor	%r9d, %r9d
	jmp	loop
early:
	neg	%rdi
	cmp	SLACK(%rbx), %rdi
	jbe	loop
/* The clock has leapt, or time was lost. */
leap:
	mov	%rax, %r8
	jmp	loop

	.balign 8
user_frame:
	.quad	user, USER_CODE, 2, user_frame, USER_DATA
/* Accessed bits are set: there are processors whose emulation wants to set them otherwise. */
gdt:
	.quad	0
	.quad	0x00AF9B000000FFFF
	.quad	0x00CF93000000FFFF
	.quad	0x0000890000000067 + ((GUEST_AT & 0xFFFFFF) << 16) /* a task state that is never used */
	.quad	0
	.quad	0x00AFFB000000FFFF
	.quad	0x00CFF3000000FFFF
table:
	.word	table - gdt - 1
	.quad	gdt
