/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/lazy_map.h"

#include <errno.h>
#include <stdlib.h>

#include "base/util.h"

#define BITS 64u

int lazy_map_init(struct lazy_map *map, uint64_t bytes)
{
	uint64_t *there = calloc(bytes / STATE_PAGE / BITS + 1, sizeof(*there));

	if (!there)
		return -ENOMEM;
	*map = (struct lazy_map){.bytes = bytes, .there = there};
	return 0;
}

void lazy_map_done(struct lazy_map *map)
{
	free(map->run);
	free(map->there);
	map->run = NULL;
	map->there = NULL;
	map->count = map->room = 0;
}

int lazy_map_add(struct lazy_map *map, uint64_t at, const struct state_rest *rest)
{
	const struct lazy_run *last = map->count ? &map->run[map->count - 1] : NULL;

	if (!rest->left || !range_within(at, rest->left, map->bytes) ||
	    (last && at < last->at + last->len))
		return -EINVAL;
	if (map->count == map->room) {
		size_t room = map->room ? map->room * 2 : 64;
		struct lazy_run *grown = reallocarray(map->run, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		map->run = grown;
		map->room = room;
	}
	map->run[map->count++] = (struct lazy_run){.at = at, .len = rest->left, .rest = *rest};
	map->total += rest->left;
	return 0;
}

struct lazy_run *lazy_map_find(const struct lazy_map *map, uint64_t at)
{
	size_t low = 0, high = map->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		struct lazy_run *run = &map->run[middle];

		if (at < run->at)
			high = middle;
		else if (at >= run->at + run->len)
			low = middle + 1;
		else
			return run;
	}
	return NULL;
}

static bool is_there(const struct lazy_map *map, uint64_t page)
{
	return __atomic_load_n(&map->there[page / BITS], __ATOMIC_ACQUIRE) >> page % BITS & 1;
}

struct memory_piece lazy_map_absent(const struct lazy_map *map, uint64_t from, uint64_t to)
{
	uint64_t begin = from / STATE_PAGE, last = to / STATE_PAGE, end;

	while (begin < last && is_there(map, begin))
		begin++;
	for (end = begin; end < last && !is_there(map, end);)
		end++;
	return (struct memory_piece){begin * STATE_PAGE, end * STATE_PAGE};
}

int lazy_map_expect(struct lazy_map *map, uint64_t at, const uint64_t *bits, uint64_t pages)
{
	uint64_t first = at / STATE_PAGE;

	if (!is_aligned(first, BITS) || !is_aligned(pages, BITS) ||
	    !range_within(first, pages, map->bytes / STATE_PAGE))
		return -EINVAL;
	for (uint64_t i = 0; i < pages / BITS; i++) {
		uint64_t *word = &map->there[first / BITS + i];

		map->total += STATE_PAGE * (uint64_t)__builtin_popcountll(bits[i] & *word);
		*word &= ~bits[i];
	}
	return 0;
}

void lazy_map_put(struct lazy_map *map, uint64_t from, uint64_t to)
{
	for (uint64_t page = from / STATE_PAGE; page < to / STATE_PAGE; page++)
		__atomic_fetch_or(&map->there[page / BITS], UINT64_C(1) << page % BITS,
				  __ATOMIC_RELEASE);
}
