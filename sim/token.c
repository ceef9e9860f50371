/* SPDX-License-Identifier: MIT */
/*
 * token.c - the way to a failure in one word.
 *
 *	CASE:SEED:EVENT:IMAGE:EVENT2:WORK:RECOVER:RECOVER2:FAULTS:CHECK
 *
 * Numbers are hexadecimal.  The choices of a trace are letters, one for most of them; '-' instead
 * of all three: they are drawn from the seed, and behind it the depth and the length of a PCT
 * schedule.  IMAGE has above its 32 bits what stopped work, if that was no loss of power.  Spaces
 * of the script are +.  CHECK guards all.
 *
 *	0..39		a choice			40..55	2..17 choices of 0
 *	56..62 x x	a choice up to 28671		63 x*6	any other
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "explore.h"

#define SMALL	40u
#define ZEROS	40u
#define MIDDLE	56u
#define LARGE	63u
#define MAX_CHOICES	65536u

static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._";

struct out {
	char *at, *end;
	bool full;
};

static void put(struct out *o, char c)
{
	if (o->at == o->end)
		o->full = true;
	else
		*o->at++ = c;
}

static void put_text(struct out *o, const char *text)
{
	for (; *text; text++)
		put(o, *text);
}

static void put_number(struct out *o, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), ":%llx", (unsigned long long)n);
	put_text(o, text);
}

static void put_bits(struct out *o, uint32_t value, unsigned nr)
{
	while (nr--)
		put(o, letters[value >> 6 * nr & 63]);
}

static void put_choice(struct out *o, uint32_t value)
{
	if (value < SMALL) {
		put(o, letters[value]);
	} else if (value < (LARGE - MIDDLE) << 12) {
		put(o, letters[MIDDLE + (value >> 12)]);
		put_bits(o, value, 2);
	} else {
		put(o, letters[LARGE]);
		put_bits(o, value, 6);
	}
}

static void put_trace(struct out *o, const struct iomapi_sim_trace *t)
{
	size_t nr = t->nr;

	put(o, ':');
	while (nr && !t->made[nr - 1].value)	/* what is missing is 0 */
		nr--;
	for (size_t i = 0, zeros; i < nr; i += zeros ? zeros : 1) {
		for (zeros = 0; zeros < 17 && i + zeros < nr && !t->made[i + zeros].value; zeros++)
			;
		if (zeros > 1)
			put(o, letters[ZEROS + zeros - 2]);
		else
			put_choice(o, t->made[i].value);
	}
}

static uint32_t check_of(const char *token, size_t len)
{
	return (uint32_t)iomapi_sim_hash(token, len) & 0xffffff;
}

/* 0: power goes, as it mostly does. */
static uint64_t restart_bits(const struct iomapi_sim_failure *f)
{
	if (f->restart <= IOMAP_SIM_POWER_LOSS)
		return 0;
	return (uint64_t)f->restart << 32 | (uint64_t)f->removed << 40;
}

bool iomapi_sim_token(const struct iomap_sim_case *c, const struct iomapi_sim_failure *failure,
		      bool traces, char *token, size_t size)
{
	struct out o = { token, token + size - 1, false };

	put_text(&o, c->name);
	put_number(&o, failure->seed);
	put_number(&o, failure->event);
	put_number(&o, failure->image | restart_bits(failure));
	put_number(&o, failure->event2);
	if (traces) {
		put_trace(&o, &failure->work);
		put_trace(&o, &failure->recover);
		put_trace(&o, &failure->recover2);
	} else {
		put_text(&o, ":-");
		if (failure->policy.schedule == IOMAP_SIM_PCT) {
			put_number(&o, failure->policy.depth);
			put_number(&o, failure->policy.steps);
		}
	}
	put(&o, ':');
	for (const char *s = failure->faults; s && *s; s++)
		put(&o, strchr(" \t\r\n", *s) ? '+' : *s);
	put_number(&o, check_of(token, (size_t)(o.at - token)));
	if (o.full)
		o.at = token;
	*o.at = 0;
	return !o.full;
}

/* ---- back ---- */

struct in {
	const char *at;
	bool bad;
};

static void expect(struct in *in, char c)
{
	if (*in->at == c)
		in->at++;
	else
		in->bad = true;
}

static uint64_t get_number(struct in *in)
{
	uint64_t n = 0;
	unsigned digits = 0;

	expect(in, ':');
	for (; !in->bad && *in->at && *in->at != ':'; in->at++, digits++) {
		const char *letter = strchr(letters, *in->at);

		if (!letter || letter - letters > 15 || digits == 16)
			in->bad = true;
		else
			n = n << 4 | (uint64_t)(letter - letters);
	}
	in->bad |= !digits;
	return n;
}

