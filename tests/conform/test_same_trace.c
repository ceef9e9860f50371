/* SPDX-License-Identifier: MIT */
/*
 * test_same_trace.c - one list of requests, many devices: equal results, equal images.
 *
 * The trace comes from a seed alone.  Its requests go out in batches that may complete in any
 * order, so no two of a batch overlap; what each must answer, and what the device must hold in the
 * end, says a model of plain memory.
 */
#include "harness/devices.h"

#define KB		1024u
#define UNIT		(4 * KB)
#define NR_UNITS	1024u		/* of the device, which has more */
#define BATCH		24u
#define ROUNDS		20u

struct request {
	struct t_bio bio;
	unsigned op, unit, nr;		/* units */
	bool refused;
	uint8_t *mem;
};

struct trace {
	uint64_t seed;
	struct request requests[BATCH];
	uint8_t used[NR_UNITS];		/* in this batch */
	uint8_t *model;
};

static unsigned draw(struct trace *t, unsigned n)
{
	return (unsigned)(t_rand(&t->seed) % n);
}

static bool is_free(const struct trace *t, unsigned unit, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		if (t->used[unit + i])
			return false;
	return true;
}

/* Segments of whole units, some adjacent, some in reverse order. */
static void add_segments(struct trace *t, struct request *r)
{
	unsigned done = 0;

	r->bio.bio.len = 0;
	while (done < r->nr) {
		unsigned n = r->bio.bio.nr_segs == 7 ? r->nr - done : 1 + draw(t, r->nr - done);
		unsigned gap = draw(t, 2);

		iomap_bio_add(&r->bio.bio, r->mem + (done * 2 + gap) * UNIT, n * UNIT, NULL);
		done += n;
	}
}

/* Where byte i of the request lies in its memory. */
static uint8_t *byte_of(const struct request *r, size_t i)
{
	for (unsigned s = 0; s < r->bio.bio.nr_segs; s++) {
		if (i < r->bio.segs[s].len)
			return (uint8_t *)r->bio.segs[s].mem + i;
		i -= r->bio.segs[s].len;
	}
	ck_abort();
}

static void make(struct trace *t, struct iomap_bdev *bdev, struct request *r)
{
	static const unsigned ops[] = { IOMAP_BIO_READ, IOMAP_BIO_READ, IOMAP_BIO_WRITE,
					IOMAP_BIO_WRITE, IOMAP_BIO_WRITE, IOMAP_BIO_WRITE_ZEROES,
					IOMAP_BIO_FLUSH };
	static const unsigned flags[] = { 0, 0, IOMAP_BIO_FUA, IOMAP_BIO_PREFLUSH,
					  IOMAP_BIO_FUA | IOMAP_BIO_PREFLUSH };

	r->op = ops[draw(t, 7)];
	do {
		r->nr = 1 + draw(t, 24);
		r->unit = draw(t, NR_UNITS - r->nr);
	} while (r->op != IOMAP_BIO_FLUSH && !is_free(t, r->unit, r->nr));
	r->refused = false;
	if (r->op == IOMAP_BIO_FLUSH) {
		t_bio_init(&r->bio, bdev, IOMAP_BIO_FLUSH, 0, NULL, 0);
		return;
	}
	memset(t->used + r->unit, 1, r->nr);
	r->refused = !draw(t, 16);
	t_bio_init(&r->bio, bdev, (enum iomap_bio_op)r->op,
		   (uint64_t)r->unit * UNIT + (r->refused ? 100 : 0), NULL, r->nr * UNIT);
	if (r->op != IOMAP_BIO_WRITE_ZEROES)
		add_segments(t, r);
	if (r->op == IOMAP_BIO_WRITE)
		r->bio.bio.flags = (uint16_t)flags[draw(t, 5)];
}

static void fill(struct trace *t, struct request *r)
{
	for (size_t i = 0; r->op == IOMAP_BIO_WRITE && i < r->nr * UNIT; i += 64)
		memset(byte_of(r, i), (int)draw(t, 256), 64);
}

/* What the model says of it; a read is compared. */
static void judge(struct trace *t, struct request *r)
{
	uint8_t *model = t->model + (size_t)r->unit * UNIT;

	ck_assert_uint_eq(r->bio.nr_ends, 1);
	ck_assert_int_eq(r->bio.status, r->refused ? -EINVAL : 0);
	if (r->refused)
		return;
	for (size_t i = 0; i < r->nr * UNIT && r->op != IOMAP_BIO_FLUSH; i += 64) {
		if (r->op == IOMAP_BIO_WRITE)
			memcpy(model + i, byte_of(r, i), 64);
		else if (r->op == IOMAP_BIO_WRITE_ZEROES)
			memset(model + i, 0, 64);
		else
			ck_assert_mem_eq(byte_of(r, i), model + i, 64);
	}
}

static void run_batch(struct trace *t, struct t_device *d)
{
	struct iomap_plug plug;
	unsigned nr = 1 + draw(t, BATCH);

	memset(t->used, 0, sizeof(t->used));
	for (unsigned i = 0; i < nr; i++) {
		make(t, d->bdev, &t->requests[i]);
		fill(t, &t->requests[i]);
	}
	iomap_plug_start(&plug, d->t.env);
	for (unsigned i = 0; i < nr; i++)
		iomap_bio_submit(&t->requests[i].bio.bio);
	iomap_plug_end(&plug);
	ck_assert_int_eq(iomap_ioq_drain(d->ioq, IOMAP_FOREVER), 0);
	for (unsigned i = 0; i < nr; i++)
		judge(t, &t->requests[i]);
}

static void run_trace(struct trace *t, struct t_device *d, uint64_t seed)
{
	uint8_t *image = t_buffer(NR_UNITS * UNIT, 1);

	t->seed = seed;
	memset(t->model, 0, NR_UNITS * UNIT);
	ck_assert_int_eq(t_io(d->bdev, IOMAP_BIO_WRITE, 0, t->model, NR_UNITS * UNIT, 0), 0);
	for (unsigned i = 0; i < ROUNDS; i++)
		run_batch(t, d);
	ck_assert_int_eq(t_io(d->bdev, IOMAP_BIO_READ, 0, image, NR_UNITS * UNIT, 0), 0);
	ck_assert_mem_eq(image, t->model, NR_UNITS * UNIT);
}

CASE_TIMEOUT(one_trace_on_every_device, "O45",
     "The same requests have the same results and leave the same bytes, whatever the device", 30)
{
	static struct trace t;
	struct t_device d;
	int kind;

	t.model = t_buffer(NR_UNITS * UNIT, 1);
	for (unsigned i = 0; i < BATCH; i++)
		t.requests[i].mem = t_buffer(50 * UNIT, (uint8_t)i);
	each_device(&d, kind) {
		if (d.keeps)
			run_trace(&t, &d, 1);
		t_device_stop(&d);
	}
}

MAIN()
