/* SPDX-License-Identifier: MIT */
/*
 * fuzz_script.c - any text as a fault script.
 *
 * It arms rules, as many as it has, or none; then it says where in the text the mistake is.  What
 * was armed happens to a few commands and a power cut.
 */
#include <errno.h>

#include <iomap/sim.h>

#include "fuzz/fuzz.h"

#define BLOCK	4096u
#define SIZE	65536u

static uint64_t nr_armed(const struct iomap_sim *sim)
{
	uint64_t nr = 0;
	const char *kind;

	for (unsigned k = 0; (kind = iomap_sim_fault_kind(k)); k++) {
		struct iomap_sim_counter counter = { .struct_size = sizeof(counter) };

		must(!iomap_sim_fault_counters(sim, kind, &counter));
		must(counter.observed <= counter.fired);
		nr += counter.armed;
	}
	return nr;
}

/* The rules of a script that has no mistake. */
static uint64_t nr_rules(const char *script)
{
	uint64_t nr = 0;

	while (*script) {
		script += strspn(script, " \t\r\n;");
		nr += *script && strncmp(script, "stay", 4) != 0;	/* that is no rule */
		script += strcspn(script, ";");
	}
	return nr;
}

/* "line 3, column 7: .." is a place of the text, its end at most. */
static void check_place(const char *script, const char *error)
{
	unsigned line, column;
	int n = 0;

	must(sscanf(error, "line %u, column %u: %n", &line, &column, &n) == 2 && n);
	must(error[n] && line && column);
	while (--line) {
		script = strchr(script, '\n');
		must(script);
		script++;
	}
	must(column <= strcspn(script, "\n") + 1);
}

static void use(struct iomap_sim *sim, const char *dev)
{
	static uint8_t mem[4 * BLOCK];

	for (unsigned i = 0; i < 3; i++) {
		iomap_sim_pwrite(sim, dev, mem, 2 * BLOCK, i * BLOCK, 0);
		iomap_sim_start_write(sim, dev, mem, BLOCK, 0, IOMAP_BIO_FUA);
		iomap_sim_start_write(sim, dev, mem, 4 * BLOCK, 0, 0);
		iomap_sim_pread(sim, dev, mem, 4 * BLOCK, i * BLOCK);
		iomap_sim_wait_writes(sim);
		iomap_sim_discard(sim, dev, BLOCK, i * BLOCK);
		iomap_sim_flush(sim, dev);
		iomap_sim_pread(sim, dev, mem, BLOCK, 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nr_bytes)
{
	const struct iomap_sim_dev devs[] = {
		{ .name = "data", .preset = "cruel", .size = SIZE },
		{ .name = "log", .preset = "consumer", .size = SIZE },
	};
	const struct iomap_sim_opts opts = {
		.struct_size = sizeof(opts), .seed = nr_bytes, .devs = devs, .nr_devs = 2,
	};
	char *script = text_of(bytes, nr_bytes);
	struct iomap_sim *sim;
	int rc;

	must(!iomap_sim_new(&opts, &sim));
	rc = iomap_sim_fault(sim, script);
	must(!rc || rc == -EINVAL);
	must(nr_armed(sim) == (rc ? 0 : nr_rules(script)));
	if (rc)
		check_place(script, iomap_sim_fault_error(sim));
	else
		must(!*iomap_sim_fault_error(sim));
	if (!rc && *script) {
		must(!iomap_sim_cut_at(sim, 40 + nr_bytes % 40));
		use(sim, "data");
		use(sim, "log");
		must(!iomap_sim_is_off(sim) || !iomap_sim_power_on(sim));
		nr_armed(sim);
		must(!iomap_sim_fault(sim, NULL));
	}
	iomap_sim_delete(&sim);
	free(script);
	return 0;
}
