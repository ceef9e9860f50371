/* SPDX-License-Identifier: MIT */
/*
 * legal.c - legal crash images, by their definition.
 *
 * An image is legal when it is what some set of writes leaves that were carried out in their order.
 * The set consists of groups: a write that is atomic at a power cut, or one unit of a larger one.
 * It has every group that is known to be durable, and on a device with an order nothing without
 * all that comes before it on its line, units of one write from the first on; only what fails, or
 * was thrown away with a flush that failed, has no place there.  Writes that had not taken effect
 * yet come last, those of different lines in any order.  On top come units that were hurt while
 * something was in flight.
 *
 * Images are explained from the newest group downwards: a group that is on top of what is not
 * explained yet survived if all of that is its own.  That it did never makes a unit harder to
 * explain, so nothing is tried twice but where the lines end.
 */
#include <string.h>

#include "harness/legal.h"

/* Of a group, for one choice of where the lines end. */
enum fate { OUT, OPTIONAL, IN };

struct group {
	const struct legal_cmd *cmd;
	uint32_t first, nr;
	uint32_t rank;			/* on its line, from 1; 0: it has no place there */
	bool durable;
};
struct line {
	uint32_t nr, least;		/* groups; that must be in */
	uint32_t in;			/* that are, as tried now */
};
struct search {
	const struct legal *l;
	const uint8_t *image;
	struct group groups[LEGAL_CMDS * LEGAL_UNITS];	/* oldest first, then what is loose */
	uint32_t nr, loose;		/* from there on they have not taken effect */
	struct line lines[LEGAL_CMDS];
	uint32_t nr_lines;
	bool explained[LEGAL_UNITS];
};

/* ---- what happened ---- */

void legal_start(struct legal *l, const struct legal_device *dev)
{
	memset(l, 0, sizeof(*l));
	l->dev = *dev;
}

struct legal_cmd *legal_find(struct legal *l, uint64_t id)
{
	for (uint32_t i = l->nr; i--;)
		if (l->cmds[i].id == id && !l->cmds[i].completed)
			return &l->cmds[i];
	return NULL;
}

static uint32_t line_of(const struct legal *l, const struct legal_cmd *cmd)
{
	return l->dev.order == LEGAL_PER_QUEUE ? cmd->queue : 0;
}

static bool changes(const struct legal_cmd *cmd)
{
	return cmd->op != LEGAL_READ && cmd->op != LEGAL_FLUSH;
}

bool legal_accept(struct legal *l, const struct legal_cmd *cmd)
{
	struct legal_cmd *c = &l->cmds[l->nr];

	if (l->nr == LEGAL_CMDS || cmd->first + cmd->nr > l->dev.nr_units)
		return false;
	*c = *cmd;
	c->accepted = ++l->now;
	c->linearised = c->completed = 0;
	l->nr++;
	return true;
}

bool legal_linearise(struct legal *l, uint64_t id)
{
	struct legal_cmd *c = legal_find(l, id);

	if (!c || c->linearised)
		return false;
	for (uint32_t i = 0; l->dev.order != LEGAL_ANY && &l->cmds[i] != c; i++) {
		const struct legal_cmd *before = &l->cmds[i];

		if (changes(c) && changes(before) && line_of(l, before) == line_of(l, c) &&
		    !before->linearised && !before->completed)
			return false;
	}
	c->linearised = ++l->now;
	return true;
}

bool legal_complete(struct legal *l, uint64_t id, int status, bool drops)
{
	struct legal_cmd *c = legal_find(l, id);

	if (!c || (!status && changes(c) && !c->linearised))
		return false;
	if (l->dev.zone && changes(c) && c->linearised && !status != !(c->refused || c->fails))
		return false;
	c->completed = ++l->now;
	c->status = status;
	c->drops = drops;
	return true;
}

/* ---- what is known of a write ---- */

#define NEVER	LEGAL_NEVER

/* When a flush that failed threw it away. */
static uint32_t dropped_at(const struct legal *l, const struct legal_cmd *write)
{
	uint32_t first = NEVER;

	for (uint32_t i = 0; i < l->nr; i++) {
		const struct legal_cmd *c = &l->cmds[i];

		if (c->op == LEGAL_FLUSH && c->completed && c->drops && write->completed &&
		    write->completed < c->accepted && c->completed < first)
			first = c->completed;
	}
	return first;
}

