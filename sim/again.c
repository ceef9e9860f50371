/* SPDX-License-Identifier: MIT */
/*
 * again.c - recovery once more, of what it has left: nothing else may be found (O8).
 *
 * Power does not go in between: the engine was closed, or just dropped, and opens again.  What is
 * found is what check says, or where it says nothing, what it reads; in which order does not count.
 */
#include <string.h>

#include "oracle.h"
#include "task.h"

enum { KEY_ONCE_MORE = 1010 };

void iomapi_sim_read_in_check(const struct iomapi_sim_cmd *cmd)
{
	struct iomap_sim *sim = cmd->dev->sim;

	if (cmd->bio->op == IOMAP_BIO_READ && !cmd->bio->status)
		sim->content.read += iomapi_sim_mix(cmd->dev->index, cmd->bio->addr,
						    cmd->bio->len, cmd->hash);
}

IOMAP_API void iomap_sim_content(struct iomap_sim *sim, uint64_t id, uint64_t digest)
{
	sim->content.told += iomapi_sim_mix(id, digest, 0, 0);
	sim->content.any = true;
}

int iomapi_sim_check_content(struct iomapi_sim_run *run)
{
	memset(&run->sim->content, 0, sizeof(run->sim->content));
	return run->c->check ? iomapi_sim_call(run->sim, run->c->check, run->c->arg, false) : 0;
}

static bool same(const struct iomapi_sim_content_sum *a, const struct iomapi_sim_content_sum *b)
{
	if (a->any || b->any)
		return a->any == b->any && a->told == b->told;
	return a->read == b->read;
}

void iomapi_sim_look_again(struct iomapi_sim_run *run)
{
	struct iomap_sim *sim = run->sim;
	struct iomapi_sim_content_sum first = sim->content, second;
	size_t nr_acks = run->nr_acks;
	char oracle[16], text[128];
	int rc = iomapi_sim_go_down(run, false, iomapi_sim_mix(run->plan->seed, KEY_ONCE_MORE,
							       run->event[1], run->image), NULL);

	if (rc) {
		run->error = rc;
		return;
	}
	rc = iomapi_sim_call(sim, run->c->recover, run->c->arg, false);
	if (!rc && !run->oracle[0])
		rc = iomapi_sim_check_content(run);
	second = sim->content;
	memcpy(oracle, run->oracle, sizeof(oracle));
	memcpy(text, run->text, sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	iomapi_sim_come_up(run);
	iomapi_sim_unack(run, nr_acks);
	run->oracle[0] = 0;
	iomapi_sim_looked(sim, 8);
	if (oracle[0])
		iomapi_sim_found(sim, 8, "recovered once more, %s: %s", oracle, text);
	else if (rc)
		iomapi_sim_found(sim, 8, "recovered once more, it returned %d", rc);
	else if (!same(&first, &second))
		iomapi_sim_found(sim, 8, "recovered once more, something else is found");
}
