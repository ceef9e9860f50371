/* SPDX-License-Identifier: MIT */
/*
 * crash.c - a small file is written through the cache, power goes, and comes back.
 *
 *	seed -> steps	write a few pages, send what is dirty without waiting, or sync
 *	first run	nothing happens to it: how many events there are
 *	second run	the same, but power goes before one of them; the host goes down with it
 *	power on	another host reads what the device kept, and each page is judged
 *
 * A sync that returned 0 promised all that had been written before it.
 */
#include <errno.h>
#include <string.h>

#include "client.h"
#include "crash.h"

#define MAX_WRITE	8u		/* pages */

struct run {
	struct demo *demo;
	struct device dev;
	struct client client;
	struct crash *crash;
	uint8_t *mem, *before, *after;	/* one allocation: a write, the device twice */
	uint64_t random;
	unsigned next_page;
};
#define RUN_MEM		(MAX_WRITE * PAGE_BYTES + 2 * CRASH_BYTES)

/* ---- the workload ---- */

static uint64_t below(struct run *r, uint64_t n)
{
	return demo_random(&r->random) % n;
}

static int write_pages(struct run *r, unsigned step)
{
	unsigned nr = 1 + (unsigned)below(r, MAX_WRITE), first = r->next_page;

	if (below(r, 100) < 60)		/* else it goes on where the last one ended */
		first = (unsigned)below(r, CRASH_PAGES);
	if (nr > CRASH_PAGES - first)
		nr = CRASH_PAGES - first;
	r->next_page = (first + nr) % CRASH_PAGES;
	for (unsigned i = 0; i < nr; i++) {
		struct page *page = &r->crash->pages[first + i];

		crash_fill(r->mem + (size_t)i * PAGE_BYTES, first + i, step);
		page->steps |= UINT64_C(1) << step;
		page->newest = (uint8_t)step;
	}
	return client_write(&r->client, (int64_t)first * PAGE_BYTES, r->mem,
			    (size_t)nr * PAGE_BYTES);
}

static int sync_all(struct run *r)
{
	int rc = iomap_file_sync(&r->client.file, 0, IOMAP_MAX_POS, false);

	for (unsigned i = 0; !rc && i < CRASH_PAGES; i++)
		r->crash->pages[i].synced = r->crash->pages[i].newest;
	return rc;
}

static int one_step(struct run *r, unsigned step)
{
	uint64_t roll = below(r, 100);

	if (step < CRASH_STEPS && (step == 1 || roll < 60)) {
		r->crash->doing = "a write";
		return write_pages(r, step);
	}
	if (step < CRASH_STEPS && roll < 82) {
		r->crash->doing = "writeback";
		return client_write_out(&r->client);
	}
	r->crash->doing = "a sync";
	return sync_all(r);
}

/* Up to the cut; what failed with it is no error. */
static int work(struct run *r)
{
	int rc = 0;

	for (unsigned step = 1; !rc && step <= CRASH_STEPS; step++) {
		r->crash->nr_steps = step;
		rc = one_step(r, step);
		if (iomap_sim_is_off(r->dev.sim))
			return 0;
	}
	return rc ? demo_error(r->demo, rc, "step %u, %s, on %s", r->crash->nr_steps,
			       r->crash->doing, r->dev.given) : 0;
}

/* ---- the host ---- */

static int host_up(struct run *r)
{
	const struct client_opts opts = {
		.device = &r->dev, .cache_bytes = 4 * MIB, .max_folio = 16 * KIB, .max_extents = 2,
	};
	int rc = client_open(&r->client, r->demo, &opts);

	if (rc)
		return rc;
	r->client.extents[0] = (struct extent){ .len = CRASH_BYTES, .type = IOMAP_MAPPED };
	r->client.nr_extents = 1;
	return 0;
}

static void host_down(struct run *r)
{
	if (r->client.demo)
		client_close(&r->client);
	r->client.demo = NULL;
}

