/* SPDX-License-Identifier: MIT */
/*
 * legal_zone.c - the same for zones, by their definition.
 *
 * A zone is legal when some history leaves it so: the commands that took effect, in their order,
 * then any of those that had not yet, in any order, each only where it could have taken effect; up
 * to some moment, not before the last one that is known to be durable.  The command of that moment
 * may have done its first units only, unless it is atomic; a reset or finish is done or is not.
 *
 * Histories are simply tried, one after the other.
 */
#include <string.h>

#include "harness/legal.h"

struct zone {
	uint8_t content[LEGAL_UNITS];
	uint32_t pointer;
};
struct search {
	const struct legal *l;
	uint32_t start;
	const uint8_t *image;		/* of the zone */
	uint32_t pointer;		/* of the image */
	const struct legal_cmd *past[LEGAL_CMDS], *flight[LEGAL_CMDS];
	uint32_t nr_past, nr_flight;
	uint32_t least;			/* of the past that must have been */
	bool used[LEGAL_CMDS];
};

uint32_t legal_nr_zones(const struct legal *l)
{
	return l->dev.zone ? l->dev.nr_units / l->dev.zone : 0;
}

/* ---- what a command does ---- */

static bool is_write(const struct legal_cmd *c)
{
	return c->op == LEGAL_WRITE || c->op == LEGAL_APPEND;
}

static bool is_of_zones(const struct legal_cmd *c)
{
	return is_write(c) || c->op == LEGAL_RESET || c->op == LEGAL_FINISH;
}

static bool could_be(const struct legal *l, const struct legal_cmd *c, uint32_t pointer)
{
	if (!is_write(c))
		return true;
	if (c->op == LEGAL_WRITE && c->first % l->dev.zone != pointer)
		return false;
	return pointer + c->nr <= l->dev.capacity;
}

/* Units, or 1 for what has none. */
static uint32_t size_of(const struct legal_cmd *c)
{
	return is_write(c) ? c->nr : 1;
}

static bool is_atomic(const struct search *s, const struct legal_cmd *c, uint32_t pointer)
{
	const struct legal_device *dev = &s->l->dev;
	uint32_t first = s->start + pointer;

	if (!is_write(c) || c->nr == 1)
		return true;
	return c->nr <= dev->atomic &&
	       (!dev->boundary || first / dev->boundary == (first + c->nr - 1) / dev->boundary);
}

static void carry_out(const struct search *s, struct zone *z, const struct legal_cmd *c,
		      uint32_t units)
{
	if (is_write(c)) {
		memset(z->content + z->pointer, c->token, units);
		z->pointer += units;
	} else if (units && c->op == LEGAL_RESET) {
		memset(z->content, LEGAL_BLANK, sizeof(z->content));
		z->pointer = 0;
	} else if (units) {
		z->pointer = s->l->dev.capacity;
	}
}

/* ---- what happened ---- */

bool legal_zone(struct legal *l, uint64_t id, uint32_t pointer)
{
	struct legal_cmd *c = legal_find(l, id);
	uint32_t *now;

	if (!c || c->linearised || !is_of_zones(c))
		return false;
	now = &l->pointers[c->first / l->dev.zone];
	c->linearised = ++l->now;
	if (!could_be(l, c, *now)) {
		c->refused = true;
		return pointer == *now;
	}
	if (is_write(c)) {
		if (pointer < *now || pointer > *now + c->nr)
			return false;
		c->seen = pointer - *now;
	} else {
		c->seen = pointer == (c->op == LEGAL_RESET ? 0 : l->dev.capacity);
		if (!c->seen && pointer != *now)
			return false;
	}
	*now = pointer;
	return c->fails || c->seen == size_of(c);
}

/* ---- what may be found ---- */

static bool is_found(const struct search *s, const struct zone *z)
{
	return z->pointer == s->pointer && !memcmp(z->content, s->image, s->l->dev.zone);
}

/* The moment was in the middle of this command, or right behind it. */
static bool ends_in(const struct search *s, const struct zone *before, const struct legal_cmd *c)
{
	uint32_t size = size_of(c);

	for (uint32_t k = is_atomic(s, c, before->pointer) ? size : 1; k <= size; k++) {
		struct zone z = *before;

		carry_out(s, &z, c, k);
		if (is_found(s, &z))
			return true;
	}
	return false;
}

static bool try_flight(struct search *s, const struct zone *z)
{
	for (uint32_t i = 0; i < s->nr_flight; i++) {
		const struct legal_cmd *c = s->flight[i];
		struct zone next = *z;
		bool found;

		if (s->used[i] || !could_be(s->l, c, z->pointer))
			continue;
		if (ends_in(s, z, c))
			return true;
		carry_out(s, &next, c, size_of(c));
		s->used[i] = true;
		found = try_flight(s, &next);
		s->used[i] = false;
		if (found)
			return true;
	}
	return false;
}

static bool try_all(struct search *s)
{
	struct zone z = { .pointer = 0 };

	memset(z.content, LEGAL_BLANK, sizeof(z.content));
	for (uint32_t i = 0; i < s->nr_past; i++) {
		if (i >= s->least && (is_found(s, &z) || ends_in(s, &z, s->past[i])))
			return true;
		carry_out(s, &z, s->past[i], s->past[i]->seen);
	}
	return is_found(s, &z) || try_flight(s, &z);
}

/* By when they took effect. */
static void add_past(struct search *s, const struct legal_cmd *c)
{
	uint32_t at = s->nr_past++;

	for (; at && s->past[at - 1]->linearised > c->linearised; at--)
		s->past[at] = s->past[at - 1];
	s->past[at] = c;
}

static bool is_legal(const struct legal *l, uint32_t zone, const uint8_t *image)
{
	struct search s = { .l = l, .start = zone * l->dev.zone };

	s.image = image + s.start;
	s.pointer = image[l->dev.nr_units + zone];
	for (uint32_t i = 0; i < l->nr; i++) {
		const struct legal_cmd *c = &l->cmds[i];

		if (!is_of_zones(c) || c->first / l->dev.zone != zone || c->refused)
			continue;
		if (c->linearised)
			add_past(&s, c);
		else if (!c->completed)
			s.flight[s.nr_flight++] = c;
	}
	for (uint32_t i = 0; i < s.nr_past; i++)
		if (legal_durable_at(l, s.past[i]) != LEGAL_NEVER)
			s.least = i + 1;
	return try_all(&s);
}

bool legal_zones_image(const struct legal *l, const uint8_t *image)
{
	for (uint32_t z = 0; z < legal_nr_zones(l); z++)
		if (!is_legal(l, z, image))
			return false;
	return true;
}
