/* SPDX-License-Identifier: MIT */
/*
 * test_trace.c - what the trace hook hears of one page's life: from the write to the device, out of
 * the cache, back into it, shared, failed.
 */
#include "harness/harness.h"
#include "model/model.h"

#define PAGE 4096u

struct story {
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	unsigned at;			/* heard up to here */
};

static void start(struct story *s, const struct m_opts *opts)
{
	memset(s, 0, sizeof(*s));
	t_env_start(&s->t, NULL);
	s->m = m_open(&s->t, opts);
	s->f = m_file_new(s->m);
	t_env_trace(&s->t);
}

static void stop(struct story *s)
{
	m_file_free(&s->f);
	m_close(&s->m);
	t_env_stop(&s->t);
}

/* The next event of that kind, behind those heard before: so their order is the story's. */
static const struct iomap_trace_record *hear(struct story *s, enum iomap_trace_event event)
{
	while (s->at < s->t.nr_trace && s->t.trace[s->at].event != (uint32_t)event)
		s->at++;
	ck_assert_msg(s->at < s->t.nr_trace, "no %s comes", iomap_trace_name(event));
	return &s->t.trace[s->at++];
}

/* The same, of that range of our file, with that result. */
static const struct iomap_trace_record *hear_range(struct story *s, enum iomap_trace_event event,
						   int64_t pos, uint64_t len, int result)
{
	const struct iomap_trace_record *r = hear(s, event);
	const char *name = iomap_trace_name(event);

	ck_assert_msg(r->inode == &s->f->inode, "%s of another file", name);
	ck_assert_msg(r->pos == pos && r->len == len, "%s of %llu bytes at %lld", name,
		      (unsigned long long)r->len, (long long)r->pos);
	ck_assert_msg(r->result == result, "%s says %d", name, r->result);
	return r;
}

static void forget(struct story *s)
{
	s->t.nr_trace = s->at = 0;
}

CASE(the_journey_of_a_page, "", "From the write to the last touch, each step with its numbers")
{
	const struct iomap_trace_record *r;
	struct story s;
	uint64_t addr, id;

	start(&s, &(struct m_opts){ .delalloc = true, .unwritten = true });
	ck_assert_int_eq(m_fill(s.f, 0, PAGE, 1), PAGE);
	r = hear_range(&s, IOMAP_TRACE_ITER_BEGIN, 0, PAGE, 0);
	ck_assert_uint_eq(r->flags, IOMAP_WRITE);
	r = hear(&s, IOMAP_TRACE_MAP);
	ck_assert_uint_eq(r->type, IOMAP_DELALLOC);
	ck_assert_uint_eq(r->addr, IOMAP_NULL_ADDR);
	ck_assert_uint_eq(r->writeback, 0);
	hear_range(&s, IOMAP_TRACE_FOLIO_DIRTY, 0, PAGE, 0);
	r = hear_range(&s, IOMAP_TRACE_ITER_END, 0, PAGE, 0);
	ck_assert_uint_eq(r->flags, IOMAP_WRITE);

	ck_assert_int_eq(m_sync(s.f), 0);
	hear_range(&s, IOMAP_TRACE_WRITEBACK_FOLIO, 0, PAGE, 0);
	hear_range(&s, IOMAP_TRACE_WRITEBACK_RANGE, 0, PAGE, 0);
	r = hear(&s, IOMAP_TRACE_MAP);
	ck_assert_uint_eq(r->type, IOMAP_UNWRITTEN);
	ck_assert_uint_eq(r->writeback, 1);
	ck_assert_ptr_eq(r->bdev, s.m->bdev);
	addr = r->addr;
	ck_assert_uint_eq(addr, s.f->data[0].addr);
	r = hear_range(&s, IOMAP_TRACE_ADD_TO_IOEND, 0, PAGE, 1);
	ck_assert_uint_eq(r->addr, addr);
	ck_assert_uint_eq(r->why, IOMAP_WHY_FIRST);
	ck_assert_uint_eq(r->flags, IOMAP_IOEND_UNWRITTEN);
	id = r->id;
	r = hear_range(&s, IOMAP_TRACE_IOEND_SUBMIT, 0, PAGE, 0);
	ck_assert_uint_eq(r->id, id);
	ck_assert_uint_eq(r->addr, addr);
	for (int e = IOMAP_TRACE_BIO_SUBMIT; e <= IOMAP_TRACE_BIO_END; e++) {
		r = hear(&s, (enum iomap_trace_event)e);
		ck_assert_ptr_eq(r->bdev, s.m->bdev);
		ck_assert_uint_eq(r->type, IOMAP_BIO_WRITE);
		ck_assert_uint_eq(r->addr, addr);
		ck_assert_uint_eq(r->len, PAGE);
		ck_assert_int_eq(r->result, 0);
	}
	r = hear_range(&s, IOMAP_TRACE_IOEND_END, 0, PAGE, 0);
	ck_assert_uint_eq(r->id, id);
	hear_range(&s, IOMAP_TRACE_FOLIO_WRITTEN, 0, PAGE, 0);
	r = hear(&s, IOMAP_TRACE_FLUSH);
	ck_assert_ptr_eq(r->bdev, s.m->bdev);
	hear(&s, IOMAP_TRACE_FILE_SYNC);
	stop(&s);
}

