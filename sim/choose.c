/* SPDX-License-Identifier: MIT */
/*
 * choose.c - the only place where a run can go one way or another.
 *
 * A long stream for choices (xoshiro256**, seeded through splitmix64; both are in the public
 * domain by their authors Blackman and Vigna) and draws that depend on a key alone.  Integers only.
 */
#include <endian.h>
#include <string.h>

#include "sim.h"

#define MAX_RECORD ((size_t)1 << 28)

static uint64_t scramble(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

uint64_t iomapi_sim_mix(uint64_t seed, uint64_t stream, uint64_t entity, uint64_t counter)
{
	uint64_t x = scramble(seed + 0x9e3779b97f4a7c15u);

	x = scramble((x ^ stream) + 0x9e3779b97f4a7c15u);
	x = scramble((x ^ entity) + 0x9e3779b97f4a7c15u);
	return scramble((x ^ counter) + 0x9e3779b97f4a7c15u);
}

uint64_t iomapi_sim_fold(uint64_t hash, uint64_t value)
{
	return scramble((hash ^ value) + 0x9e3779b97f4a7c15u);
}

/* The same bytes on every machine: words go in little-endian. */
static void put_word(uint8_t *mem, uint64_t word)
{
	word = htole64(word);
	memcpy(mem, &word, sizeof(word));
}

void iomapi_sim_noise(uint8_t *mem, size_t len, uint64_t seed, uint64_t stream, uint64_t entity)
{
	uint64_t key = iomapi_sim_mix(seed, stream, entity, 0);

	/* units are whole words */
	for (size_t i = 0; i + 8 <= len; i += 8)
		put_word(mem + i, scramble(key += 0x9e3779b97f4a7c15u));
}

void iomapi_sim_choice_init(struct iomapi_sim_choice *c, uint64_t seed)
{
	memset(c, 0, sizeof(*c));
	c->seed = seed;
	for (unsigned i = 0; i < 4; i++)
		c->state[i] = scramble(seed + (i + 1) * 0x9e3779b97f4a7c15u);
}

static uint64_t rotate(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static uint64_t next(struct iomapi_sim_choice *c)
{
	uint64_t *s = c->state, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

/* Multiply, and reject what would favour the small ones. */
static uint32_t bounded(struct iomapi_sim_choice *c, uint32_t n)
{
	uint32_t floor = -n % n;

	for (;;) {
		uint64_t product = (next(c) >> 32) * n;

		if ((uint32_t)product >= floor)
			return (uint32_t)(product >> 32);
	}
}

static void record(struct iomapi_sim_choice *c, const char *site, uint32_t value, uint32_t n)
{
	if (c->nr_record == c->max_record) {
		size_t max = c->max_record * 2;
		struct iomapi_sim_made *more = NULL;

		if (max <= MAX_RECORD)
			more = iomapi_sim_grow(c->record, max * sizeof(*more));
		if (!more) {
			c->lost = true;
			return;
		}
		c->record = more;
		c->max_record = max;
	}
	c->record[c->nr_record++] = (struct iomapi_sim_made){ site, value, n };
}

uint32_t iomapi_sim_draw(struct iomapi_sim_choice *c, const char *site, uint32_t n)
{
	return iomapi_sim_take(c, site, c->replays ? 0 : bounded(c, n), n);
}

uint32_t iomapi_sim_take(struct iomapi_sim_choice *c, const char *site, uint32_t value, uint32_t n)
{
	if (c->replays)
		value = c->next < c->nr_replay ? c->replay[c->next++].value % n : 0;
	if (c->record)
		record(c, site, value, n);
	return value;
}

uint32_t iomapi_sim_made(struct iomapi_sim_choice *c, const char *site, uint32_t n, uint32_t value)
{
	if (c->record)
		record(c, site, value, n);
	return value;
}

bool iomapi_sim_rarely(struct iomap_sim *sim, const char *site)
{
	uint32_t n = sim->choice.still ? 2 : 4;

	return iomap_sim_choose(sim, site, n) == 1;	/* the same in both */
}

IOMAP_API uint32_t iomap_sim_choose(struct iomap_sim *sim, const char *site, uint32_t n)
{
	iomapi_sim_idle(sim);
	if (n < 2)
		return 0;
	if (iomapi_sim_is_late(sim))
		return (uint32_t)(sim->next_late++ % n);
	if (sim->choice.still && !strcmp(site, "latency"))
		n = 1;
	return iomapi_sim_draw(&sim->choice, site, n);
}
