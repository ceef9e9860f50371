/* SPDX-License-Identifier: MIT */
/*
 * progress.c - a bar on terminals, a few times a second; and Ctrl-C, which ends a command after
 * what it is doing, a second one at once.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

#define BAR		24u
#define WIDTH		78

static volatile sig_atomic_t stopped;

static void stop(int number)
{
	stopped = 1;
	signal(number, SIG_DFL);
}

bool tool_stopped(void)
{
	return stopped;
}

void tool_progress_start(struct tool_progress *p, uint64_t all)
{
	p->all = all;
	p->start = p->last = tool_seconds();
	signal(SIGINT, stop);
}

static void draw(const struct tool_progress *p, uint64_t done, uint64_t states, double spent)
{
	unsigned full = p->all ? (unsigned)(BAR * done / p->all) : 0;
	char bar[BAR + 1], text[128];

	memset(bar, '.', BAR);
	memset(bar, '#', full < BAR ? full : BAR);
	bar[BAR] = 0;
	snprintf(text, sizeof(text), "[%s] %3u %%  %" PRIu64 " %s, %.0f a second, %.0f s left",
		 bar, p->all ? (unsigned)(100 * done / p->all) : 0, states, p->what,
		 (double)states / spent,
		 done ? spent * (double)(p->all - done) / (double)done : 0.0);
	fprintf(stderr, "\r%-*s", WIDTH, text);
}

int tool_progress(struct tool_progress *p, uint64_t done, uint64_t states)
{
	double now = tool_seconds();

	p->states = states;
	if (now - p->last < 0.2 || !isatty(STDERR_FILENO))
		return stopped;
	p->last = now;
	draw(p, done < p->all ? done : p->all, states, now - p->start);
	return stopped;
}

void tool_progress_end(const struct tool_progress *p)
{
	if (p->last > p->start)
		fprintf(stderr, "\r%*s\r", WIDTH, "");
}
