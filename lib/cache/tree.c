/* SPDX-License-Identifier: MIT */
/*
 * cache/tree.c - the folios of one mapping by position, with tags.
 *
 * A radix tree over page numbers, 64 slots a node.  A folio of 2^k pages is naturally aligned and
 * stands in the node whose slots are 64^(k/6) pages wide, in 2^(k%6) slots that all point to it, so
 * that a look-up stops at whichever it meets.  Only the first of them, its head, carries bits:
 *   bits[ALL]   heads of folios, and children
 *   bits[tag]   heads of folios that have the tag, and children in which anybody has it
 * A node with no bit in bits[ALL] does not exist, except while one is being inserted.  tree->tags
 * is the root's answer to "anybody?".  Slots hold folios as they are, nodes with the lowest bit
 * set.
 *
 *	slots wide  4096 pages      64 pages          1 page
 *	            root ---------> node -----------> node -> folio of 1, 2, .. 32 pages
 *	                             `-> folio of 64 .. 512 pages (2 MiB)
 *
 * Only insertion takes memory, from the pool or else from the environment.  Threads: the mapping's
 * lock is held.
 */
#include <string.h>

#include "cache/cache.h"

#define SLOT_BITS	IOMAPI_SLOT_BITS
#define NR_SLOTS	IOMAPI_NR_SLOTS
#define ALL		IOMAPI_NR_TAGS

/* ---- entries and nodes ---- */

static bool is_node(const void *entry)
{
	return (uintptr_t)entry & 1;
}

static struct iomapi_tree_node *to_node(void *entry)
{
	return (struct iomapi_tree_node *)(void *)((char *)entry - 1);
}

static void *from_node(struct iomapi_tree_node *node)
{
	return (char *)node + 1;
}

static uint64_t first_page(const struct iomap_folio *folio)
{
	return (uint64_t)folio->pos >> IOMAPI_PAGE_BITS;
}

static unsigned order_of(const struct iomap_folio *folio)
{
	return (unsigned)__builtin_ctz(folio->size >> IOMAPI_PAGE_BITS);
}

/* Of the node that a folio of this order stands in, and how many of its slots.  The largest folio
 * needs no third kind of node. */
_Static_assert(IOMAPI_MAX_FOLIO >> IOMAPI_PAGE_BITS <= NR_SLOTS * NR_SLOTS, "two kinds of node");
static unsigned shift_of(unsigned order)
{
	return order < SLOT_BITS ? 0 : SLOT_BITS;
}

static unsigned slots_of(unsigned order)
{
	return 1u << (order - shift_of(order));
}

static unsigned slot_of(const struct iomapi_tree_node *node, uint64_t page)
{
	return page >> node->shift & (NR_SLOTS - 1);
}

/* Does the page lie inside the tree's width? */
static bool inside(const struct iomapi_tree *tree, uint64_t page)
{
	return tree->root && page >> tree->root->shift < NR_SLOTS;
}

int iomapi_nodes_init(struct iomapi_nodes *nodes, struct iomap_env *env, uint32_t nr)
{
	nodes->env = env;
	return iomapi_pool_init(&nodes->pool, env, sizeof(struct iomapi_tree_node), 64, nr, 0);
}

void iomapi_nodes_fini(struct iomapi_nodes *nodes)
{
	iomapi_pool_fini(&nodes->pool);
}

static bool from_pool(const struct iomapi_nodes *nodes, const struct iomapi_tree_node *node)
{
	size_t off = (size_t)((uintptr_t)node - (uintptr_t)nodes->pool.slab);

	return off < nodes->pool.slab_bytes;
}

static struct iomapi_tree_node *node_get(struct iomapi_nodes *nodes, uint64_t page, unsigned shift)
{
	struct iomapi_tree_node *node = iomapi_pool_get(&nodes->pool, true);

	if (node)
		memset(node, 0, sizeof(*node));
	else
		node = iomapi_zalloc(nodes->env, sizeof(*node));
	if (node) {
		node->shift = shift;
		node->prefix = page >> shift >> SLOT_BITS;
	}
	return node;
}

static void node_put(struct iomapi_tree *tree, struct iomapi_nodes *nodes,
		     struct iomapi_tree_node *node)
{
	if (tree->finger == node)
		tree->finger = NULL;
	if (from_pool(nodes, node))
		iomapi_pool_put(&nodes->pool, node);
	else
		iomapi_free(nodes->env, node, sizeof(*node));
}

/* ---- bits, up to the root ---- */

