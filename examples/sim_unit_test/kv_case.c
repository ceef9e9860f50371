/* SPDX-License-Identifier: MIT */
/*
 * kv_case.c - what is done to the store, and what must be true of it at any time.
 *
 * A key is as it was acknowledged last, or as one of the changes since left it; a key that nobody
 * touches is not there.  The simulator keeps what was acknowledged; the changes since are kept
 * here, noted before the store hears of them, so that they are right whenever power goes.
 */
#include <errno.h>
#include <string.h>

#include "kv_case.h"

#define NR_OPS		30u
#define NR_KEYS		(KV_KEYS / 2)	/* the even ones */
#define PIECE		8u		/* of an append */
#define NO_VALUE	0u		/* the digest of a key that is not there */

struct tester {
	struct kv_opts opts;
	uint32_t nr_values;		/* made so far: each is another */
	uint32_t nr_since;
	uint64_t nr_errors;		/* that the store has told, in all works */
	struct {
		uint32_t key;
		uint64_t digest;
	} since[NR_OPS];		/* changes since the last acknowledgement of all keys */
};

static uint64_t digest_of(const struct kv *kv, uint32_t key)
{
	uint8_t value[KV_VALUE];
	int len = kv_get(kv, key, value);

	return len < 0 ? NO_VALUE : iomap_sim_digest(value, (size_t)len, 1);
}

/* ---- what may be there ---- */

static void expect(struct tester *t, uint32_t key, uint64_t digest)
{
	t->since[t->nr_since].key = key;
	t->since[t->nr_since++].digest = digest;
}

static bool may_be(const struct iomap_sim *sim, const struct tester *t, uint32_t key,
		   uint64_t digest)
{
	uint64_t acked = NO_VALUE;

	iomap_sim_acked(sim, key, &acked);
	if (digest == acked)
		return true;
	for (uint32_t i = 0; i < t->nr_since; i++)
		if (t->since[i].key == key && t->since[i].digest == digest)
			return true;
	return false;
}

static int check_all(struct iomap_sim *sim, const struct tester *t, const struct kv *kv)
{
	for (uint32_t key = 0; key < KV_KEYS; key++) {
		uint64_t digest = digest_of(kv, key);

		if (!may_be(sim, t, key, digest))
			return iomap_sim_fail(sim, digest ? "value" : "lost",
					      "key %u: neither what was promised nor newer", key);
	}
	for (uint32_t key = kv_next(kv, 0); key < KV_KEYS; key = kv_next(kv, key + 1))
		if (key % 2)
			return iomap_sim_fail(sim, "scan", "key %u was never put", key);
	return 0;
}

/* The store has promised what it shows. */
static void acknowledge(struct iomap_sim *sim, struct tester *t)
{
	for (uint32_t i = 0; i < t->nr_since; i++)
		iomap_sim_ack(sim, t->since[i].key, t->since[i].digest);
	t->nr_since = 0;
}

/* ---- operations ---- */

enum op { PUT, APPEND, DELETE, SYNC, CHECKPOINT, COMPACT, REOPEN };
static const char *const op_names[] = {
	[SYNC] = "sync", [CHECKPOINT] = "checkpoint", [COMPACT] = "compact",
};
static const uint8_t ops[] = {
	PUT, PUT, PUT, PUT, PUT, PUT, PUT, PUT, PUT, PUT, APPEND, APPEND, APPEND, APPEND, DELETE,
	SYNC, SYNC, SYNC, SYNC, SYNC, CHECKPOINT, COMPACT, REOPEN, REOPEN,
};
#define NR_DRAWS	(16 * sizeof(ops) + 1)	/* 0 ends the work, but not often */

/* Bytes that were never there: their number, and then more of it. */
static void make_bytes(struct tester *t, uint8_t *bytes, size_t len)
{
	uint32_t n = ++t->nr_values;

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(n + 7 * i);
	memcpy(bytes, &n, sizeof(n));
}

static uint32_t draw_key(struct iomap_sim *sim)
{
	return 2 * iomap_sim_choose(sim, "key", NR_KEYS);
}

