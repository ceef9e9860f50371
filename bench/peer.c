/* SPDX-License-Identifier: MIT */
/*
 * peer.c - the peers by their names.
 *
 * Threads: one.
 */
#include <string.h>

#include "peer.h"

const struct peer_ops *peer_find(const char *name)
{
	static const struct peer_ops *const all[] = { &peer_sqe, &peer_writev, &peer_kernel };

	if (!strcmp(name, "sqe-per-frame"))
		return &peer_sqe;
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!strcmp(name, all[i]->name))
			return all[i];
	return NULL;
}
