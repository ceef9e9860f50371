/* SPDX-License-Identifier: MIT */
/*
 * script.c - fault rules, as text.
 *
 *	script	rule { ';' rule }		a rule may be empty
 *	rule	'stay' | 'at' { term }
 *	term	read | write | discard | zeroes | flush | append | reset | finish |
 *		key '=' value
 *
 * The first mistake ends it, with its line and column, and nothing is armed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sim.h"

#define MAX_NS 1000000000000000u

struct place {
	const char *at;
	unsigned line, column;
};
enum term { OPERATION, OP, NTH, ADDR, DEV, KIND, UNITS, NS, NR_TERMS };
struct parser {
	struct iomap_sim *sim;
	struct place now;
	struct place terms[NR_TERMS];		/* of this rule; at is NULL without one */
	size_t nr_word;				/* letters of the word last read */
};

static const char *const keys[NR_TERMS] = {
	[OP] = "op", [NTH] = "nth", [ADDR] = "addr", [DEV] = "dev", [KIND] = "kind",
	[UNITS] = "units", [NS] = "ns",
};
static const struct { const char *name; enum iomap_bio_op op; } operations[] = {
	{ "read", IOMAP_BIO_READ }, { "write", IOMAP_BIO_WRITE },
	{ "discard", IOMAP_BIO_DISCARD }, { "zeroes", IOMAP_BIO_WRITE_ZEROES },
	{ "append", IOMAP_BIO_ZONE_APPEND }, { "reset", IOMAP_BIO_ZONE_RESET },
	{ "finish", IOMAP_BIO_ZONE_FINISH }, { "flush", IOMAP_BIO_FLUSH },
};

static int mistake(struct parser *p, const struct place *where, const char *what)
{
	snprintf(p->sim->fault_error, sizeof(p->sim->fault_error), "line %u, column %u: %s",
		 where->line, where->column, what);
	return -EINVAL;
}

/* ---- words ---- */

static void skip(struct parser *p, size_t nr)
{
	for (; nr; nr--, p->now.at++) {
		p->now.column++;
		if (*p->now.at == '\n') {
			p->now.line++;
			p->now.column = 1;
		}
	}
}

static void skip_space(struct parser *p)
{
	skip(p, strspn(p->now.at, " \t\r\n"));
}

/* Its place; nr_word letters, perhaps none. */
static struct place word(struct parser *p)
{
	struct place start = p->now;

	p->nr_word = strcspn(start.at, " \t\r\n;=");
	skip(p, p->nr_word);
	return start;
}

static bool is_word(const struct parser *p, const struct place *word, const char *name)
{
	return strlen(name) == p->nr_word && !memcmp(word->at, name, p->nr_word);
}

/* Digits from here on; false: none, or too many. */
static bool digits(struct parser *p, uint64_t *value)
{
	const char *start = p->now.at;

	for (*value = 0; *p->now.at >= '0' && *p->now.at <= '9'; skip(p, 1)) {
		unsigned digit = (unsigned)(*p->now.at - '0');

		if (*value > (UINT64_MAX - digit) / 10)
			return false;
		*value = *value * 10 + digit;
	}
	return p->now.at != start;
}

static bool at_end_of_word(const struct parser *p)
{
	return !*p->now.at || strchr(" \t\r\n;", *p->now.at);
}

/* ---- values ---- */

static int number(struct parser *p, uint64_t max, const char *expected, uint64_t *value)
{
	struct place start = p->now;

	if (!digits(p, value) || !at_end_of_word(p) || !*value || *value > max)
		return mistake(p, &start, expected);
	return 0;
}

static int range(struct parser *p, struct iomapi_sim_rule *r)
{
	struct place start = p->now;
	bool ok = digits(p, &r->first);

	r->last = r->first;
	if (ok && !strncmp(p->now.at, "..", 2)) {
		skip(p, 2);
		ok = digits(p, &r->last) && r->first <= r->last;
	}
	if (!ok || !at_end_of_word(p))
		return mistake(p, &start, "expected FIRST..LAST, in bytes");
	return 0;
}

static int device(struct parser *p, struct iomapi_sim_rule *r)
{
	struct place name = word(p);

	for (unsigned i = 0; i < p->sim->nr_devs; i++)
		if (is_word(p, &name, p->sim->devs[i].name))
			r->dev = &p->sim->devs[i];
	return r->dev ? 0 : mistake(p, &name, "expected a device of this simulation");
}

static int kind(struct parser *p, struct iomapi_sim_rule *r)
{
	struct place name = word(p);
	char text[sizeof(p->sim->fault_error) - 40];
	size_t len;

	r->kind = (uint8_t)iomapi_sim_kind_of(name.at, p->nr_word);
	if (r->kind)
		return 0;
	len = (size_t)snprintf(text, sizeof(text), "expected one of");
	for (unsigned k = 1; k < IOMAPI_SIM_NR_KINDS && len < sizeof(text); k++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, " %s",
					iomapi_sim_kinds[k].name);
	return mistake(p, &name, text);
}

