/* SPDX-License-Identifier: MIT */
/*
 * test_sim_legal_again.c - crash images after a second cut, and of devices that break their
 * promises, held to the checker that was written from the text alone.
 */
#include "unit/legal_fixture.h"
#include "harness/legal_again.h"

#define UNITS	4u
#define TRACES	1500u

static uint32_t draw(struct iomap_sim *sim, const char *site, uint32_t n)
{
	return iomap_sim_choose(sim, site, n);
}

/* ---- promises that are broken ---- */

/* The checker is told what the device really does: nothing of a phantom write, no FUA where that is
 * ignored, a flush that covers nothing, another place. */
static void on_broken(void *arg, enum iomapi_sim_what what, const struct iomapi_sim_cmd *cmd)
{
	struct world *w = arg;
	struct legal_cmd c;

	if (cmd->hit.kind == IOMAPI_SIM_PHANTOM_WRITE) {
		next_crash(w, w->run->sim->nr_passed);
		return;
	}
	if (what != IOMAPI_SIM_PASS_ACCEPT || (cmd->hit.kind != IOMAPI_SIM_FUA_IGNORED &&
					       cmd->hit.kind != IOMAPI_SIM_MISDIRECTED_WRITE)) {
		on_event(arg, what, cmd);
		if (cmd->hit.kind == IOMAPI_SIM_FLUSH_LIES)
			w->next.status = -EIO;
		return;
	}
	next_crash(w, w->run->sim->nr_passed);
	w->next = (struct heard){ .what = what, .id = cmd->id };
	c = cmd_of(w, cmd, false);
	if (cmd->hit.kind == IOMAPI_SIM_FUA_IGNORED)
		c.fua = false;
	else
		c.token = LEGAL_GARBAGE;	/* its content belongs elsewhere */
	c.first = (uint32_t)iomapi_sim_first_unit(cmd);
	if (!legal_accept(&w->legal, &c))
		tell(w, "too many commands", NULL);
}

static const char *letters;

/* 0..3: a write of one unit; a, b: of two; F: with FUA; f: a flush; s: one event; w: all. */
static int spelled(struct world *w)
{
	for (unsigned i = 0; i < 4; i++) {
		uint32_t letter = draw(w->run->sim, "op", (uint32_t)strlen(letters) + 1);
		char c = letter ? letters[letter - 1] : 0;

		if (!c)
			break;
		if (c == 's')
			iomapi_sim_step(w->run->sim);
		else if (c == 'w')
			wait_all(w);
		else if (c == 'f')
			send(w, 0, IOMAP_BIO_FLUSH, 0, 0, 0);
		else if (c == 'F')
			send(w, 0, IOMAP_BIO_WRITE, 0, 1, IOMAP_BIO_FUA);
		else if (c >= 'a')
			send(w, 0, IOMAP_BIO_WRITE, (uint32_t)(c - 'a'), 2, 0);
		else
			send(w, 0, IOMAP_BIO_WRITE, (uint32_t)(c - '0'), 1, 0);
	}
	return 0;
}

static struct iomap_sim_profile small(const char *preset)
{
	struct iomap_sim_profile p = *iomap_sim_preset(preset);

	p.logical_block = p.physical_block = 512;
	p.atomic_normal = p.atomic_power_fail = 512;
	p.atomic_boundary = 0;
	return p;
}

static void all_broken(const char *preset, const char *alphabet, const char *script)
{
	const struct iomap_sim_profile p = small(preset);
	struct iomapi_sim_trace path = { 0 };
	const struct iomapi_sim_plan plan = {
		.path = &path, .stride = 1, .max_images = UINT64_MAX, .faults = script,
	};
	struct world *w = malloc(sizeof(*w));

	ck_assert_ptr_nonnull(w);
	letters = alphabet;
	world_start(w, &p, 3, spelled);
	w->collects = true;
	w->run->on_event = on_broken;
	do {
		world_run(w, &plan);
	} while (iomapi_sim_next_path(&path, &w->run->records[1]) == 1);
	printf("%s, %s: %u traces, %u crashes, %u generated, %u accepted\n", preset, script,
	       (unsigned)w->nr_traces, (unsigned)w->nr_crashes, (unsigned)w->nr_generated,
	       (unsigned)w->nr_accepted);
	ck_assert_uint_eq(w->nr_generated, w->nr_accepted);
	ck_assert_uint_gt(w->nr_crashes, 500);
	iomapi_sim_trace_free(&path);
	world_stop(w);
	free(w);
}

CASE_TIMEOUT(all_lying_flushes, "O1", "They cover nothing, a later one does: all of it, no more",
	     100)
{
	all_broken("consumer", "01fw", "at flush nth=1 kind=flush_lies");
	all_broken("fifo", "01fw", "at flush nth=1 kind=flush_lies");
}

CASE_TIMEOUT(all_ignored_fua, "O7", "In the cache like any other: all of it, no more", 100)
{
	all_broken("consumer", "01Fw", "at write nth=1 kind=fua_ignored");
	all_broken("consumer", "0Ffw", "at write nth=1 kind=fua_ignored");
}

CASE_TIMEOUT(all_phantoms, "O1", "As if it had never been sent: all of it, no more", 100)
{
	all_broken("consumer", "0afw", "at write nth=2 kind=phantom_write");
	all_broken("plp", "0a1w", "at write nth=1 kind=phantom_write");
}

CASE_TIMEOUT(all_misdirected, "O1", "There instead of here: all of it, no more", 100)
{
	all_broken("consumer", "01w", "at write nth=2 kind=misdirected_write");
	all_broken("consumer", "0fw", "at write nth=1 kind=misdirected_write");
}

