/* SPDX-License-Identifier: MIT */
/*
 * stream.h - a client without a device: one file that lives in the memory of a server, and is read
 * and written by requests of its own.
 *
 *	struct stream *s = stream_new(&(struct stream_opts){ .block_bits = 10 });
 *
 *	ck_assert_int_eq(stream_fill(s, 0, 9000, 1, 0), 9000);
 *	s->answers = STREAM_LATER;
 *	ck_assert_int_eq(stream_writepages(s, IOMAP_WB_SYNC_NONE), 0);
 *	stream_answer(s, 0);
 *	stream_delete(&s);
 *
 * Its maps say nothing but "data, as far as you asked".  Reads collect ranges into a request, which
 * submit_read sends; writeback does the same, in a context that has nothing of an ioend.  The
 * server answers when the test says so, or at once, or from threads of its own; it answers a read
 * in parts of any size and order.  A write that is to be durable is a write and then
 * iomap_req_sync.
 *
 * Next to it, ref is the content the file must have, disk what the server has.
 *
 * Threads: stream_write and stream_read take the I/O lock, which protects ref; requests and disk
 * are under lock, switches are changed while nobody else is about.
 */
#ifndef T_STREAM_H
#define T_STREAM_H

#include <pthread.h>

#include "harness/harness.h"

#define STREAM_MAX (1u << 20)		/* bytes of the file, at most */
#define STREAM_RANGES 16		/* of one request */
#define STREAM_SERVERS 4

enum stream_answers {
	STREAM_AT_ONCE,			/* in the call that sends the request */
	STREAM_INSIDE,			/* reads: in read_folio_range already; writes: at once */
	STREAM_LATER,			/* by stream_answer, or a server thread */
};
struct stream_opts {
	unsigned block_bits;		/* default 12 */
	uint32_t max_folio;		/* default 4096 */
	uint64_t cache_bytes;		/* default 1 MiB */
	uint64_t dirty_limit;		/* default cache_bytes */
	uint32_t inode_flags;		/* STABLE */
	unsigned file_flags;		/* of the handle */
};
struct stream_fault {
	unsigned nth, count;		/* from the nth request on (1: the next; 0: none), so many
					 * (0: one) */
	int error;			/* negative */
};
struct stream_range {
	struct iomap_folio *folio;
	char *mem;
	int64_t pos;
	size_t off, len;
	size_t bytes;			/* of len, those inside the file */
};
struct stream_req {
	struct iomap_list node;		/* first: the library's while it is a context */
	struct stream *s;
	bool write;
	int error;
	unsigned nr;
	struct stream_range ranges[STREAM_RANGES];
};
struct stream {
	struct t_env t;
	struct stream_opts opts;
	struct iomap_cache *cache;
	struct iomap_volume *volume;
	struct iomap_inode inode;
	struct iomap_file file;

	/* Tables, to be changed by a test. */
	struct iomap_ops ops;
	struct iomap_read_ops read_ops;
	struct iomap_write_ops write_ops;
	struct iomap_writeback_ops wb_ops;

	/* Switches. */
	enum stream_answers answers;
	size_t part;			/* bytes of a read that arrive together; 0: a range */
	uint64_t shuffle;		/* seed: parts, and requests of a thread, in any order */
	struct stream_fault fail_read, fail_write, fail_rmw, fail_sync;
	int64_t bad_from, bad_to;	/* what touches these bytes fails with -EIO */
	int (*hook_submit)(struct stream *s, struct stream_req *req, int error);

	/* Counters, atomic. */
	unsigned nr_begin, nr_end, nr_reads, nr_writes, nr_rmw, nr_syncs, nr_volume_syncs;
	unsigned nr_submit_errors;	/* the hook was told one.. */
	int last_submit_error;		/* ..this */
	unsigned nr_held_contexts;	/* the wpc still had what the hook was given: H1 broken */

	/* The server. */
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct iomap_list out;		/* requests that wait for an answer, oldest first */
	unsigned nr_out;
	bool stop;
	unsigned nr_servers;
	pthread_t servers[STREAM_SERVERS];
	uint8_t disk[STREAM_MAX], ref[STREAM_MAX];
	int64_t disk_size, ref_size;
};
#define STREAM(i) iomap_container_of(i, struct stream, inode)

struct stream *stream_new(const struct stream_opts *opts);
void stream_delete(struct stream **s);	/* DISCARDs; asserts that all is back and balanced */

/* The library's answer.  write keeps ref; a write that is DSYNC is synced.  read compares. */
int64_t stream_write(struct stream *s, int64_t pos, const void *buf, size_t len, unsigned flags);
int64_t stream_fill(struct stream *s, int64_t pos, size_t len, unsigned seed, unsigned flags);
int64_t stream_read(struct stream *s, int64_t pos, void *buf, size_t len, unsigned flags);
bool stream_content_ok(struct stream *s);
bool stream_server_ok(struct stream *s);	/* disk is what it must be, byte for byte */

int stream_writepages(struct stream *s, enum iomap_sync_mode mode);
int stream_sync(struct stream *s);
int stream_drop_cache(struct stream *s);	/* sync, then invalidate everything */
/* The cached folio's flags; 0: none there. */
uint32_t stream_flags(struct stream *s, int64_t pos);
struct iomap_cache_stats stream_stats(struct stream *s);

/* The i-th of the requests that wait. */
struct stream_req *stream_out(struct stream *s, unsigned i);
void stream_answer(struct stream *s, unsigned i);
void stream_answer_all(struct stream *s);
/* Threads that answer, each request as soon as one has time. */
void stream_serve(struct stream *s, unsigned nr);
void stream_serve_stop(struct stream *s);

/* The client's own hooks, for tests that put theirs around them. */
int stream_submit(struct iomap_writeback_ctx *wpc, void *wb_ctx, int error);

#endif
