/* SPDX-License-Identifier: MIT */
/*
 * test_sim_legal.c - crash images of the simulator, held to a checker that was written from the
 * text of the fault model alone: none is illegal, and of small works none is missing.
 */
#include "unit/legal_fixture.h"

/* Of each case: works that are drawn, and the length of those that are spelled. */
#ifdef TRACES			/* as legal_cases.c says */
#elif defined(NDEBUG)
#define TRACES	3000u
#define LETTERS	5u
#else
#define TRACES	600u
#define LETTERS	4u
#endif
#ifndef FIRST
#define FIRST	1u		/* seed */
#endif

/* ---- drawn ---- */

#define UNITS	8u

static uint32_t draw(struct world *w, const char *site, uint32_t n)
{
	return iomap_sim_choose(w->run->sim, site, n);
}

static void one_command(struct world *w)
{
	static const uint8_t ops[] = {
		IOMAP_BIO_WRITE, IOMAP_BIO_WRITE, IOMAP_BIO_WRITE, IOMAP_BIO_WRITE, IOMAP_BIO_WRITE,
		IOMAP_BIO_FLUSH, IOMAP_BIO_FLUSH, IOMAP_BIO_DISCARD, IOMAP_BIO_WRITE_ZEROES,
		IOMAP_BIO_READ,
	};
	enum iomap_bio_op op = ops[draw(w, "op", 10)];
	uint32_t nr = 1 + draw(w, "units", LEGAL_BLOCKS), first = draw(w, "unit", UNITS);
	unsigned queue = draw(w, "queue", 2), fua = draw(w, "fua", 4) ? 0 : IOMAP_BIO_FUA;

	if (nr > UNITS - first)
		nr = UNITS - first;
	if (op == IOMAP_BIO_FLUSH)
		first = nr = 0;
	send(w, queue, op, first, nr, op == IOMAP_BIO_WRITE ? fua : 0);
}

/* To a zone; writes mostly where they can be. */
static void one_zone_command(struct world *w)
{
	static const uint8_t ops[] = {
		IOMAP_BIO_ZONE_APPEND, IOMAP_BIO_ZONE_APPEND, IOMAP_BIO_ZONE_APPEND,
		IOMAP_BIO_ZONE_APPEND, IOMAP_BIO_WRITE, IOMAP_BIO_WRITE, IOMAP_BIO_ZONE_RESET,
		IOMAP_BIO_ZONE_FINISH, IOMAP_BIO_FLUSH, IOMAP_BIO_FLUSH, IOMAP_BIO_READ,
	};
	enum iomap_bio_op op = ops[draw(w, "op", sizeof(ops))];
	uint32_t zone = draw(w, "zone", UNITS / w->dev.zone), first = zone * w->dev.zone;
	uint32_t nr = 1 + draw(w, "units", w->dev.capacity);
	unsigned fua = draw(w, "fua", 4) ? 0 : IOMAP_BIO_FUA;
	bool data = op == IOMAP_BIO_WRITE || op == IOMAP_BIO_ZONE_APPEND;

	if (op == IOMAP_BIO_WRITE)
		first += draw(w, "unit", 3) ? pointer_of(w, zone) : draw(w, "unit", w->dev.zone);
	if (op == IOMAP_BIO_FLUSH || !(data || op == IOMAP_BIO_READ))
		nr = 0;
	if (nr > UNITS - first)
		nr = UNITS - first;
	if (nr || !data)
		send(w, draw(w, "queue", 2), op, op == IOMAP_BIO_FLUSH ? 0 : first, nr,
		     data ? fua : 0);
}

static int draw_work(struct world *w)
{
	uint32_t nr = 4 + draw(w, "length", 9);

	for (uint32_t i = 0; i < nr; i++) {
		uint32_t pause = draw(w, "pause", 8);

		w->dev.zone ? one_zone_command(w) : one_command(w);
		for (; pause && pause < 5; pause--)
			iomapi_sim_step(w->run->sim);
		if (pause == 7)
			wait_all(w);
	}
	return 0;
}

static const char *const scripts[] = {
	NULL, NULL, NULL, "at write nth=2 kind=eio_write", "at write nth=3 kind=landed",
	"at write nth=1 kind=torn", "at flush nth=1 kind=flush_error",
	"at flush nth=1 kind=flush_error_drops", "at write nth=2 kind=lost",
	"at flush nth=1 kind=slow; at write nth=2 kind=slow", "at write nth=3 kind=short_write",
	"at write nth=2 kind=zero_length", "at nth=6 kind=removed", "at nth=7 kind=read_only",
	"at write nth=2 kind=timeout ns=20000", "at zeroes nth=1 kind=eio_write",
};

