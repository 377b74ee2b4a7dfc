// SPDX-License-Identifier: GPL-2.0-or-later
#include "parent/show.h"

#include <asm/processor.h>
#include <linux/debugfs.h>
#include <linux/io.h>
#include <linux/minmax.h>
#include <linux/seq_file.h>
#include <linux/timex.h>

#include "parent/hypercall.h"

#define CALLS 1000u

static struct dentry *folder;
static const struct oya_log *hv_log;
static u64 log_bytes;

/* The hypervisor may be writing: what is read may have lost its first bytes meanwhile. */
static int log_show(struct seq_file *file, void *unused)
{
	u64 written = READ_ONCE(hv_log->written), room = log_bytes - sizeof(*hv_log), at;

	for (at = written > room ? written - room : 0; at < written; at++)
		seq_putc(file, hv_log->text[at % room]);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(log);

static int info_show(struct seq_file *file, void *unused)
{
	seq_printf(file, "version %u\n", cpuid_eax(OYA_CPUID));
	seq_printf(file, "memory_at %#llx\n", oya_info(OYA_INFO_MEMORY_AT));
	seq_printf(file, "memory_bytes %llu\n", oya_info(OYA_INFO_MEMORY_BYTES));
	seq_printf(file, "pages_left %llu\n", oya_info(OYA_INFO_PAGES_LEFT));
	seq_printf(file, "partitions %llu\n", oya_info(OYA_INFO_PARTITIONS));
	seq_printf(file, "iommus %llu\n", oya_info(OYA_INFO_IOMMUS));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(info);

/* The least that a call of nothing takes, or, without one, the reading of the time alone. */
static u64 least_cycles(bool with_call)
{
	cycles_t least = ~(cycles_t)0;
	unsigned int i;

	for (i = 0; i < CALLS; i++) {
		cycles_t before = get_cycles();
		u64 b = 0;

		if (with_call)
			oya_hypercall(OYA_CALL_NOTHING, &b, 0, 0, 0);
		least = min(least, get_cycles() - before);
	}
	return least;
}

static int call_show(struct seq_file *file, void *unused)
{
	seq_printf(file, "%llu\n", least_cycles(true) - least_cycles(false));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(call);

int oya_show_init(void)
{
	log_bytes = oya_info(OYA_INFO_LOG_BYTES);
	if (log_bytes <= sizeof(*hv_log))
		return -ENXIO;
	hv_log = memremap(oya_info(OYA_INFO_LOG_AT), log_bytes, MEMREMAP_WB);
	if (!hv_log)
		return -ENOMEM;
	folder = debugfs_create_dir("oya", NULL);
	debugfs_create_file("log", 0400, folder, NULL, &log_fops);
	debugfs_create_file("info", 0400, folder, NULL, &info_fops);
	debugfs_create_file("call", 0400, folder, NULL, &call_fops);
	return 0;
}

void oya_show_done(void)
{
	debugfs_remove(folder);
	memunmap((void *)hv_log);
}
