/* SPDX-License-Identifier: MIT */
/*
 * oracle.c - how often each oracle was looked at, and what was found.
 *
 * The counts are the simulation's for life: they are not undone with a level.  Which oracles are
 * watched is part of the world, and goes with it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "oracle.h"

/* Those that somebody here looks at. */
#define BIT(oracle)	((uint64_t)1 << (oracle))
#define TOLD		(BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(9))
#define ALWAYS		(BIT(20) | BIT(27) | BIT(28) | BIT(29) | BIT(30) | BIT(44) | BIT(46) | \
			 BIT(47))
#define ASKED		(BIT(8) | BIT(25) | BIT(26) | IOMAPI_SIM_HEARD)

/* "O25", and what is behind it; 0: none of ours. */
static unsigned number_of(const char *text, const char **end)
{
	unsigned n = 0;

	if (*text++ != 'O')
		return 0;
	for (; *text >= '0' && *text <= '9' && n < IOMAP_SIM_ORACLES; text++)
		n = 10 * n + (unsigned)(*text - '0');
	*end = text;
	return n < IOMAP_SIM_ORACLES && (TOLD | ALWAYS | ASKED) & BIT(n) ? n : 0;
}

IOMAP_API int iomap_sim_watch(struct iomap_sim *sim, const char *oracles)
{
	uint64_t watched = 0;

	if (!oracles)
		return -EINVAL;
	while (*(oracles += strspn(oracles, " "))) {
		unsigned n = number_of(oracles, &oracles);

		if (!n || (*oracles && *oracles != ' '))
			return -EINVAL;
		watched |= BIT(n);
	}
	sim->watched |= watched;
	return 0;
}

IOMAP_API int iomap_sim_oracle(const struct iomap_sim *sim, const char *oracle,
			       struct iomap_sim_verdict *verdict)
{
	const char *end = "?";
	unsigned n;

	if (!verdict || verdict->struct_size < sizeof(*verdict) || !oracle)
		return -EINVAL;
	n = number_of(oracle, &end);
	if (!n || *end)
		return -ENOENT;
	verdict->evaluated = sim->oracles->evaluated[n];
	verdict->violated = sim->oracles->violated[n];
	return 0;
}

IOMAP_API const char *iomap_sim_violation(const struct iomap_sim *sim)
{
	return sim->oracles->first;
}

bool iomapi_sim_watches(const struct iomap_sim *sim, unsigned oracle)
{
	return (sim->watched | ALWAYS) & BIT(oracle);
}

void iomapi_sim_found(struct iomap_sim *sim, unsigned oracle, const char *format, ...)
{
	struct iomapi_sim_oracles *o = sim->oracles;
	char id[8], text[200];
	va_list args;

	o->violated[oracle]++;
	snprintf(id, sizeof(id), "O%u", oracle % IOMAP_SIM_ORACLES);
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (sim->run)
		iomap_sim_fail(sim, id, "%s", text);
	else if (!o->first[0])
		snprintf(o->first, sizeof(o->first), "%s: %s", id, text);
}
