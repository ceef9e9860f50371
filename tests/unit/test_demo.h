/* SPDX-License-Identifier: MIT */
/*
 * test_demo.h - a run of a command of iomap-demo, its words kept, a folder with a source in it, and
 * the same run with each allocation failing in turn.
 */
#ifndef TEST_DEMO_H
#define TEST_DEMO_H

#include "harness/harness.h"

#include <unistd.h>

#include "demo.h"

/* ---- one run of a command, its words kept ---- */

struct run {
	struct demo demo;
	char *out, *err;
	size_t out_len, err_len;
	int status;
};

static inline void run_start(struct run *r)
{
	memset(r, 0, sizeof(*r));
	r->demo.env.struct_size = sizeof(r->demo.env);
	r->demo.out = open_memstream(&r->out, &r->out_len);
	r->demo.err = open_memstream(&r->err, &r->err_len);
	ck_assert(r->demo.out && r->demo.err);
}

static inline void run_end(struct run *r, int status)
{
	r->status = status;
	fclose(r->demo.out);
	fclose(r->demo.err);
}

static inline void run_free(struct run *r)
{
	free(r->out);
	free(r->err);
}

static inline unsigned nr_lines(const char *text)
{
	unsigned nr = 0;

	for (; *text; text++)
		nr += *text == '\n';
	return nr;
}

/* ---- files ---- */

struct place {
	char dir[64], source[96], image[96], device[128];
};

static inline void place_start(struct place *p, size_t bytes)
{
	uint64_t random = bytes;
	FILE *f;

	strcpy(p->dir, "/tmp/iomap-test-demo-XXXXXX");
	ck_assert(mkdtemp(p->dir));
	snprintf(p->source, sizeof(p->source), "%s/source", p->dir);
	snprintf(p->image, sizeof(p->image), "%s/image", p->dir);
	snprintf(p->device, sizeof(p->device), "file:%s", p->image);
	f = fopen(p->source, "w");
	ck_assert(f);
	for (size_t i = 0; i < bytes; i++)
		fputc((int)(t_rand(&random) & 0xff), f);
	ck_assert_int_eq(fclose(f), 0);
}

static inline void place_end(struct place *p)
{
	unlink(p->source);
	unlink(p->image);
	ck_assert_int_eq(rmdir(p->dir), 0);
}

/* All of a file, freed by the caller. */
static inline char *content_of(const char *name)
{
	FILE *f = fopen(name, "r"), *out;
	char *text = NULL;
	size_t len;
	int c;

	ck_assert(f);
	out = open_memstream(&text, &len);
	while ((c = getc(f)) != EOF)
		putc(c, out);
	fclose(f);
	fclose(out);
	return text;
}

/* Elements that are closed in order, attributes in quotes, no letter that would begin something
 * else; of one class: how many. */
static inline unsigned check_xml(const char *text, const char *class)
{
	const char *names[16], *at = text;
	unsigned depth = 0, nr = 0;
	char wanted[64];

	snprintf(wanted, sizeof(wanted), "class=\"%s\"", class);
	while ((at = strchr(at, '<'))) {
		const char *end = strchr(at, '>'), *next = strchr(at + 1, '<');
		size_t len = strcspn(at + 1, " >/"), quotes = 0;

		ck_assert_msg(end && (!next || end < next), "not closed: %.40s", at);
		for (const char *c = at; c < end; c++)
			quotes += *c == '"';
		ck_assert_msg(quotes % 2 == 0, "quotes: %.40s", at);
		if (at[1] == '/') {
			len = strcspn(at + 2, ">");
			ck_assert_msg(depth && !strncmp(names[depth - 1], at + 2, len) &&
				      strchr(" >", names[depth - 1][len]), "order: %.40s", at);
			depth--;
		} else if (end[-1] != '/') {
			ck_assert_uint_lt(depth, 16);
			ck_assert_uint_gt(len, 0);
			names[depth++] = at + 1;
		}
		nr += at[1] == 'g' && at[2] == ' ' && !strncmp(at + 3, wanted, strlen(wanted));
		at = end;
	}
	ck_assert_uint_eq(depth, 0);
	ck_assert_ptr_null(strchr(text, '&'));
	return nr;
}

static inline bool same_files(const char *a, const char *b)
{
	FILE *fa = fopen(a, "r"), *fb = fopen(b, "r");
	int ca, cb;

	ck_assert(fa && fb);
	do {
		ca = getc(fa);
		cb = getc(fb);
	} while (ca == cb && ca != EOF);
	fclose(fa);
	fclose(fb);
	return ca == cb;
}

/* ---- allocation failure at every ordinal ---- */

struct counter {
	uint64_t nr, live, fail_at;
};

static inline void *count_alloc(void *arg, size_t size, size_t align)
{
	struct counter *c = arg;
	void *mem = NULL;

	if (++c->nr == c->fail_at || posix_memalign(&mem, align < 8 ? 8 : align, size))
		return NULL;
	c->live++;
	return mem;
}

static inline void count_dealloc(void *arg, void *mem, size_t size)
{
	struct counter *c = arg;

	(void)size;
	c->live -= mem != NULL;
	free(mem);
}

/* Each allocation fails in turn: either the work is done without it, or one line says why not, and
 * in both cases nothing is left. */
static inline void sweep(int (*work)(struct demo *d, const struct place *p),
			 const struct place *p)
{
	struct counter c = { .nr = 0 };
	unsigned nr_failed = 0;

	do {
		struct run r;

		c = (struct counter){ .fail_at = c.fail_at + 1 };
		run_start(&r);
		r.demo.env.alloc = count_alloc;
		r.demo.env.dealloc = count_dealloc;
		r.demo.env.alloc_arg = &c;
		run_end(&r, work(&r.demo, p));
		ck_assert_uint_eq(c.live, 0);
		ck_assert_msg(nr_lines(r.err) == (r.status ? 1 : 0), "allocation %u: %s",
			      (unsigned)c.fail_at, r.err);
		ck_assert(!r.status || strstr(r.err, "Cannot allocate memory"));
		nr_failed += r.status != 0;
		if (c.nr < c.fail_at)
			ck_assert_int_eq(r.status, 0);
		run_free(&r);
	} while (c.nr >= c.fail_at);
	ck_assert_uint_gt(nr_failed, 10);
}

#endif
