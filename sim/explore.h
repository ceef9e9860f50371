/* SPDX-License-Identifier: MIT */
/*
 * sim/explore.h - what the files of the explorer share.
 *
 *	run.c		one execution of a case, with its crashes	again.c	recovered twice
 *	check.c		many of them		shrink.c	a failure made small
 *	trace.c		choices		plan.c		faults that a seed draws
 *	restart.c	what stops work
 *	levels.c	all that a crash may leave, or what stands for it
 *	memo.c		crashes that were explored already
 *	token.c		a failure in one word	report.c	and on one screen
 *	twice.c		the first event in which two runs differ
 */
#ifndef IOMAPI_EXPLORE_H
#define IOMAPI_EXPLORE_H

#include "sim.h"

/* ---- trace.c ---- */

struct iomapi_sim_trace {
	struct iomapi_sim_made *made;
	size_t nr, max;
};
int iomapi_sim_trace_copy(struct iomapi_sim_trace *to, const struct iomapi_sim_made *made,
			  size_t nr);		/* -ENOMEM */
void iomapi_sim_trace_free(struct iomapi_sim_trace *trace);
/* Depth first: what is to be replayed to come to the next leaf.  1; 0: there is none; -ENOMEM. */
int iomapi_sim_next_path(struct iomapi_sim_trace *path, const struct iomapi_sim_trace *made);
size_t iomapi_sim_nr_ops(const struct iomapi_sim_trace *trace);

/* ---- run.c ---- */

