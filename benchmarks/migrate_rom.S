/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest of ./bench migrate in the place of firmware: 64 KiB that lie at 0xF0000 and below 4
 * GiB. It goes from real mode to 64-bit mode, copies the guest to where it belongs, and enters it.
 */
	.code16
	.text

#define ROM_AT 0xF0000
#define GUEST_AT 0x200000
#define TABLES_AT 0x9000 /* 3 pages, zeros before */
#define TABLE 0x27 /* accessed, user, writable, present */
#define LARGE_PAGE 0xE7 /* and dirty, 2 MiB */
#define CODE 0x08
#define DATA 0x10
#define CR4_PAE 0x20
#define CR0_LONG 0x80000011 /* PG, ET, PE */
#define MSR_EFER 0xC0000080
#define EFER_LME 0x100

start:
	ljmp	$0xF000, $(here - start)
here:
	cli
	cld
	xor	%ax, %ax
	mov	%ax, %ds
	movl	$(TABLES_AT + 0x1000 + TABLE), TABLES_AT
	movl	$(TABLES_AT + 0x2000 + TABLE), TABLES_AT + 0x1000
	movl	$LARGE_PAGE, TABLES_AT + 0x2000
	movl	$(GUEST_AT + LARGE_PAGE), TABLES_AT + 0x2008
	lgdtl	%cs:(table - start)
	mov	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	$TABLES_AT, %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_LME, %eax
	wrmsr
	mov	$CR0_LONG, %eax
	mov	%eax, %cr0
	ljmpl	$CODE, $(ROM_AT + long - start)

	.code64
long:
	mov	$DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$(ROM_AT + guest - start), %esi
	mov	$GUEST_AT, %edi
	mov	$((guest_end - guest + 7) / 8), %ecx
	rep movsq
	mov	$GUEST_AT, %eax
	jmp	*%rax

	.balign 8
gdt:
	.quad	0
	.quad	0x00AF9B000000FFFF
	.quad	0x00CF93000000FFFF
table:
	.word	table - gdt - 1
	.long	ROM_AT + gdt - start
	.balign 8
guest:
	.incbin	"guest.bin"
guest_end:

	.code16
	.org	0xFFF0
	jmp	start
	.org	0xFFFF
	.byte	0