/* When a flush was submitted, alone or behind the data of its command; 0: it did not end well. */
static uint32_t flush_of(const struct legal *l, const struct legal_cmd *cmd)
{
	if (!cmd->completed || cmd->status)
		return 0;
	if (cmd->op == LEGAL_FLUSH)
		return cmd->accepted;
	return cmd->fua && l->dev.fua_flushes ? cmd->linearised : 0;
}

uint32_t legal_durable_at(const struct legal *l, const struct legal_cmd *write)
{
	uint32_t first = NEVER, dropped = dropped_at(l, write);

	if (!write->completed || write->status)
		return NEVER;
	if (write->op == LEGAL_DISCARD)
		return NEVER;		/* not even that it happened is promised */
	if (!l->dev.cache || write->fua)
		return write->completed;
	for (uint32_t i = 0; i < l->nr; i++) {
		const struct legal_cmd *c = &l->cmds[i];

		if (write->completed < flush_of(l, c) && c->completed < first)
			first = c->completed;
	}
	return first < dropped ? first : NEVER;
}

/* From when on nothing depends on it. */
static uint32_t free_at(const struct legal *l, const struct legal_cmd *write)
{
	if (write->op == LEGAL_DISCARD)
		return 0;
	if (write->fails && write->linearised)
		return write->linearised;
	if (write->completed && write->status)
		return write->completed;
	return dropped_at(l, write);
}

static bool is_in_flight(const struct legal_cmd *cmd)
{
	return changes(cmd) && !cmd->completed;
}

static bool is_failed(const struct legal_cmd *cmd)
{
	return cmd->completed && cmd->status;
}

/* One choice; only writes of data have an atomic unit. */
static bool is_atomic(const struct legal_device *dev, const struct legal_cmd *cmd)
{
	uint32_t last = cmd->first + cmd->nr - 1;

	if (cmd->op != LEGAL_WRITE || cmd->part || cmd->nr > dev->atomic)
		return cmd->nr == 1;
	return !dev->boundary || cmd->first / dev->boundary == last / dev->boundary;
}

/* An interrupted write next to it may have hurt this unit. */
static bool may_be_hurt(const struct legal *l, uint32_t unit)
{
	uint32_t block = unit / l->dev.physical;

	for (uint32_t i = 0; !l->dev.power_safe && i < l->nr; i++) {
		const struct legal_cmd *c = &l->cmds[i];
		uint32_t last = c->first + c->nr - 1;

		if (!is_in_flight(c) || (unit >= c->first && unit <= last))
			continue;
		if (c->first / l->dev.physical <= block && block <= last / l->dev.physical)
			return true;
	}
	return false;
}

/* ---- groups ---- */

/* When it took effect; what failed before that may have until then. */
static uint64_t place_of(const struct legal_cmd *cmd)
{
	if (cmd->linearised)
		return cmd->linearised;
	return cmd->completed ? cmd->completed : (uint64_t)UINT32_MAX + cmd->accepted;
}

static uint32_t in_order(const struct legal *l, const struct legal_cmd **cmds)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < l->nr; i++) {
		uint32_t at = nr;

		if (!changes(&l->cmds[i]))
			continue;
		for (; at && place_of(cmds[at - 1]) > place_of(&l->cmds[i]); at--)
			cmds[at] = cmds[at - 1];
		cmds[at] = &l->cmds[i];
		nr++;
	}
	return nr;
}

/* With an order what is durable carries what is before it. */
static bool is_carried(const struct legal *l, const struct legal_cmd **cmds, uint32_t nr,
		       uint32_t i)
{
	for (uint32_t k = i + 1; l->dev.order != LEGAL_ANY && k < nr; k++)
		if (line_of(l, cmds[k]) == line_of(l, cmds[i]) &&
		    legal_durable_at(l, cmds[k]) < free_at(l, cmds[i]))
			return true;
	return false;
}

