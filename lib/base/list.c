/* SPDX-License-Identifier: MIT */
/*
 * base/list.c - a circular list through its members, for clients.
 *
 * The head is a node like the others.  A node that is not in a list points to itself after
 * iomap_list_del, so that deleting it again does nothing.  Threads: the owner's lock.
 */
#include "base/base.h"

IOMAP_API void iomap_list_init(struct iomap_list *head)
{
	iomapi_list_init(head);
}

IOMAP_API bool iomap_list_empty(const struct iomap_list *head)
{
	return iomapi_list_empty(head);
}

IOMAP_API void iomap_list_add_tail(struct iomap_list *head, struct iomap_list *node)
{
	iomapi_list_add_tail(head, node);
}

IOMAP_API void iomap_list_del(struct iomap_list *node)
{
	iomapi_list_del(node);
}

IOMAP_API struct iomap_list *iomap_list_pop(struct iomap_list *head)
{
	return iomapi_list_pop(head);
}
