/* SPDX-License-Identifier: MIT */
/*
 * demo.h - what the commands of iomap-demo share.
 *
 * Every command is a function without main() around it: it takes a struct demo, which says where
 * its memory comes from and where its words go, and returns an exit status.  So a test can run the
 * same work with an allocator that fails.  One thread.
 */
#ifndef DEMO_H
#define DEMO_H

#include <stdio.h>

#include <iomap/iomap.h>
#include <iomap/sim.h>

#define KIB		1024u
#define MIB		(1024u * 1024u)
#define PAGE_BYTES	4096u

struct demo {
	struct iomap_env_opts env;	/* alloc, dealloc, alloc_arg; a command sets the hooks */
	FILE *out, *err;
	bool utf8, colour, tty;		/* of out */
	char report[512];		/* the library's last word about an error, or "" */
};

/* ---- term.c: memory, words, what the terminal can do ---- */

void demo_init(struct demo *d);			/* stdout, stderr, malloc; asks the terminal */
void demo_log(void *arg, const struct iomap_log_record *record);	/* arg: struct demo */
void *demo_alloc(struct demo *d, size_t size);	/* zeroed, aligned to a page */
void demo_free(struct demo *d, void *mem, size_t size);	/* NULL is fine */
/* One line to err: "iomap-demo: " what, and what rc means unless it is 0.  Returns rc. */
int demo_error(struct demo *d, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
const char *demo_glyph(const struct demo *d, const char *utf8, const char *ascii);

enum demo_colour { PLAIN, BOLD, DIM, RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN };
const char *demo_paint(const struct demo *d, enum demo_colour colour);	/* "" without colours */
void demo_progress(struct demo *d, const char *what, uint64_t done, uint64_t all);
void demo_progress_end(struct demo *d);
const char *demo_bytes(uint64_t n, char text[32]);			/* "48 KiB" */
/* The text, broken between words; it stands at that column, and so do its further lines. */
void demo_wrap(struct demo *d, const char *text, unsigned column);

/* Numbers that a seed gives, and a shuffle of 0..n-1 without a table. */
uint64_t demo_random(uint64_t *state);
uint64_t demo_shuffle(uint64_t i, uint64_t n, uint64_t seed);

/* ---- device.c: which device a command may write to ---- */

struct device {
	const char *given;		/* as on the command line */
	char scheme[16];
	char path[4096];		/* "" without one; of sim: the preset */
	char spec[4096 + 64];		/* for iomap_bdev_open */
	bool is_null, is_file;		/* a regular file, there or to be made */
	bool is_sim, has_seed;
	bool was_there, has_size;
	uint64_t size, seed;		/* of a simulated one */
	struct iomap_sim *sim;
};
/*
 * -EINVAL, -EPERM, and what stat says, with their line printed.  destroy: the name that the user
 * repeated, or NULL; without it no block device is touched.
 */
int device_parse(struct demo *d, const char *given, const char *destroy, struct device *dev);
/*
 * Right before it is opened: a regular file, or a simulated device, that was named without a size
 * is made as large as it has to be.  An error has its line printed.  Only a simulated one has to
 * end, after its environment.
 */
int device_start(struct demo *d, struct device *dev, uint64_t bytes);
void device_end(struct device *dev);
void device_env(const struct device *dev, struct iomap_env_opts *opts);
int device_open_error(struct demo *d, int rc, const char *given);	/* its line; returns rc */
bool device_is_source(const struct device *dev, int fd);	/* the same file? */

/* ---- sim_device.c: a simulated device, and its content in a file; lines as above ---- */

int sim_parse(struct demo *d, struct device *dev);
int sim_start(struct demo *d, struct device *dev, uint64_t bytes);
int sim_read(struct demo *d, const struct device *dev, void *mem, size_t len);	/* from byte 0 */
int sim_image_check(struct demo *d, const struct device *dev, const char *image, int source);
int sim_image(struct demo *d, const struct device *dev, const char *image);

/* ---- the commands: exit status 0 or 1 ---- */

struct roundtrip_opts {
	const char *device, *destroy;	/* NULL: null:, then a file of its own */
};
int demo_roundtrip(struct demo *d, const struct roundtrip_opts *opts);

struct merge_opts {
	uint64_t seed;
	int64_t why;			/* a page; < 0: none */
	const char *svg;		/* a file for the picture, or NULL */
	bool json;
};
#define MERGE_PAGES	96u
#define MERGE_SEED	34u
int demo_merge(struct demo *d, const struct merge_opts *opts);

struct copy_opts {
	const char *source, *device, *destroy;
	const char *image;		/* for the content of a simulated device, or NULL */
	bool random, scattered;
};
int demo_copy(struct demo *d, const struct copy_opts *opts);

struct backends_opts {
	const char *path;		/* a file or block device to look at, or NULL */
	bool json;
};
int demo_backends(struct demo *d, const struct backends_opts *opts);

struct crash_opts {
	uint64_t seed;
	const char *device;
};
#define CRASH_SEED	864u
#define CRASH_DEVICE	"sim:sata512e"
int demo_crash(struct demo *d, const struct crash_opts *opts);

#endif
