/* SPDX-License-Identifier: MIT */
/*
 * oracle_trace.c - what the trace of an environment says about maps and folios.
 *
 * A second account of what the library keeps: which blocks of a file are dirty, and which are under
 * writeback.  Tables are found by address, but nothing goes through them in that order except to
 * count and to free.
 *
 * Threads: one, but with locks of the library held: nothing here calls it.
 */
#include <string.h>

#include <iomap/inode.h>

#include "oracle.h"
#include "task.h"

typedef unsigned long long ull;

/* ---- blocks ---- */

static struct iomapi_sim_blocks *blocks_of(struct iomapi_sim_host *host,
					   const struct iomap_inode *inode, uint64_t index)
{
	uint64_t bucket = iomapi_sim_mix((uintptr_t)inode, index, 0, 0) % IOMAPI_SIM_HEARD_BUCKETS;
	struct iomapi_sim_blocks **head = &host->heard->blocks[bucket], *b = *head;

	while (b && (b->inode != inode || b->index != index))
		b = b->next;
	if (b)
		return b;
	b = iomapi_sim_zalloc(sizeof(*b));
	if (!b) {
		iomapi_sim_no_memory(host->sim);
		return NULL;
	}
	b->inode = inode;
	b->index = index;
	b->next = *head;
	*head = b;
	return b;
}

/* Some blocks of 64, and where the next ones begin. */
struct run {
	struct iomapi_sim_blocks *blocks;
	uint64_t mask, next, end;
};

static struct run run_of(const struct iomap_trace_record *r)
{
	uint64_t size = (uint64_t)1 << r->inode->block_bits;

	return (struct run){ .next = (uint64_t)r->pos / size,
			     .end = ((uint64_t)r->pos + r->len + size - 1) / size };
}

static bool next_run(struct iomapi_sim_host *host, const struct iomap_inode *inode, struct run *run)
{
	uint64_t first = run->next % 64, left = run->end - run->next;
	uint64_t nr = left < 64 - first ? left : 64 - first;

	if (run->next >= run->end)
		return false;
	run->blocks = blocks_of(host, inode, run->next / 64);
	run->mask = (nr < 64 ? ((uint64_t)1 << nr) - 1 : UINT64_MAX) << first;
	run->next += nr;
	return run->blocks != NULL;
}

static void wrong(struct iomapi_sim_host *host, unsigned oracle,
		  const struct iomap_trace_record *r, const char *what)
{
	iomapi_sim_found(host->sim, oracle, "%s of %llu bytes at %lld: %s",
			 iomap_trace_name((enum iomap_trace_event)r->event), (ull)r->len,
			 (long long)r->pos, what);
}

/* ---- O31: callbacks ---- */

static void called(struct iomapi_sim_host *host, const struct iomap_trace_record *r)
{
	uint32_t held = *iomapi_sim_held(host->sim);

	iomapi_sim_looked(host->sim, 31);
	if (held)
		iomapi_sim_found(host->sim, 31, "%s while %u locks of the library are held",
				 iomap_trace_name((enum iomap_trace_event)r->event), held);
	if (r->event == IOMAP_TRACE_CALLBACK && r->result > IOMAPI_SIM_MAX_NESTED)
		iomapi_sim_found(host->sim, 31, "callbacks are %d deep in each other", r->result);
}

/* ---- O23, O24: folios ---- */

static bool is_frame(const struct iomap_trace_record *r)
{
	return r->inode->flags & IOMAP_INODE_FRAMES;
}

static void dirtied(struct iomapi_sim_host *host, const struct iomap_trace_record *r)
{
	const struct iomapi_sim_heard *h = host->heard;
	struct run run = run_of(r);
	/* a frame of which nothing was taken is given back so */
	bool back = is_frame(r) && h->offered == r->inode && h->offered_pos == r->pos && !h->taken;

	while (next_run(host, r->inode, &run)) {
		run.blocks->dirty |= run.mask;
		if (back)
			run.blocks->writeback &= ~run.mask;
	}
}

