/* SPDX-License-Identifier: MIT */
/*
 * oracle_env.c - the memory of environments: what is taken, given back, and used after that.
 *
 *	[ the caller's, size bytes | canary, up to 16 | struct tail ]
 *
 * The first block that an environment takes is itself, and it goes last: then nothing else may be
 * left.  Blocks that are given back are filled and kept for a while; who writes to one is found
 * when it is let go, at the latest when the environment closes.
 *
 * A host is what one call of iomap_sim_env_opts hands out.  It outlives its level only where an
 * environment in it does; the others serve again.
 */
#include <string.h>

#include "explore.h"
#include "oracle.h"

#define LIVE		0x6c697665626c6f63u
#define FREED		0x6672656564626c6fu
#define CANARY		0xcb
#define POISON		0xdb
#define ALIGN		((size_t)16)
#define MAX_KEPT	((size_t)16 << 10)	/* larger ones go at once */
#define KEPT_BYTES	((size_t)64 << 10)	/* of one environment */

struct tail {
	uint64_t magic;
	size_t size;
	uint8_t *mem;
	struct iomap_list node;		/* of live ones, then of those kept */
};

static size_t padded(size_t size)
{
	return (size + ALIGN - 1) & ~(ALIGN - 1);
}

static struct tail *tail_of(void *mem, size_t size)
{
	return (struct tail *)((uint8_t *)mem + padded(size));
}

static bool is_filled(const uint8_t *mem, size_t len, uint8_t byte)
{
	return !len || (mem[0] == byte && !memcmp(mem, mem + 1, len - 1));
}

/* ---- hosts ---- */

static void forget_heard(struct iomapi_sim_host *host)
{
	if (host->heard)
		iomapi_sim_unheard(host, false);
	iomapi_sim_free(host->heard);
	host->heard = NULL;
}

struct iomapi_sim_host *iomapi_sim_host_new(struct iomap_sim *sim)
{
	struct iomapi_sim_host *host = sim->oracles->idle;

	if (host)
		sim->oracles->idle = host->next;
	else
		host = iomapi_sim_zalloc(sizeof(*host));
	if (!host)
		return NULL;
	forget_heard(host);
	*host = (struct iomapi_sim_host){ .sim = sim, .next = sim->hosts };
	iomap_list_init(&host->live);
	iomap_list_init(&host->kept);
	sim->hosts = host;
	return host;
}

static void free_all(struct iomap_list *list)
{
	struct iomap_list *l;

	while ((l = iomap_list_pop(list)))
		iomapi_sim_free(iomap_container_of(l, struct tail, node)->mem);
}

/* Of a callback that was left where it stood, or of an engine that recovery has dropped, nobody can
 * give it back. */
static void forget_blocks(struct iomapi_sim_host *host)
{
	free_all(&host->live);
	free_all(&host->kept);
	host->env = NULL;
}

void iomapi_sim_hosts_drop(struct iomap_sim *sim)
{
	struct iomapi_sim_oracles *o = sim->oracles;
	struct iomapi_sim_host *host;

	while ((host = sim->hosts)) {
		struct iomapi_sim_host **list;

		if (sim->abandoned || (sim->run && sim->run->depth > 1))
			forget_blocks(host);
		list = host->env ? &o->open : &o->idle;
		sim->hosts = host->next;
		host->next = *list;
		*list = host;
	}
}

static void free_hosts(struct iomapi_sim_host *host)
{
	while (host) {
		struct iomapi_sim_host *next = host->next;

		forget_blocks(host);
		forget_heard(host);
		iomapi_sim_free(host);
		host = next;
	}
}

void iomapi_sim_hosts_delete(struct iomap_sim *sim)
{
	iomapi_sim_hosts_drop(sim);
	free_hosts(sim->oracles->open);
	free_hosts(sim->oracles->idle);
}

/* ---- O29: no use after free ---- */

/* The oldest goes. */
static void let_go(struct iomapi_sim_host *host)
{
	struct tail *t = iomap_container_of(iomap_list_pop(&host->kept), struct tail, node);

	host->kept_bytes -= t->size;
	iomapi_sim_looked(host->sim, 29);
	if (t->magic != FREED || !is_filled(t->mem, t->size, POISON))
		iomapi_sim_found(host->sim, 29, "a block of %zu bytes was written to after it was "
				 "freed", t->size);
	iomapi_sim_free(t->mem);
}

static void keep(struct iomapi_sim_host *host, struct tail *t)
{
	memset(t->mem, POISON, t->size);
	t->magic = FREED;
	iomap_list_add_tail(&host->kept, &t->node);
	host->kept_bytes += t->size;
	while (host->kept_bytes > KEPT_BYTES)
		let_go(host);
}

/* Is it one of ours, and whole?  false: it cannot be freed. */
static bool judge_free(struct iomapi_sim_host *host, uint8_t *mem, size_t size)
{
	const struct tail *t = tail_of(mem, size);

	iomapi_sim_looked(host->sim, 29);
	if (t->magic == FREED && t->size == size) {
		iomapi_sim_found(host->sim, 29, "a block of %zu bytes was freed twice", size);
		return false;
	}
	if (t->magic != LIVE || t->size != size || t->mem != mem) {
		iomapi_sim_found(host->sim, 29, "a block was freed as one of %zu bytes, and is "
				 "not, or what is behind it was written to", size);
		return false;
	}
	if (!is_filled(mem + size, padded(size) - size, CANARY))
		iomapi_sim_found(host->sim, 29, "what is behind a block of %zu bytes was written "
				 "to", size);
	return true;
}

/* ---- O28: everything returns to zero at close ---- */

static void judge_close(struct iomapi_sim_host *host)
{
	iomapi_sim_looked(host->sim, 28);
	if (host->nr_live)
		iomapi_sim_found(host->sim, 28, "an environment was closed, and %llu bytes of it "
				 "in %llu blocks are left", (unsigned long long)host->bytes,
				 (unsigned long long)host->nr_live);
	while (!iomap_list_empty(&host->kept))
		let_go(host);
	if (host->heard)
		iomapi_sim_unheard(host, true);
	host->env = NULL;
	host->nr_live = host->bytes = 0;
}

void *iomapi_sim_host_alloc(struct iomapi_sim_host *host, size_t size, size_t align)
{
	uint8_t *mem = NULL;
	struct tail *t;

	if (size < SIZE_MAX / 2)
		mem = iomapi_sim_align(padded(size) + sizeof(*t), align < ALIGN ? ALIGN : align);
	if (!mem)
		return NULL;
	memset(mem + size, CANARY, padded(size) - size);
	t = tail_of(mem, size);
	*t = (struct tail){ .magic = LIVE, .size = size, .mem = mem };
	iomap_list_add_tail(&host->live, &t->node);
	if (!host->env) {
		host->env = mem;
		return mem;
	}
	host->nr_live++;
	host->bytes += size;
	return mem;
}

void iomapi_sim_host_free(struct iomapi_sim_host *host, void *mem, size_t size)
{
	if (!judge_free(host, mem, size))
		return;
	iomap_list_del(&tail_of(mem, size)->node);
	if (mem == host->env) {
		judge_close(host);
	} else if (host->env) {		/* else it comes too late, and that was found */
		host->nr_live--;
		host->bytes -= size;
		if (size <= MAX_KEPT) {
			keep(host, tail_of(mem, size));
			return;
		}
	}
	tail_of(mem, size)->magic = 0;
	iomapi_sim_free(mem);
}
