/* SPDX-License-Identifier: MIT */
/*
 * restart.c - what stops work: power goes, devices are reset, the process is killed, or a device
 * goes away.
 */
#include "explore.h"

enum { KEY_RESTART = 3001, KEY_REMOVAL, KEY_REMOVED, KEY_RETURN };

#define MAX_AWAY	64u		/* events */

uint8_t iomapi_sim_draw_restart(const struct iomapi_sim_run *run)
{
	static const uint8_t kinds[] = {
		IOMAP_SIM_POWER_LOSS, IOMAP_SIM_DEVICE_RESET, IOMAP_SIM_PROCESS_KILL,
	};
	uint32_t set = run->plan->restarts, nr = 0;
	uint64_t draw;

	if (run->plan->like)
		return run->plan->like->restart;
	for (unsigned i = 0; i < 3; i++)
		nr += (set & kinds[i]) != 0;
	if (!nr || run->exact)
		return IOMAP_SIM_POWER_LOSS;
	draw = iomapi_sim_mix(run->plan->seed, KEY_RESTART, run->event[1], run->image) % nr;
	for (unsigned i = 0; i < 3; i++)
		if (set & kinds[i] && !draw--)
			return kinds[i];
	return IOMAP_SIM_POWER_LOSS;
}

int iomapi_sim_restart(struct iomapi_sim_run *run, bool cut)
{
	const struct iomap_sim *sim = run->sim;
	enum iomapi_sim_left left = cut ? IOMAPI_SIM_SURVIVED : IOMAPI_SIM_ALL;

	if (run->depth != 1 || (!cut && !run->removal))
		return iomapi_sim_enter(run->sim, run->levels[run->depth], left, NULL);
	if (run->restart != IOMAP_SIM_POWER_LOSS)
		left = IOMAPI_SIM_CACHED;
	return iomapi_sim_enter(run->sim, run->levels[1], left,
				run->removal && !run->is_back ? &sim->devs[run->removed] : NULL);
}

/* With its choices.  Each device as it was left. */
void iomapi_sim_start_again(struct iomapi_sim_run *run)
{
	for (unsigned i = 0; i < run->sim->nr_devs; i++) {
		struct iomapi_sim_dev *dev = &run->sim->devs[i];

		if (dev->image.cut)
			iomapi_sim_overtake(dev, &dev->image);
		iomapi_sim_carry(dev, run->restart == IOMAP_SIM_DEVICE_RESET);
	}
}

/* ---- removal ---- */

void iomapi_sim_plan_removal(struct iomapi_sim_run *run)
{
	const struct iomapi_sim_plan *plan = run->plan;
	uint64_t seed = plan->seed;

	run->restart = IOMAP_SIM_POWER_LOSS;
	run->removal = 0;
	run->is_back = false;
	if (plan->like && plan->like->restart >= IOMAP_SIM_REMOVAL) {
		run->restart = plan->like->restart;
		run->removed = plan->like->removed % run->sim->nr_devs;
		run->removal = plan->like->event;
	} else if (plan->removal && run->work_events) {
		run->restart = plan->removal;
		run->removed = (uint8_t)(iomapi_sim_mix(seed, KEY_REMOVED, plan->removal, 0) %
					 run->sim->nr_devs);
		run->removal = 1 + iomapi_sim_mix(seed, KEY_REMOVAL, plan->removal, 0) %
					   run->work_events;
	}
	if (run->removal)
		run->next_crash = run->removal;
}

static void come_back(struct iomapi_sim_run *run)
{
	struct iomapi_sim_dev *dev = &run->sim->devs[run->removed];

	run->next_crash = 0;
	run->is_back = true;
	dev->removed = false;
	if (iomapi_sim_lose_cache(dev))
		iomapi_sim_no_memory(run->sim);
}

bool iomapi_sim_remove(struct iomapi_sim_run *run)
{
	uint64_t away;

	if (run->depth != 1 || !run->removal)
		return false;
	if (run->sim->devs[run->removed].removed) {
		come_back(run);
		return true;
	}
	away = iomapi_sim_mix(run->plan->seed, KEY_RETURN, run->removal, 0) % MAX_AWAY;
	run->sim->devs[run->removed].removed = true;
	run->sim->nr_changes++;
	run->seen_at_crash = run->nr_seen;
	run->seen_all = true;
	if (run->restart == IOMAP_SIM_RETURN)
		run->next_crash += 1 + away;
	return true;
}