static void chosen(struct iomapi_sim_host *host, const struct iomap_trace_record *r)
{
	struct run run = run_of(r);
	uint64_t dirty = 0, writeback = 0;

	while (next_run(host, r->inode, &run)) {
		dirty |= run.blocks->dirty & run.mask;
		writeback |= run.blocks->writeback & run.mask;
		run.blocks->writeback |= run.mask;
		run.blocks->added &= ~run.mask;
	}
	iomapi_sim_looked(host->sim, 24);
	if (writeback)
		wrong(host, 24, r, "it is under writeback already");
	else if (!dirty && !is_frame(r))
		wrong(host, 24, r, "it is not dirty");
}

/* What the client did not take of a range is offered again. */
static void offered(struct iomapi_sim_host *host, const struct iomap_trace_record *r)
{
	struct iomapi_sim_heard *h = host->heard;
	uint64_t end = (uint64_t)h->offered_pos + h->offered_len, clean = 0, outside = 0;
	bool rest = h->offered == r->inode && r->pos > h->offered_pos &&
		    (uint64_t)r->pos + r->len == end;
	struct run run = run_of(r);

	while (next_run(host, r->inode, &run)) {
		clean |= run.mask & ~run.blocks->dirty;
		outside |= run.mask & ~run.blocks->writeback;
		run.blocks->dirty &= ~run.mask;
	}
	h->offered = r->inode;
	h->offered_pos = r->pos;
	h->offered_len = r->len;
	h->taken = 0;
	iomapi_sim_looked(host->sim, 23);
	iomapi_sim_looked(host->sim, 24);
	if (outside)
		wrong(host, 24, r, "its folio is not under writeback");
	if (!rest && clean && !is_frame(r))
		wrong(host, 23, r, "nobody has dirtied all of it");
}

static void added(struct iomapi_sim_host *host, const struct iomap_trace_record *r)
{
	struct iomapi_sim_heard *h = host->heard;
	struct run run = run_of(r);
	uint64_t twice = 0;

	while (next_run(host, r->inode, &run)) {
		twice |= run.blocks->added & run.mask;
		run.blocks->added |= run.mask;
	}
	h->taken += r->len;
	iomapi_sim_looked(host->sim, 23);
	if (twice)
		wrong(host, 23, r, "twice in one pass");
	else if (h->offered != r->inode || r->pos < h->offered_pos ||
		 (uint64_t)r->pos + r->len > (uint64_t)h->offered_pos + h->offered_len)
		wrong(host, 23, r, "it was not offered");
}

static void written(struct iomapi_sim_host *host, const struct iomap_trace_record *r)
{
	struct run run = run_of(r);
	uint64_t missing = 0;

	while (next_run(host, r->inode, &run)) {
		missing |= run.mask & ~run.blocks->writeback;
		run.blocks->writeback &= ~run.mask;
	}
	iomapi_sim_looked(host->sim, 24);
	if (missing)
		wrong(host, 24, r, "it is not under writeback");
}

static void dropped(struct iomapi_sim_host *host, const struct iomap_trace_record *r)
{
	struct run run = run_of(r);
	uint64_t writeback = 0;

	while (next_run(host, r->inode, &run)) {
		writeback |= run.blocks->writeback & run.mask;
		run.blocks->dirty &= ~run.mask;
	}
	iomapi_sim_looked(host->sim, 24);
	if (writeback)
		wrong(host, 24, r, "it is under writeback");
}

/* ---- O33: one end for each begin ---- */

static void begun(struct iomapi_sim_heard *h, const struct iomap_trace_record *r)
{
	if (r->result || h->nr_maps == IOMAPI_SIM_OPEN_MAPS)
		return;
	h->maps[h->nr_maps].inode = r->inode;
	h->maps[h->nr_maps].pos = r->pos;
	h->maps[h->nr_maps].flags = r->flags;
	h->maps[h->nr_maps++].len = r->len;
}

static void ended(struct iomapi_sim_host *host, const struct iomap_trace_record *r)
{
	struct iomapi_sim_heard *h = host->heard;
	unsigned i = h->nr_maps;

	iomapi_sim_looked(host->sim, 33);
	while (i && (h->maps[i - 1].inode != r->inode || h->maps[i - 1].pos != r->pos ||
		     h->maps[i - 1].flags != r->flags))
		i--;
	if (!i) {
		if (h->nr_maps < IOMAPI_SIM_OPEN_MAPS)
			wrong(host, 33, r, "no begin of it is open");
		return;
	}
	if (r->len > h->maps[i - 1].len)
		wrong(host, 33, r, "more was done than asked for");
	for (h->nr_maps--; i <= h->nr_maps; i++)
		h->maps[i - 1] = h->maps[i];
}

