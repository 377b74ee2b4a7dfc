/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/linux_image.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "abi/linux_boot.h"
#include "base/bytes.h"
#include "base/util.h"

enum image_kind image_kind(const uint8_t *file, size_t len)
{
	if (len >= SELFMAG && memcmp(file, ELFMAG, SELFMAG) == 0)
		return IMAGE_ELF;
	if (len >= SETUP_HEADER_END && le16_load(file + SETUP_BOOT_FLAG) == 0xAA55 &&
	    le32_load(file + SETUP_MAGIC) == SETUP_MAGIC_VALUE)
		return IMAGE_BZIMAGE;
	return IMAGE_UNKNOWN;
}

int bzimage_decode(const uint8_t *file, size_t len, struct bzimage *ret_image)
{
	struct bzimage b = {0};
	size_t sectors;
	uint32_t payload_at;

	if (image_kind(file, len) != IMAGE_BZIMAGE)
		return -EBADMSG;
	if (le16_load(file + SETUP_VERSION) < SETUP_VERSION_MIN ||
	    !(le16_load(file + SETUP_XLOADFLAGS) & SETUP_XLF_64))
		return -ENOTSUP;
	/* No more than the zero page has room for before its next field. */
	b.header_len = min_u32(SETUP_MAGIC + file[SETUP_JUMP + 1], SETUP_ROOM_END) - SETUP_SECTORS;
	sectors = file[SETUP_SECTORS] ? file[SETUP_SECTORS] : 4u;
	b.code_at = (sectors + 1) * 512;
	if (b.code_at >= len || !range_within(SETUP_SECTORS, b.header_len, b.code_at))
		return -EBADMSG;
	b.code_len = len - b.code_at;
	payload_at = le32_load(file + SETUP_PAYLOAD_OFFSET);
	b.payload_len = le32_load(file + SETUP_PAYLOAD_BYTES);
	if (!b.payload_len || !range_within(payload_at, b.payload_len, b.code_len))
		return -EBADMSG;
	b.payload_at = b.code_at + payload_at;
	b.preferred = le64_load(file + SETUP_PREFERRED);
	b.init_bytes = le32_load(file + SETUP_INIT_BYTES);
	b.ramdisk_max = le32_load(file + SETUP_RAMDISK_MAX);
	b.command_line_max = le32_load(file + SETUP_COMMAND_LINE_MAX);
	*ret_image = b;
	return 0;
}

static int elf_segments(const uint8_t *file, uint64_t file_len, const Elf64_Ehdr *head,
			struct elf_image *image)
{
	for (unsigned i = 0; i < head->e_phnum; i++) {
		uint64_t at = head->e_phoff + (uint64_t)i * sizeof(Elf64_Phdr);
		Elf64_Phdr p;

		memcpy(&p, file + at, sizeof(p));
		if (p.p_type != PT_LOAD || !p.p_memsz)
			continue;
		if (!range_within(p.p_offset, p.p_filesz, file_len) || p.p_filesz > p.p_memsz)
			return -EBADMSG;
		if (image->count == ELF_SEGMENTS_MAX)
			return -ENOTSUP;
		image->segment[image->count++] = (struct elf_segment){
			.file_at = p.p_offset,
			.file_len = p.p_filesz,
			.gpa = p.p_paddr,
			.len = p.p_memsz,
		};
	}
	return image->count ? 0 : -EBADMSG;
}

int elf_decode(const uint8_t *file, size_t len, uint64_t file_len, struct elf_image *ret_image)
{
	struct elf_image image = {0};
	uint64_t table;
	Elf64_Ehdr head;
	int r;

	if (len < sizeof(head))
		return -EBADMSG;
	memcpy(&head, file, sizeof(head));
	if (memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
		return -EBADMSG;
	if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != ELFDATA2LSB ||
	    head.e_machine != EM_X86_64 || head.e_type != ET_EXEC)
		return -ENOTSUP;
	table = (uint64_t)head.e_phnum * sizeof(Elf64_Phdr);
	if (head.e_phentsize != sizeof(Elf64_Phdr) || !range_within(head.e_phoff, table, file_len))
		return -EBADMSG;
	if (!range_within(head.e_phoff, table, len))
		return -ENOTSUP;
	image.entry = head.e_entry;
	r = elf_segments(file, file_len, &head, &image);
	if (r == 0)
		*ret_image = image;
	return r;
}
