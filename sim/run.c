/* SPDX-License-Identifier: MIT */
/*
 * run.c - one execution of a case, and the crashes in it.
 *
 *	depth 0		the devices, formatted
 *	depth 1		work; right before some event..
 *	depth 2		..power goes: recover and check, and perhaps, in recover, ..
 *	depth 3		..once more
 *
 * Each depth is a level that is undone at its end, so that work goes on to the next crash as if
 * nothing had been, and the next seed begins with devices that are formatted already.  Choices are
 * recorded per depth: those of work until the crash, and those after it, are the way to a failure.
 *
 * Threads: one.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "oracle.h"
#include "task.h"

enum { KEY_WORK = 1001, KEY_CRASH, KEY_IMAGE, KEY_AGAIN };

/* ---- failures ---- */

/* The first one counts. */
static void fail(struct iomapi_sim_run *run, const char *where, int rc)
{
	struct iomapi_sim_failure *f = &run->failure;

	if (run->failed || run->error)
		return;
	run->failed = true;
	snprintf(f->oracle, sizeof(f->oracle), "%s", run->oracle[0] ? run->oracle : where);
	if (run->oracle[0])
		memcpy(f->text, run->text, sizeof(f->text));
	else
		snprintf(f->text, sizeof(f->text), "%s returned %d%s%s", where, rc,
			 run->sim->refused[0] ? "; refused: " : "", run->sim->refused);
	f->seed = run->plan->seed;
	f->policy = run->plan->policy;
	f->event = run->removal ? run->removal : run->depth > 1 ? run->event[1] : 0;
	f->event2 = run->depth > 2 ? run->event[2] : 0;
	f->image = run->image;
	f->restart = run->restart;
	f->removed = run->removed;
	f->exact = run->exact || run->plan->max_images || run->plan->path;
	run->made[run->depth] = run->sim->choice.nr_record;
	run->records[run->depth].made = run->sim->choice.record;
	f->work.nr = f->recover.nr = f->recover2.nr = 0;
	run->error = iomapi_sim_trace_copy(&f->work, run->records[1].made, run->made[1]);
	if (!run->error && run->depth > 1)
		run->error = iomapi_sim_trace_copy(&f->recover, run->records[2].made,
						   run->made[2]);
	if (!run->error && run->depth > 2)
		run->error = iomapi_sim_trace_copy(&f->recover2, run->records[3].made,
						   run->made[3]);
}

/* ---- depths ---- */

/* Choices from the seed, or those of a trace; recorded. */
static void set_choice(struct iomapi_sim_run *run, uint64_t seed,
		       const struct iomapi_sim_trace *replay)
{
	struct iomapi_sim_choice *c = &run->sim->choice;
	struct iomapi_sim_trace *record = &run->records[run->depth];

	iomapi_sim_choice_init(c, seed);
	c->still = run->plan->path || run->exact;
	memset(&run->sim->policy, 0, sizeof(run->sim->policy));
	if (run->depth == 1 || run->plan->policy.schedule == IOMAP_SIM_DEPTH_FIRST)
		run->sim->policy = run->plan->policy;
	if (replay) {
		c->replays = true;
		c->replay = replay->made;
		c->nr_replay = replay->nr;
	}
	c->record = record->made;
	c->max_record = record->max;
}

int iomapi_sim_go_down(struct iomapi_sim_run *run, bool cut, uint64_t seed,
		       const struct iomapi_sim_trace *replay)
{
	int rc = iomapi_sim_restart(run, cut);

	if (rc)
		return rc;
	run->depth++;
	set_choice(run, seed, replay);
	run->sim->pattern = cut && run->depth == 2 ? run->pattern : NULL;
	iomapi_sim_start_again(run);
	run->oracle[0] = 0;
	run->idle = 0;
	return 0;
}

