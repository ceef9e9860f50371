/* SPDX-License-Identifier: MIT */
/*
 * files.h - a simulated device with files on it.
 *
 * Blocks are filled with one letter, so that what survived a power cut can be told from one byte
 * and torn blocks are seen.
 */
#ifndef FILES_H
#define FILES_H

#include "harness/harness.h"

#include <iomap/sim.h>

#define BLOCK		4096
#define NR_PRESETS	7u

static const char *const presets[NR_PRESETS] __attribute__((unused)) = {
	"plp", "consumer", "atomic16k", "sata512e", "multiqueue", "cruel", "fifo",
};

struct disk {
	struct iomap_sim *sim;
};

static inline void disk_new(struct disk *d, const char *preset, uint64_t seed, unsigned blocks)
{
	const struct iomap_sim_dev disk = {
		.name = "disk", .preset = preset, .size = (uint64_t)blocks * BLOCK,
	};
	const struct iomap_sim_opts opts = {
		.struct_size = sizeof(opts), .seed = seed, .devs = &disk, .nr_devs = 1,
	};

	ck_assert_int_eq(iomap_sim_new(&opts, &d->sim), 0);
	ck_assert_int_eq(iomap_sim_file_format(d->sim, "disk"), 0);
}

static inline void disk_delete(struct disk *d)
{
	iomap_sim_delete(&d->sim);
}

/* Power goes now, and comes back. */
static inline void disk_cut(struct disk *d)
{
	ck_assert_int_eq(iomap_sim_cut_at(d->sim, 1), 0);
	ck_assert_int_eq(iomap_sim_flush(d->sim, "disk"), -ENODEV);
	ck_assert_int_eq(iomap_sim_power_on(d->sim), 0);
}

static inline int disk_create(struct disk *d, const char *name)
{
	int fd = iomap_sim_file_open(d->sim, "disk", name, true);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static inline void disk_fill(struct disk *d, int fd, char letter, unsigned block, unsigned nr)
{
	static uint8_t mem[16 * BLOCK];

	memset(mem, letter, sizeof(mem));
	ck_assert_int_eq(iomap_sim_file_pwrite(d->sim, fd, mem, nr * (size_t)BLOCK,
					       block * (int64_t)BLOCK), nr * (int64_t)BLOCK);
}

static inline bool is_filled(const uint8_t *mem, size_t len, uint8_t letter)
{
	for (size_t i = 0; i < len; i++)
		if (mem[i] != letter)
			return false;
	return true;
}

/* One for each block: its letter, '0' for zeros, '?' for several.  false: there is no such file. */
static inline bool disk_letters(struct disk *d, const char *name, char letters[8])
{
	int fd = iomap_sim_file_open(d->sim, "disk", name, false);
	static uint8_t mem[8 * BLOCK];
	int64_t rc;
	unsigned n = 0;

	if (fd < 0) {
		ck_assert_int_eq(fd, -ENOENT);
		return false;
	}
	rc = iomap_sim_file_pread(d->sim, fd, mem, sizeof(mem), 0);
	ck_assert_int_eq(rc, iomap_sim_file_size(d->sim, fd));
	for (int64_t at = 0; at < rc; at += BLOCK) {
		size_t len = (size_t)(rc - at < BLOCK ? rc - at : BLOCK);
		uint8_t first = mem[at];

		ck_assert_uint_lt(n, 7);
		letters[n++] = is_filled(mem + at, len, first) ? (char)(first ? first : '0') : '?';
	}
	letters[n] = '\0';
	iomap_sim_file_close(d->sim, fd);
	return true;
}

/* The first letter of a file; 0: it is empty, or there is none. */
static inline char disk_letter(struct disk *d, const char *name)
{
	char letters[8] = "";
	int fd = iomap_sim_file_open(d->sim, "disk", name, false);

	if (fd >= 0 && iomap_sim_file_pread(d->sim, fd, letters, 1, 0) < 0)
		letters[0] = '!';
	iomap_sim_file_close(d->sim, fd);
	return letters[0];
}

#endif