static void add_groups(struct search *s, const struct legal_cmd *cmd, bool durable)
{
	struct line *line = &s->lines[line_of(s->l, cmd)];
	struct group g = { .cmd = cmd, .durable = durable };
	bool has_place = free_at(s->l, cmd) == NEVER;

	g.nr = is_atomic(&s->l->dev, cmd) ? cmd->nr : 1;
	for (g.first = cmd->first; g.first < cmd->first + cmd->nr; g.first += g.nr) {
		g.rank = has_place ? ++line->nr : 0;
		s->groups[s->nr++] = g;
	}
	if (durable && has_place)
		line->least = line->nr;
	if (place_of(cmd) <= UINT32_MAX)
		s->loose = s->nr;
}

static void search_start(struct search *s, const struct legal *l, const uint8_t *image)
{
	const struct legal_cmd *cmds[LEGAL_CMDS];
	uint32_t nr = in_order(l, cmds);

	s->l = l;
	s->image = image;
	s->nr = s->loose = s->nr_lines = 0;
	memset(s->lines, 0, sizeof(s->lines));
	for (uint32_t i = 0; i < nr; i++) {
		if (line_of(l, cmds[i]) >= s->nr_lines)
			s->nr_lines = line_of(l, cmds[i]) + 1;
		add_groups(s, cmds[i], legal_durable_at(l, cmds[i]) != NEVER ||
				       is_carried(l, cmds, nr, i));
	}
}

static enum fate fate_of(const struct search *s, const struct group *g)
{
	if (g->durable)
		return IN;
	if (s->l->dev.order == LEGAL_ANY || !g->rank)
		return OPTIONAL;
	return g->rank <= s->lines[line_of(s->l, g->cmd)].in ? IN : OUT;
}

/* ---- one choice of where the lines end ---- */

/* What is behind it on its line is not there. */
static bool is_last_in(const struct search *s, const struct group *g)
{
	const struct line *line = &s->lines[line_of(s->l, g->cmd)];

	return s->l->dev.order == LEGAL_ANY || !g->rank || g->rank == line->in;
}

static bool is_found(const struct search *s, const struct group *g, uint32_t unit)
{
	uint8_t token = s->image[unit];

	if (token == g->cmd->token)
		return true;
	if (token == LEGAL_GARBAGE && g->cmd->op == LEGAL_DISCARD && s->l->dev.discard_any)
		return true;
	if (!s->l->dev.shorn || g->nr > 1)
		return false;
	if (token == LEGAL_UNREADABLE && is_failed(g->cmd))
		return true;
	return (token == LEGAL_GARBAGE || token == LEGAL_UNREADABLE) && is_in_flight(g->cmd) &&
	       is_last_in(s, g);
}

static bool explain(struct search *s, const struct group *g)
{
	for (uint32_t u = g->first; u < g->first + g->nr; u++)
		if (!s->explained[u] && !is_found(s, g, u))
			return false;
	memset(s->explained + g->first, true, g->nr);
	return true;
}

/* Something later on its line is in, but on top of what is not explained yet. */
static bool must_wait(const struct search *s, const bool *done, uint32_t i)
{
	for (uint32_t k = i + 1; s->l->dev.order != LEGAL_ANY && k < s->nr; k++)
		if (!done[k] && fate_of(s, &s->groups[k]) == IN &&
		    line_of(s->l, s->groups[k].cmd) == line_of(s->l, s->groups[i].cmd))
			return true;
	return false;
}

/* Lines have no order among them: whichever is on top. */
static bool explain_loose(struct search *s)
{
	bool done[LEGAL_CMDS * LEGAL_UNITS] = { false }, more = true;

	while (more) {
		more = false;
		for (uint32_t i = s->nr; i-- > s->loose;) {
			const struct group *g = &s->groups[i];

			if (done[i] || fate_of(s, g) == OUT || must_wait(s, done, i))
				continue;
			done[i] = explain(s, g);
			more |= done[i];
		}
	}
	for (uint32_t i = s->loose; i < s->nr; i++)
		if (!done[i] && fate_of(s, &s->groups[i]) == IN)
			return false;
	return true;
}

