/* SPDX-License-Identifier: MIT */
/*
 * legal_again.c - see legal_again.h.
 */
#include "harness/legal_again.h"

#define NOWHERE	251u		/* a token that no command has */

struct search {
	const struct legal *second;
	const uint8_t *seen, *image;
	uint32_t nr_units;
	bool found;
};

static bool agrees(const struct search *s, const uint8_t *base)
{
	for (uint32_t u = 0; u < s->nr_units; u++)
		if (s->seen[u] != LEGAL_NOT_SEEN && s->seen[u] != base[u])
			return false;
	return true;
}

static void try_base(void *arg, const uint8_t *base)
{
	struct search *s = arg;
	uint8_t image[LEGAL_UNITS];

	if (s->found || !agrees(s, base))
		return;
	for (uint32_t u = 0; u < s->nr_units; u++) {
		image[u] = s->image[u];
		if (image[u] == base[u])
			image[u] = LEGAL_INITIAL;
		else if (image[u] == LEGAL_INITIAL)
			image[u] = NOWHERE;	/* older than what was there */
	}
	s->found = legal_image(s->second, image);
}

bool legal_again(const struct legal *first, const uint8_t *seen, const struct legal *second,
		 const uint8_t *image)
{
	struct search s = {
		.second = second, .seen = seen, .image = image, .nr_units = first->dev.nr_units,
	};

	legal_each(first, try_base, &s);
	return s.found;
}
