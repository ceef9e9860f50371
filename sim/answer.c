/* SPDX-License-Identifier: MIT */
/*
 * answer.c - what a client's callbacks answer, when a rule says so: an error, or a map that lies.
 *
 * The library does not tell a callback whose it is, so callbacks ask here themselves.
 */
#include <errno.h>

#include <iomap/map.h>

#include "sim.h"

/* Ways in which a map can be wrong; each breaks a rule that maps are checked for. */
enum lie {
	EMPTY, BEHIND, WRAPS, NO_TYPE, NO_FLAG, NO_ADDRESS, CROOKED, FAR_AWAY, HOLE_SOMEWHERE,
	NR_LIES,
};

static void make_hostile(struct iomap *map, enum lie lie)
{
	switch (lie) {
	case EMPTY:
		map->length = 0;
		break;
	case BEHIND:
		map->offset += (int64_t)(map->length & INT64_MAX);
		break;
	case WRAPS:
		map->length = UINT64_MAX - 511;
		break;
	case NO_TYPE:
		map->type = 77;
		break;
	case NO_FLAG:
		map->flags |= 1 << 11;
		break;
	case NO_ADDRESS:
		map->type = IOMAP_MAPPED;
		map->addr = IOMAP_NULL_ADDR;
		break;
	case CROOKED:
		map->type = IOMAP_MAPPED;
		map->addr = 513;
		break;
	case FAR_AWAY:
		map->type = IOMAP_MAPPED;
		map->addr = (uint64_t)1 << 62;
		break;
	default:
		map->type = IOMAP_HOLE;
		map->addr = 4096;
	}
}

IOMAP_API int64_t iomap_sim_answer(struct iomap_sim *sim, struct iomap *map, int64_t rc)
{
	if (rc < 0)
		return rc;
	if (!map && !iomapi_sim_host(sim, IOMAPI_SIM_CALLBACK_FAILS, 1))
		return iomapi_sim_kinds[IOMAPI_SIM_CALLBACK_FAILS].status;
	if (map && !iomapi_sim_host(sim, IOMAPI_SIM_HOSTILE_MAP, 1))
		make_hostile(map, iomap_sim_choose(sim, "hostile", NR_LIES));
	return rc;
}
