/* SPDX-License-Identifier: MIT */
/*
 * inode/earlier.c - what inodes wrote in an earlier life, until a flush has covered it.
 *
 * A client that evicts an inode leaves its last writes in the caches of the devices.  When a flush
 * fails then, nobody is there to be told (H9): so evict leaves a note behind, which names what was
 * written where, and hands out its number with the errseq, in the upper half.  The next life takes
 * the note up, with the error that came in between.  The volume hears of that error at once.
 *
 *	evict		flush fails	init		note
 *	there is	marked		taken up	the error is the new life's
 *	there is	-		taken up	a flush that fails later finds the new life
 *	flushed		-		-		dropped, when there are many
 *	no memory	-		-		evict flushes instead
 *
 * A note in doubt whose inode never comes back stays until the environment goes.
 *
 * Locks: the list of all inodes', which a failed flush holds around both lists.
 */
#include "inode/inode.h"

#include <iomap/bdev.h>

#include "block/block.h"

#define FEW 16u			/* notes that are not looked through */

struct earlier {
	struct iomap_list node;
	struct iomapi_writes written;
	struct iomap_volume *volume;	/* NULL: none, or gone */
	uint32_t token;
	int error;			/* of a flush that should have covered it */
};

static struct iomapi_inodes *all_of(struct iomap_env *env)
{
	return iomapi_room(env, IOMAPI_ROOM_INODE);
}

static struct earlier *note_of(struct iomap_list *l)
{
	return iomap_container_of(l, struct earlier, node);
}

static bool is_durable(const struct iomapi_writes *w)
{
	bool yes = !w->elsewhere;

	for (unsigned i = 0; i < IOMAPI_INODE_DEVICES; i++)
		yes &= !w->to[i].bdev || iomapi_bdev_flushed(w->to[i].bdev, w->to[i].seq);
	return yes;
}

static void drop(struct iomap_env *env, struct iomapi_inodes *all, struct earlier *e)
{
	iomap_list_del(&e->node);
	all->nr_earlier--;
	iomapi_free(env, e, sizeof(*e));
}

/* There are twice as many as were left the last time. */
static void drop_durable(struct iomap_env *env, struct iomapi_inodes *all)
{
	struct iomap_list *l, *next;

	if (all->nr_earlier < all->look_at + FEW)
		return;
	for (l = all->earlier.next; l != &all->earlier; l = next) {
		struct earlier *e = note_of(l);

		next = l->next;
		if (!e->error && is_durable(&e->written))
			drop(env, all, e);
	}
	all->look_at = 2 * all->nr_earlier;
}

/* ---- one goes, one comes ---- */

static struct iomapi_writes writes_of(struct iomap_inode *inode)
{
	struct iomapi_inode *in = iomapi_inode(inode);
	struct iomapi_writes w;

	iomapi_mutex_lock(inode->env, &in->wb_lock);
	w = in->written;
	iomapi_mutex_unlock(inode->env, &in->wb_lock);
	return w;
}

uint64_t iomapi_earlier_keep(struct iomap_inode *inode)
{
	struct iomapi_inodes *all = all_of(inode->env);
	struct iomapi_writes w = writes_of(inode);
	struct earlier *e;

	if (is_durable(&w) || iomapi_inode_killed(inode))
		return 0;
	e = iomapi_zalloc(inode->env, sizeof(*e));
	if (!e) {		/* then nothing may be in doubt; what fails is its error */
		iomapi_inode_flush_devices(inode);
		return 0;
	}
	iomap_mutex_lock(inode->env, &all->lock);
	drop_durable(inode->env, all);
	e->written = writes_of(inode);	/* no flush fails, and no device goes, from here on */
	e->volume = inode->volume;
	all->token += all->token == UINT32_MAX ? 2 : 1;
	e->token = all->token;
	iomap_list_add_tail(&all->earlier, &e->node);
	all->nr_earlier++;
	iomap_mutex_unlock(inode->env, &all->lock);
	return (uint64_t)e->token << 32;
}

/* Nobody knows the inode yet.  A flush that failed before the note was made has told the earlier
 * life; one that failed since has left its mark. */
static void take_up(struct iomap_inode *inode, const struct earlier *e)
{
	struct iomapi_inode *in = iomapi_inode(inode);

	iomapi_mutex_lock(inode->env, &in->wb_lock);
	in->written = e->written;
	iomapi_mutex_unlock(inode->env, &in->wb_lock);
	iomapi_errseq_set(&in->errseq, e->error);
}

void iomapi_earlier_take(struct iomap_inode *inode, uint64_t errseq)
{
	struct iomapi_inodes *all = all_of(inode->env);
	struct iomap_list *l;

	if (!(errseq >> 32))
		return;
	iomap_mutex_lock(inode->env, &all->lock);
	for (l = all->earlier.prev; l != &all->earlier; l = l->prev) {
		if (note_of(l)->token != errseq >> 32)
			continue;
		take_up(inode, note_of(l));
		drop(inode->env, all, note_of(l));
		break;
	}
	iomap_mutex_unlock(inode->env, &all->lock);
}

/* ---- what happens in between ---- */

void iomapi_earlier_flush_failed(struct iomapi_inodes *all, struct iomap_bdev *bdev,
				 uint64_t since, int error)
{
	struct iomap_list *l;

	iomapi_list_for_each(l, &all->earlier) {
		struct earlier *e = note_of(l);

		if (e->error || !iomapi_writes_since(&e->written, bdev, since))
			continue;
		e->error = error;
		if (!iomap_volume_error(e->volume))
			iomapi_volume_tell(e->volume, error);
	}
}

void iomapi_earlier_bdev_gone(struct iomapi_inodes *all, struct iomap_bdev *bdev)
{
	struct iomap_list *l;

	iomapi_list_for_each(l, &all->earlier)
		iomapi_writes_forget(&note_of(l)->written, bdev);
}

void iomapi_earlier_volume_gone(struct iomap_volume *volume)
{
	struct iomapi_inodes *all = all_of(volume->env);
	struct iomap_list *l;

	iomap_mutex_lock(volume->env, &all->lock);
	iomapi_list_for_each(l, &all->earlier)
		if (note_of(l)->volume == volume)
			note_of(l)->volume = NULL;
	iomap_mutex_unlock(volume->env, &all->lock);
}

void iomapi_earlier_fini(struct iomap_env *env, struct iomapi_inodes *all)
{
	while (!iomap_list_empty(&all->earlier))
		drop(env, all, note_of(all->earlier.next));
}
