/* SPDX-License-Identifier: MIT */
/*
 * block/plug.c - collect the submissions of one thread, to hand them over in one go.
 *
 * The outermost plug of a thread collects; those inside it do nothing but pass a flush on to it.
 * Bios stand in it in order of submission; a flush hands each ioq its own in that order.  What
 * callbacks and deferred work submit meanwhile goes at once: the plug's owner may be waiting for
 * it, and has flushed already.
 *
 * Threads: a plug belongs to the thread that started it.
 */
#include <string.h>

#include "block/block.h"

struct plug {
	struct iomap_env *env;
	struct iomapi_bioq bios;
	uint32_t nr, depth;	/* depth: of the callbacks and work that it was started in */
	bool nested;
} __attribute__((may_alias));
_Static_assert(sizeof(struct plug) <= sizeof(struct iomap_plug), "fits what bdev.h promises");

static uint32_t depth(const struct iomapi_self *self)
{
	return self->in_callback + self->in_work;
}

static struct plug *from_public(struct iomap_plug *plug)
{
	return (struct plug *)plug;
}

/* In a child of the process that filled it: nothing may reach the ring. */
static void drop(struct iomapi_bioq *bios)
{
	struct iomap_bio *bio;

	while ((bio = iomapi_bioq_pop(bios))) {
		bio->status = -ECHILD;
		iomapi_store(&bio->state, IOMAPI_BIO_DONE);
	}
}

static void flush(struct plug *p)
{
	struct iomapi_bioq bios = p->bios;

	p->bios.head = NULL;
	p->nr = 0;
	if (bios.head && iomapi_unlikely(iomapi_forked(p->env)))
		drop(&bios);
	while (bios.head) {
		struct iomap_ioq *ioq = iomapi_bio_ioq(bios.head);
		struct iomapi_bioq mine = { 0 }, others = { 0 };
		struct iomap_bio *bio;
		unsigned nr = 0;

		while ((bio = iomapi_bioq_pop(&bios))) {
			bool is_mine = iomapi_bio_ioq(bio) == ioq;

			iomapi_bioq_push(is_mine ? &mine : &others, bio);
			nr += is_mine;
		}
		iomapi_ioq_submit(ioq, &mine, nr);
		bios = others;
	}
}

IOMAP_API void iomap_plug_start(struct iomap_plug *plug, struct iomap_env *env)
{
	struct iomapi_self *self = iomapi_self(env);
	struct plug *p = from_public(plug);

	memset(plug, 0, sizeof(*plug));
	p->env = env;
	p->depth = depth(self);
	p->nested = self->plug != NULL;
	if (!p->nested)
		self->plug = plug;
}

IOMAP_API void iomap_plug_flush(struct iomap_plug *plug)
{
	struct plug *p = from_public(plug);

	if (p->nested)
		iomapi_plug_flush_self(p->env);
	else
		flush(p);
}

IOMAP_API void iomap_plug_end(struct iomap_plug *plug)
{
	struct plug *p = from_public(plug);
	struct iomapi_self *self = iomapi_self(p->env);

	if (p->nested)
		return;
	iomapi_assert(self->plug == plug);
	self->plug = NULL;
	flush(p);
}

bool iomapi_plug_add(struct iomap_env *env, struct iomap_bio *bio)
{
	struct iomapi_self *self = iomapi_self(env);
	struct plug *p;

	if (iomapi_likely(!self->plug))
		return false;
	p = from_public(self->plug);
	if (p->env != env || p->depth != depth(self))
		return false;
	iomapi_bioq_push(&p->bios, bio);
	if (++p->nr == IOMAPI_PLUG_MAX)
		flush(p);
	return true;
}

void iomapi_plug_flush_self(struct iomap_env *env)
{
	struct iomapi_self *self = iomapi_self(env);

	if (iomapi_unlikely(self->plug))
		flush(from_public(self->plug));
}
