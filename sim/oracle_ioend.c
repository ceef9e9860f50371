/* SPDX-License-Identifier: MIT */
/*
 * oracle_ioend.c - what the trace says about ioends, and what the devices know about them.
 *
 * An ioend is known by its file and its number there; pieces that were split off have the same.
 * Those that ended are kept for a while, because they may be merged.
 */
#include <string.h>

#include <iomap/inode.h>
#include <iomap/ioend.h>

#include "oracle.h"

#define KIND	(IOMAP_IOEND_SHARED | IOMAP_IOEND_UNWRITTEN | IOMAP_IOEND_DIRECT | \
		 IOMAP_IOEND_DONTCACHE | IOMAP_IOEND_ANON)
#define MAX_ENDED	1024u

typedef unsigned long long ull;

static struct iomapi_sim_group **bucket_of(struct iomapi_sim_heard *h,
					   const struct iomap_inode *inode, uint64_t id)
{
	return &h->groups[iomapi_sim_mix((uintptr_t)inode, id, 1, 0) % IOMAPI_SIM_HEARD_BUCKETS];
}

static struct iomapi_sim_group *find(struct iomapi_sim_heard *h, const struct iomap_inode *inode,
				     uint64_t id)
{
	struct iomapi_sim_group *g = *bucket_of(h, inode, id);

	while (g && (g->inode != inode || g->id != id))
		g = g->next;
	return g;
}

static void forget(struct iomapi_sim_heard *h, struct iomapi_sim_group *g)
{
	struct iomapi_sim_group **at = bucket_of(h, g->inode, g->id);

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	if (g->nr_ends) {
		iomap_list_del(&g->node);
		h->nr_ended--;
	}
	iomapi_sim_free(g);
}

static void wrong(struct iomapi_sim_host *host, unsigned oracle,
		  const struct iomap_trace_record *r, const char *what)
{
	iomapi_sim_found(host->sim, oracle, "ioend %llu, %llu bytes at %lld: %s", (ull)r->id,
			 (ull)r->len, (long long)r->pos, what);
}

static uint64_t whole(const struct iomap_trace_record *r)
{
	uint64_t size = (uint64_t)1 << r->inode->block_bits;

	return (r->len + size - 1) / size * size;
}

/* ---- it grows: O22 ---- */

/* A file that is made anew may begin to count again. */
static void begin(struct iomapi_sim_host *host, const struct iomap_trace_record *r)
{
	struct iomapi_sim_group *g = find(host->heard, r->inode, r->id), **head;

	if (g)
		forget(host->heard, g);
	g = iomapi_sim_zalloc(sizeof(*g));
	if (!g) {
		iomapi_sim_no_memory(host->sim);
		return;
	}
	g->inode = r->inode;
	g->id = r->id;
	g->pos = r->pos;
	g->addr = r->addr;
	g->flags = r->flags;
	g->len = g->merged = r->len;
	head = bucket_of(host->heard, r->inode, r->id);
	g->next = *head;
	*head = g;
}

/* A column: why must the range not have joined?  NULL: it may. */
static const char *stranger(const struct iomapi_sim_heard *h, const struct iomapi_sim_group *g,
			    const struct iomap_trace_record *r)
{
	if (!g)
		return "joins one that was not begun";
	if (g->nr_submits)
		return "joins one that was submitted";
	if (r->pos != g->pos + (int64_t)g->len)
		return "does not follow in the file";
	if ((r->flags ^ g->flags) & KIND)
		return "is of another kind";
	if (!(r->flags & IOMAP_IOEND_ANON) &&
	    (r->type == IOMAP_UNWRITTEN) != !!(r->flags & IOMAP_IOEND_UNWRITTEN))
		return "is of another type";
	/* the map that was looked at for it; without one it is as that of the range before */
	if (h->map.inode != r->inode || h->map.addr == IOMAP_NULL_ADDR ||
	    r->addr == IOMAP_NULL_ADDR)
		return NULL;
	if (r->addr != h->map.addr + (uint64_t)(r->pos - h->map.pos))
		return "does not follow on the device";
	return NULL;
}

static void add(struct iomapi_sim_host *host, const struct iomap_trace_record *r)
{
	struct iomapi_sim_group *g;
	const char *why;

	iomapi_sim_looked(host->sim, 22);
	if (r->result) {
		begin(host, r);
		return;
	}
	g = find(host->heard, r->inode, r->id);
	why = stranger(host->heard, g, r);
	if (why)
		wrong(host, 22, r, why);
	if (g)
		g->merged = g->len += r->len;
}

/* ---- it goes out and comes back: O21, O23 ---- */

static void submit(struct iomapi_sim_host *host, const struct iomap_trace_record *r)
{
	struct iomapi_sim_heard *h = host->heard;
	struct iomapi_sim_group *g = find(h, r->inode, r->id);

	if (!g)
		return;			/* its beginning was not heard */
	g->nr_submits++;
	g->sent += whole(r);
	if (g->addr == IOMAP_NULL_ADDR)
		g->addr = r->addr;
	for (unsigned i = 0; i < h->nr_bdevs; i++)
		if (h->bdevs[i].bdev == r->bdev)
			g->dev = h->bdevs[i].dev;
	iomapi_sim_looked(host->sim, 23);
	if (g->sent > g->len)
		wrong(host, 23, r, "more bytes are submitted than were added to it");
}

static bool is_write(const struct iomap_bio *bio)
{
	return bio->op == IOMAP_BIO_WRITE;
}

static bool overlaps(const struct iomap_bio *bio, uint64_t addr, uint64_t len)
{
	return bio->addr < addr + len && addr < bio->addr + bio->len;
}

