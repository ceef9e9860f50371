/* SPDX-License-Identifier: MIT */
/*
 * tasks_file.h - what must be true of a cached file when all tasks are back, whatever their order.
 */
#ifndef TASKS_FILE_H
#define TASKS_FILE_H

#include "model/model.h"
#include "sim/tasks.h"

/* One serial order: memory, device and space say the same. */
static inline int tasks_judge_file(struct iomap_sim *sim, struct m_file *f)
{
	struct m_model *m = f->m;

	if (!m_content_ok(f))
		return iomap_sim_fail(sim, "O43", "the content is of no serial order");
	if (m_sync(f))
		return iomap_sim_fail(sim, "O43", "the last sync failed");
	if (!m_device_equals_model(f))
		return iomap_sim_fail(sim, "O43", "the device is of no serial order");
	if (!m_balanced(m) || m->nr_reserved)
		return iomap_sim_fail(sim, "O36", "space is lost");
	if (m_drop_cache(f) || !m_content_ok(f))
		return iomap_sim_fail(sim, "O43", "the cache hid it");
	return 0;
}

#endif
