/* SPDX-License-Identifier: MIT */
/*
 * test_demo.h - a run of a command of iomap-demo, its words kept, and a folder with a source in it.
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

#endif
