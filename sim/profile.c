/* SPDX-License-Identifier: MIT */
/*
 * profile.c - devices that one meets.
 */
#include <string.h>

#include "sim.h"

#define COMMON \
	.struct_size = sizeof(struct iomap_sim_profile), .max_bytes = 1 << 20, .max_segs = 256, \
	.memory_align = 4
#define ONE_QUEUE	.queue_depth = 64, .nr_queues = 1
#define FOUR_QUEUES	.queue_depth = 64, .nr_queues = 4
#define BLOCK_4K \
	.logical_block = 4096, .physical_block = 4096, .atomic_normal = 4096, \
	.atomic_power_fail = 4096

static const struct preset {
	const char *name;
	struct iomap_sim_profile profile;
} presets[] = {
	/* power-loss protection: what completed is durable */
	{ "plp", { COMMON, BLOCK_4K, ONE_QUEUE, .power_safe_overwrite = true,
		   .fua = IOMAP_SIM_FUA_NATIVE, .discard = IOMAP_SIM_DISCARD_ZEROS } },
	{ "consumer", { COMMON, BLOCK_4K, ONE_QUEUE, .volatile_cache = true,
			.power_safe_overwrite = true, .fua = IOMAP_SIM_FUA_NATIVE } },
	{ "atomic16k", { COMMON, ONE_QUEUE, .logical_block = 4096, .physical_block = 4096,
			 .atomic_normal = 16384, .atomic_power_fail = 16384,
			 .atomic_boundary = 16384, .volatile_cache = true,
			 .power_safe_overwrite = true, .fua = IOMAP_SIM_FUA_NATIVE,
			 .discard = IOMAP_SIM_DISCARD_ZEROS } },
	/* sectors emulated on larger ones: an interrupted write may hurt its neighbours */
	{ "sata512e", { COMMON, .logical_block = 512, .physical_block = 4096, .atomic_normal = 512,
			.atomic_power_fail = 512, .volatile_cache = true,
			.fua = IOMAP_SIM_FUA_NONE, .queue_depth = 32, .nr_queues = 1 } },
	{ "multiqueue", { COMMON, BLOCK_4K, .volatile_cache = true, .power_safe_overwrite = true,
			  .order = IOMAP_SIM_ORDER_PER_QUEUE, .fua = IOMAP_SIM_FUA_NATIVE,
			  FOUR_QUEUES } },
	/* zones of 64 blocks, of which 48 can be written */
	{ "zoned", { COMMON, BLOCK_4K, ONE_QUEUE, .volatile_cache = true,
		     .power_safe_overwrite = true, .fua = IOMAP_SIM_FUA_NATIVE,
		     .discard = IOMAP_SIM_DISCARD_ZEROS, .zone_size = 64 * 4096,
		     .zone_capacity = 48 * 4096, .max_append = 16 * 4096, .max_open_zones = 4 } },
	/* everything that is allowed */
	{ "cruel", { COMMON, .logical_block = 512, .physical_block = 4096, .atomic_normal = 512,
		     .atomic_power_fail = 512, .volatile_cache = true, .shorn_sectors = true,
		     .fua = IOMAP_SIM_FUA_EMULATED, FOUR_QUEUES } },
	/* for diagnosis */
	{ "fifo", { COMMON, BLOCK_4K, ONE_QUEUE, .volatile_cache = true,
		    .power_safe_overwrite = true, .order = IOMAP_SIM_ORDER_FIFO,
		    .fua = IOMAP_SIM_FUA_NATIVE, .discard = IOMAP_SIM_DISCARD_ZEROS } },
};

IOMAP_API const struct iomap_sim_profile *iomap_sim_preset(const char *name)
{
	for (size_t i = 0; name && i < sizeof(presets) / sizeof(*presets); i++)
		if (!strcmp(presets[i].name, name))
			return &presets[i].profile;
	return NULL;
}
