/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest of ./bench hv, in real mode: 64 KiB that lie where a machine's firmware does, at
 * 0xF0000 and below 4 GiB. Each test is done in many rounds, of which the one that took least by
 * the TSC counts, for it is the one that nothing else came into. What it finds goes to port 0x402
 * as lines of a name and a number in hexadecimal; port 0x501 ends it.
 *
 * Registers: BX times the rounds, EBP the least; EDI when it began; ESI counts within a round. A
 * name of a test lies in our own segment.
 */
	.code16
	.text

#define ROUNDS 20
#define LOOPS 100
#define ONES 60 /* rounds of tests in which a thing is done once */
#define TEXT_PORT 0x402
#define END_PORT 0x501
#define VECTOR 0x40
#define FLAG 0x600 /* interrupts so far */
#define TAKEN_AT 0x604 /* when the last was */
#define STACK 0x7000
#define MSR_APIC_BASE 0x1B
#define APIC_X2 0xC00
#define MSR_EOI 0x80B
#define MSR_SPURIOUS 0x80F
#define MSR_TIMER 0x832
#define MSR_SELF 0x83F
#define MSR_DEADLINE 0x6E0
#define TIMER_DEADLINE 0x40000
#define DEADLINE_IN 50000
#define SPIN_INSNS 3

/* What `operation` takes, done LOOPS times; the loop itself takes what the test `loop` says. */
.macro many name, operation:vararg
	mov	$ROUNDS, %bx
	mov	$-1, %ebp
1:	push	%bx
	rdtsc
	mov	%eax, %edi
	mov	$LOOPS, %esi
2:	\operation
	dec	%esi
	jnz	2b
	rdtsc
	pop	%bx
	call	least
	jnz	1b
	call	tell
	.asciz	"\name"
.endm

start:
	ljmp	$0xF000, $here
here:
	cli
	cld
	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %ss
	mov	$STACK, %sp
	movw	$interrupt, VECTOR * 4
	movw	$0xF000, VECTOR * 4 + 2
	many	loop, nop
	many	cpuid, call get_cpuid
	many	call, call nothing
	many	port, call get_port
	mov	$0x40000000, %eax
	cpuid
	cmp	$0x4B4D564B, %ebx /* KVM */
	jne	3f
	many	hypercall, call hypercall
3:	call	start_apic
	many	ipi_cycle, call send
	call	test_ipi
	call	test_timer
	mov	$END_PORT, %dx
	out	%al, %dx
	cli
	hlt

nothing:
	ret
get_cpuid:
	xor	%eax, %eax
	cpuid
	ret
get_port:
	mov	$TEXT_PORT, %dx
	in	%dx, %al
	ret
hypercall:
	mov	$1, %eax
	vmmcall
	ret
/* An interrupt to itself; it comes before the next instruction. */
send:
	mov	$MSR_SELF, %ecx
	mov	$VECTOR, %eax
	xor	%edx, %edx
	wrmsr
	ret

interrupt:
	push	%eax
	push	%ecx
	push	%edx
	rdtsc
	mov	%eax, TAKEN_AT
	incl	FLAG
	mov	$MSR_EOI, %ecx
	xor	%eax, %eax
	xor	%edx, %edx
	wrmsr
	pop	%edx
	pop	%ecx
	pop	%eax
	iret

start_apic:
	mov	$MSR_APIC_BASE, %ecx
	rdmsr
	or	$APIC_X2, %eax
	wrmsr
	xor	%edx, %edx
	mov	$MSR_SPURIOUS, %ecx
	mov	$0x1FF, %eax
	wrmsr
	mov	$MSR_TIMER, %ecx
	mov	$(TIMER_DEADLINE | VECTOR), %eax
	wrmsr
	sti
	ret

/* From the instruction that sends to the first of the handler. */
test_ipi:
	mov	$ONES, %bx
	mov	$-1, %ebp
1:	rdtsc
	mov	%eax, %edi
	call	send
	mov	TAKEN_AT, %eax
	call	least
	jnz	1b
	call	tell
	.asciz	"ipi"
	ret

/* What others than this guest do from the arming of the timer to the end of its interrupt: the time
 * of the whole less what the guest did, spinning meanwhile. */
test_timer:
	mov	$ONES, %bx
	mov	$-1, %ebp
1:	movl	$0, FLAG
	xor	%esi, %esi
	rdtsc
	mov	%eax, %edi
	add	$DEADLINE_IN, %eax
	adc	$0, %edx
	mov	$MSR_DEADLINE, %ecx
	wrmsr
2:	inc	%esi
	cmpl	$0, FLAG
	je	2b
	rdtsc
	imul	$SPIN_INSNS, %esi
	sub	%esi, %eax
	call	least
	jnz	1b
	call	tell
	.asciz	"timer"
	mov	$ONES, %bx
	mov	$-1, %ebp
1:	movl	$0, FLAG
	rdtsc
	add	$DEADLINE_IN, %eax
	adc	$0, %edx
	mov	%eax, %edi
	mov	$MSR_DEADLINE, %ecx
	wrmsr
2:	cmpl	$0, FLAG
	je	2b
	mov	TAKEN_AT, %eax
	call	least
	jnz	1b
	call	tell
	.asciz	"timer_late"
	ret

/* EAX: when it ended. The zero flag: the last round. */
least:
	sub	%edi, %eax
	cmp	%ebp, %eax
	jae	1f
	mov	%eax, %ebp
1:	dec	%bx
	ret

/* The name behind the call, and EBP. */
tell:
	pop	%si
	mov	$TEXT_PORT, %dx
1:	mov	%cs:(%si), %al
	inc	%si
	test	%al, %al
	jz	2f
	out	%al, %dx
	jmp	1b
2:	push	%si
	mov	$' ', %al
	out	%al, %dx
	mov	$8, %cx
3:	rol	$4, %ebp
	mov	%ebp, %eax
	and	$15, %al
	add	$'0', %al
	cmp	$'9', %al
	jbe	4f
	add	$('a' - '0' - 10), %al
4:	out	%al, %dx
	loop	3b
	mov	$'\n', %al
	out	%al, %dx
	ret

	.org	0xFFF0
	jmp	start
	.org	0xFFFF
	.byte	0