static bool in_flight(const struct iomapi_sim_dev *dev, uint64_t addr, uint64_t len)
{
	const struct iomap_list *l = dev ? dev->in_flight.next : NULL;

	for (; l && l != &dev->in_flight; l = l->next) {
		const struct iomapi_sim_cmd *cmd =
			iomap_container_of(l, const struct iomapi_sim_cmd, node);

		if (is_write(cmd->bio) && overlaps(cmd->bio, addr, len))
			return true;
	}
	return false;
}

static const struct iomapi_sim_dev *dev_of(const struct iomapi_sim_heard *h,
					   const struct iomap_trace_record *r)
{
	for (unsigned i = 0; i < h->nr_bdevs; i++)
		if (h->bdevs[i].bdev == r->bdev)
			return h->bdevs[i].dev;
	return NULL;
}

static void note_end(struct iomapi_sim_heard *h, struct iomapi_sim_group *g)
{
	if (g->nr_ends++)
		return;
	iomap_list_add_tail(&h->ended, &g->node);
	if (++h->nr_ended > MAX_ENDED)
		forget(h, iomap_container_of(h->ended.next, struct iomapi_sim_group, node));
}

static void end(struct iomapi_sim_host *host, const struct iomap_trace_record *r)
{
	struct iomapi_sim_heard *h = host->heard;
	struct iomapi_sim_group *g = find(h, r->inode, r->id);

	iomapi_sim_looked(host->sim, 21);
	if (!g)
		return;
	if (g->nr_ends >= g->nr_submits)
		wrong(host, 21, r, "ends more often than it was submitted");
	else if (r->addr != IOMAP_NULL_ADDR && in_flight(dev_of(h, r), r->addr, whole(r)))
		wrong(host, 21, r, "ends before its last bio");
	else if (g->error && !g->again && g->nr_submits == 1 && r->result != g->error)
		iomapi_sim_found(host->sim, 21, "ioend %llu at %lld ends with %d, and its first "
				 "error was %d", (ull)r->id, (long long)r->pos, r->result,
				 g->error);
	if (!g->result)
		g->result = r->result;
	note_end(h, g);
}

/* ---- devices: the first error of each ---- */

static void hear_write_of(struct iomapi_sim_heard *h, const struct iomapi_sim_cmd *cmd, bool reaped)
{
	const struct iomap_bio *bio = cmd->bio;

	for (unsigned i = 0; i < IOMAPI_SIM_HEARD_BUCKETS; i++)
		for (struct iomapi_sim_group *g = h->groups[i]; g; g = g->next) {
			if (g->nr_submits <= g->nr_ends || g->addr == IOMAP_NULL_ADDR)
				continue;
			if ((g->dev && g->dev != cmd->dev) || !overlaps(bio, g->addr, g->len))
				continue;
			if (!reaped) {
				g->again |= g->error != 0;
				continue;
			}
			h->nr_failed++;
			if (!g->error)
				g->error = bio->status;
		}
}

void iomapi_sim_hear_write(const struct iomapi_sim_cmd *cmd, bool reaped)
{
	if (!is_write(cmd->bio))
		return;
	for (struct iomapi_sim_host *host = cmd->dev->sim->hosts; host; host = host->next)
		if (host->heard && (reaped ? cmd->bio->status != 0 : host->heard->nr_failed != 0))
			hear_write_of(host->heard, cmd, reaped);
}

/* ---- it is absorbed: O22 ---- */

/* A column, as above. */
static const char *cannot_merge(const struct iomapi_sim_group *g,
				const struct iomapi_sim_group *next,
				const struct iomap_trace_record *r)
{
	if (next->absorbed)
		return "is merged twice";
	if (!g->nr_ends || !next->nr_ends)
		return "is merged before both have ended";
	if (r->pos != g->pos + (int64_t)g->merged)
		return "does not follow in the file";
	if (r->addr != IOMAP_NULL_ADDR && g->addr != IOMAP_NULL_ADDR &&
	    r->addr != g->addr + g->merged)
		return "does not follow on the device";
	if ((next->flags ^ g->flags) & KIND)
		return "is of another kind";
	if (r->flags & IOMAP_IOEND_BOUNDARY)
		return "begins at a boundary";
	if (g->result != next->result)
		return "ended in another way";
	return NULL;
}

static void merge(struct iomapi_sim_host *host, const struct iomap_trace_record *r)
{
	struct iomapi_sim_group *g = find(host->heard, r->inode, r->into);
	struct iomapi_sim_group *next = find(host->heard, r->inode, r->id);
	const char *why;

	if (!g || !next || g->nr_submits > 1 || next->nr_submits > 1)
		return;			/* forgotten, or in pieces of one number */
	iomapi_sim_looked(host->sim, 22);
	why = cannot_merge(g, next, r);
	if (why)
		wrong(host, 22, r, why);
	g->merged += next->merged;
	next->absorbed = true;
}

void iomapi_sim_hear_ioend(struct iomapi_sim_host *host, const struct iomap_trace_record *r)
{
	switch (r->event) {
	case IOMAP_TRACE_ADD_TO_IOEND:
		add(host, r);
		break;
	case IOMAP_TRACE_IOEND_SUBMIT:
		submit(host, r);
		break;
	case IOMAP_TRACE_IOEND_END:
		end(host, r);
		break;
	case IOMAP_TRACE_IOEND_MERGE:
		merge(host, r);
	}
}

unsigned iomapi_sim_groups_left(const struct iomapi_sim_heard *heard)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < IOMAPI_SIM_HEARD_BUCKETS; i++)
		for (const struct iomapi_sim_group *g = heard->groups[i]; g; g = g->next)
			nr += g->nr_submits != g->nr_ends;
	return nr;
}
