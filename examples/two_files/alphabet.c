/* SPDX-License-Identifier: MIT */
/*
 * alphabet.c - twelve operations, and what must be true of two files at any time.
 *
 * A version is the content of both files after a write, noted before the client hears of it.  The
 * simulator keeps which version of a file was acknowledged last.  Blocks are judged one by one:
 * each is as in one of the versions from there on, for the cache collects what was written.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alphabet.h"

#define CANARY		0xc5		/* see pair_format */
#define MAX_VERSIONS	(ALPHABET_MAX + 1)
#define TRIES		4u

struct version {
	int64_t size[PAIR_FILES];
	uint8_t bytes[PAIR_FILES][PAIR_BYTES];
};
struct alphabet_state {
	unsigned newest;
	bool skips;			/* this word is left out */
	struct version versions[MAX_VERSIONS];
	uint8_t read[PAIR_BYTES + PAIR_BLOCK];	/* by work: a crash may come meanwhile */
	uint8_t got[PAIR_BYTES + PAIR_BLOCK], block[PAIR_BLOCK];	/* by check */
};

/* ---- the letters ---- */

enum verb { WRITE, WRITE_DATASYNC, SYNC, DATASYNC, SYNC_ALL, WRITE_OUT, DROP_AND_READ };

static const struct letter {
	const char *what;
	enum verb verb;
	unsigned file;
	int64_t pos;
	size_t len;
} letters[ALPHABET + 1] = {
	{ "ends the word", WRITE, 0, 0, 0 },
	{ "file 0: write 4096 bytes at 4096, a block in place", WRITE, 0, 4096, 4096 },
	{ "file 0: write 300 bytes at 3950, parts of two blocks", WRITE, 0, 3950, 300 },
	{ "file 0: write 6000 bytes at 11988, its end", WRITE, 0, PAIR_FIRST, 6000 },
	{ "file 0: write 500 bytes at 24800, behind a hole", WRITE, 0, 24800, 500 },
	{ "file 0: write 5000 bytes at 18000, where the hole may be", WRITE, 0, 18000, 5000 },
	{ "file 0: sync", SYNC, 0, 0, 0 },
	{ "file 1: write 9000 bytes at 0", WRITE, 1, 0, 9000 },
	{ "file 1: write 5000 bytes at 13000, and datasync", WRITE_DATASYNC, 1, 13000, 5000 },
	{ "file 1: datasync", DATASYNC, 1, 0, 0 },
	{ "both: sync of the volume", SYNC_ALL, 0, 0, 0 },
	{ "file 0: send what is dirty, wait for nothing", WRITE_OUT, 0, 0, 0 },
	{ "both: wait for what was sent, drop the cache, and read all", DROP_AND_READ, 0, 0, 0 },
};

const char *alphabet_letter(unsigned letter)
{
	return letter <= ALPHABET ? letters[letter].what : NULL;
}

uint64_t alphabet_words(unsigned length)
{
	uint64_t nr = 1;

	while (length--)
		nr *= ALPHABET;
	return nr;
}

/* ---- versions ---- */

static void first_version(struct alphabet_state *s)
{
	struct version *v = &s->versions[0];

	memset(v, 0, sizeof(*v));
	v->size[0] = PAIR_FIRST;
	for (int64_t pos = 0; pos < PAIR_FIRST; pos++)
		v->bytes[0][pos] = pair_byte(0, 0, pos);
	s->newest = 0;
}

/* Returns the bytes that are to be written. */
static const uint8_t *next_version(struct alphabet_state *s, const struct letter *l)
{
	struct version *v = &s->versions[s->newest + 1];
	int64_t end = l->pos + (int64_t)l->len;

	*v = s->versions[s->newest++];
	for (int64_t pos = l->pos; pos < end; pos++)
		v->bytes[l->file][pos] = pair_byte(l->file, s->newest, pos);
	if (end > v->size[l->file])
		v->size[l->file] = end;
	return v->bytes[l->file] + l->pos;
}

static void acknowledge(struct iomap_sim *sim, const struct alphabet_state *s, unsigned file)
{
	iomap_sim_ack(sim, file, s->newest);
}

/* ---- what is there ---- */

/* A version from there on has those bytes; or -1. */
static int version_of(const struct alphabet_state *s, unsigned acked, unsigned file, size_t at,
		      const uint8_t *got, size_t len)
{
	for (unsigned v = acked; v <= s->newest; v++)
		if (!memcmp(s->versions[v].bytes[file] + at, got, len))
			return (int)v;
	return -1;
}

static const char *oracle_of(const struct alphabet_state *s, unsigned acked, unsigned file,
			     size_t at, const uint8_t *got, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (got[i] == CANARY)
			return "O3";
	for (unsigned v = acked; v < s->newest; v++)
		if (memcmp(s->versions[v].bytes[file] + at, s->versions[v + 1].bytes[file] + at,
			   len))
			return "O2";
	return "O1";
}