void iomapi_tree_tell_parents(struct iomapi_tree *tree, struct iomapi_tree_node *node,
			      unsigned tag, bool set)
{
	for (struct iomapi_tree_node *parent; (parent = node->parent); node = parent) {
		uint64_t before = parent->bits[tag], bit = 1ull << node->offset;

		parent->bits[tag] = set ? before | bit : before & ~bit;
		if (set ? before != 0 : parent->bits[tag] != 0)
			return;
	}
	if (tag == ALL)
		return;
	if (set)
		tree->tags |= IOMAPI_TAG_BIT(tag);
	else
		tree->tags &= ~IOMAPI_TAG_BIT(tag);
}

/* ---- insertion and removal ---- */

static void attach(struct iomapi_tree_node *parent, unsigned slot, struct iomapi_tree_node *node)
{
	node->parent = parent;
	node->offset = slot;
	parent->slots[slot] = from_node(node);
	parent->bits[ALL] |= 1ull << slot;
	for (unsigned tag = 0; tag < IOMAPI_NR_TAGS; tag++)
		if (node->bits[tag])
			parent->bits[tag] |= 1ull << slot;
}

/* Free node and those above it as far as they are empty, and roots that hold but one node. */
static void prune(struct iomapi_tree *tree, struct iomapi_nodes *nodes,
		  struct iomapi_tree_node *node)
{
	while (node && !node->bits[ALL]) {
		struct iomapi_tree_node *parent = node->parent;

		if (parent) {
			parent->slots[node->offset] = NULL;
			parent->bits[ALL] &= ~(1ull << node->offset);
		} else {
			tree->root = NULL;
		}
		node_put(tree, nodes, node);
		node = parent;
	}
	while (tree->root && tree->root->bits[ALL] == 1 && is_node(tree->root->slots[0])) {
		struct iomapi_tree_node *root = tree->root;

		tree->root = to_node(root->slots[0]);
		tree->root->parent = NULL;
		node_put(tree, nodes, root);
	}
}

/* Make the tree as wide as page needs and as high as a node of that shift. */
static int widen(struct iomapi_tree *tree, struct iomapi_nodes *nodes, uint64_t page,
		 unsigned shift)
{
	while (page >> shift >= NR_SLOTS)
		shift += SLOT_BITS;
	if (!tree->root) {
		tree->root = node_get(nodes, page, shift);
		return tree->root ? 0 : -ENOMEM;
	}
	while (tree->root->shift < shift) {
		struct iomapi_tree_node *root = node_get(nodes, 0, tree->root->shift + SLOT_BITS);

		if (!root)
			return -ENOMEM;
		attach(root, 0, tree->root);
		tree->root = root;
	}
	return 0;
}

/* Walk down to the node that page stands in at that shift, making what is missing.  *last is the
 * node that was reached. */
static int make_path(struct iomapi_tree *tree, struct iomapi_nodes *nodes, uint64_t page,
		     unsigned shift, struct iomapi_tree_node **last)
{
	struct iomapi_tree_node *node = tree->root;

	for (*last = node; node->shift > shift; *last = node) {
		unsigned slot = slot_of(node, page);
		void *entry = node->slots[slot];

		if (entry && !is_node(entry))
			return -EEXIST;
		if (!entry) {
			struct iomapi_tree_node *child;

			child = node_get(nodes, page, node->shift - SLOT_BITS);
			if (!child)
				return -ENOMEM;
			attach(node, slot, child);
			entry = node->slots[slot];
		}
		node = to_node(entry);
	}
	return 0;
}

int iomapi_tree_insert(struct iomapi_tree *tree, struct iomapi_nodes *nodes,
		       struct iomap_folio *folio)
{
	unsigned order = order_of(folio), nr = slots_of(order), slot;
	struct iomapi_tree_node *node;
	uint64_t page = first_page(folio);
	int rc;

	iomapi_assert(iomapi_is_pow2(folio->size) && !((uint64_t)folio->pos & (folio->size - 1)));
	rc = widen(tree, nodes, page, shift_of(order));
	node = tree->root;
	if (!rc)
		rc = make_path(tree, nodes, page, shift_of(order), &node);
	slot = rc ? 0 : slot_of(node, page);
	for (unsigned i = 0; !rc && i < nr; i++)
		rc = node->slots[slot + i] ? -EEXIST : 0;
	if (rc) {
		prune(tree, nodes, node);
		return rc;
	}
	for (unsigned i = 0; i < nr; i++)
		node->slots[slot + i] = folio;
	iomapi_tree_set_bits(tree, node, 1ull << slot, ALL);
	return 0;
}

