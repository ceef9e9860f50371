/* SPDX-License-Identifier: MIT */
/*
 * fuzz.h - what the targets share: one input is one call, and what must hold ends the process.
 */
#ifndef T_FUZZ_H
#define T_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define must(x) do { \
	if (!(x)) { \
		fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
		abort(); \
	} \
} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nr_bytes);

/* A string of them; freed by the caller. */
static inline char *text_of(const uint8_t *bytes, size_t nr_bytes)
{
	char *text = malloc(nr_bytes + 1);

	must(text);
	if (nr_bytes)
		memcpy(text, bytes, nr_bytes);
	text[nr_bytes] = 0;
	return text;
}

#endif
