/* SPDX-License-Identifier: MIT */
/*
 * bench_sim - what an operation on a simulated device costs.
 *
 *	bench_sim [--preset NAME] [--ops N] [--repeat K] [--json]
 *
 * Raw: 4 KiB writes and reads in turn at random pages of 16 MiB, a full queue of them, a flush each
 * 1024.  Buffered: pages written through the cache, and written back by a sync each 1024.  Process
 * CPU, the median of K runs.  Memory: what the heap grows by with each write in flight, and with
 * each logical block of a large one, their content not counted.
 *
 * Threads: one.
 */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <iomap/iomap.h>
#include <iomap/sim.h>

#include "flat.h"
#include "measure.h"
#include "options.h"

#define PAGE		4096u
#define NR_PAGES	4096u
#define DEPTH		64u
#define PER_FLUSH	1024u
#define LARGE		(1u << 20)
#define MAX_REPEAT	99u

struct options {
	const char *preset;
	uint64_t ops;
	unsigned repeat;
	bool json;
};
struct bench {
	struct iomap_sim *sim;
	struct iomap_env *env;
	struct iomap_ioq *ioq;
	struct iomap_bdev *bdev;
	struct iomap_cache *cache;
	struct iomap_volume *volume;
	struct iomap_inode inode;
	struct iomap_file file;
	const char *preset;
	uint64_t random;
};

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t random_page(struct bench *b)
{
	b->random = b->random * 6364136223846793005u + 1442695040888963407u;
	return (b->random >> 33) % NR_PAGES;
}

static int start(struct bench *b, const char *preset)
{
	const struct iomap_sim_dev disk = {
		.name = "disk", .preset = preset, .size = (uint64_t)NR_PAGES * PAGE,
	};
	const struct iomap_sim_opts opts = {
		.struct_size = sizeof(opts), .seed = 1, .devs = &disk, .nr_devs = 1,
	};
	struct iomap_env_opts env = { .struct_size = sizeof(env) };
	int rc = iomap_sim_new(&opts, &b->sim);

	b->preset = preset;
	if (rc)
		return rc;
	iomap_sim_env_opts(b->sim, &env);
	rc = iomap_env_new(&env, &b->env);
	if (!rc)
		rc = iomap_ioq_new(b->env, NULL, &b->ioq);
	return rc ? rc : iomap_bdev_open(b->ioq, "sim:disk", NULL, &b->bdev);
}

static void stop(struct bench *b)
{
	if (b->bdev)
		iomap_bdev_close(&b->bdev);
	if (b->ioq)
		iomap_ioq_delete(&b->ioq);
	if (b->env)
		iomap_env_delete(&b->env);
	iomap_sim_delete(&b->sim);
}

/* ---- raw ---- */

struct slot {
	struct iomap_bio bio;
	struct iomap_bvec seg;
	bool idle;
	char *mem;
};

static void slot_end(struct iomap_bio *bio)
{
	iomap_container_of(bio, struct slot, bio)->idle = true;
}

static void submit(struct bench *b, struct slot *s, enum iomap_bio_op op)
{
	iomap_bio_init(&s->bio, b->bdev, op, op == IOMAP_BIO_FLUSH ? 0 : random_page(b) * PAGE,
		       &s->seg, 1);
	if (op != IOMAP_BIO_FLUSH)
		iomap_bio_add(&s->bio, s->mem, PAGE, NULL);
	s->bio.end_io = slot_end;
	s->idle = false;
	iomap_bio_submit(&s->bio);
}

static int raw(struct bench *b, uint64_t ops)
{
	static struct slot slots[DEPTH];
	static char mem[DEPTH][PAGE];
	uint64_t n = 0;

	for (unsigned i = 0; i < DEPTH; i++) {
		slots[i].mem = memset(mem[i], (int)i, PAGE);
		slots[i].idle = true;
	}
	while (n < ops) {
		for (unsigned i = 0; i < DEPTH && n < ops; i++) {
			if (!slots[i].idle)
				continue;
			n++;
			submit(b, &slots[i], !(n % PER_FLUSH) ? IOMAP_BIO_FLUSH
					     : n & 1 ? IOMAP_BIO_WRITE : IOMAP_BIO_READ);
		}
		if (iomap_ioq_poll(b->ioq, 1, DEPTH, IOMAP_FOREVER) < 0)
			return -1;
	}
	return iomap_ioq_drain(b->ioq, IOMAP_FOREVER);
}