struct iomapi_tree_node *iomapi_tree_walk_down(struct iomapi_tree *tree,
					       const struct iomap_folio *folio)
{
	unsigned shift = shift_of(order_of(folio));
	struct iomapi_tree_node *node = tree->root;
	uint64_t page = first_page(folio);

	while (node->shift > shift)
		node = to_node(node->slots[slot_of(node, page)]);
	iomapi_assert(node->slots[slot_of(node, page)] == folio);
	tree->finger = node;
	return node;
}

void iomapi_tree_remove(struct iomapi_tree *tree, struct iomapi_nodes *nodes,
			struct iomap_folio *folio)
{
	struct iomapi_tree_node *node = iomapi_tree_node_of(tree, folio);
	unsigned slot = slot_of(node, first_page(folio));

	for (unsigned tag = 0; tag < IOMAPI_NR_TAGS; tag++)
		iomapi_tree_clear_bits(tree, node, 1ull << slot, tag);
	for (unsigned i = 0; i < slots_of(order_of(folio)); i++)
		node->slots[slot + i] = NULL;
	node->bits[ALL] &= ~(1ull << slot);
	prune(tree, nodes, node);
}

/* ---- looking up ---- */

struct iomap_folio *iomapi_tree_find(const struct iomapi_tree *tree, int64_t pos)
{
	uint64_t page = (uint64_t)pos >> IOMAPI_PAGE_BITS;
	void *entry;

	if (!inside(tree, page))
		return NULL;
	entry = from_node(tree->root);
	while (is_node(entry)) {
		struct iomapi_tree_node *node = to_node(entry);

		entry = node->slots[slot_of(node, page)];
	}
	return entry;
}

unsigned iomapi_tree_tags(struct iomapi_tree *tree, const struct iomap_folio *folio)
{
	const struct iomapi_tree_node *node = iomapi_tree_node_of(tree, folio);
	unsigned slot = slot_of(node, first_page(folio)), tags = 0;

	for (unsigned tag = 0; tag < IOMAPI_NR_TAGS; tag++)
		tags |= (node->bits[tag] >> slot & 1) << tag;
	return tags;
}

/* A place in the tree: slot may be NR_SLOTS, behind the node's last. */
struct cursor {
	struct iomapi_tree_node *node;
	unsigned slot;
};

static struct cursor seek(const struct iomapi_tree *tree, uint64_t page)
{
	struct cursor at = { tree->root, slot_of(tree->root, page) };

	while (is_node(at.node->slots[at.slot])) {
		at.node = to_node(at.node->slots[at.slot]);
		at.slot = slot_of(at.node, page);
	}
	if (at.node->slots[at.slot])	/* perhaps in the middle of it: back to its head */
		at.slot = slot_of(at.node, first_page(at.node->slots[at.slot]));
	return at;
}

/* Slots of the cursor's node, from the cursor on, with a tag of mask. */
static uint64_t bits_from(const struct cursor *at, unsigned mask)
{
	uint64_t bits = mask ? 0 : at->node->bits[ALL];

	for (unsigned left = mask; left; left &= left - 1)
		bits |= at->node->bits[__builtin_ctz(left)];
	return at->slot < NR_SLOTS ? bits >> at->slot << at->slot : 0;
}

/* The folio at the cursor or the next one with a tag of mask; the cursor stands on it. */
static struct iomap_folio *advance(struct cursor *at, unsigned mask)
{
	for (;;) {
		uint64_t bits = bits_from(at, mask);
		void *entry;

		if (!bits) {
			if (!at->node->parent)
				return NULL;
			at->slot = at->node->offset + 1u;
			at->node = at->node->parent;
			continue;
		}
		at->slot = (unsigned)__builtin_ctzll(bits);
		entry = at->node->slots[at->slot];
		if (!is_node(entry))
			return entry;
		at->node = to_node(entry);
		at->slot = 0;
	}
}

/* The folio that stands in the lowest of these slots, if it is one and begins before end. */
static struct iomap_folio *folio_in(const struct iomapi_tree_node *node, uint64_t bits, int64_t end)
{
	void *entry = node->slots[__builtin_ctzll(bits)];
	struct iomap_folio *folio = entry;

	return is_node(entry) || folio->pos >= end ? NULL : folio;
}

unsigned iomapi_tree_gang(const struct iomapi_tree *tree, int64_t *pos, int64_t end, unsigned mask,
			  struct iomap_folio **folios, unsigned nr)
{
	uint64_t page = (uint64_t)*pos >> IOMAPI_PAGE_BITS;
	unsigned found = 0;