CASE(a_page_comes_back, "", "Dropped, read ahead, read: each is an event, and the read's end too")
{
	const struct iomap_trace_record *r;
	char buf[PAGE];
	struct story s;

	start(&s, &(struct m_opts){ .max_folio = PAGE });
	ck_assert_int_eq(m_fill(s.f, 0, 2 * PAGE, 1), 2 * PAGE);
	ck_assert_int_eq(m_sync(s.f), 0);
	forget(&s);
	ck_assert_int_eq(m_drop_cache(s.f), 0);
	hear_range(&s, IOMAP_TRACE_FOLIO_INVALIDATE, 0, PAGE, 0);
	hear_range(&s, IOMAP_TRACE_FOLIO_INVALIDATE, PAGE, PAGE, 0);

	forget(&s);
	ck_assert_int_eq(m_read(s.f, PAGE, buf, PAGE), PAGE);
	hear_range(&s, IOMAP_TRACE_READAHEAD, PAGE, PAGE, 0);
	r = hear_range(&s, IOMAP_TRACE_ITER_BEGIN, PAGE, PAGE, 0);
	ck_assert_uint_eq(r->flags, 0);
	r = hear(&s, IOMAP_TRACE_MAP);
	ck_assert_uint_eq(r->type, IOMAP_MAPPED);
	ck_assert_uint_eq(r->writeback, 0);
	r = hear(&s, IOMAP_TRACE_BIO_SUBMIT);
	ck_assert_uint_eq(r->type, IOMAP_BIO_READ);
	ck_assert_uint_eq(r->addr, s.f->data[1].addr);
	hear_range(&s, IOMAP_TRACE_FOLIO_READ, PAGE, PAGE, 0);
	ck_assert_uint_eq(t_env_count(&s.t, IOMAP_TRACE_READ_FOLIO), 0);
	stop(&s);
}

CASE(one_folio_is_read, "", "Filling one folio is an event of its own, no read-ahead")
{
	struct iomap_folio *folio;
	struct story s;

	start(&s, &(struct m_opts){ .max_folio = PAGE });
	ck_assert_int_eq(m_fill(s.f, 0, 2 * PAGE, 1), 2 * PAGE);
	ck_assert_int_eq(m_drop_cache(s.f), 0);
	forget(&s);
	ck_assert_int_eq(iomap_mapping_get_folio(&s.f->inode, PAGE, PAGE, IOMAP_WRITE, &folio), 0);
	iomap_read_folio(folio, &s.m->ops, NULL, NULL);
	iomap_folio_lock(folio);	/* the read has unlocked it */
	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
	hear_range(&s, IOMAP_TRACE_READ_FOLIO, PAGE, PAGE, 0);
	hear_range(&s, IOMAP_TRACE_ITER_BEGIN, PAGE, PAGE, 0);
	hear_range(&s, IOMAP_TRACE_FOLIO_READ, PAGE, PAGE, 0);
	ck_assert_uint_eq(t_env_count(&s.t, IOMAP_TRACE_READAHEAD), 0);
	stop(&s);
}

