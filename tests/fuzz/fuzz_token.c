/* SPDX-License-Identifier: MIT */
/*
 * fuzz_token.c - any text as a token.
 *
 * Once as it is; and once as what is between the name of a case and the check, which are put around
 * it, for a fuzzer would not find a check.  A token that is accepted means the same when it is
 * printed and read again, is then printed as before, and runs to the same end twice.
 */
#include <errno.h>

#include "fuzz/fuzz.h"

#include "sim/explore.h"

#define BLOCK	4096u
#define MAX	70000u			/* letters of a token, printed */

/* ---- a small case ---- */

static int work(struct iomap_sim *sim, void *arg)
{
	uint8_t mem[BLOCK];
	int64_t n = 0;

	(void)arg;
	for (unsigned i = 0; n >= 0 && i < 4; i++) {
		uint32_t op = iomap_sim_choose(sim, "op", 4);

		if (!op)
			break;
		memset(mem, (int)i + 1, sizeof(mem));
		if (op == 1)
			n = iomap_sim_flush(sim, "disk");
		else
			n = iomap_sim_pwrite(sim, "disk", mem, BLOCK,
					     iomap_sim_choose(sim, "block", 4) * BLOCK,
					     op == 2 ? IOMAP_BIO_FUA : 0);
	}
	return 0;
}

/* A recovery that writes, so that power may go there too. */
static int recover(struct iomap_sim *sim, void *arg)
{
	uint8_t mem[BLOCK];

	(void)arg;
	if (iomap_sim_pread(sim, "disk", mem, BLOCK, 0) == BLOCK)
		iomap_sim_pwrite(sim, "disk", mem, BLOCK, 3 * BLOCK, 0);
	return mem[0] == 2 && mem[1] == 3;	/* never */
}

static int check(struct iomap_sim *sim, void *arg)
{
	uint8_t mem[BLOCK];

	(void)arg;
	if (iomap_sim_pread(sim, "disk", mem, BLOCK, 2 * BLOCK) == BLOCK && mem[0] == 3)
		return iomap_sim_fail(sim, "three", "the third write is there");
	return 0;
}

static const struct iomap_sim_dev disk = { .name = "disk", .preset = "consumer", .size = 65536 };
static const struct iomap_sim_case the_case = {
	.struct_size = sizeof(the_case), .name = "fuzz", .devs = &disk, .nr_devs = 1,
	.work = work, .recover = recover, .check = check,
};

/* ---- what must hold ---- */

static bool same_trace(const struct iomapi_sim_trace *a, const struct iomapi_sim_trace *b)
{
	size_t nr = a->nr > b->nr ? a->nr : b->nr;

	for (size_t i = 0; i < nr; i++)		/* what is missing is 0 */
		if ((i < a->nr ? a->made[i].value : 0) != (i < b->nr ? b->made[i].value : 0))
			return false;
	return true;
}

static bool same(const struct iomapi_sim_failure *a, const struct iomapi_sim_failure *b)
{
	if (a->seed != b->seed || a->event != b->event || a->event2 != b->event2 ||
	    a->image != b->image)
		return false;
	if (!same_trace(&a->work, &b->work) || !same_trace(&a->recover, &b->recover) ||
	    !same_trace(&a->recover2, &b->recover2))
		return false;
	return !a->faults == !b->faults && (!a->faults || !strcmp(a->faults, b->faults));
}

/* Printed, read and printed. */
static void there_and_back(const struct iomapi_sim_failure *f, bool traces)
{
	static char first[MAX], second[MAX];
	struct iomapi_sim_failure again;
	bool traces_again;

	if (!iomapi_sim_token(&the_case, f, traces, first, sizeof(first)))
		return;			/* it does not fit */
	must(!iomapi_sim_parse_token(&the_case, first, &again, &traces_again));
	must(traces == traces_again && same(f, &again));
	must(iomapi_sim_token(&the_case, &again, traces_again, second, sizeof(second)));
	must(!strcmp(first, second));
	iomapi_sim_failure_fini(&again);
}

/* Twice: the same result, by the same events. */
static void run(const char *token)
{
	struct iomap_sim_report a = { .struct_size = sizeof(a) }, b = a;
	int rc = iomap_sim_replay(&the_case, token, &a);

	must(rc == iomap_sim_replay(&the_case, token, &b));
	must(rc == 0 || rc == 1 || rc == -EINVAL);
	must(a.digest == b.digest && !strcmp(a.oracle, b.oracle) && !strcmp(a.token, b.token));
	must(!a.text == !b.text && (!a.text || !strcmp(a.text, b.text)));
	must(rc != 1 || *a.oracle);
	iomap_sim_report_fini(&a);
	iomap_sim_report_fini(&b);
}

static void one(const char *token)
{
	struct iomapi_sim_failure f;
	bool traces;
	int rc = iomapi_sim_parse_token(&the_case, token, &f, &traces);

	must(!rc || rc == -EINVAL);
	if (!rc) {
		there_and_back(&f, traces);
		iomapi_sim_failure_fini(&f);
	}
	run(token);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nr_bytes)
{
	char *text = text_of(bytes, nr_bytes), *token = malloc(nr_bytes + 32);
	size_t len;

	must(token);
	one(text);
	len = (size_t)sprintf(token, "fuzz:%s", text);
	sprintf(token + len, ":%x", (unsigned)(iomapi_sim_hash(token, len) & 0xffffff));
	one(token);
	free(token);
	free(text);
	return 0;
}
