/* SPDX-License-Identifier: MIT */
/*
 * inode/defer.c - ioends whose completion needs more than end_io may do.
 *
 * They gather in a list per inode; the first one queues the inode's work, which takes the whole
 * list and gives it to the client, who sorts, merges and opens one transaction where there would
 * have been many (I109).  Work is queued on empty -> non-empty only, so whoever queues it knows
 * that its own ioend keeps the inode alive until the work has run: another run cannot take it.
 *
 *	end_io				the work
 *	lock, list was empty, add
 *	unlock				(an earlier run may still be in the client's hands)
 *	queue the work
 *					lock, take all, unlock
 *	lock, list is empty again: queues the work once more, perhaps for another thread
 *
 * The client ends each ioend; with the last one the inode may go, so the work touches it no more.
 *
 * Threads: iomapi_inode_defer in end_io, the work wherever IOEND work runs.  Two runs for one inode
 * may overlap; they never share an ioend, nor a folio: its writeback must end before the next.
 */
#include "inode/inode.h"

void iomapi_inode_defer(struct iomap_inode *inode, struct iomap_ioend *ioend)
{
	struct iomapi_inode *in = iomapi_inode(inode);
	struct iomap_env *env = inode->env;
	bool first;

	iomap_mutex_lock(env, &in->wb_lock);
	first = iomap_list_empty(&in->deferred);
	iomap_list_add_tail(&in->deferred, &ioend->list);
	iomap_mutex_unlock(env, &in->wb_lock);
	if (first)
		iomapi_work_queue(env, &in->work);
}

static void take_all(struct iomap_env *env, struct iomapi_inode *in, struct iomap_list *to)
{
	iomap_list_init(to);
	iomap_mutex_lock(env, &in->wb_lock);
	if (!iomap_list_empty(&in->deferred)) {
		*to = in->deferred;
		to->next->prev = to->prev->next = to;
		iomap_list_init(&in->deferred);
	}
	iomap_mutex_unlock(env, &in->wb_lock);
}

void iomapi_inode_run_deferred(struct iomap_work *work)
{
	struct iomapi_inode *in = iomap_container_of(work, struct iomapi_inode, work);
	struct iomap_inode *inode = iomapi_inode_public(in);
	struct iomap_list ioends, *l;

	take_all(inode->env, in, &ioends);
	if (inode->ops->complete_ioends) {
		if (!iomap_list_empty(&ioends))
			inode->ops->complete_ioends(inode, &ioends);
		return;
	}
	while ((l = iomap_list_pop(&ioends))) {
		struct iomap_ioend *ioend = iomap_container_of(l, struct iomap_ioend, list);

		iomap_finish_ioends(ioend, ioend->error);
	}
}