/* ---- all of it ---- */

static void queued(struct iomapi_sim_host *host, const struct iomap_trace_record *r)
{
	const struct iomapi_sim_oracles *o = host->sim->oracles;
	struct iomapi_sim_heard *h = host->heard;

	for (unsigned i = 0; i < h->nr_bdevs; i++)
		if (h->bdevs[i].bdev == r->bdev)
			return;
	if ((uintptr_t)o->last_bio != r->id || h->nr_bdevs == IOMAPI_SIM_BDEVS)
		return;
	h->bdevs[h->nr_bdevs].bdev = r->bdev;
	h->bdevs[h->nr_bdevs++].dev = o->last_dev;
}

void iomapi_sim_trace(void *arg, const struct iomap_trace_record *r)
{
	struct iomapi_sim_host *host = arg;

	switch (r->event) {
	case IOMAP_TRACE_CALLBACK:
		called(host, r);
		break;
	case IOMAP_TRACE_ITER_BEGIN:
		called(host, r);
		begun(host->heard, r);
		break;
	case IOMAP_TRACE_ITER_END:
		ended(host, r);
		break;
	case IOMAP_TRACE_MAP:
		host->heard->map = *r;
		break;
	case IOMAP_TRACE_FOLIO_DIRTY:
		dirtied(host, r);
		break;
	case IOMAP_TRACE_WRITEBACK_FOLIO:
		chosen(host, r);
		break;
	case IOMAP_TRACE_WRITEBACK_RANGE:
		offered(host, r);
		break;
	case IOMAP_TRACE_ADD_TO_IOEND:
		added(host, r);
		iomapi_sim_hear_ioend(host, r);
		host->heard->map.inode = NULL;
		break;
	case IOMAP_TRACE_FOLIO_WRITTEN:
		written(host, r);
		break;
	case IOMAP_TRACE_FOLIO_INVALIDATE:
		dropped(host, r);
		break;
	case IOMAP_TRACE_BIO_QUEUE:
		queued(host, r);
		break;
	case IOMAP_TRACE_IOEND_SUBMIT:
	case IOMAP_TRACE_IOEND_END:
	case IOMAP_TRACE_IOEND_MERGE:
		iomapi_sim_hear_ioend(host, r);
	}
}

bool iomapi_sim_listen(struct iomapi_sim_host *host)
{
	host->heard = iomapi_sim_zalloc(sizeof(*host->heard));
	if (!host->heard)
		return false;
	iomap_list_init(&host->heard->ended);
	return true;
}

static void free_heard(struct iomapi_sim_heard *h)
{
	for (unsigned i = 0; i < IOMAPI_SIM_HEARD_BUCKETS; i++) {
		struct iomapi_sim_blocks *b;
		struct iomapi_sim_group *g;

		while ((b = h->blocks[i])) {
			h->blocks[i] = b->next;
			iomapi_sim_free(b);
		}
		while ((g = h->groups[i])) {
			h->groups[i] = g->next;
			iomapi_sim_free(g);
		}
	}
}

static void judge_rest(struct iomapi_sim_host *host)
{
	unsigned groups = iomapi_sim_groups_left(host->heard), maps = host->heard->nr_maps;

	iomapi_sim_looked(host->sim, 21);
	iomapi_sim_looked(host->sim, 33);
	if (groups)
		iomapi_sim_found(host->sim, 21, "%u ioends never ended", groups);
	if (maps)
		iomapi_sim_found(host->sim, 33, "%u maps were begun and never ended", maps);
}

void iomapi_sim_unheard(struct iomapi_sim_host *host, bool closed)
{
	if (closed)
		judge_rest(host);
	free_heard(host->heard);
	memset(host->heard, 0, sizeof(*host->heard));
	iomap_list_init(&host->heard->ended);
}