static const char *const zone_scripts[] = {
	NULL, NULL, NULL, "at append nth=2 kind=eio_write", "at append nth=3 kind=landed",
	"at append nth=1 kind=torn", "at flush nth=1 kind=flush_error",
	"at flush nth=1 kind=flush_error_drops", "at append nth=2 kind=lost",
	"at flush nth=1 kind=slow; at append nth=2 kind=slow", "at reset nth=1 kind=eio_write",
	"at finish nth=1 kind=eio_write", "at nth=6 kind=removed", "at nth=7 kind=read_only",
	"at append nth=2 kind=timeout ns=20000", "at write nth=1 kind=eio_write",
};

static const char *script_of(const struct world *w, uint64_t seed)
{
	size_t i = seed % (sizeof(scripts) / sizeof(*scripts));

	return w->dev.zone ? zone_scripts[i] : scripts[i];
}

static void draw_traces(const struct iomap_sim_profile *profile, uint64_t nr, uint64_t *images)
{
	struct world *w = malloc(sizeof(*w));

	ck_assert_ptr_nonnull(w);
	world_start(w, profile, UNITS, draw_work);
	for (uint64_t seed = FIRST; seed < FIRST + nr; seed++) {
		struct iomapi_sim_plan plan = {
			.seed = seed, .stride = 1, .images = 2, .max_images = seed % 8 ? 0 : 6,
			.faults = script_of(w, seed),
		};

		world_run(w, &plan);
	}
	*images += w->nr_images;
	world_stop(w);
	free(w);
}

static void draw_preset(const char *preset)
{
	uint64_t images = 0;

	draw_traces(iomap_sim_preset(preset), TRACES, &images);
	printf("%s: %u traces, %llu images, all accepted\n", preset, TRACES,
	       (unsigned long long)images);
}

CASE(drawn_plp, "O1", "No cache: no image is illegal")
{
	draw_preset("plp");
}

CASE(drawn_consumer, "O1", "A cache: no image is illegal")
{
	draw_preset("consumer");
}

CASE(drawn_atomic16k, "O1", "Writes of four units that do not tear: no image is illegal")
{
	draw_preset("atomic16k");
}

CASE(drawn_sata512e, "O1", "Neighbours that are hurt: no image is illegal")
{
	draw_preset("sata512e");
}

CASE(drawn_multiqueue, "O1", "An order on each queue: no image is illegal")
{
	draw_preset("multiqueue");
}

CASE(drawn_cruel, "O1", "Everything that is allowed: no image is illegal")
{
	draw_preset("cruel");
}

CASE(drawn_fifo, "O1", "An order: no image is illegal")
{
	draw_preset("fifo");
}

CASE_TIMEOUT(drawn_zones, "O1", "Zones: no image is illegal, and no pointer", 100)
{
	struct iomap_sim_profile p = *iomap_sim_preset("zoned");
	uint64_t images = 0;

	p.zone_size = 4 * p.logical_block;
	p.zone_capacity = p.max_append = 3 * p.logical_block;
	p.max_open_zones = 0;
	for (unsigned n = 0; n < 12; n++) {
		p.volatile_cache = n % 4;
		p.fua = n % 2 ? IOMAP_SIM_FUA_NATIVE : IOMAP_SIM_FUA_EMULATED;
		p.atomic_normal = p.atomic_power_fail = p.logical_block << n / 4;
		p.atomic_boundary = n % 3 ? 0 : 4 * p.logical_block;
		draw_traces(&p, TRACES / 4, &images);
	}
	printf("zones: %u traces, %llu images, all accepted\n", 12 * (TRACES / 4),
	       (unsigned long long)images);
}

#define MIXTURES	48u

/* Each property with and without each other one. */
static void mix(struct iomap_sim_profile *p, unsigned n)
{
	static const uint8_t orders[] = {
		IOMAP_SIM_ORDER_ANY, IOMAP_SIM_ORDER_PER_QUEUE, IOMAP_SIM_ORDER_FIFO,
	};

	*p = *iomap_sim_preset(n & 1 ? "cruel" : "atomic16k");
	p->volatile_cache = n & 2;
	p->shorn_sectors = n & 4;
	p->power_safe_overwrite = n & 8;
	p->nr_queues = 2;
	p->order = orders[n >> 4];
	p->atomic_normal = p->atomic_power_fail = p->logical_block << (n & 6) / 2 % 3;
	p->discard = n & 4 ? IOMAP_SIM_DISCARD_ONES : IOMAP_SIM_DISCARD_ANY;
}

