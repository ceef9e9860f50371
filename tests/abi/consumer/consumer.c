/* SPDX-License-Identifier: MIT */
/*
 * consumer.c - somebody else's program, built against an installed and moved tree.
 */
#include <stdio.h>

#include <iomap/iomap.h>
#ifdef WITH_SIM
#include <iomap/sim.h>
#endif

int main(void)
{
	struct iomap_env *env;

	if (iomap_version() != (IOMAP_VERSION_MAJOR << 16 | IOMAP_VERSION_MINOR))
		return 1;
#ifdef WITH_SIM
	if (iomap_sim_version() != iomap_version())
		return 1;
#endif
	if (iomap_env_new(NULL, &env))
		return 1;
	iomap_env_delete(&env);
	puts("consumer: ok");
	return 0;
}