static int put(struct iomap_sim *sim, struct tester *t, struct kv *kv, uint32_t key)
{
	size_t len = 2 * PIECE + 96 * iomap_sim_choose(sim, "length", 6);
	uint8_t value[KV_VALUE];

	make_bytes(t, value, len);
	expect(t, key, iomap_sim_digest(value, len, 1));
	iomap_sim_note(sim, "put %u, %zu bytes", key, len);
	return kv_put(kv, key, value, len);
}

static int append(struct iomap_sim *sim, struct tester *t, struct kv *kv, uint32_t key)
{
	uint8_t value[KV_VALUE + PIECE];
	int len = kv_get(kv, key, value);
	uint8_t *end = value + (len < 0 ? 0 : len);

	if (len + (int)PIECE > (int)KV_VALUE)
		return 0;
	make_bytes(t, end, PIECE);
	expect(t, key, iomap_sim_digest(value, (size_t)(end - value) + PIECE, 1));
	iomap_sim_note(sim, "append to %u", key);
	return kv_append(kv, key, end, PIECE);
}

static int delete(struct iomap_sim *sim, struct tester *t, struct kv *kv, uint32_t key)
{
	expect(t, key, NO_VALUE);
	iomap_sim_note(sim, "delete %u", key);
	return kv_delete(kv, key);
}

/* Dropped as it is, and opened: what that finds is a promise too. */
static int reopen(struct iomap_sim *sim, struct tester *t, struct kv **kv)
{
	int rc = kv_open(sim, &t->opts, kv);

	iomap_sim_note(sim, "reopen: %d", rc);
	if (rc == -EBADMSG)
		return iomap_sim_fail(sim, "open", "what is on the devices is no store");
	if (rc)
		return rc;
	if (check_all(sim, t, *kv))
		return 1;
	for (uint32_t i = 0; i < t->nr_since; i++)
		t->since[i].digest = digest_of(*kv, t->since[i].key);
	acknowledge(sim, t);
	return 0;
}

static int make_durable(struct iomap_sim *sim, struct tester *t, struct kv *kv, enum op op)
{
	int rc = op == SYNC ? kv_sync(kv) : op == CHECKPOINT ? kv_checkpoint(kv) : kv_compact(kv);

	iomap_sim_note(sim, "%s: %d", op_names[op], rc);
	if (!rc)
		acknowledge(sim, t);
	return rc;
}

static int step(struct iomap_sim *sim, struct tester *t, struct kv **kv, enum op op)
{
	switch (op) {
	case PUT:
		return put(sim, t, *kv, draw_key(sim));
	case APPEND:
		return append(sim, t, *kv, draw_key(sim));
	case DELETE:
		return delete(sim, t, *kv, draw_key(sim));
	case REOPEN:
		return reopen(sim, t, kv);
	default:
		return make_durable(sim, t, *kv, op);
	}
}

/* ---- the case ---- */

static int format(struct iomap_sim *sim, void *arg)
{
	(void)arg;
	return kv_format(sim);
}

/* A store that is broken is opened again; when that fails, nobody uses it any more. */
static int work(struct iomap_sim *sim, void *arg)
{
	struct tester *t = arg;
	struct kv *kv;
	int rc;

	t->nr_since = t->nr_values = 0;
	rc = reopen(sim, t, &kv);
	for (unsigned i = 0; !rc && i < NR_OPS; i++) {
		uint32_t draw = iomap_sim_choose(sim, "op", NR_DRAWS);

		if (!draw)
			break;
		rc = step(sim, t, &kv, ops[(draw - 1) % sizeof(ops)]);
		t->nr_errors += rc < 0;
		if (rc < 0 && kv)
			rc = reopen(sim, t, &kv);
	}
	return rc > 0;
}

static int recover(struct iomap_sim *sim, void *arg)
{
	struct tester *t = arg;
	struct kv *kv;
	int rc = kv_open(sim, &t->opts, &kv);

	iomap_sim_set_engine(sim, kv);
	return rc ? iomap_sim_fail(sim, "open", "the store does not open: error %d", rc) : 0;
}

static int check(struct iomap_sim *sim, void *arg)
{
	const struct tester *t = arg;

	return check_all(sim, t, iomap_sim_engine(sim));
}