static bool explain_all(struct search *s)
{
	const struct legal_device *dev = &s->l->dev;

	for (uint32_t u = 0; u < dev->nr_units; u++)
		s->explained[u] = s->image[u] == LEGAL_GARBAGE && may_be_hurt(s->l, u);
	if (!explain_loose(s))
		return false;
	for (uint32_t i = s->loose; i--;) {
		enum fate fate = fate_of(s, &s->groups[i]);

		if (fate != OUT && !explain(s, &s->groups[i]) && fate == IN)
			return false;
	}
	for (uint32_t u = 0; u < dev->nr_units; u++)
		if (!s->explained[u] && s->image[u] != LEGAL_INITIAL)
			return false;
	return true;
}

/* Each line ends somewhere; whatever is found of it is in. */
static bool try_lines(struct search *s, uint32_t line)
{
	if (s->l->dev.order == LEGAL_ANY || line == s->nr_lines)
		return explain_all(s);
	for (uint32_t in = s->lines[line].least; in <= s->lines[line].nr; in++) {
		s->lines[line].in = in;
		if (try_lines(s, line + 1))
			return true;
	}
	return false;
}

static bool judge(struct search *s, const uint8_t *image)
{
	s->image = image;
	return try_lines(s, 0);
}

bool legal_image(const struct legal *l, const uint8_t *image)
{
	struct search s;

	if (l->dev.zone)
		return legal_zones_image(l, image);
	search_start(&s, l, image);
	return judge(&s, image);
}

/* ---- all of them ---- */

static bool may_reach(const struct legal *l, const struct legal_cmd *c, uint32_t unit)
{
	if (l->dev.zone)
		return c->token && unit / l->dev.zone == c->first / l->dev.zone &&
		       unit % l->dev.zone < l->dev.capacity;
	return unit >= c->first && unit < c->first + c->nr;
}

/* Whatever could be said to be in a unit; the judge decides. */
static uint32_t candidates(const struct legal *l, uint32_t unit, uint8_t *tokens)
{
	uint32_t nr = 0;

	tokens[nr++] = l->dev.zone ? LEGAL_BLANK : LEGAL_INITIAL;
	for (uint32_t i = 0; i < l->nr; i++) {
		const struct legal_cmd *c = &l->cmds[i];

		if (!changes(c) || !may_reach(l, c, unit))
			continue;
		if (!memchr(tokens, c->token, nr))
			tokens[nr++] = c->token;
	}
	if (l->dev.shorn || !l->dev.power_safe) {
		tokens[nr++] = LEGAL_GARBAGE;
		tokens[nr++] = LEGAL_UNREADABLE;
	}
	return nr;
}

/* Units, and behind them the pointers of zones. */
static uint32_t all_candidates(const struct legal *l, uint8_t tokens[][LEGAL_CMDS + 3],
			       uint32_t *nr)
{
	uint32_t all = l->dev.nr_units;

	for (uint32_t u = 0; u < all; u++)
		nr[u] = candidates(l, u, tokens[u]);
	for (uint32_t z = 0; z < legal_nr_zones(l); z++, all++)
		for (nr[all] = 0; nr[all] <= l->dev.capacity; nr[all]++)
			tokens[all][nr[all]] = (uint8_t)nr[all];
	return all;
}

size_t legal_each(const struct legal *l, void (*fn)(void *arg, const uint8_t *image), void *arg)
{
	uint8_t tokens[LEGAL_IMAGE][LEGAL_CMDS + 3], image[LEGAL_IMAGE] = { 0 };
	uint32_t nr[LEGAL_IMAGE], at[LEGAL_IMAGE] = { 0 }, u = 0;
	uint32_t all = all_candidates(l, tokens, nr);
	struct search s;
	size_t found = 0;

	if (!l->dev.zone)
		search_start(&s, l, image);
	while (u < all) {
		for (uint32_t i = 0; i < all; i++)
			image[i] = tokens[i][at[i]];
		if (l->dev.zone ? legal_zones_image(l, image) : judge(&s, image)) {
			found++;
			if (fn)
				fn(arg, image);
		}
		for (u = 0; u < all && ++at[u] == nr[u]; u++)
			at[u] = 0;
	}
	return found;
}
