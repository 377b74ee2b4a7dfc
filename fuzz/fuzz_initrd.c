/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A foreign initramfs at the import, at our decoder of archives that are not compressed: the input
 * is the file, which comes in pieces. Those that are belong to libarchive, whose unpackers take as
 * much memory as an input asks for; only the limit of the confined process ends that.
 *
 * Checked: it ends; what is found is told on success only.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "fuzz/harness.h"
#include "import/initrd.h"

struct file {
	const uint8_t *at;
	size_t left;
};

static long on_read(void *ctx, void *buf, size_t len)
{
	struct file *f = ctx;

	len = (size_t)min_u64(len, min_u64(f->left, 1000));
	memcpy(buf, f->at, len);
	f->at += len;
	f->left -= len;
	return (long)len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct file f = {data, size};
	struct stream s = {on_read, &f};
	struct drivers d = {true, true};
	int r = initrd_look_plain(&s, &d);

	must(r <= 0 && r != -EIO);
	must(r == 0 || (d.storage && d.bus));
	return 0;
}