static int value(struct parser *p, struct iomapi_sim_rule *r, enum term term)
{
	uint64_t n = 0;
	int rc = 0;

	switch (term) {
	case ADDR:
		return range(p, r);
	case DEV:
		return device(p, r);
	case KIND:
		return kind(p, r);
	case OP:
		return number(p, UINT64_MAX, "expected a number from 1", &r->op);
	case NTH:
		return number(p, UINT64_MAX, "expected a number from 1", &r->nth);
	case UNITS:
		rc = number(p, 1u << 30, "expected a number of logical blocks, from 1", &n);
		r->units = (uint32_t)n;
		return rc;
	default:
		rc = number(p, MAX_NS, "expected nanoseconds, from 1 to 10^15", &n);
		r->ns = (int64_t)n;
		return rc;
	}
}

/* ---- rules ---- */

static int term(struct parser *p, struct iomapi_sim_rule *r)
{
	struct place start = word(p);
	bool has_value = *p->now.at == '=';
	enum term found = NR_TERMS;

	for (size_t i = 0; !has_value && i < sizeof(operations) / sizeof(*operations); i++) {
		if (!is_word(p, &start, operations[i].name))
			continue;
		found = OPERATION;
		r->ops = 1u << operations[i].op;
	}
	for (enum term t = OP; has_value && t < NR_TERMS; t++)
		if (is_word(p, &start, keys[t]))
			found = t;
	if (found == NR_TERMS)
		return mistake(p, &start, "expected read, write, discard, zeroes, flush, append,"
					  " reset, finish, op=, nth=, addr=, dev=, kind=, units="
					  " or ns=");
	if (p->terms[found].at)
		return mistake(p, &start, "expected this once in a rule");
	p->terms[found] = start;
	if (!has_value)
		return 0;
	skip(p, 1);
	return value(p, r, found);
}

static bool is_inside(const struct parser *p, const struct iomapi_sim_rule *r)
{
	for (unsigned i = 0; i < p->sim->nr_devs; i++)
		if ((!r->dev || r->dev == &p->sim->devs[i]) && r->last < p->sim->devs[i].size)
			return true;
	return false;
}

/* Whether its terms go together; and what it means without those that it has not. */
static int complete(struct parser *p, struct iomapi_sim_rule *r)
{
	const struct iomapi_sim_kind_info *info = &iomapi_sim_kinds[r->kind];
	const struct place *t = p->terms;

	if (!t[KIND].at)
		return mistake(p, &p->now, "expected kind=");
	for (enum term i = OPERATION; !info->ops && i < NR_TERMS; i++)
		if (t[i].at && i != KIND && i != NTH)
			return mistake(p, &t[i], "expected nth= only, this happens to no command");
	if (t[OPERATION].at && !(r->ops & info->ops))
		return mistake(p, &t[OPERATION], "expected an operation that this kind happens to");
	r->ops = t[OPERATION].at ? r->ops : info->ops;
	if (t[ADDR].at) {
		r->ops &= ~(uint32_t)IOMAPI_SIM_FLUSHES;
		if (!r->ops)
			return mistake(p, &t[ADDR], "expected no addr=, a flush has none");
		if (!is_inside(p, r))
			return mistake(p, &t[ADDR], "expected bytes inside a device");
	} else {
		r->last = UINT64_MAX;
	}
	if (t[OP].at && t[NTH].at)
		return mistake(p, t[OP].at > t[NTH].at ? &t[OP] : &t[NTH],
			       "expected op= or nth=, not both");
	if (!t[OP].at && !t[NTH].at)
		r->nth = 1;
	if (t[UNITS].at && !info->units)
		return mistake(p, &t[UNITS],
			       "expected units= only with torn, short_read and short_write");
	if (t[NS].at && !info->ns)
		return mistake(p, &t[NS],
			       "expected ns= only with slow, timeout, lost, reordered and"
			       " cq_overflow");
	if (!r->ns)
		r->ns = info->ns;
	return 0;
}

static int rule(struct parser *p, struct iomapi_sim_rule *r)
{
	struct place start = word(p);
	int rc = 0;

	if (!is_word(p, &start, "at"))
		return mistake(p, &start, "expected at, or stay alone");
	memset(p->terms, 0, sizeof(p->terms));
	for (skip_space(p); !rc && *p->now.at && *p->now.at != ';'; skip_space(p))
		rc = term(p, r);
	return rc ? rc : complete(p, r);
}

/* The word stay alone is no rule, but says what becomes of rules. */
static bool stay(struct parser *p)
{
	struct parser before = *p;
	struct place start = word(p);
	bool found = is_word(p, &start, "stay");

	skip_space(p);
	found &= !*p->now.at || *p->now.at == ';';
	if (!found)
		*p = before;
	return found;
}

int iomapi_sim_parse(struct iomap_sim *sim, const char *script, struct iomapi_sim_rule **rules,
		     bool *stays)
{
	struct parser p = { .sim = sim, .now = { script, 1, 1 } };
	size_t max = 1;
	int nr = 0, rc = 0;

	for (const char *s = script; (s = strchr(s, ';')); s++)
		max++;
	*rules = max < INT32_MAX ? iomapi_sim_zalloc(max * sizeof(**rules)) : NULL;
	if (!*rules)
		return -ENOMEM;
	for (;;) {
		skip_space(&p);
		if (*p.now.at && *p.now.at != ';') {
			if (stay(&p))
				*stays = true;
			else
				rc = rule(&p, &(*rules)[nr++]);
		}
		if (rc || !*p.now.at)
			return rc ? rc : nr;
		skip(&p, 1);
	}
}
