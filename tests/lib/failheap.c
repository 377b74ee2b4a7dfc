/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The wrappers and the sweep; see failheap.h.
 *
 * Invariant: live[0..live_count) are the blocks that this thread allocated while armed and that
 * nobody has freed through a wrapper.
 */
#include "tests/lib/failheap.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The linker's names: __real_x is the plain function, __wrap_x takes its place. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_reallocarray(void *block, size_t count, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t max);
int __real_posix_memalign(void **ret_block, size_t alignment, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_vasprintf(char **ret_text, const char *format, va_list args);
void __real_free(void *block);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_reallocarray(void *block, size_t count, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t max);
int __wrap_posix_memalign(void **ret_block, size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
__attribute__((format(printf, 2, 3))) int __wrap_asprintf(char **ret_text, const char *format, ...);
__attribute__((format(printf, 2, 0))) int __wrap_vasprintf(char **ret_text, const char *format,
							   va_list args);
void __wrap_free(void *block);

static _Thread_local bool armed, failed;
static _Thread_local unsigned long seen, fail_at;
static _Thread_local const void *live[FAILHEAP_BLOCKS_MAX];
static _Thread_local size_t live_count;

static bool must_fail(void)
{
	if (!armed || seen++ != fail_at)
		return false;
	failed = true;
	errno = ENOMEM;
	return true;
}

static void *born(void *block)
{
	if (!armed || !block)
		return block;
	if (live_count == FAILHEAP_BLOCKS_MAX) {
		fprintf(stderr, "failheap: more than %u live blocks\n", FAILHEAP_BLOCKS_MAX);
		abort();
	}
	live[live_count++] = block;
	return block;
}

/* The newest blocks die first, mostly. An unknown block is older than the arming. */
static void died(const void *block)
{
	for (size_t i = live_count; armed && i > 0; i--) {
		if (live[i - 1] != block)
			continue;
		live[i - 1] = live[--live_count];
		return;
	}
}

void *__wrap_malloc(size_t size)
{
	return must_fail() ? NULL : born(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
	return must_fail() ? NULL : born(__real_calloc(count, size));
}

void *__wrap_realloc(void *block, size_t size)
{
	uintptr_t before = (uintptr_t)block; /* of the block's name, once it is gone */
	void *grown;

	if (must_fail())
		return NULL;
	grown = __real_realloc(block, size);
	if (grown || size == 0)
		died((const void *)before);
	return born(grown);
}

void *__wrap_reallocarray(void *block, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return __wrap_realloc(block, bytes);
}

char *__wrap_strdup(const char *text)
{
	return must_fail() ? NULL : born(__real_strdup(text));
}

char *__wrap_strndup(const char *text, size_t max)
{
	return must_fail() ? NULL : born(__real_strndup(text, max));
}

int __wrap_posix_memalign(void **ret_block, size_t alignment, size_t size)
{
	int error;

	if (must_fail())
		return ENOMEM;
	error = __real_posix_memalign(ret_block, alignment, size);
	if (error == 0)
		born(*ret_block);
	return error;
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return must_fail() ? NULL : born(__real_aligned_alloc(alignment, size));
}

int __wrap_vasprintf(char **ret_text, const char *format, va_list args)
{
	int len;

	if (must_fail())
		return -1;
	len = __real_vasprintf(ret_text, format, args);
	if (len >= 0)
		born(*ret_text);
	return len;
}

int __wrap_asprintf(char **ret_text, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = __wrap_vasprintf(ret_text, format, args);
	va_end(args);
	return len;
}

void __wrap_free(void *block)
{
	died(block);
	__real_free(block);
}

void failheap_arm(unsigned long n)
{
	seen = 0;
	fail_at = n;
	failed = false;
	live_count = 0;
	armed = true;
}

size_t failheap_disarm(void)
{
	armed = false;
	return live_count;
}

bool failheap_failed(void)
{
	return failed;
}

unsigned long failheap_sweep(int (*step)(void *ctx), void *ctx)
{
	for (unsigned long n = 0; n < FAILHEAP_SITES_MAX; n++) {
		size_t leaked;
		int r;

		failheap_arm(n);
		r = step(ctx);
		leaked = failheap_disarm();
		if (leaked)
			fail_msg("allocation %lu fails: %zu blocks leak (result %d)", n, leaked, r);
		if (!failed && r != 0)
			fail_msg("no allocation failed, but the result is %d", r);
		if (!failed)
			return n;
		if (r != -ENOMEM)
			fail_msg("allocation %lu fails: the result is %d, not -ENOMEM", n, r);
	}
	fail_msg("more than %lu allocations in one run", FAILHEAP_SITES_MAX);
	return 0;
}
