/* SPDX-License-Identifier: MIT */
/*
 * base/list.c - a circular list through its members.
 *
 * The head is a node like the others.  A node that is not in a list points to itself after
 * iomap_list_del, so that deleting it again does nothing.  Threads: the owner's lock.
 */
#include "base/base.h"

IOMAP_API void iomap_list_init(struct iomap_list *head)
{
	head->next = head->prev = head;
}

IOMAP_API bool iomap_list_empty(const struct iomap_list *head)
{
	return head->next == head;
}

IOMAP_API void iomap_list_add_tail(struct iomap_list *head, struct iomap_list *node)
{
	node->next = head;
	node->prev = head->prev;
	head->prev->next = node;
	head->prev = node;
}

IOMAP_API void iomap_list_del(struct iomap_list *node)
{
	node->next->prev = node->prev;
	node->prev->next = node->next;
	iomap_list_init(node);
}

IOMAP_API struct iomap_list *iomap_list_pop(struct iomap_list *head)
{
	struct iomap_list *node = head->next;

	if (node == head)
		return NULL;
	iomap_list_del(node);
	return node;
}