void iomapi_sim_come_up(struct iomapi_sim_run *run)
{
	struct iomapi_sim_choice *c = &run->sim->choice;

	run->records[run->depth].made = c->record;
	run->records[run->depth].max = c->max_record;
	run->records[run->depth].nr = c->nr_record;
	run->digest = iomapi_sim_fold(run->digest, run->sim->digest);
	if (c->lost || iomapi_sim_out_of_memory(run->sim))
		run->error = -ENOMEM;
	iomapi_sim_leave(run->sim);
	run->depth--;
}

static int look(struct iomapi_sim_run *run)
{
	int rc = 0;

	if (run->c->recover) {
		rc = iomapi_sim_call(run->sim, run->c->recover, run->c->arg, false);
		if (rc || run->oracle[0]) {
			fail(run, "recover", rc);
			return 1;
		}
	}
	run->next_crash = 0;
	rc = iomapi_sim_check_content(run);
	if (!rc)
		iomapi_sim_judge_end(run->sim, "check");
	if (!rc && !run->oracle[0] && run->depth == 2 && run->c->recover &&
	    iomapi_sim_watches(run->sim, 8))
		iomapi_sim_look_again(run);
	if (rc || run->oracle[0])
		fail(run, "check", rc);
	return rc;
}

/* The event of recovery before which power goes a second time; 0: it does not.  Every other image
 * has one, somewhere in a recovery of usual length. */
static uint64_t second_crash(const struct iomapi_sim_run *run)
{
	uint64_t draw = iomapi_sim_mix(run->plan->seed, KEY_AGAIN, run->event[1], run->image);

	if (run->plan->like)
		return run->plan->like->event2;
	return draw % 2 && run->recover_events ? 1 + draw / 2 % run->recover_events : 0;
}

/* What there is after a cut, or after the end of work: a fresh engine looks at it. */
void iomapi_sim_look_below(struct iomapi_sim_run *run, bool cut,
			   const struct iomapi_sim_trace *replay)
{
	uint64_t next = run->next_crash, idle = run->idle, key;
	size_t nr_acks = run->nr_acks;
	int rc;

	run->made[run->depth] = run->sim->choice.nr_record;
	run->records[run->depth].made = run->sim->choice.record;
	run->event[run->depth] = cut ? run->sim->nr_passed : 0;
	run->event[run->depth + 1] = 0;
	if (run->depth == 1 && cut)
		run->restart = iomapi_sim_draw_restart(run);
	key = iomapi_sim_mix(run->plan->seed, KEY_IMAGE + run->depth,
			     run->event[1] << 20 ^ run->event[2], run->image);
	rc = iomapi_sim_go_down(run, cut, key, replay);
	if (rc) {
		run->error = rc;
		return;
	}
	run->nr_images++;
	run->next_crash = run->depth == 2 && cut ? second_crash(run) : 0;
	if (run->depth == 3)
		iomapi_sim_looked(run->sim, 9);
	look(run);
	if (run->depth == 2 && !cut)
		run->recover_events = run->sim->nr_passed;
	iomapi_sim_come_up(run);
	iomapi_sim_unack(run, nr_acks);
	run->idle = idle;
	run->oracle[0] = 0;
	run->next_crash = next;
}

/* ---- crashes ---- */

/* One in each stride of events. */
static uint64_t crash_after(const struct iomapi_sim_run *run, uint64_t event)
{
	uint64_t stride = run->plan->stride, k = event ? (event - 1) / stride + 1 : 0;

	return k * stride + 1 + iomapi_sim_mix(run->plan->seed, KEY_CRASH, k, 0) % stride;
}

/* Since the last crash nothing has changed that survives, nor could the engine do anything: it has
 * given no command, and has heard of none. */
static bool is_same(struct iomapi_sim_run *run)
{
	uint64_t now = iomapi_sim_mix(run->sim->nr_changes, run->nr_acks, 0, 0);
	bool same = run->depth == 1 && run->plan->stride && run->looked_at == now;

	if (run->depth == 1)
		run->looked_at = now;
	return same;
}