/* A new device and a new host, up to the cut (0: none) or the end; both stay. */
static int run_up_to(struct run *r, uint64_t cut)
{
	uint64_t start;
	int rc;

	r->random = r->crash->seed;
	r->next_page = 0;
	memset(r->crash->pages, 0, sizeof(r->crash->pages));
	rc = device_start(r->demo, &r->dev, CRASH_BYTES);
	if (!rc)
		rc = sim_read(r->demo, &r->dev, r->before, CRASH_BYTES);
	if (!rc)
		rc = host_up(r);
	if (rc)
		return rc;
	start = iomap_sim_nr_events(r->dev.sim);
	if (cut)
		rc = iomap_sim_cut_at(r->dev.sim, cut);
	if (rc)
		return demo_error(r->demo, rc, "no cut at event %llu", (unsigned long long)cut);
	rc = work(r);
	r->crash->events = iomap_sim_nr_events(r->dev.sim) - start;
	return rc;
}

static int cut_and_return(struct run *r)
{
	uint64_t random = ~r->crash->seed, events;
	int rc = run_up_to(r, 0);

	events = r->crash->events;
	host_down(r);
	device_end(&r->dev);
	if (rc)
		return rc;
	r->crash->cut = 1 + demo_random(&random) % events;
	rc = run_up_to(r, r->crash->cut);
	r->crash->events = events;
	if (rc)
		return rc;
	if (!iomap_sim_is_off(r->dev.sim))
		return demo_error(r->demo, -EIO, "the same seed gave another run on %s",
				  r->dev.given);
	r->crash->cut_ns = iomap_sim_now_ns(r->dev.sim);
	host_down(r);
	rc = iomap_sim_power_on(r->dev.sim);
	if (rc)
		return demo_error(r->demo, rc, "power does not come back to %s", r->dev.given);
	rc = sim_read(r->demo, &r->dev, r->after, CRASH_BYTES);
	r->crash->digest = iomap_sim_run_digest(r->dev.sim);
	return rc;
}

/* ---- the command ---- */

static int parse(struct demo *d, const struct crash_opts *opts, struct run *r)
{
	const struct iomap_sim_profile *profile;
	int rc = device_parse(d, opts->device, NULL, &r->dev);

	if (!rc && !r->dev.is_sim) {
		demo_error(d, 0, "device '%s': power can only be cut of a simulated one, "
			   "like " CRASH_DEVICE, opts->device);
		rc = -EINVAL;
	}
	if (!rc && r->dev.has_size && r->dev.size < CRASH_BYTES) {
		demo_error(d, 0, "device '%s': size %llu is too small, %u are needed",
			   opts->device, (unsigned long long)r->dev.size, CRASH_BYTES);
		rc = -ENOSPC;
	}
	if (rc)
		return rc;
	if (!r->dev.has_seed)
		r->dev.seed = opts->seed;
	profile = iomap_sim_preset(r->dev.path);
	r->crash->seed = opts->seed;
	r->crash->shorn = profile->shorn_sectors;
	r->crash->tears = profile->logical_block < PAGE_BYTES;
	return 0;
}

static int verdict(struct demo *d, const struct crash *c)
{
	if (c->nr[BROKEN])
		demo_error(d, 0, "what was synced is not there, or what was never written is: "
			   "%u pages", c->nr[BROKEN]);
	fprintf(d->out, "crash: %s cut=%llu synced=%u lost=%u torn=%u digest=%016llx\n",
		c->nr[BROKEN] ? "FAILED" : "ok", (unsigned long long)c->cut, c->nr[SYNCED],
		c->nr[LOST], c->nr[TORN], (unsigned long long)c->digest);
	return c->nr[BROKEN] ? 1 : 0;
}

int demo_crash(struct demo *d, const struct crash_opts *opts)
{
	struct crash crash = { .seed = 0 };
	struct run r = { .demo = d, .crash = &crash };
	int rc = parse(d, opts, &r);

	if (rc)
		return 1;
	r.mem = demo_alloc(d, RUN_MEM);
	if (!r.mem) {
		demo_error(d, -ENOMEM, "cannot start");
		return 1;
	}
	r.before = r.mem + MAX_WRITE * PAGE_BYTES;
	r.after = r.before + CRASH_BYTES;
	rc = cut_and_return(&r);
	host_down(&r);
	device_end(&r.dev);
	if (!rc) {
		crash_find(&crash, r.before, r.after);
		crash_judge(&crash);
		crash_draw(d, &crash, r.dev.path);
		rc = verdict(d, &crash);
	}
	demo_free(d, r.mem, RUN_MEM);
	return rc ? 1 : 0;
}