CASE_TIMEOUT(drawn_mixtures, "O1", "Properties that no preset has together: no image is illegal",
	     100)
{
	uint64_t images = 0;

	for (unsigned n = 0; n < MIXTURES; n++) {
		struct iomap_sim_profile p;

		mix(&p, n);
		draw_traces(&p, TRACES / 16, &images);
	}
	printf("mixtures: %u traces, %llu images, all accepted\n", MIXTURES * (TRACES / 16),
	       (unsigned long long)images);
}

/* ---- all ---- */

/* What a work is spelled with; s: one event, w: all of them. */
static const struct letter {
	char name;
	uint8_t op, first, nr, queue;
	uint16_t flags;
} letters[] = {
	{ '0', IOMAP_BIO_WRITE, 0, 1, 0, 0 }, { '1', IOMAP_BIO_WRITE, 1, 1, 0, 0 },
	{ '2', IOMAP_BIO_WRITE, 2, 1, 0, 0 }, { 'a', IOMAP_BIO_WRITE, 0, 2, 0, 0 },
	{ 'b', IOMAP_BIO_WRITE, 1, 2, 0, 0 }, { 'F', IOMAP_BIO_WRITE, 0, 1, 0, IOMAP_BIO_FUA },
	{ 'G', IOMAP_BIO_WRITE, 0, 2, 0, IOMAP_BIO_FUA }, { 'f', IOMAP_BIO_FLUSH, 0, 0, 0, 0 },
	/* the same on the other queue */
	{ 'x', IOMAP_BIO_WRITE, 0, 1, 1, 0 }, { 'y', IOMAP_BIO_WRITE, 1, 1, 1, 0 },
	{ 'X', IOMAP_BIO_WRITE, 1, 1, 1, IOMAP_BIO_FUA }, { 'g', IOMAP_BIO_FLUSH, 0, 0, 1, 0 },
	/* a zone, and another that begins at the third unit */
	{ 'A', IOMAP_BIO_ZONE_APPEND, 0, 1, 0, 0 }, { 'B', IOMAP_BIO_ZONE_APPEND, 0, 2, 0, 0 },
	{ 'C', IOMAP_BIO_ZONE_APPEND, 0, 1, 0, IOMAP_BIO_FUA },
	{ 'R', IOMAP_BIO_ZONE_RESET, 0, 0, 0, 0 }, { 'E', IOMAP_BIO_ZONE_FINISH, 0, 0, 0, 0 },
	{ 'Z', IOMAP_BIO_ZONE_APPEND, 2, 1, 0, 0 }, { 'S', IOMAP_BIO_ZONE_RESET, 2, 0, 0, 0 },
};
static const char *alphabet;
static uint32_t length;

static void spell(struct world *w, char name)
{
	if (name == 's')
		iomapi_sim_step(w->run->sim);
	if (name == 'w')
		wait_all(w);
	for (size_t i = 0; i < sizeof(letters) / sizeof(*letters); i++) {
		const struct letter *l = &letters[i];

		if (l->name == name)
			send(w, l->queue, (enum iomap_bio_op)l->op, l->first, l->nr, l->flags);
	}
}

static int spelled_work(struct world *w)
{
	uint32_t nr = (uint32_t)strlen(alphabet);

	for (uint32_t i = 0; i < length; i++) {
		uint32_t letter = draw(w, "op", nr + 1);

		if (!letter)
			break;
		spell(w, alphabet[letter - 1]);
	}
	return 0;
}

static void all_works(struct world *w, const char *script)
{
	static struct iomapi_sim_trace path;	/* of a case that fails nobody frees it */
	const struct iomapi_sim_plan plan = {
		.path = &path, .stride = 1, .max_images = UINT64_MAX, .faults = script,
	};
	int more;

	path.nr = 0;
	do {
		world_run(w, &plan);
		ck_assert(!w->run->cut_short);
		more = iomapi_sim_next_path(&path, &w->run->records[1]);
	} while (more == 1);
	ck_assert_int_eq(more, 0);
	iomapi_sim_trace_free(&path);
}

struct list {
	const char *letters, *script;
	uint32_t units, physical, atomic, fewer;	/* letters of a work */
	uint32_t zone, capacity;
	uint8_t order;
	bool emulated, no_cache, shorn, hurts;
};

static struct iomap_sim_profile profile_of(const struct list *list)
{
	struct iomap_sim_profile p = *iomap_sim_preset("consumer");