/* Where and how it went wrong: all that is needed to come there again. */
struct iomapi_sim_failure {
	char oracle[16], text[256];
	uint64_t seed, event, event2;		/* 0: no crash; not a second one */
	uint32_t image;				/* of that crash; drawn: by this number */
	bool exact;				/* only the choices lead there */
	uint8_t restart, removed;		/* enum iomap_sim_restart; the device */
	struct iomapi_sim_policy policy;	/* of work, where tasks are drawn too */
	struct iomapi_sim_trace work, recover, recover2;	/* choices until then */
	char *faults;					/* the script; NULL: none */
};
void iomapi_sim_failure_fini(struct iomapi_sim_failure *failure);
/* What an execution shall do. */
struct iomapi_sim_plan {
	uint64_t seed;
	struct iomapi_sim_policy policy;	/* of work; depth first: of all */
	const char *faults;		/* of work */
	const struct iomapi_sim_failure *like;	/* NULL: all is drawn from the seed */
	bool traces;			/* its choices; else what the seed says at its events */
	const struct iomapi_sim_trace *path;	/* instead of a seed: choices of work, then 0 */
	size_t known;			/* choices of path: until the last of them all crashes
					 * were explored on an earlier one */
	uint64_t stride;		/* crashes: one in each so many events of work; 0: none */
	uint64_t max_images;		/* of each crash all, up to so many; 0: what images says */
	uint32_t images;		/* drawn at each crash; 0 with traces: that of like alone */
	uint32_t restarts;		/* that are drawn; 0: POWER_LOSS */
	uint8_t removal;		/* REMOVAL or RETURN, and no other crash; 0 */
	uint32_t levels;		/* of each crash so many, or what stands for them */
};
/* Hashes; 0 is none. */
struct iomapi_sim_memo {
	uint64_t *keys;
	size_t nr, size;
};
#define IOMAPI_SIM_SOMETIMES	64u	/* names */
#define IOMAPI_SIM_MAX_EVENTS	4000000u	/* of a run that does not end */
#define IOMAPI_SIM_MAX_IDLE	4000000u	/* calls between two events */
#define IOMAPI_SIM_MORE_IDLE	100000u		/* until it is left where it stands */
#define IOMAPI_SIM_SEEN		24u	/* events that are remembered for the report */
struct iomapi_sim_seen {
	int64_t time;
	uint64_t id, addr, len;
	uint32_t dev;
	int32_t status;
	uint8_t what, op;
	const char *site;		/* of the task that was stopped; then dev is its number */
};
/* Of two runs: the first is written down, the second compared with it. */
struct iomapi_sim_logged {
	struct iomapi_sim_seen seen;
	uint64_t nr, cut, hash;		/* of its depth; the event of the crash; of its data */
	uint32_t flags, depth;
};
struct iomapi_sim_log {
	struct iomapi_sim_logged *made, other;
	size_t nr, max, next;		/* next: so many are the same */
	bool compares, differs, full;
};
struct iomapi_sim_run {
	struct iomap_sim *sim;
	const struct iomap_sim_case *c;
	struct iomapi_sim_level *levels[3];
	unsigned depth;			/* 0: formatted; 1: work; 2: after a crash; 3: after two */
	struct iomapi_sim_trace records[4];
	size_t made[4];			/* choices when the next depth began */
	uint64_t event[4];		/* and the event; 0: none */
	const struct iomapi_sim_plan *plan;
	uint64_t next_crash;		/* of this depth; 0: none */
	uint32_t image;
	bool exact;			/* images are not drawn */
	uint8_t restart, removed;	/* of this crash */
	uint64_t removal;		/* the event before which a device goes; 0: none */
	bool is_back;			/* it has returned */
	struct { uint64_t id, digest; } *acks;
	uint64_t acks_hash;		/* of the latest of each id, if there is state() */
	size_t nr_acks, max_acks;
	char oracle[16], text[256];	/* said by iomap_sim_fail at this depth */
	bool failed;
	int error;			/* it could not be done */
	struct iomapi_sim_failure failure;
	uint64_t digest, nr_crashes, nr_images, work_events, recover_events;
	uint64_t work_points;		/* choices of tasks */
	uint64_t looked_at;		/* changes, as of the last crash */
	uint64_t nr_skipped;		/* crashes that were explored already */
	struct iomapi_sim_memo explored;
	const struct iomapi_sim_pattern *pattern;	/* of the next crash; NULL */
	uint8_t level;			/* completed at each crash */
	bool cut_short;			/* images were left out, or orders of tasks */
	bool endless;			/* it was stopped */
	uint64_t idle;			/* calls since the last event */
	struct iomapi_sim_seen seen[IOMAPI_SIM_SEEN];
	uint64_t nr_seen, seen_at_crash;
	bool seen_all;			/* what comes behind a removal is not for the report */
	struct { const char *name; bool seen; } sometimes[IOMAPI_SIM_SOMETIMES];
	unsigned nr_sometimes;
	struct iomapi_sim_log *log;	/* NULL: it is not compared with another run */
	char *notes;			/* NULL: nobody wants them */
	size_t nr_notes, max_notes;
	/* Optional: hears of each event of work, before power may go. */
	void (*on_event)(void *arg, enum iomapi_sim_what what, const struct iomapi_sim_cmd *cmd);
	void *on_event_arg;
};
/* Devices, formatted.  -EINVAL, -ENOMEM, or what format said. */
int iomapi_sim_run_new(const struct iomap_sim_case *c, uint64_t seed, struct iomapi_sim_run **run);
void iomapi_sim_run_delete(struct iomapi_sim_run **run);
/* 0; 1: it failed, see run->failure; negative: it could not be done. */
int iomapi_sim_execute(struct iomapi_sim_run *run, const struct iomapi_sim_plan *plan);
void iomapi_sim_strike(struct iomap_sim *sim);	/* power goes right before this event */
void iomapi_sim_see(struct iomap_sim *sim, enum iomapi_sim_what what,
		    const struct iomapi_sim_cmd *cmd);
void iomapi_sim_hear(struct iomap_sim *sim, enum iomapi_sim_what what,
		     const struct iomapi_sim_cmd *cmd);

/* What there is after a cut, or after the end of work: a fresh engine looks at it. */
void iomapi_sim_look_below(struct iomapi_sim_run *run, bool cut,
			   const struct iomapi_sim_trace *replay);