static int check_block(struct iomap_sim *sim, const struct alphabet_state *s, unsigned acked,
		       unsigned file, size_t at, size_t len)
{
	const uint8_t *got = s->got + at;

	if (version_of(s, acked, file, at, got, len) >= 0)
		return 0;
	return iomap_sim_fail(sim, oracle_of(s, acked, file, at, got, len),
			      "file %u, block %u: not as it was synced, nor as a write since left "
			      "it", file, (unsigned)(at / PAIR_BLOCK));
}

/* The device may hold more of the last block than the size says: of a write that it is not yet as
 * long as, or zeros. */
static int check_tail(struct iomap_sim *sim, struct alphabet_state *s, const struct pair *p,
		      unsigned acked, unsigned file, int64_t size)
{
	size_t at = (size_t)size / PAIR_BLOCK * PAIR_BLOCK;
	uint64_t addr = size % PAIR_BLOCK ? pair_addr(p, file, (unsigned)(at / PAIR_BLOCK)) : 0;

	if (!addr)
		return 0;
	if (iomap_sim_pread(sim, PAIR_DEV, s->block, PAIR_BLOCK, addr) != PAIR_BLOCK)
		return iomap_sim_fail(sim, "read", "file %u: its last block", file);
	if (version_of(s, acked, file, at, s->block, PAIR_BLOCK) >= 0)
		return 0;
	return iomap_sim_fail(sim, "O4", "file %u: behind its end at %lld there is more than was "
			      "written", file, (long long)size);
}

static int check_file(struct iomap_sim *sim, struct alphabet_state *s, struct pair *p,
		      unsigned file)
{
	int64_t size = pair_size(p, file), n;
	uint64_t acked = 0;

	iomap_sim_acked(sim, file, &acked);
	if (size < s->versions[acked].size[file] || size > s->versions[s->newest].size[file])
		return iomap_sim_fail(sim, "O5", "file %u has %lld bytes: %lld were synced, %lld "
				      "is the most", file, (long long)size,
				      (long long)s->versions[acked].size[file],
				      (long long)s->versions[s->newest].size[file]);
	n = pair_read(p, file, 0, s->got, sizeof(s->got));
	if (n != size)
		return iomap_sim_fail(sim, n < 0 ? "read" : "O4", "file %u: read returned %lld, "
				      "its size is %lld", file, (long long)n, (long long)size);
	for (size_t at = 0; at < (size_t)size; at += PAIR_BLOCK) {
		size_t len = (size_t)size - at < PAIR_BLOCK ? (size_t)size - at : PAIR_BLOCK;

		if (check_block(sim, s, (unsigned)acked, file, at, len))
			return 1;
	}
	return check_tail(sim, s, p, (unsigned)acked, file, size);
}

/* In work: what was written is read, whatever is in the cache. */
static int read_back(struct iomap_sim *sim, struct alphabet_state *s, struct pair *p)
{
	for (unsigned file = 0; file < PAIR_FILES; file++) {
		const struct version *v = &s->versions[s->newest];
		int rc = pair_drop_cache(p, file);
		int64_t n;

		if (rc && rc != -EBUSY)
			return rc;
		n = pair_read(p, file, 0, s->read, sizeof(s->read));
		if (n < 0)
			return (int)n;
		if (n != v->size[file] || memcmp(s->read, v->bytes[file], (size_t)n))
			return iomap_sim_fail(sim, "O42", "file %u is not read as it was written",
					      file);
	}
	return 0;
}

/* ---- a word ---- */

static int sync_file(struct iomap_sim *sim, struct alphabet_state *s, struct pair *p,
		     unsigned file, bool datasync)
{
	int rc = pair_sync(p, file, datasync);

	if (!rc)
		acknowledge(sim, s, file);
	return rc;
}

static int sync_all(struct iomap_sim *sim, struct alphabet_state *s, struct pair *p)
{
	int rc = pair_sync_all(p);

	for (unsigned file = 0; !rc && file < PAIR_FILES; file++)
		acknowledge(sim, s, file);
	return rc;
}

static int spell(struct iomap_sim *sim, struct alphabet_state *s, struct pair *p,
		 const struct letter *l, const uint8_t *bytes)
{
	int rc;

	switch (l->verb) {
	case WRITE:
		return pair_write(p, l->file, l->pos, bytes, l->len);
	case WRITE_DATASYNC:
		rc = pair_write(p, l->file, l->pos, bytes, l->len);
		return rc ? rc : sync_file(sim, s, p, l->file, true);
	case SYNC:
	case DATASYNC:
		return sync_file(sim, s, p, l->file, l->verb == DATASYNC);
	case SYNC_ALL:
		return sync_all(sim, s, p);
	case WRITE_OUT:
		return pair_write_out(p, l->file);
	case DROP_AND_READ:
		return read_back(sim, s, p);
	}
	return 0;
}

