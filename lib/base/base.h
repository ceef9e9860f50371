/* SPDX-License-Identifier: MIT */
/*
 * base/base.h - small words for every room: assertions, atomics, arithmetic.
 *
 * iomapi_assert is our own broken invariant, never a caller's mistake.  Builds without
 * IOMAPI_SANITY (release, and the scratch build of planted mistakes) drop x_sanity() calls but keep
 * plain assertions out as well: the tests must notice by themselves.
 */
#ifndef IOMAPI_BASE_H
#define IOMAPI_BASE_H

#ifdef IOMAPI_SANITY
#undef NDEBUG		/* whoever asks for sanity gets it in any build type */
#endif
#include <assert.h>
#include <errno.h>

#include <iomap/types.h>

#ifdef IOMAPI_SANITY
#define iomapi_assert(cond) assert(cond)
#else
#define iomapi_assert(cond) ((void)sizeof(!(cond)))
#endif

#define iomapi_likely(x) __builtin_expect(!!(x), 1)
#define iomapi_unlikely(x) __builtin_expect(!!(x), 0)

/* Atomics by their ordering.  Plain integers in public structs, so compiler builtins. */
#define iomapi_load(p)		__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define iomapi_load_relaxed(p)	__atomic_load_n((p), __ATOMIC_RELAXED)
#define iomapi_store(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define iomapi_add(p, v)	__atomic_add_fetch((p), (v), __ATOMIC_ACQ_REL)	/* new value */
#define iomapi_sub(p, v)	__atomic_sub_fetch((p), (v), __ATOMIC_ACQ_REL)	/* new value */
#define iomapi_or(p, v)		__atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL)	/* old value */
#define iomapi_and(p, v)	__atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL)	/* old value */
#define iomapi_cas(p, old, v) \
	__atomic_compare_exchange_n((p), (old), (v), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)

#define iomapi_min(a, b) ((a) < (b) ? (a) : (b))
#define iomapi_max(a, b) ((a) > (b) ? (a) : (b))
#define iomapi_is_pow2(x) ((x) && !((x) & ((x)-1)))
#define iomapi_round_down(x, a) ((x) & ~((__typeof__(x))(a)-1))
#define iomapi_round_up(x, a) iomapi_round_down((x) + ((__typeof__(x))(a)-1), a)

/* pos + len, or IOMAP_MAX_POS where that would wrap. */
static inline int64_t iomapi_end(int64_t pos, uint64_t len)
{
	return len > (uint64_t)(IOMAP_MAX_POS - pos) ? IOMAP_MAX_POS : pos + (int64_t)len;
}

/* ---- a circular list through its members; the public calls, list.c, are these ---- */
static inline void iomapi_list_init(struct iomap_list *head)
{
	head->next = head->prev = head;
}
static inline bool iomapi_list_empty(const struct iomap_list *head)
{
	return head->next == head;
}
static inline void iomapi_list_add_tail(struct iomap_list *head, struct iomap_list *node)
{
	node->next = head;
	node->prev = head->prev;
	head->prev->next = node;
	head->prev = node;
}
static inline void iomapi_list_del(struct iomap_list *node)
{
	node->next->prev = node->prev;
	node->prev->next = node->next;
	iomapi_list_init(node);
}
static inline struct iomap_list *iomapi_list_pop(struct iomap_list *head)
{
	struct iomap_list *node = head->next;

	if (node == head)
		return NULL;
	iomapi_list_del(node);
	return node;
}
#define iomapi_list_for_each(l, head) for ((l) = (head)->next; (l) != (head); (l) = (l)->next)

#endif
