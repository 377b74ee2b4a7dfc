/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/linux_image.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/util.h"

enum image_kind image_kind(const uint8_t *file, size_t len)
{
	if (len >= SELFMAG && memcmp(file, ELFMAG, SELFMAG) == 0)
		return IMAGE_ELF;
	if (bzimage_is(file, len))
		return IMAGE_BZIMAGE;
	return IMAGE_UNKNOWN;
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