/* ---- memory ---- */

static size_t heap(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* What the simulation needs for nr writes in flight, each of so many logical blocks: bytes a block,
 * without its content; negative: it failed. */
static double in_flight(struct bench *b, unsigned nr, unsigned blocks)
{
	static struct slot slots[DEPTH];
	static char mem[LARGE];
	uint32_t block = iomap_sim_preset(b->preset)->logical_block;
	size_t before = 0;
	double bytes;

	for (unsigned i = 0; i <= nr; i++) {
		struct slot *s = &slots[i];

		if (i == 1)	/* what the first one needs is there for all */
			before = heap();
		iomap_bio_init(&s->bio, b->bdev, IOMAP_BIO_WRITE, i * block, &s->seg, 1);
		iomap_bio_add(&s->bio, mem, i ? block * blocks : block, NULL);
		s->bio.end_io = slot_end;
		iomap_bio_submit(&s->bio);
	}
	bytes = (double)(heap() - before) / (nr * blocks) - block;
	return iomap_ioq_drain(b->ioq, IOMAP_FOREVER) ? -1 : bytes;
}

/* ---- buffered: the file lies on the device as it is ---- */

static int begin(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
		 struct iomap *map, struct iomap *srcmap, void *priv)
{
	(void)pos, (void)len, (void)flags, (void)srcmap, (void)priv;
	*map = (struct iomap){
		.length = (uint64_t)NR_PAGES * PAGE, .type = IOMAP_MAPPED, .bdev = inode->bdev,
	};
	return 0;
}
static const struct iomap_ops ops = { .struct_size = sizeof(ops), .iomap_begin = begin };

static int64_t range(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, int64_t pos,
		     uint64_t len, int64_t end_pos)
{
	begin(wpc->inode, 0, 0, 0, &wpc->iomap, NULL, NULL);
	return iomap_add_to_ioend(wpc, folio, pos, len, end_pos, NULL);
}
static const struct iomap_writeback_ops wb_ops = {
	.struct_size = sizeof(wb_ops), .writeback_range = range,
	.writeback_submit = iomap_ioend_writeback_submit,
};

static int writepages(struct iomap_inode *inode, struct iomap_writeback_control *wbc)
{
	struct iomap_writeback_ctx wpc = { .inode = inode, .wbc = wbc, .ops = &wb_ops };

	return iomap_writepages(&wpc);
}
static const struct iomap_inode_ops inode_ops = {
	.struct_size = sizeof(inode_ops), .writepages = writepages, .sync_metadata = flat_metadata,
	.tryget = flat_tryget, .put = flat_put,
};
static const struct iomap_volume_ops volume_ops = {
	.struct_size = sizeof(volume_ops), .sync_metadata = flat_volume_metadata,
};

static int open_file(struct bench *b)
{
	const struct iomap_cache_opts cache = {
		.struct_size = sizeof(cache), .bytes = (uint64_t)2 * NR_PAGES * PAGE,
		.max_folio = PAGE,
	};
	struct iomap_inode_opts inode = {
		.struct_size = sizeof(inode), .ops = &inode_ops, .bdev = b->bdev, .env = b->env,
		.block_bits = 12, .size = (int64_t)NR_PAGES * PAGE,
	};
	int rc = iomap_cache_new(b->env, &cache, &b->cache);

	if (!rc)
		rc = iomap_volume_new(b->env, b->cache, &volume_ops, b, &b->volume);
	inode.volume = b->volume;
	if (!rc)
		rc = iomap_inode_init(&b->inode, &inode);
	return rc ? rc : iomap_file_open(&b->file, &b->inode, 0);
}

static void close_file(struct bench *b)
{
	uint64_t errseq;

	iomap_file_close(&b->file);
	iomap_inode_evict(&b->inode, IOMAP_EVICT_DISCARD, &errseq);
	iomap_inode_fini(&b->inode);
	iomap_volume_delete(&b->volume);
	iomap_cache_delete(&b->cache);
}

static int buffered(struct bench *b, uint64_t nr)
{
	static char mem[PAGE];
	struct iovec iov = { mem, PAGE };

	for (uint64_t n = 1; n <= nr; n++) {
		struct iomap_req req = { .file = &b->file, .pos = (int64_t)random_page(b) * PAGE };
		struct iomap_data data;
		int64_t rc;

		memset(mem, (int)n, 64);
		iomap_data_init(&data, &iov, 1);
		rc = iomap_file_buffered_write(&req, &data, &ops, NULL, NULL);
		if (rc == PAGE && !(n % PER_FLUSH))
			rc = iomap_file_sync(&b->file, 0, IOMAP_MAX_POS, false) ? -1 : rc;
		if (rc != PAGE)
			return -1;
	}
	return 0;
}

/* ---- the numbers ---- */

/* Operations per second of CPU; negative: it failed. */
static double once(const struct options *o, bool through_cache)
{
	struct bench b = { .random = 1 };
	int rc = start(&b, o->preset);
	uint64_t before;
	double rate;

	if (!rc && through_cache)
		rc = open_file(&b);
	before = cpu_ns();
	if (!rc)
		rc = through_cache ? buffered(&b, o->ops) : raw(&b, o->ops);
	rate = rc ? -1 : (double)o->ops * 1e9 / (double)(cpu_ns() - before);
	if (!rc && through_cache)
		close_file(&b);
	if (!rc)
		stop(&b);
	return rate;
}

static double typical(const struct options *o, bool through_cache)
{
	double rates[MAX_REPEAT];

	for (unsigned i = 0; i < o->repeat; i++) {
		rates[i] = once(o, through_cache);
		if (rates[i] < 0)
			return -1;
	}
	return median(rates, o->repeat);
}

static double memory(const struct options *o, bool together)
{
	struct bench b = { .random = 1 };
	int rc = start(&b, o->preset);
	uint32_t block = iomap_sim_preset(o->preset)->logical_block;
	double bytes = rc ? -1 : in_flight(&b, together ? 1 : 31, together ? LARGE / block : 1);

	if (!rc)
		stop(&b);
	return bytes;
}

static const char usage[] =
	"usage: bench_sim [--preset NAME] [--ops N] [--repeat K] [--json]\n";

static bool parse_preset(const char *text, void *preset)
{
	*(const char **)preset = text;
	return iomap_sim_preset(text);
}

int main(int argc, char **argv)
{
	static struct options o = { .preset = "consumer", .ops = 1000000, .repeat = 7 };
	static const struct bench_option table[] = {
		{ "preset", .parse = parse_preset, .arg = &o.preset },
		{ "ops", .number = &o.ops, .max = UINT64_MAX },
		{ "repeat", .small = &o.repeat, .max = MAX_REPEAT },
		{ "json", .yes = &o.json },
		{ 0 },
	};
	double raw_rate, buffered_rate, alone, together;

	if (!options_parse(argc, argv, table, usage))
		return 2;
	alone = memory(&o, false);	/* while the heap has no free pieces */
	together = memory(&o, true);
	raw_rate = typical(&o, false);
	buffered_rate = typical(&o, true);
	if (raw_rate < 0 || buffered_rate < 0 || alone < 0 || together < 0) {
		fputs("bench_sim: an operation failed\n", stderr);
		return 1;
	}
	printf(o.json ? "{\"bench\":\"sim\",\"preset\":\"%s\",\"ops\":%" PRIu64 ",\"repeat\":%u,"
			"\"raw_per_s\":%.0f,\"buffered_per_s\":%.0f,\"bytes_per_write\":%.0f,"
			"\"bytes_per_unit\":%.0f}\n"
		      : "%s: %" PRIu64 " operations, median of %u: %.0f raw and %.0f buffered in a"
			" second of CPU; %.0f bytes of memory a write in flight, %.0f a block of a"
			" large one, besides the content\n",
	       o.preset, o.ops, o.repeat, raw_rate, buffered_rate, alone, together);
	return 0;
}
