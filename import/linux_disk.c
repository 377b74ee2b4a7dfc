/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "import/linux_disk.h"

#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define TEXT_MAX (1u << 20)
#define KERNEL "vmlinuz-"
#define NAMES_MAX 65536u /* of a folder that are looked at */

struct search {
	struct linux_disk *disk;
	unsigned names;
};

/* Keeps the newest. */
static int on_name(struct ext2_dir_entry *entry, int offset, int blocksize, char *buf, void *ctx)
{
	struct search *s = ctx;
	size_t len = (size_t)ext2fs_dirent_name_len(entry), prefix = sizeof(KERNEL) - 1;
	char version[KERNEL_VERSION_MAX + 1];

	(void)offset;
	(void)blocksize;
	(void)buf;
	if (++s->names > NAMES_MAX)
		return DIRENT_ABORT;
	if (len <= prefix || len - prefix > KERNEL_VERSION_MAX ||
	    memcmp(entry->name, KERNEL, prefix) != 0)
		return 0;
	memcpy(version, entry->name + prefix, len - prefix);
	version[len - prefix] = '\0';
	if (strlen(version) != len - prefix || strchr(version, '/'))
		return 0;
	if (!s->disk->kernel || strverscmp(version, s->disk->version) > 0)
		strcpy(s->disk->version, version);
	s->disk->kernel = true;
	return 0;
}

static bool open_file(ext2_filsys fs, ext2_ino_t folder, const char *name, ext2_file_t *ret_file)
{
	struct ext2_inode inode;
	ext2_ino_t number;

	return ext2fs_namei_follow(fs, EXT2_ROOT_INO, folder, name, &number) == 0 &&
	       ext2fs_read_inode(fs, number, &inode) == 0 && LINUX_S_ISREG(inode.i_mode) &&
	       ext2fs_file_open(fs, number, 0, ret_file) == 0;
}

/* The begin of a small file, to be freed; NULL: there is none. */
static char *read_text(ext2_filsys fs, ext2_ino_t folder, const char *name)
{
	ext2_file_t file;
	char *text;
	unsigned len = 0;

	if (!open_file(fs, folder, name, &file))
		return NULL;
	text = malloc(TEXT_MAX + 1);
	if (text && ext2fs_file_read(file, text, TEXT_MAX, &len) != 0)
		len = 0;
	if (text)
		text[len] = '\0';
	ext2fs_file_close(file);
	return text;
}

static long on_read(void *ctx, void *buf, size_t len)
{
	unsigned got = 0;

	return ext2fs_file_read(ctx, buf, (unsigned)len, &got) == 0 ? (long)got : -EIO;
}

/* The first of the names that distributions give it. */
static void look_at_initrd(ext2_filsys fs, ext2_ino_t folder, struct linux_disk *d)
{
	static const struct {
		const char *before, *behind;
		bool dracut;
	} names[] = {{"initrd.img-", "", false},
		     {"initramfs-", ".img", true},
		     {"initrd-", "", true},
		     {"initramfs-", "", false}};

	for (size_t i = 0; i < ARRAY_LEN(names) && !d->initrd; i++) {
		char name[KERNEL_VERSION_MAX + 32];
		struct stream s = {.read = on_read};
		ext2_file_t file;

		snprintf(name, sizeof(name), "%s%s%s", names[i].before, d->version,
			 names[i].behind);
		if (!open_file(fs, folder, name, &file))
			continue;
		d->initrd = true;
		d->dracut = names[i].dracut;
		s.ctx = file;
		d->initrd_error = initrd_look(&s, &d->drivers);
		ext2fs_file_close(file);
	}
}

enum driver_kind kernel_config_says(const char *text, const char *option)
{
	size_t len = strlen(option);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, option, len) == 0 && line[len] == '=')
			return line[len + 1] == 'y'   ? DRIVER_BUILT_IN
			       : line[len + 1] == 'm' ? DRIVER_MODULE
						      : DRIVER_NONE;
	}
	return DRIVER_NONE;
}

static void look_at_config(ext2_filsys fs, ext2_ino_t folder, struct linux_disk *d)
{
	char name[KERNEL_VERSION_MAX + 32], *text;

	snprintf(name, sizeof(name), "config-%s", d->version);
	text = read_text(fs, folder, name);
	if (!text)
		return;
	/* Not a file that has another use, or is empty. */
	if (strstr(text, "CONFIG_MODULES=")) {
		d->storage = kernel_config_says(text, "CONFIG_HYPERV_STORAGE");
		d->bus = kernel_config_says(text, "CONFIG_HYPERV");
	}
	free(text);
}

bool fstab_has_old_names(const char *text)
{
	static const char *const names[] = {"/dev/vd", "/dev/xvd", "/dev/hd", "/dev/nvme"};

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += strspn(line, " \t\n");
		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			if (strncmp(line, names[i], strlen(names[i])) == 0)
				return true;
		}
	}
	return false;
}

static void look_at_folder(ext2_filsys fs, const char *path, struct linux_disk *d)
{
	struct search s = {.disk = d};
	ext2_ino_t folder;

	if (ext2fs_namei_follow(fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, &folder) != 0 ||
	    ext2fs_check_directory(fs, folder) != 0 ||
	    ext2fs_dir_iterate(fs, folder, 0, NULL, on_name, &s) != 0 || !d->kernel)
		return;
	look_at_config(fs, folder, d);
	look_at_initrd(fs, folder, d);
}

int linux_disk_look(const char *path, uint64_t offset, struct linux_disk *ret_disk)
{
	struct linux_disk *d = ret_disk;
	char options[64], *fstab;
	ext2_filsys fs;

	memset(d, 0, sizeof(*d));
	snprintf(options, sizeof(options), "offset=%llu", (unsigned long long)offset);
	if (ext2fs_open2(path, options, EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &fs) != 0)
		return -EBADMSG;
	look_at_folder(fs, "/boot", d);
	if (!d->kernel) /* it may be what is mounted there */
		look_at_folder(fs, "/", d);
	fstab = read_text(fs, EXT2_ROOT_INO, "/etc/fstab");
	d->old_names = fstab && fstab_has_old_names(fstab);
	free(fstab);
	ext2fs_close(fs);
	return 0;
}