/* ---- restart.c ---- */

uint8_t iomapi_sim_draw_restart(const struct iomapi_sim_run *run);
int iomapi_sim_restart(struct iomapi_sim_run *run, bool cut);	/* one level up; -ENOMEM */
void iomapi_sim_start_again(struct iomapi_sim_run *run);
void iomapi_sim_plan_removal(struct iomapi_sim_run *run);
bool iomapi_sim_remove(struct iomapi_sim_run *run);	/* right before this event; false: none */

/* ---- levels.c, memo.c ---- */

void iomapi_sim_look_at_all(struct iomapi_sim_run *run);	/* that may be found here */
void iomapi_sim_look_at_levels(struct iomapi_sim_run *run);
/* All that may be found after a crash here has been judged before. */
bool iomapi_sim_explored(struct iomapi_sim_run *run);
void iomapi_sim_hash_ack(struct iomapi_sim_run *run, uint64_t id, uint64_t digest);
void iomapi_sim_unack(struct iomapi_sim_run *run, size_t nr_acks);
/* A level more, with choices of its own: of that seed, or those; and one less. */
int iomapi_sim_go_down(struct iomapi_sim_run *run, bool cut, uint64_t seed,
		       const struct iomapi_sim_trace *replay);
void iomapi_sim_come_up(struct iomapi_sim_run *run);

/* ---- again.c ---- */
int iomapi_sim_check_content(struct iomapi_sim_run *run);	/* what check says */
void iomapi_sim_look_again(struct iomapi_sim_run *run);

/* ---- plan.c ---- */

/* Are they kinds, of devices that there are?  -EINVAL and the text in the simulation, -ENOMEM. */
int iomapi_sim_try_kinds(struct iomap_sim *sim, const char *kinds);
/* A script of random rules of the kinds behind the one there is, for a seed; freed by the caller.
 * -ENOMEM. */
int iomapi_sim_draw_faults(uint64_t seed, const struct iomap_sim_cfg *cfg, char **drawn);
/* The script without its n-th rule, in place; false: there is none. */
bool iomapi_sim_drop_fault(char *script, size_t n);

/* ---- twice.c ---- */

void iomapi_sim_log(struct iomapi_sim_run *run, enum iomapi_sim_what what,
		    const struct iomapi_sim_cmd *cmd);
void iomapi_sim_log_compare(struct iomapi_sim_log *log);	/* with the run from here on */
void iomapi_sim_log_fini(struct iomapi_sim_log *log);
/* O46, and where the log says that they differ.  -ENOMEM. */
int iomapi_sim_tell_first(const struct iomapi_sim_run *run, uint64_t seed, const char *why,
			  struct iomap_sim_report *report);

/* ---- shrink.c, token.c, report.c ---- */
/* Smaller, with the same oracle; as it was when that is not to be had. */
int iomapi_sim_shrink(struct iomapi_sim_run *run, struct iomapi_sim_failure *failure);
/* false: it does not fit. */
bool iomapi_sim_token(const struct iomap_sim_case *c, const struct iomapi_sim_failure *failure,
		      bool traces, char *token, size_t size);
/* 0, -EINVAL, -ENOMEM; *traces: whether the token has them. */
int iomapi_sim_parse_token(const struct iomap_sim_case *c, const char *token,
			   struct iomapi_sim_failure *failure, bool *traces);
int iomapi_sim_describe(const struct iomapi_sim_run *run, const struct iomapi_sim_failure *failure,
			struct iomap_sim_report *report);
#define IOMAPI_SIM_SCREEN	6000u
struct iomapi_page {		/* of a report */
	char *text;			/* room for a screen */
	size_t len;
};
/* What does not fit is left out. */
void iomapi_say(struct iomapi_page *p, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* One event in a line: how many letters. */
size_t iomapi_sim_print_seen(const struct iomapi_sim_run *run, const struct iomapi_sim_seen *s,
			     char *text, size_t size);

#endif