void iomapi_sim_strike(struct iomap_sim *sim)
{
	struct iomapi_sim_run *run = sim->run;
	const struct iomapi_sim_plan *plan = run->plan;
	const struct iomapi_sim_failure *like = plan->traces ? plan->like : NULL;
	bool again = run->depth == 2;

	if (run->oracle[0] || iomapi_sim_remove(run))
		return;			/* it has failed before, or goes on */
	if (is_same(run) || iomapi_sim_explored(run)) {
		run->next_crash++;
		return;
	}
	run->nr_crashes++;
	run->next_crash = 0;
	if (run->depth == 1)
		run->seen_at_crash = run->nr_seen;
	if (plan->max_images)
		iomapi_sim_look_at_all(run);
	if (plan->levels && !again)
		iomapi_sim_look_at_levels(run);
	if (like)
		iomapi_sim_look_below(run, true, again ? &like->recover2 : &like->recover);
	if (!again && plan->like && !plan->traces)
		run->image = plan->like->image;
	for (uint32_t i = 0; i < (again ? !like : plan->images) && !run->failed; i++) {
		if (!again && !(plan->like && !plan->traces))
			run->image = i + (like != NULL);
		iomapi_sim_look_below(run, true, NULL);
	}
	if (!again && plan->stride && !run->failed && !run->error)
		run->next_crash = crash_after(run, sim->nr_passed);
}

void iomapi_sim_see(struct iomap_sim *sim, enum iomapi_sim_what what,
		    const struct iomapi_sim_cmd *cmd)
{
	struct iomapi_sim_run *run = sim->run;

	/* Work goes on, but what was seen is told. */
	if (run->depth != 1 || run->failed || run->seen_all)
		return;
	run->seen[run->nr_seen++ % IOMAPI_SIM_SEEN] = (struct iomapi_sim_seen){
		sim->now, cmd->id, cmd->bio->addr, cmd->bio->len, cmd->dev->index,
		cmd->hit.status, (uint8_t)what, cmd->bio->op, NULL,
	};
}

void iomapi_sim_hear(struct iomap_sim *sim, enum iomapi_sim_what what,
		     const struct iomapi_sim_cmd *cmd)
{
	const struct iomapi_sim_run *run = sim->run;

	if (run->on_event && run->depth == 1)
		run->on_event(run->on_event_arg, what, cmd);
}

/* Power may go behind the last event of work, too. */
static void strike_at_end(struct iomapi_sim_run *run)
{
	if (run->removal)
		return;
	if (!run->plan->stride && run->next_crash != run->sim->nr_passed + 1)
		return;
	run->sim->nr_passed++;
	run->sim->nr_changes++;
	iomapi_sim_strike(run->sim);
}

/* ---- an execution ---- */

static uint64_t first_crash(const struct iomapi_sim_run *run)
{
	if (run->plan->stride)
		return crash_after(run, 0);
	return run->plan->like ? run->plan->like->event : 0;
}

static int begin(struct iomapi_sim_run *run, const struct iomapi_sim_plan *plan)
{
	int rc;

	run->plan = plan;
	run->failed = false;
	run->error = 0;
	run->nr_acks = 0;
	run->image = 0;
	run->nr_seen = run->seen_at_crash = 0;
	run->seen_all = false;
	run->looked_at = 0;
	run->nr_notes = 0;
	run->idle = 0;
	run->endless = run->exact = false;
	run->restart = run->removed = 0;
	run->removal = 0;
	run->acks_hash = 0;
	memset(run->event, 0, sizeof(run->event));
	run->sim->noise_seed = plan->seed;
	rc = iomapi_sim_go_down(run, false, iomapi_sim_mix(plan->seed, KEY_WORK, 0, 0),
		     plan->traces ? &plan->like->work : plan->path);
	if (rc)
		return rc;
	run->sim->digest = plan->seed;
	run->sim->models = NULL;
	if (plan->faults)
		rc = iomap_sim_fault(run->sim, plan->faults);
	run->next_crash = first_crash(run);
	iomapi_sim_plan_removal(run);
	return rc;
}

/* The choices of a look at the end, where it failed there. */
static const struct iomapi_sim_trace *at_end(const struct iomapi_sim_run *run,
					     const struct iomapi_sim_plan *plan)
{
	return plan->traces && (run->removal || !plan->like->event) ? &plan->like->recover : NULL;
}