	p.logical_block = 512;
	p.physical_block = 512 * (list->physical ? list->physical : 1);
	p.atomic_normal = p.atomic_power_fail = 512 * (list->atomic ? list->atomic : 1);
	p.nr_queues = list->order == IOMAP_SIM_ORDER_PER_QUEUE ? 2 : 1;
	p.order = list->order;
	if (list->emulated)
		p.fua = IOMAP_SIM_FUA_EMULATED;
	p.volatile_cache = !list->no_cache;
	p.shorn_sectors = list->shorn;
	p.power_safe_overwrite = !list->hurts;
	p.discard = list->zone ? IOMAP_SIM_DISCARD_ZEROS : IOMAP_SIM_DISCARD_ANY;
	p.zone_size = 512 * list->zone;
	p.zone_capacity = p.max_append = 512 * list->capacity;
	return p;
}

static void list_all(const char *what, const struct list *list)
{
	struct iomap_sim_profile p = profile_of(list);
	struct world *w = malloc(sizeof(*w));

	ck_assert_ptr_nonnull(w);
	world_start(w, &p, list->units ? list->units : 3, spelled_work);
	w->collects = true;
	alphabet = list->letters;
	length = (t_sanitized() ? 3 : LETTERS) - list->fewer;
	all_works(w, list->script);
	ck_assert_uint_eq(w->nr_generated, w->nr_accepted);
	printf("%s: %llu works, %llu crashes: %llu images generated = %llu accepted\n", what,
	       (unsigned long long)w->nr_traces, (unsigned long long)w->nr_crashes,
	       (unsigned long long)w->nr_generated, (unsigned long long)w->nr_accepted);
	world_stop(w);
	free(w);
}

CASE_TIMEOUT(all_with_a_cache, "O1", "Any order: what is found is what may be found", 280)
{
	list_all("all_with_a_cache", &(struct list){
		.letters = "012aFfsw",
	});
}

CASE_TIMEOUT(all_groups, "O1", "Two units that do not tear", 280)
{
	list_all("all_groups", &(struct list){
		.letters = "0abGfsw", .atomic = 2,
	});
}

CASE_TIMEOUT(all_fifo, "O1", "An order: prefixes, and no others", 280)
{
	list_all("all_fifo", &(struct list){
		.letters = "01abFfsw", .order = IOMAP_SIM_ORDER_FIFO,
	});
}

CASE_TIMEOUT(all_queues, "O1", "An order on each of two queues", 280)
{
	list_all("all_queues", &(struct list){
		.letters = "0axyXgsw", .order = IOMAP_SIM_ORDER_PER_QUEUE,
	});
}

CASE_TIMEOUT(all_shorn, "O1", "What was in flight is garbage, or cannot be read", 280)
{
	list_all("all_shorn", &(struct list){
		.letters = "01aFfsw", .shorn = true,
	});
}

CASE_TIMEOUT(all_fifo_shorn, "O1", "The same at the end of a prefix", 280)
{
	list_all("all_fifo_shorn", &(struct list){
		.letters = "01aFsw", .order = IOMAP_SIM_ORDER_FIFO,
		.shorn = true,
	});
}

CASE_TIMEOUT(all_hurt, "O1", "Neighbours in a physical block of two units are hurt", 280)
{
	list_all("all_hurt", &(struct list){
		.letters = "0bfsw", .units = 4, .physical = 2, .hurts = true,
	});
}

CASE_TIMEOUT(all_no_cache, "O1", "What completed is durable", 280)
{
	list_all("all_no_cache", &(struct list){
		.letters = "012absw", .no_cache = true,
	});
}

CASE_TIMEOUT(all_emulated, "O1", "A flush behind each write with FUA", 280)
{
	list_all("all_emulated", &(struct list){
		.letters = "01aFfsw", .emulated = true,
	});
}

CASE_TIMEOUT(all_failed, "O1", "A write that failed may be found or not", 280)
{
	list_all("all_failed", &(struct list){
		.letters = "01aFfsw", .script = "at write nth=1 kind=eio_write",
	});
}

CASE_TIMEOUT(all_failed_groups, "O1", "The same of two units that do not tear", 280)
{
	list_all("all_failed_groups", &(struct list){
		.letters = "0aGfsw", .atomic = 2,
		.script = "at write nth=1 kind=eio_write",
	});
}

CASE_TIMEOUT(all_failed_fifo, "O1", "What fails has no place in an order", 280)
{
	list_all("all_failed_fifo", &(struct list){
		.letters = "01aFfsw", .order = IOMAP_SIM_ORDER_FIFO,
		.script = "at write nth=1 kind=eio_write",
	});
}

