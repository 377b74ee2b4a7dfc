/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Metrics of the host and its VMs, in Prometheus' text format 0.0.4 (docs/format/metrics.md): of
 * what the loop knows already, no worker is asked.
 *
 * Trust: what a worker has told is hostile: numbers of it are taken, and none of its texts.
 * Threads: the loop's.
 */
#ifndef OYA_HOST_METRICS_H
#define OYA_HOST_METRICS_H

#include <stddef.h>
#include <stdint.h>

struct host;
struct http_load;

/* The text, which is the caller's to free; NULL: no memory. `now_us` is monotonic. */
char *metrics_text(const struct host *h, const struct http_load *load, uint64_t now_us,
		   size_t *ret_len);

#endif