/* ---- bugs, and where they matter ---- */

static const struct {
	const char *name, *preset, *faults;
} bugs[KV_NR_BUGS] = {
	[KV_CORRECT] = { "none", "cruel", NULL },
	[KV_BUG_NO_FLUSH] = { "no flush before publish", "consumer", NULL },
	[KV_BUG_PUBLISH_FIRST] = { "publish before data", "consumer", NULL },
	[KV_BUG_TORN_HEADER] = { "torn header of two sectors", "sata512e", NULL },
	[KV_BUG_LOG_TAIL] = { "no checksum on the log tail", "sata512e", NULL },
	[KV_BUG_SYNC_RETRY] = { "sync retried after an error", "sata512e",
				"at flush dev=log nth=1 kind=flush_error_drops; "
				"at flush dev=log nth=3 kind=flush_error_drops; "
				"at flush dev=log nth=5 kind=flush_error_drops" },
	[KV_BUG_DIR_SYNC] = { "no directory flush after rename", "consumer", NULL },
	[KV_BUG_IN_PLACE] = { "in-place root update", "sata512e", NULL },
	[KV_BUG_WRITE_ORDER] = { "reliance on write order", "consumer", NULL },
	[KV_BUG_SHORT_WRITE] = { "short write ignored", "sata512e",
				 "at write dev=log nth=1 kind=short_write units=1; "
				 "at write dev=log nth=3 kind=short_write units=1; "
				 "at write dev=data nth=9 kind=short_write" },
	[KV_BUG_FUA] = { "FUA without a fallback", "sata512e", NULL },
	[KV_BUG_RECOVERY_TWICE] = { "recovery not idempotent", "consumer", NULL },
	[KV_BUG_OLD_LOG] = { "log reused without a generation", "plp", NULL },
};

struct kv_test {
	struct tester tester;
	struct iomap_sim_dev devs[3];
	struct iomap_sim_case c;
};

static const struct iomap_sim_case *make(struct kv_test *k, const char *name, const char *preset,
					 unsigned bug)
{
	k->tester.opts.bug = bug;
	k->devs[0] = (struct iomap_sim_dev){ .name = "log", .size = KV_LOG_SIZE };
	k->devs[1] = (struct iomap_sim_dev){ .name = "data", .size = KV_DATA_SIZE };
	k->devs[2] = (struct iomap_sim_dev){ .name = "files", .size = KV_FILES_SIZE };
	for (unsigned i = 0; i < 3; i++)
		k->devs[i].preset = preset;
	k->c = (struct iomap_sim_case){
		.struct_size = sizeof(k->c), .name = name, .devs = k->devs, .nr_devs = 3,
		.format = format, .work = work, .recover = recover, .check = check,
		.arg = &k->tester,
	};
	return &k->c;
}

const struct iomap_sim_case *kv_case(unsigned bug)
{
	static const char *const names[KV_NR_BUGS] = {
		"kv", "kv-1", "kv-2", "kv-3", "kv-4", "kv-5", "kv-6", "kv-7", "kv-8", "kv-9",
		"kv-10", "kv-11", "kv-12",
	};
	static struct kv_test tests[KV_NR_BUGS];

	if (bug >= KV_NR_BUGS)
		return NULL;
	return make(&tests[bug], names[bug], bugs[bug].preset, bug);
}

const struct iomap_sim_case *kv_case_correct_on(const char *preset)
{
	static struct kv_test test;

	return iomap_sim_preset(preset) ? make(&test, "kv", preset, KV_CORRECT) : NULL;
}

const struct iomap_sim_case *kv_case_correct_like(unsigned bug)
{
	return bug < KV_NR_BUGS ? kv_case_correct_on(bugs[bug].preset) : NULL;
}

uint64_t kv_case_errors(const struct iomap_sim_case *c)
{
	const struct tester *t = c->arg;

	return t->nr_errors;
}

const char *kv_case_faults(unsigned bug)
{
	return bug < KV_NR_BUGS ? bugs[bug].faults : NULL;
}

const char *kv_bug_name(unsigned bug)
{
	return bug < KV_NR_BUGS ? bugs[bug].name : NULL;
}