/* ---- a second cut ---- */

#define COMMANDS	5u

struct again {
	struct world w;
	struct { enum legal_op op; uint8_t token, first; uint64_t event; } commands[COMMANDS];
	unsigned nr;
	uint8_t seen[UNITS];
	bool written[UNITS];
	uint64_t nr_second;
};

static int draw_work(struct world *w)
{
	for (uint32_t nr = 2 + draw(w->run->sim, "length", 4); nr; nr--) {
		uint32_t op = draw(w->run->sim, "op", 6), first = draw(w->run->sim, "unit", UNITS);

		if (!op)
			wait_all(w);
		else if (op == 1)
			send(w, draw(w->run->sim, "queue", 2), IOMAP_BIO_FLUSH, 0, 0, 0);
		else
			send(w, draw(w->run->sim, "queue", 2), IOMAP_BIO_WRITE, first,
			     1 + (op > 3 && first + 1 < UNITS), op == 2 ? IOMAP_BIO_FUA : 0);
		if (draw(w->run->sim, "pause", 2))
			iomapi_sim_step(w->run->sim);
	}
	return 0;
}

static int one_command(struct again *a, struct iomap_sim *sim)
{
	uint64_t mem[512 / 8];
	uint8_t unit = (uint8_t)draw(sim, "unit", UNITS), op = (uint8_t)draw(sim, "op", 5);
	int64_t n;

	if (op < 2) {
		n = iomap_sim_pread(sim, "disk", mem, 512, unit * 512u);
		if (n == 512 && !a->written[unit])
			a->seen[unit] = token_of(&a->w, mem, unit);
		return n == 512 ? 0 : -EIO;
	}
	a->commands[a->nr].op = op == 2 ? LEGAL_FLUSH : LEGAL_WRITE;
	a->commands[a->nr].event = sim->nr_passed;
	a->commands[a->nr].first = unit;
	a->commands[a->nr].token = (uint8_t)(200 + a->nr);
	a->nr++;
	if (op == 2)
		return iomap_sim_flush(sim, "disk");
	a->written[unit] = true;
	fill(&a->w, mem, (uint8_t)(200 + a->nr - 1), unit, 1);
	return iomap_sim_pwrite(sim, "disk", mem, 512, unit * 512u, 0) == 512 ? 0 : -EIO;
}

/* Once: the second recovery does nothing. */
static int recover_by_commands(struct iomap_sim *sim, void *arg)
{
	struct again *a = arg;
	int rc = 0;

	if (sim->run->depth != 2)
		return 0;
	if (sim->run->event[1] && sim->run->event[1] != a->w.event)
		next_crash(&a->w, sim->run->event[1]);
	a->nr = 0;
	memset(a->seen, LEGAL_NOT_SEEN, sizeof(a->seen));
	memset(a->written, 0, sizeof(a->written));
	for (unsigned i = 0; !rc && i < COMMANDS; i++)
		rc = one_command(a, sim);
	return rc;
}

/* A plain command is accepted, takes effect, completes and is heard of, one event after the other;
 * power went before event cut. */
static void play(const struct again *a, struct legal *second, uint64_t cut)
{
	legal_start(second, &a->w.dev);
	for (unsigned i = 0; i < a->nr; i++) {
		uint64_t past = cut - 1 - a->commands[i].event;
		struct legal_cmd c = {
			.id = i, .op = a->commands[i].op, .token = a->commands[i].token,
			.first = a->commands[i].first,
		};

		c.nr = c.op == LEGAL_WRITE;
		ck_assert(legal_accept(second, &c));
		if (past >= 2)
			ck_assert(legal_linearise(second, i));
		if (past >= 3)
			ck_assert(legal_complete(second, i, 0, false));
	}
}

static int judge(struct iomap_sim *sim, void *arg)
{
	struct again *a = arg;
	struct legal second;
	uint8_t image[LEGAL_UNITS];

	if (sim->run->depth != 3)
		return 0;
	play(a, &second, sim->run->event[2]);
	read_image(&a->w, sim, image);
	a->nr_second++;
	if (!legal_again(&a->w.legal, a->seen, &second, image)) {
		tell(&a->w, "not legal after the second cut", image);
		return 1;
	}
	return 0;
}

static void cut_twice(const char *preset)
{
	const struct iomap_sim_profile p = small(preset);
	struct again *a = calloc(1, sizeof(*a));

	ck_assert_ptr_nonnull(a);
	world_start(&a->w, &p, UNITS, draw_work);
	a->w.c.recover = recover_by_commands;
	a->w.c.check = judge;
	for (uint64_t seed = 1; seed <= TRACES; seed++) {
		const struct iomapi_sim_plan plan = { .seed = seed, .stride = 1, .images = 4 };

		world_run(&a->w, &plan);
	}
	printf("%s: %u traces, %u images after a second cut, all accepted\n", preset, TRACES,
	       (unsigned)a->nr_second);
	ck_assert_uint_gt(a->nr_second, 10 * TRACES);
	world_stop(&a->w);
	free(a);
}

CASE_TIMEOUT(twice_consumer, "O9", "A cache: no image after a second cut is illegal", 100)
{
	cut_twice("consumer");
}

CASE_TIMEOUT(twice_plp, "O9", "No cache: no image after a second cut is illegal", 100)
{
	cut_twice("plp");
}

CASE_TIMEOUT(twice_in_order, "O9", "With an order: no image after a second cut is illegal", 100)
{
	cut_twice("fifo");
	cut_twice("multiqueue");
}

MAIN()
