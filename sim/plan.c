/* SPDX-License-Identifier: MIT */
/*
 * plan.c - faults that a seed draws.
 *
 * They are written down as a script, so that a failure can be told, shrunk and replayed with them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "explore.h"

enum { KEY_NUMBER = 2001, KEY_KIND, KEY_NTH };

#define MAX_NTH		24u		/* commands of a kind, in some 30 operations */
#define MAX_RULE	200u

/* "eio_read@data:0..4095": a kind, and where it may happen. */
struct word {
	const char *kind, *dev, *range;		/* NULL: anywhere */
	int nr_kind, nr_dev, nr_range;
};

static size_t word_of(const char **at)
{
	*at += strspn(*at, " \t\n");
	return strcspn(*at, " \t\n");
}

static struct word split(const char *at, size_t len)
{
	const char *end = at + len, *dev = memchr(at, '@', len), *range = NULL;
	struct word w = { .kind = at };

	if (dev)
		range = memchr(dev, ':', (size_t)(end - dev));
	w.nr_kind = (int)((dev ? dev : end) - at);
	if (dev) {
		w.dev = dev + 1;
		w.nr_dev = (int)((range ? range : end) - w.dev);
	}
	if (range) {
		w.range = range + 1;
		w.nr_range = (int)(end - w.range);
	}
	return w;
}

/* The n-th word of the list, or the last one; how many there were until then. */
static uint32_t word_at(const char *kinds, uint32_t n, struct word *w)
{
	uint32_t nr = 0;
	size_t len;

	for (const char *at = kinds; (len = word_of(&at)); at += len) {
		*w = split(at, len);
		if (nr++ == n)
			break;
	}
	return nr;
}

static size_t put_rule(char *to, size_t size, const struct word *w, unsigned nth)
{
	int n = snprintf(to, size, "at nth=%u", nth);

	if (w->dev)
		n += snprintf(to + n, size - (size_t)n, " dev=%.*s", w->nr_dev, w->dev);
	if (w->range)
		n += snprintf(to + n, size - (size_t)n, " addr=%.*s", w->nr_range, w->range);
	n += snprintf(to + n, size - (size_t)n, " kind=%.*s", w->nr_kind, w->kind);
	return (size_t)n;
}

/* Is it a rule of this simulation?  The text of what is wrong, behind the place of it. */
static int try_word(struct iomap_sim *sim, const char *kinds, const char *at, size_t len)
{
	const struct word w = split(at, len);
	char rule[MAX_RULE], text[sizeof(sim->fault_error)];
	const char *why = "expected KIND, KIND@DEVICE or KIND@DEVICE:FIRST..LAST";
	int rc = -EINVAL;

	if (len < 100 && !memchr(at, ';', len) && !memchr(at, '=', len)) {
		put_rule(rule, sizeof(rule), &w, 1);
		rc = iomap_sim_fault(sim, rule);
		strcpy(text, sim->fault_error);
		why = strstr(text, ": ") ? strstr(text, ": ") + 2 : text;
	}
	if (rc == -EINVAL)
		snprintf(sim->fault_error, sizeof(sim->fault_error), "fault_kinds, column %u: %.*s",
			 (unsigned)(at - kinds) + 1, (int)sizeof(text) - 60, why);
	return rc;
}

int iomapi_sim_try_kinds(struct iomap_sim *sim, const char *kinds)
{
	size_t len;
	int rc = 0;

	for (const char *at = kinds; !rc && (len = word_of(&at)); at += len)
		rc = try_word(sim, kinds, at, len);
	if (!rc && !kinds[strspn(kinds, " \t\n")]) {
		strcpy(sim->fault_error, "fault_kinds: expected a kind");
		rc = -EINVAL;
	}
	return rc;
}

static bool breaks_promises(const struct word *w)
{
	return iomapi_sim_kind_of(w->kind, (size_t)w->nr_kind) >= IOMAPI_SIM_FLUSH_LIES;
}

int iomapi_sim_draw_faults(uint64_t seed, const struct iomap_sim_cfg *cfg, char **drawn)
{
	const char *script = cfg->faults ? cfg->faults : "", *kinds = cfg->fault_kinds;
	size_t size = strlen(script) + (size_t)cfg->max_faults * MAX_RULE + 1, used;
	uint32_t nr = (uint32_t)(iomapi_sim_mix(seed, KEY_NUMBER, 0, 0) % (cfg->max_faults + 1));
	struct word w;
	uint32_t nr_kinds = word_at(kinds, UINT32_MAX, &w), nr_broken = 0;

	*drawn = iomapi_sim_zalloc(size);
	if (!*drawn)
		return -ENOMEM;
	used = (size_t)snprintf(*drawn, size, "%s", script);
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t kind = iomapi_sim_mix(seed, KEY_KIND, i, 0) % nr_kinds;
		uint64_t nth = 1 + iomapi_sim_mix(seed, KEY_NTH, i, 0) % MAX_NTH;

		word_at(kinds, (uint32_t)kind, &w);
		if (breaks_promises(&w) && nr_broken++ >= cfg->max_broken)
			continue;
		if (used)
			used += (size_t)snprintf(*drawn + used, size - used, "; ");
		used += put_rule(*drawn + used, size - used, &w, (unsigned)nth);
	}
	return 0;
}

bool iomapi_sim_drop_fault(char *script, size_t n)
{
	char *end;

	for (; n; n--) {
		script = strchr(script, ';');
		if (!script)
			return false;
		script++;
	}
	if (!script[strspn(script, " \t\n")])
		return false;
	end = strchr(script, ';');
	if (end)
		memmove(script, end + 1, strlen(end + 1) + 1);
	else
		*script = 0;
	return true;
}
