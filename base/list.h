/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intrusive doubly linked list, first in first out. Freestanding. An entry not on a list has
 * both pointers NULL.
 */
#ifndef OYA_BASE_LIST_H
#define OYA_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/util.h"

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *head)
{
	head->next = head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline bool list_linked(const struct list *entry)
{
	return entry->next != NULL;
}

static inline void list_insert_before(struct list *at, struct list *entry)
{
	entry->prev = at->prev;
	entry->next = at;
	at->prev->next = entry;
	at->prev = entry;
}

static inline void list_append(struct list *head, struct list *entry)
{
	list_insert_before(head, entry);
}

static inline void list_remove(struct list *entry)
{
	entry->prev->next = entry->next;
	entry->next->prev = entry->prev;
	entry->next = entry->prev = NULL;
}

/* Takes the first entry off the list; NULL when the list is empty. */
static inline struct list *list_pop(struct list *head)
{
	struct list *first = head->next;

	if (first == head)
		return NULL;
	list_remove(first);
	return first;
}

#endif