/* Not after a sync that failed: what was to be written may be gone, and the next one would promise
 * what it knows nothing of. */
static bool again(struct alphabet *a, int rc, bool syncs, unsigned *tries)
{
	a->nr_errors += rc < 0;
	return a->retry && rc < 0 && !syncs && ++*tries < TRIES;
}

static int do_letter(struct iomap_sim *sim, struct alphabet *a, struct pair *p, unsigned letter)
{
	const struct letter *l = &letters[letter];
	const uint8_t *bytes = l->len ? next_version(a->state, l) : NULL;
	bool syncs = l->verb >= WRITE_DATASYNC && l->verb <= SYNC_ALL;
	unsigned tries = 0;
	int rc;

	iomap_sim_note(sim, "%s", l->what);
	do {
		rc = spell(sim, a->state, p, l, bytes);
	} while (again(a, rc, syncs, &tries));
	return rc;
}

static int do_word(struct iomap_sim *sim, struct alphabet *a, const unsigned *word, unsigned nr)
{
	unsigned tries = 0;
	struct pair *p;
	int rc;

	do {
		rc = pair_open(sim, a->bug, &p);
	} while (again(a, rc, false, &tries));
	for (unsigned i = 0; !rc && i < nr; i++)
		rc = do_letter(sim, a, p, word[i]);
	if (!rc) {
		rc = sync_all(sim, a->state, p);
		a->nr_errors += rc < 0;
	}
	pair_close(&p);
	return a->retry && rc < 0 ? 0 : rc;
}

/* Numbers of words are in the order in which they are gone through. */
static bool is_left_out(struct alphabet *a, const unsigned *word)
{
	uint64_t number = 0;

	for (unsigned i = 0; i < a->length; i++)
		number = number * (ALPHABET + 1) + word[i];
	if (number < a->from)
		return true;
	if (a->next && number < a->next)
		return false;		/* again, to be shrunk or shown */
	if (a->progress && a->progress(a->progress_arg, a))
		return true;
	a->next = number + 1;
	return false;
}

static int work(struct iomap_sim *sim, void *arg)
{
	struct alphabet *a = arg;
	unsigned word[ALPHABET_MAX] = { 0 }, nr = 0;
	int rc;

	while (nr < a->length && (word[nr] = iomap_sim_choose(sim, "op", ALPHABET + 1)))
		nr++;
	a->state->skips = is_left_out(a, word);
	if (a->state->skips)
		return 0;
	first_version(a->state);
	rc = do_word(sim, a, word, nr);
	a->nr_works++;
	a->nr_words += nr == a->length;
	return rc;
}

static int recover(struct iomap_sim *sim, void *arg)
{
	struct alphabet *a = arg;
	struct pair *p;
	int rc;

	if (a->state->skips)
		return 0;
	rc = pair_open(sim, a->bug, &p);
	iomap_sim_set_engine(sim, p);
	return rc ? iomap_sim_fail(sim, "open", "the files do not open: error %d", rc) : 0;
}

static int check(struct iomap_sim *sim, void *arg)
{
	struct alphabet *a = arg;
	struct pair *p = iomap_sim_engine(sim);
	int rc = 0;

	a->nr_images++;
	for (unsigned file = 0; p && !rc && file < PAIR_FILES; file++)
		rc = check_file(sim, a->state, p, file);
	pair_close(&p);
	return rc;
}

/* ---- the case ---- */

static int format(struct iomap_sim *sim, void *arg)
{
	(void)arg;
	return pair_format(sim);
}

const char *pair_bug_name(unsigned bug)
{
	static const char *const names[PAIR_NR_BUGS] = {
		"none", "written when allocated", "no flush before the root",
		"a datasync without the root",
	};

	return bug < PAIR_NR_BUGS ? names[bug] : NULL;
}

const struct iomap_sim_case *alphabet_init(struct alphabet *a)
{
	static const char *const names[PAIR_NR_BUGS] = {
		"files", "files-1", "files-2", "files-3",
	};
	const struct iomap_sim_profile *profile = iomap_sim_preset(a->preset ? a->preset
									     : "consumer");

	if (!a->length || a->length > ALPHABET_MAX || a->bug >= PAIR_NR_BUGS)
		return NULL;
	if (!profile || profile->logical_block != PAIR_BLOCK)
		return NULL;
	a->state = calloc(1, sizeof(*a->state));
	if (!a->state)
		return NULL;
	a->dev = (struct iomap_sim_dev){
		.name = PAIR_DEV, .profile = profile, .size = PAIR_DEVICE,
	};
	a->c = (struct iomap_sim_case){
		.struct_size = sizeof(a->c), .name = names[a->bug], .devs = &a->dev, .nr_devs = 1,
		.format = format, .work = work, .recover = recover, .check = check, .arg = a,
	};
	return &a->c;
}

void alphabet_fini(struct alphabet *a)
{
	free(a->state);
	a->state = NULL;
}
