/* SPDX-License-Identifier: MIT */
/*
 * misuse.c - calls that cannot be, and runs that do not end.
 *
 * A call that is refused leaves a text, so that an engine that only passes the error on is told
 * more than its number.  Calls between two events are counted, for a loop that waits for what time
 * or chance will never bring: it is told that power went, that it is late, and every value that a
 * choice can have.  Who goes on whatever he is told is left where he stands.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "oracle.h"
#include "task.h"

int iomapi_sim_refuse(struct iomap_sim *sim, int rc, const char *format, ...)
{
	va_list args;

	iomapi_sim_idle(sim);
	va_start(args, format);
	vsnprintf(sim->refused, sizeof(sim->refused), format, args);
	va_end(args);
	return rc;
}

void iomapi_sim_env_log(void *arg, const struct iomap_log_record *r)
{
	iomapi_sim_refuse(arg, 0, "%s at %lld: %s is %llu, bound %llu: %s (%s)",
			  r->callback ? r->callback : "?", (long long)r->pos,
			  r->field ? r->field : "?", (unsigned long long)r->value,
			  (unsigned long long)r->bound, r->text ? r->text : "",
			  r->rule ? r->rule : "?");
}

void iomapi_sim_give_up(struct iomap_sim *sim, const char *what, unsigned nr)
{
	sim->run->endless = true;
	iomapi_sim_found(sim, 44, "no end after %u %s", nr, what);
	iomapi_sim_power_off(sim);
}

void iomapi_sim_idle(const struct iomap_sim *sim)
{
	struct iomapi_sim_run *run = sim->run;

	if (run && ++run->idle == IOMAPI_SIM_MAX_IDLE)
		iomapi_sim_give_up(run->sim, "calls without an event", IOMAPI_SIM_MAX_IDLE);
	if (run && run->idle > IOMAPI_SIM_MAX_IDLE + IOMAPI_SIM_MORE_IDLE && run->sim->exit)
		iomapi_sim_abandon(run->sim);
}

bool iomapi_sim_is_late(const struct iomap_sim *sim)
{
	return sim->run && sim->run->idle >= IOMAPI_SIM_MAX_IDLE;
}
