/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The intrusive list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct item {
	int number;
	struct list link;
};

static int pop_number(struct list *head)
{
	struct list *link = list_pop(head);

	return link ? CONTAINER_OF(link, struct item, link)->number : -1;
}

static void empty_list_gives_nothing(void **state)
{
	struct list head;

	(void)state;
	list_init(&head);
	assert_true(list_empty(&head));
	assert_null(list_pop(&head));
}

static void entries_come_out_in_the_order_of_appending(void **state)
{
	struct item item[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
	struct list head;

	(void)state;
	list_init(&head);
	for (int i = 0; i < 3; i++)
		list_append(&head, &item[i].link);
	assert_false(list_empty(&head));
	for (int i = 0; i < 3; i++)
		assert_int_equal(pop_number(&head), i);
	assert_true(list_empty(&head));
}

static void insertion_before_an_entry_keeps_the_rest(void **state)
{
	struct item item[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
	struct list head;

	(void)state;
	list_init(&head);
	list_append(&head, &item[1].link);
	list_insert_before(&item[1].link, &item[0].link);
	list_insert_before(&head, &item[2].link);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pop_number(&head), i);
}

static void removed_entry_is_unlinked_and_can_be_linked_again(void **state)
{
	struct item item[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
	struct list head;

	(void)state;
	list_init(&head);
	for (int i = 0; i < 3; i++) {
		assert_false(list_linked(&item[i].link));
		list_append(&head, &item[i].link);
		assert_true(list_linked(&item[i].link));
	}
	list_remove(&item[1].link);
	assert_false(list_linked(&item[1].link));
	list_append(&head, &item[1].link);
	assert_int_equal(pop_number(&head), 0);
	assert_int_equal(pop_number(&head), 2);
	assert_int_equal(pop_number(&head), 1);
	assert_false(list_linked(&item[1].link));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_list_gives_nothing),
		cmocka_unit_test(entries_come_out_in_the_order_of_appending),
		cmocka_unit_test(insertion_before_an_entry_keeps_the_rest),
		cmocka_unit_test(removed_entry_is_unlinked_and_can_be_linked_again),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