	if (*pos < end && inside(tree, page) && (!mask || mask & tree->tags)) {
		struct cursor at = seek(tree, page);
		struct iomap_folio *folio = advance(&at, mask);

		while (folio && folio->pos < end && found < nr) {
			uint64_t bits = bits_from(&at, mask);

			/* most of the time the next one is its neighbour; other slots of a folio
			 * have no bits */
			while (folio && found < nr) {
				folios[found++] = folio;
				at.slot = (unsigned)__builtin_ctzll(bits) + 1;
				bits &= bits - 1;
				folio = bits ? folio_in(at.node, bits, end) : NULL;
			}
			folio = found < nr ? advance(&at, mask) : NULL;
		}
		if (found == nr) {
			*pos = iomapi_end(folios[nr - 1]->pos, folios[nr - 1]->size);
			return found;
		}
	}
	*pos = iomapi_max(*pos, end);
	return found;
}

/* Of these slots of a node: those of folios that begin before end, all at a stroke where slots are
 * a page wide, for there they are no children; else the lowest, if it is none. */
static uint64_t folios_before(const struct iomapi_tree_node *node, uint64_t bits, int64_t end)
{
	uint64_t first = node->prefix << SLOT_BITS, end_page;

	if (node->shift)
		return folio_in(node, bits, end) ? bits & -bits : 0;
	end_page = ((uint64_t)end + IOMAPI_PAGE - 1) >> IOMAPI_PAGE_BITS;
	if (iomapi_likely(end_page >= first + NR_SLOTS))
		return bits;
	return end_page <= first ? 0 : bits & ((1ull << (end_page - first)) - 1);
}

static unsigned highest(uint64_t bits)
{
	return NR_SLOTS - 1 - (unsigned)__builtin_clzll(bits);
}

void iomapi_tree_copy_tag(struct iomapi_tree *tree, int64_t *pos, int64_t end,
			  enum iomapi_tag from, enum iomapi_tag to, unsigned nr)
{
	uint64_t page = (uint64_t)*pos >> IOMAPI_PAGE_BITS, set = 0;
	const struct iomap_folio *last;
	struct cursor at;

	if (*pos < end && inside(tree, page) && IOMAPI_TAG_BIT(from) & tree->tags) {
		at = seek(tree, page);
		while (nr && advance(&at, IOMAPI_TAG_BIT(from))) {
			set = folios_before(at.node, bits_from(&at, IOMAPI_TAG_BIT(from)), end);
			while ((unsigned)__builtin_popcountll(set) > nr)
				set &= ~(1ull << highest(set));
			if (!set)
				break;
			nr -= (unsigned)__builtin_popcountll(set);
			iomapi_tree_set_bits(tree, at.node, set, to);
			last = at.node->slots[highest(set)];
			*pos = iomapi_end(last->pos, last->size);
			at.slot = highest(set) + 1;
		}
	}
	if (nr)
		*pos = iomapi_max(*pos, end);
}

/* ---- invariants ---- */

#ifdef IOMAPI_SANITY
static void node_sanity(const struct iomapi_tree_node *node)
{
	iomapi_assert(node->bits[ALL]);
	for (unsigned tag = 0; tag < IOMAPI_NR_TAGS; tag++)
		iomapi_assert(!(node->bits[tag] & ~node->bits[ALL]));
	for (unsigned slot = 0; slot < NR_SLOTS; slot++) {
		bool head = node->bits[ALL] >> slot & 1;
		void *entry = node->slots[slot];

		iomapi_assert(entry || !head);
		if (!entry)
			continue;
		if (!is_node(entry)) {
			iomapi_assert(shift_of(order_of(entry)) == node->shift);
			iomapi_assert(head == (slot_of(node, first_page(entry)) == slot));
			continue;
		}
		iomapi_assert(head && to_node(entry)->parent == node);
		iomapi_assert(to_node(entry)->offset == slot);
		iomapi_assert(to_node(entry)->shift + SLOT_BITS == node->shift);
		iomapi_assert(to_node(entry)->prefix == (node->prefix << SLOT_BITS | slot));
		for (unsigned tag = 0; tag < IOMAPI_NR_TAGS; tag++)
			iomapi_assert((node->bits[tag] >> slot & 1) == !!to_node(entry)->bits[tag]);
		node_sanity(to_node(entry));
	}
}
#endif

void iomapi_tree_sanity(const struct iomapi_tree *tree)
{
#ifdef IOMAPI_SANITY
	iomapi_assert(tree->root || !tree->tags);
	if (!tree->root)
		return;
	for (unsigned tag = 0; tag < IOMAPI_NR_TAGS; tag++)
		iomapi_assert((tree->tags >> tag & 1) == !!tree->root->bits[tag]);
	node_sanity(tree->root);
#else
	(void)tree;
#endif
}