static uint32_t get_bits(struct in *in, unsigned nr)
{
	uint32_t n = 0;

	for (; nr && !in->bad; nr--) {
		const char *letter = *in->at ? strchr(letters, *in->at) : NULL;

		if (!letter) {
			in->bad = true;
			return 0;
		}
		n = n << 6 | (uint32_t)(letter - letters);
		in->at++;
	}
	return n;
}

static int add(struct iomapi_sim_trace *t, uint32_t value, uint32_t nr)
{
	if (t->nr + nr > MAX_CHOICES)
		return -EINVAL;
	if (t->nr + nr > t->max) {
		size_t max = 2 * t->max + 256;
		struct iomapi_sim_made *more = iomapi_sim_grow(t->made, max * sizeof(*more));

		if (!more)
			return -ENOMEM;
		t->made = more;
		t->max = max;
	}
	while (nr--)
		t->made[t->nr++] = (struct iomapi_sim_made){ NULL, value, 0 };
	return 0;
}

static int get_trace(struct in *in, struct iomapi_sim_trace *t)
{
	int rc = 0;

	expect(in, ':');
	while (!rc && !in->bad && *in->at != ':') {
		uint32_t n = get_bits(in, 1);

		if (n < SMALL)
			rc = add(t, n, 1);
		else if (n < MIDDLE)
			rc = add(t, 0, n - ZEROS + 2);
		else if (n < LARGE)
			rc = add(t, (n - MIDDLE) << 12 | get_bits(in, 2), 1);
		else
			rc = add(t, get_bits(in, 6), 1);
	}
	return rc ? rc : in->bad ? -EINVAL : 0;
}

static int get_faults(struct in *in, struct iomapi_sim_failure *f)
{
	size_t len;

	expect(in, ':');
	len = strcspn(in->at, ":");
	for (size_t i = 0; i < len; i++)
		in->bad |= in->at[i] <= ' ' || in->at[i] > '~';	/* a token is one word */
	if (len) {
		f->faults = iomapi_sim_zalloc(len + 1);
		if (!f->faults)
			return -ENOMEM;
		for (size_t i = 0; i < len; i++)
			f->faults[i] = in->at[i] == '+' ? ' ' : in->at[i];
	}
	in->at += len;
	return 0;
}

/* The script is next, unless it is a number, which no script is. */
static int get_policy(struct in *in, struct iomapi_sim_failure *f)
{
	in->at += 2;
	if (in->at[0] != ':' || in->at[1] < '1' || in->at[1] > '3' || in->at[2] != ':')
		return 0;
	f->policy.schedule = IOMAP_SIM_PCT;
	f->policy.depth = (uint32_t)get_number(in);
	f->policy.steps = get_number(in);
	return in->bad ? -EINVAL : 0;
}

static int get_choices(struct in *in, struct iomapi_sim_failure *f, bool *traces)
{
	int rc;

	*traces = strncmp(in->at, ":-", 2) != 0;
	if (!*traces)
		return get_policy(in, f);
	rc = get_trace(in, &f->work);
	if (!rc)
		rc = get_trace(in, &f->recover);
	return rc ? rc : get_trace(in, &f->recover2);
}

int iomapi_sim_parse_token(const struct iomap_sim_case *c, const char *token,
			   struct iomapi_sim_failure *f, bool *traces)
{
	size_t name = strlen(c->name);
	struct in in = { token + name, false };
	const char *end;
	uint64_t image;
	int rc;

	memset(f, 0, sizeof(*f));
	if (strncmp(token, c->name, name) || token[name] != ':')
		return -EINVAL;
	f->seed = get_number(&in);
	f->event = get_number(&in);
	image = get_number(&in);
	f->image = (uint32_t)image;
	f->restart = image >> 32 & 255 ? (uint8_t)(image >> 32) : IOMAP_SIM_POWER_LOSS;
	f->removed = (uint8_t)(image >> 40);
	f->event2 = get_number(&in);
	rc = in.bad ? -EINVAL : get_choices(&in, f, traces);
	if (!rc)
		rc = get_faults(&in, f);
	end = in.at;
	if (!rc && (get_number(&in) != check_of(token, (size_t)(end - token)) || in.bad || *in.at))
		rc = -EINVAL;
	if (rc)
		iomapi_sim_failure_fini(f);
	return rc;
}