CASE_TIMEOUT(all_failed_shorn, "O1", "What failed may be unreadable", 280)
{
	list_all("all_failed_shorn", &(struct list){
		.letters = "0aFfsw", .shorn = true,
		.script = "at write nth=1 kind=eio_write",
	});
}

CASE_TIMEOUT(all_dropped, "O1", "A flush that failed has thrown away what it was to cover", 280)
{
	list_all("all_dropped", &(struct list){
		.letters = "01aFfsw", .script = "at flush nth=1 kind=flush_error_drops",
	});
}

CASE_TIMEOUT(all_dropped_fifo, "O1", "The same with an order", 280)
{
	list_all("all_dropped_fifo", &(struct list){
		.letters = "01aFfsw", .order = IOMAP_SIM_ORDER_FIFO,
		.script = "at flush nth=1 kind=flush_error_drops",
	});
}

CASE_TIMEOUT(all_overtaken, "O1", "The second command is behind the third", 280)
{
	list_all("all_overtaken", &(struct list){
		.letters = "01aFfsw", .script = "at nth=2 kind=slow ns=1500",
	});
}

CASE_TIMEOUT(all_overtaken_flush, "O1", "The first flush completes behind the second", 280)
{
	list_all("all_overtaken_flush", &(struct list){
		.letters = "01aFfsw", .script = "at flush nth=1 kind=slow ns=3500",
	});
}

CASE_TIMEOUT(all_overtaken_groups, "O1", "The first of writes that do not tear is the last", 280)
{
	list_all("all_overtaken_groups", &(struct list){
		.letters = "0abGfsw", .atomic = 2,
		.script = "at nth=1 kind=slow ns=1500",
	});
}

CASE_TIMEOUT(all_zones, "O1", "A zone of three units: prefixes, and no others", 280)
{
	list_all("all_zones", &(struct list){
		.letters = "01ABfsw", .units = 4, .zone = 4, .capacity = 3,
	});
}

CASE_TIMEOUT(all_zones_reset, "O1", "Resets and finishes: the old pointer or the new one", 280)
{
	list_all("all_zones_reset", &(struct list){
		.letters = "ABREfsw", .units = 4, .zone = 4, .capacity = 3,
	});
}

CASE_TIMEOUT(all_zones_two, "O1", "Two zones that do not depend on each other", 280)
{
	list_all("all_zones_two", &(struct list){
		.letters = "ACRZSfsw", .units = 4, .zone = 2, .capacity = 2,
	});
}

CASE_TIMEOUT(all_zones_groups, "O1", "Appends of two units that do not tear", 280)
{
	list_all("all_zones_groups", &(struct list){
		.letters = "ABRfsw", .units = 4, .zone = 4, .capacity = 3, .atomic = 2,
	});
}

CASE_TIMEOUT(all_zones_no_cache, "O1", "What completed is durable, resets too", 280)
{
	list_all("all_zones_no_cache", &(struct list){
		.letters = "0ABREsw", .units = 4, .zone = 4, .capacity = 3, .no_cache = true,
	});
}

CASE_TIMEOUT(all_zones_emulated, "O1", "A flush behind each append with FUA", 280)
{
	list_all("all_zones_emulated", &(struct list){
		.letters = "ACRZfsw", .units = 4, .zone = 2, .capacity = 2, .emulated = true,
	});
}

CASE_TIMEOUT(all_zones_failed, "O1", "The first append fails: no hole before the second", 280)
{
	list_all("all_zones_failed", &(struct list){
		.letters = "ABRfsw", .units = 4, .zone = 4, .capacity = 3,
		.script = "at append nth=1 kind=eio_write",
	});
}

CASE_TIMEOUT(all_zones_failed_reset, "O1", "A reset that failed has happened or not", 280)
{
	list_all("all_zones_failed_reset", &(struct list){
		.letters = "ABRfsw", .units = 4, .zone = 4, .capacity = 3,
		.script = "at reset nth=1 kind=eio_write",
	});
}

CASE_TIMEOUT(all_zones_dropped, "O1", "Thrown away by a flush that failed, but under what is kept",
	     280)
{
	list_all("all_zones_dropped", &(struct list){
		.letters = "ABCRfsw", .units = 4, .zone = 4, .capacity = 3,
		.script = "at flush nth=1 kind=flush_error_drops",
	});
}

CASE_TIMEOUT(all_zones_overtaken, "O1", "The first command is behind the third", 280)
{
	list_all("all_zones_overtaken", &(struct list){
		.letters = "01ABRfsw", .units = 4, .zone = 4, .capacity = 3,
		.script = "at nth=1 kind=slow ns=1500",
	});
}

MAIN()