int iomapi_sim_execute(struct iomapi_sim_run *run, const struct iomapi_sim_plan *plan)
{
	int rc = begin(run, plan);

	if (run->depth) {
		if (!rc) {
			int result = iomapi_sim_call(run->sim, run->c->work, run->c->arg, true);

			run->work_events = run->sim->nr_passed;
			run->work_points = iomapi_sim_nr_points(run->sim);
			if (!result)
				iomapi_sim_judge_end(run->sim, "work");
			if (run->removal && result == -ENODEV)
				result = 0;
			if (result || run->oracle[0])
				fail(run, "work", result);
		}
		if (!rc && !run->failed && !run->error)
			strike_at_end(run);
		run->image = 0;
		if (!rc && !run->failed && !run->error)
			iomapi_sim_look_below(run, false, at_end(run, plan));
		iomapi_sim_come_up(run);
	}
	if (!rc)
		rc = run->error;
	return rc ? rc : run->failed;
}

/* ---- life ---- */

static bool case_ok(const struct iomap_sim_case *c)
{
	if (!c || c->struct_size < offsetof(struct iomap_sim_case, state))
		return false;
	if (!c->work || !c->devs || !c->nr_devs)
		return false;
	if (!c->name || !*c->name || strlen(c->name) > 31)
		return false;
	for (const char *s = c->name; *s; s++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", *s))
			return false;
	return true;
}

/* What format wrote is durable: no crash takes it back. */
static int format(struct iomapi_sim_run *run)
{
	int rc = run->c->format ? iomapi_sim_call(run->sim, run->c->format, run->c->arg, true)
				: 0;

	if (!rc)
		rc = iomap_sim_wait_writes(run->sim);
	for (unsigned i = 0; !rc && i < run->sim->nr_devs; i++)
		rc = iomap_sim_flush(run->sim, run->sim->devs[i].name);
	return rc;
}

int iomapi_sim_run_new(const struct iomap_sim_case *c, uint64_t seed, struct iomapi_sim_run **run)
{
	struct iomap_sim_opts opts = { .struct_size = sizeof(opts), .seed = seed };
	struct iomapi_sim_run *r;
	int rc;

	*run = NULL;
	if (!case_ok(c))
		return -EINVAL;
	opts.devs = c->devs;
	opts.nr_devs = c->nr_devs;
	r = iomapi_sim_zalloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->c = c;
	rc = iomap_sim_new(&opts, &r->sim);
	for (unsigned i = 0; !rc && i < 3; i++)
		rc = iomapi_sim_level_new(r->sim, &r->levels[i]);
	for (unsigned i = 1; !rc && i < 4; i++) {
		r->records[i].max = 256;
		r->records[i].made = iomapi_sim_alloc(256 * sizeof(struct iomapi_sim_made));
		rc = r->records[i].made ? 0 : -ENOMEM;
	}
	if (!rc) {
		r->sim->run = r;
		rc = format(r);
		if (rc > 0 || r->oracle[0])
			rc = -EINVAL;
	}
	if (rc)
		iomapi_sim_run_delete(&r);
	*run = r;
	return rc;
}

void iomapi_sim_run_delete(struct iomapi_sim_run **run)
{
	struct iomapi_sim_run *r = *run;

	if (!r)
		return;
	for (unsigned i = 0; i < 3; i++)
		iomapi_sim_level_delete(&r->levels[i]);
	for (unsigned i = 0; i < 4; i++)
		iomapi_sim_trace_free(&r->records[i]);
	iomapi_sim_failure_fini(&r->failure);
	iomap_sim_delete(&r->sim);
	iomapi_sim_free(r->acks);
	iomapi_sim_free(r->explored.keys);
	iomapi_sim_free(r->notes);
	iomapi_sim_free(r);
	*run = NULL;
}

/* ---- inside the callbacks ---- */

IOMAP_API void iomap_sim_ack(struct iomap_sim *sim, uint64_t id, uint64_t digest)
{
	struct iomapi_sim_run *run = sim->run;

	if (!run)
		return;
	if (run->nr_acks == run->max_acks) {
		size_t max = run->max_acks ? 2 * run->max_acks : 64;
		void *more = iomapi_sim_grow(run->acks, max * sizeof(*run->acks));

		if (!more) {
			run->error = -ENOMEM;
			return;
		}
		run->acks = more;
		run->max_acks = max;
	}
	iomapi_sim_hash_ack(run, id, digest);
	run->acks[run->nr_acks].id = id;
	run->acks[run->nr_acks++].digest = digest;
}

IOMAP_API bool iomap_sim_acked(const struct iomap_sim *sim, uint64_t id, uint64_t *digest)
{
	const struct iomapi_sim_run *run = sim->run;

	for (size_t i = run ? run->nr_acks : 0; i--;)
		if (run->acks[i].id == id) {
			*digest = run->acks[i].digest;
			return true;
		}
	return false;
}

IOMAP_API int iomap_sim_fail(struct iomap_sim *sim, const char *oracle, const char *format, ...)
{
	struct iomapi_sim_run *run = sim->run;
	va_list args;

	if (!run || run->oracle[0])
		return 1;
	snprintf(run->oracle, sizeof(run->oracle), "%s", oracle && *oracle ? oracle : "check");
	va_start(args, format);
	vsnprintf(run->text, sizeof(run->text), format, args);
	va_end(args);
	return 1;
}

IOMAP_API void iomap_sim_on_submit(struct iomap_sim *sim,
				   int (*fn)(void *arg, const char *dev,
					     const struct iomap_bio *bio), void *arg)
{
	sim->on_submit = fn;
	sim->on_submit_arg = arg;
}

IOMAP_API void iomap_sim_sometimes(struct iomap_sim *sim, const char *name, bool cond)
{
	struct iomapi_sim_run *run = sim->run;
	unsigned i = 0;

	if (!run)
		return;
	while (i < run->nr_sometimes && strcmp(run->sometimes[i].name, name))
		i++;
	if (i == IOMAPI_SIM_SOMETIMES)
		return;
	if (i == run->nr_sometimes)
		run->sometimes[run->nr_sometimes++].name = name;
	run->sometimes[i].seen |= cond;
}

IOMAP_API void iomap_sim_set_engine(struct iomap_sim *sim, void *engine)
{
	sim->engine = engine;
}

IOMAP_API void *iomap_sim_engine(const struct iomap_sim *sim)
{
	return sim->engine;
}

IOMAP_API void iomap_sim_note(struct iomap_sim *sim, const char *format, ...)
{
	struct iomapi_sim_run *run = sim->run;
	va_list args;
	int n;

	if (!run || !run->notes || run->depth != 1 || run->seen_at_crash)
		return;
	va_start(args, format);
	n = vsnprintf(run->notes + run->nr_notes, run->max_notes - run->nr_notes, format, args);
	va_end(args);
	if (n < 0 || (size_t)n + 1 >= run->max_notes - run->nr_notes) {
		run->notes[run->nr_notes] = 0;	/* the screen is full */
		return;
	}
	run->nr_notes += (size_t)n;
	run->notes[run->nr_notes++] = '\n';
	run->notes[run->nr_notes] = 0;
}

struct block {
	struct iomap_list node;
	_Alignas(16) uint8_t mem[];
};

IOMAP_API void *iomap_sim_alloc(struct iomap_sim *sim, size_t size)
{
	struct block *b;

	if (sim->level)
		return iomapi_sim_level_zalloc(sim, size);
	b = size < SIZE_MAX / 2 ? iomapi_sim_zalloc(sizeof(*b) + size) : NULL;
	if (!b)
		return NULL;
	iomap_list_add_tail(&sim->blocks, &b->node);
	return b->mem;
}

IOMAP_API uint64_t iomap_sim_digest(const void *mem, size_t len, uint64_t seed)
{
	return iomapi_sim_mix(iomapi_sim_hash(mem, len), seed, len, 0);
}
