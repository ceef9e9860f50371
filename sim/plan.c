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
#define MAX_RULE	64u

static size_t word_of(const char **at)
{
	*at += strspn(*at, " \t\n");
	return strcspn(*at, " \t\n");
}

/* The n-th kind of the list, or how many there are; -EINVAL: a word is none. */
static int kind_at(const char *kinds, uint32_t n, const char **name, size_t *len)
{
	uint32_t nr = 0;

	for (const char *at = kinds; (*len = word_of(&at)); at += *len) {
		if (!iomapi_sim_kind_of(at, *len))
			return -EINVAL;
		*name = at;
		if (nr++ == n)
			return (int)nr;
	}
	return (int)nr;
}

int iomapi_sim_draw_faults(uint64_t seed, const char *script, const char *kinds, uint32_t max,
			   char **drawn)
{
	size_t size = (script ? strlen(script) : 0) + (size_t)max * MAX_RULE + 1, used, len;
	uint32_t nr = (uint32_t)(iomapi_sim_mix(seed, KEY_NUMBER, 0, 0) % (max + 1));
	const char *name = NULL;
	int nr_kinds = kind_at(kinds, UINT32_MAX, &name, &len);

	*drawn = NULL;
	if (nr_kinds < 1)
		return -EINVAL;
	*drawn = iomapi_sim_zalloc(size);
	if (!*drawn)
		return -ENOMEM;
	used = (size_t)snprintf(*drawn, size, "%s", script ? script : "");
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t kind = iomapi_sim_mix(seed, KEY_KIND, i, 0) % (uint64_t)nr_kinds;
		uint64_t nth = 1 + iomapi_sim_mix(seed, KEY_NTH, i, 0) % MAX_NTH;

		kind_at(kinds, (uint32_t)kind, &name, &len);
		used += (size_t)snprintf(*drawn + used, size - used, "%sat nth=%u kind=%.*s",
					 used ? "; " : "", (unsigned)nth, (int)len, name);
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