CASE(the_source_of_a_copy_on_write, "", "The source map is an event where begin gave one")
{
	const struct iomap_trace_record *r;
	uint64_t addr;
	struct story s;

	start(&s, &(struct m_opts){ .cow = true });
	ck_assert_int_eq(m_fill(s.f, 0, PAGE, 1), PAGE);
	ck_assert_int_eq(m_drop_cache(s.f), 0);
	ck_assert_uint_eq(t_env_count(&s.t, IOMAP_TRACE_SRCMAP), 0);
	addr = s.f->data[0].addr;
	m_share(s.f);
	forget(&s);
	ck_assert_int_eq(m_fill(s.f, 100, 100, 2), 100);
	r = hear(&s, IOMAP_TRACE_MAP);
	ck_assert(r->flags & IOMAP_F_SHARED);
	r = hear(&s, IOMAP_TRACE_SRCMAP);
	ck_assert_uint_eq(r->type, IOMAP_MAPPED);
	ck_assert_uint_eq(r->addr, addr);
	ck_assert_ptr_eq(r->inode, &s.f->inode);
	ck_assert_ptr_eq(r->bdev, s.m->bdev);
	stop(&s);
}

CASE(a_range_is_zeroed, "", "Zeroing is an event for what it overwrote in each folio")
{
	struct story s;

	start(&s, &(struct m_opts){ .max_folio = PAGE });
	ck_assert_int_eq(m_fill(s.f, 0, 2 * PAGE, 1), 2 * PAGE);
	forget(&s);
	ck_assert_int_eq(m_zero(s.f, 100, PAGE, NULL), 0);
	hear_range(&s, IOMAP_TRACE_ITER_BEGIN, 100, PAGE, 0);
	hear_range(&s, IOMAP_TRACE_ZERO, 100, PAGE - 100, 0);
	hear_range(&s, IOMAP_TRACE_ZERO, PAGE, 100, 0);
	stop(&s);
}

CASE(an_error_is_in_the_events, "", "From the hook's refusal to the folio, each says which")
{
	struct story s;

	start(&s, &(struct m_opts){ .unwritten = true });
	ck_assert_int_eq(m_fill(s.f, 0, PAGE, 1), PAGE);
	s.m->fail_submit = (struct m_fault){ .nth = 1, .error = -ENOSPC };
	ck_assert_int_eq(m_sync(s.f), -ENOSPC);
	hear_range(&s, IOMAP_TRACE_IOEND_SUBMIT, 0, PAGE, -ENOSPC);
	hear_range(&s, IOMAP_TRACE_IOEND_END, 0, PAGE, -ENOSPC);
	hear_range(&s, IOMAP_TRACE_FOLIO_WRITTEN, 0, PAGE, -ENOSPC);
	ck_assert_int_eq(hear(&s, IOMAP_TRACE_FILE_SYNC)->result, -ENOSPC);
	stop(&s);
}

CASE(state_is_released, "", "Releasing says whether the state of the blocks went")
{
	struct iomap_folio *folio;
	struct story s;

	start(&s, &(struct m_opts){ .block_bits = 10, .max_folio = PAGE });
	ck_assert_int_eq(m_fill(s.f, 0, 1024, 1), 1024);
	forget(&s);
	ck_assert_int_eq(iomap_mapping_get_folio(&s.f->inode, 0, PAGE, 0, &folio), 0);
	ck_assert(!iomap_folio_release(folio));
	iomap_folio_unlock(folio);
	ck_assert_int_eq(m_sync(s.f), 0);
	iomap_folio_lock(folio);
	ck_assert(iomap_folio_release(folio));
	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
	hear_range(&s, IOMAP_TRACE_FOLIO_RELEASE, 0, PAGE, 0);
	hear_range(&s, IOMAP_TRACE_FOLIO_RELEASE, 0, PAGE, 1);
	stop(&s);
}

MAIN()
