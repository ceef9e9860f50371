/* SPDX-License-Identifier: MIT */
/*
 * test_files.c - files on a device: what is read, what survives a power cut, and what must.
 *
 * Each story runs with many seeds.  What must survive does so with every one; what may be lost is
 * lost with some and kept with others, or the layer would be milder than a file system.
 */
#include "sim/files.h"

#define SEEDS 60u

/* ---- without power cuts ---- */

CASE(read_what_was_written, "", "Parts of blocks, holes, both ends, cut off and grown again")
{
	for (unsigned p = 0; p < NR_PRESETS; p++) {
		struct disk d;
		uint8_t mem[3 * BLOCK];
		int fd;

		disk_new(&d, presets[p], 1, 64);
		fd = disk_create(&d, "a");
		ck_assert_int_eq(iomap_sim_file_size(d.sim, fd), 0);
		ck_assert_int_eq(iomap_sim_file_pread(d.sim, fd, mem, 1, 0), 0);
		ck_assert_int_eq(iomap_sim_file_pwrite(d.sim, fd, "hello", 5, BLOCK - 2), 5);
		ck_assert_int_eq(iomap_sim_file_size(d.sim, fd), BLOCK + 3);
		for (unsigned turn = 0; turn < 3; turn++) {
			ck_assert_int_eq(iomap_sim_file_pread(d.sim, fd, mem, sizeof(mem), 1),
					 BLOCK + 2);
			ck_assert(is_filled(mem, BLOCK - 3, 0));
			ck_assert_mem_eq(mem + BLOCK - 3, "hello", 5);
			if (turn == 0)
				ck_assert_int_eq(iomap_sim_file_sync(d.sim, fd), 0);
			else if (turn == 1)
				ck_assert_int_eq(iomap_sim_dir_sync(d.sim, "disk"), 0);
		}
		ck_assert_int_eq(iomap_sim_file_truncate(d.sim, fd, BLOCK + 1), 0);
		ck_assert_int_eq(iomap_sim_file_truncate(d.sim, fd, BLOCK + 9), 0);
		ck_assert_int_eq(iomap_sim_file_pread(d.sim, fd, mem, 20, BLOCK), 9);
		ck_assert_mem_eq(mem, "l\0\0\0\0\0\0\0\0", 9);
		ck_assert_int_eq(iomap_sim_file_truncate(d.sim, fd, 0), 0);
		ck_assert_int_eq(iomap_sim_file_truncate(d.sim, fd, 2 * BLOCK), 0);
		ck_assert_int_eq(iomap_sim_file_pread(d.sim, fd, mem, sizeof(mem), 0), 2 * BLOCK);
		ck_assert(is_filled(mem, 2 * BLOCK, 0));
		disk_delete(&d);
	}
}

CASE(names_are_those_of_one_directory, "", "Created, renamed, renamed over, removed while open")
{
	struct disk d;
	char mem[4];
	int a, b;

	disk_new(&d, "consumer", 1, 64);
	a = disk_create(&d, "a");
	b = disk_create(&d, "b");
	ck_assert_int_eq(iomap_sim_file_pwrite(d.sim, a, "A", 1, 0), 1);
	ck_assert_int_eq(iomap_sim_file_pwrite(d.sim, b, "B", 1, 0), 1);
	ck_assert_int_eq(iomap_sim_file_open(d.sim, "disk", "a", true), -EEXIST);
	ck_assert_int_eq(iomap_sim_file_rename(d.sim, "disk", "a", "a"), 0);
	ck_assert_int_eq(iomap_sim_file_rename(d.sim, "disk", "a", "b"), 0);
	ck_assert_int_eq(iomap_sim_file_open(d.sim, "disk", "a", false), -ENOENT);
	ck_assert_int_eq(disk_letter(&d, "b"), 'A');
	ck_assert_int_eq(iomap_sim_file_pread(d.sim, b, mem, 4, 0), 1);
	ck_assert_int_eq(mem[0], 'B');		/* it has no name, but somebody has it open */
	ck_assert_int_eq(iomap_sim_dir_sync(d.sim, "disk"), 0);
	ck_assert_int_eq(iomap_sim_file_pread(d.sim, b, mem, 4, 0), 1);
	ck_assert_int_eq(mem[0], 'B');
	ck_assert_int_eq(iomap_sim_file_unlink(d.sim, "disk", "b"), 0);
	ck_assert_int_eq(iomap_sim_file_unlink(d.sim, "disk", "b"), -ENOENT);
	ck_assert_int_eq(iomap_sim_file_rename(d.sim, "disk", "b", "c"), -ENOENT);
	iomap_sim_file_close(d.sim, a);
	iomap_sim_file_close(d.sim, b);
	ck_assert_int_eq(disk_letter(&d, "b"), 0);
	disk_delete(&d);
}

CASE(room_comes_back, "", "What is removed or cut off makes room, synced by hand or not")
{
	static uint8_t mem[16 * BLOCK];
	char name[8] = "f";

	for (unsigned synced = 0; synced < 2; synced++) {
		struct disk d;
		int fd;

		disk_new(&d, "consumer", 7, 64);
		for (unsigned i = 0; i < 100; i++) {
			name[1] = (char)('0' + i % 10);
			fd = disk_create(&d, name);
			ck_assert_int_eq(iomap_sim_file_pwrite(d.sim, fd, mem, sizeof(mem), 0),
					 sizeof(mem));
			for (unsigned k = 0; k < i % 4; k++) {
				ck_assert_int_eq(iomap_sim_file_truncate(d.sim, fd, 0), 0);
				disk_fill(&d, fd, 'x', 0, 16);
			}
			iomap_sim_file_close(d.sim, fd);
			ck_assert_int_eq(iomap_sim_file_unlink(d.sim, "disk", name), 0);
			if (synced)
				ck_assert_int_eq(iomap_sim_dir_sync(d.sim, "disk"), 0);
		}
		disk_delete(&d);
	}
}

CASE(it_is_full, "", "No room for data, for names, for descriptors; a file too large")
{
	static uint8_t mem[64 * BLOCK];
	struct disk d;
	char name[8] = "f";
	int fd, fds[300], nr = 0;

	disk_new(&d, "cruel", 3, 64);
	fd = disk_create(&d, "a");
	ck_assert_int_eq(iomap_sim_file_pwrite(d.sim, fd, mem, 64 * BLOCK, 0), 47 * BLOCK);
	ck_assert_int_eq(iomap_sim_file_size(d.sim, fd), 47 * BLOCK);
	ck_assert_int_eq(iomap_sim_file_pwrite(d.sim, fd, mem, 1, 50 * BLOCK), -ENOSPC);
	ck_assert_int_eq(iomap_sim_file_pwrite(d.sim, fd, mem, 2, 240 * BLOCK - 1), -EFBIG);
	ck_assert_int_eq(iomap_sim_file_truncate(d.sim, fd, 240 * BLOCK), 0);
	ck_assert_int_eq(iomap_sim_file_truncate(d.sim, fd, 240 * BLOCK + 1), -EFBIG);
	for (unsigned i = 1; i < 4; i++) {
		name[1] = (char)('0' + i);
		iomap_sim_file_close(d.sim, disk_create(&d, name));
	}
	ck_assert_int_eq(iomap_sim_file_open(d.sim, "disk", "more", true), -ENOSPC);
	ck_assert_int_eq(iomap_sim_file_rename(d.sim, "disk", "a", "more"), -ENOSPC);
	ck_assert_int_eq(iomap_sim_file_unlink(d.sim, "disk", "f1"), 0);
	ck_assert_int_eq(iomap_sim_file_rename(d.sim, "disk", "a", "more"), 0);
	while ((fds[nr] = iomap_sim_file_open(d.sim, "disk", "more", false)) >= 0)
		nr++;
	ck_assert_int_eq(fds[nr], -EMFILE);
	ck_assert_int_eq(nr, 255);
	iomap_sim_file_close(d.sim, fds[9]);
	ck_assert_int_eq(iomap_sim_file_open(d.sim, "disk", "more", false), fds[9]);
	disk_delete(&d);
}

CASE(mistakes_are_told, "", "No device, not formatted, too small, names, places, descriptors")
{
	const char *fifty = "01234567890123456789012345678901234567890123456789";
	const struct iomap_sim_dev devs[] = {
		{ .name = "disk", .preset = "consumer", .size = 64 * BLOCK },
		{ .name = "small", .preset = "consumer", .size = 17 * BLOCK },
	};
	const struct iomap_sim_opts opts = {
		.struct_size = sizeof(opts), .devs = devs, .nr_devs = 2,
	};
	struct iomap_sim *sim;
	char mem[8];
	int fd;

	ck_assert_int_eq(iomap_sim_new(&opts, &sim), 0);
	ck_assert_int_eq(iomap_sim_file_format(sim, "other"), -ENOENT);
	ck_assert_int_eq(iomap_sim_file_format(sim, "small"), -ENOSPC);
	ck_assert_int_eq(iomap_sim_file_open(sim, "small", "a", true), -EINVAL);
	ck_assert_int_eq(iomap_sim_file_open(sim, "other", "a", true), -ENOENT);
	ck_assert_int_eq(iomap_sim_file_open(sim, "disk", "a", true), -EINVAL);
	ck_assert_int_eq(iomap_sim_dir_sync(sim, "disk"), -EINVAL);
	ck_assert_int_eq(iomap_sim_file_size(sim, 0), -EBADF);
	ck_assert_int_eq(iomap_sim_file_format(sim, "disk"), 0);
	ck_assert_int_eq(iomap_sim_file_open(sim, "disk", "a", false), -ENOENT);
	ck_assert_int_eq(iomap_sim_file_open(sim, "disk", "", true), -EINVAL);
	ck_assert_int_eq(iomap_sim_file_open(sim, "disk", fifty + 2, true), -EINVAL);
	fd = iomap_sim_file_open(sim, "disk", fifty + 3, true);
	ck_assert_int_eq(fd, 0);
	ck_assert_int_eq(iomap_sim_file_rename(sim, "disk", fifty + 3, fifty), -EINVAL);
	ck_assert_int_eq(iomap_sim_file_unlink(sim, "disk", ""), -EINVAL);
	ck_assert_int_eq(iomap_sim_file_format(sim, "disk"), -EBUSY);
	ck_assert_int_eq(iomap_sim_file_pread(sim, fd, mem, 1, -1), -EINVAL);
	ck_assert_int_eq(iomap_sim_file_pwrite(sim, fd, mem, 1, -1), -EINVAL);
	ck_assert_int_eq(iomap_sim_file_pwrite(sim, fd, mem, SIZE_MAX, 1), -EFBIG);
	ck_assert_int_eq(iomap_sim_file_pwrite(sim, fd, mem, 0, 9), 0);
	ck_assert_int_eq(iomap_sim_file_truncate(sim, fd, -1), -EINVAL);
	ck_assert_int_eq(iomap_sim_file_size(sim, fd), 0);
	for (int bad = -1; bad < 300; bad += bad < 0 ? 2 : 150) {
		ck_assert_int_eq(iomap_sim_file_pread(sim, bad, mem, 1, 0), -EBADF);
		ck_assert_int_eq(iomap_sim_file_pwrite(sim, bad, mem, 1, 0), -EBADF);
		ck_assert_int_eq(iomap_sim_file_truncate(sim, bad, 0), -EBADF);
		ck_assert_int_eq(iomap_sim_file_sync(sim, bad), -EBADF);
		iomap_sim_file_close(sim, bad);
	}
	iomap_sim_file_close(sim, fd);
	ck_assert_int_eq(iomap_sim_file_sync(sim, fd), -EBADF);
	ck_assert_int_eq(iomap_sim_file_format(sim, "disk"), 0);
	ck_assert_int_eq(iomap_sim_file_open(sim, "disk", fifty + 3, false), -ENOENT);
	iomap_sim_delete(&sim);
}

/* ---- what may be lost, and what must not ---- */

CASE(data_wait_for_their_sync, "", "Written, not synced: old or new, and so is the size, apart")
{
	unsigned size[2] = { 0 }, block[2] = { 0 }, apart = 0, hole = 0, full = 0;

	for (uint64_t seed = 0; seed < 4 * SEEDS; seed++) {
		char letters[8] = "";
		struct disk d;
		int fd;

		disk_new(&d, "consumer", seed, 64);
		fd = disk_create(&d, "a");
		disk_fill(&d, fd, 'a', 0, 2);
		ck_assert_int_eq(iomap_sim_file_sync(d.sim, fd), 0);
		ck_assert_int_eq(iomap_sim_dir_sync(d.sim, "disk"), 0);
		disk_fill(&d, fd, 'b', 1, 1);
		disk_fill(&d, fd, 'c', 2, 1);
		disk_cut(&d);
		ck_assert_int_eq(iomap_sim_file_size(d.sim, fd), -EBADF);
		disk_letters(&d, "a", letters);
		ck_assert_int_eq(letters[0], 'a');
		ck_assert(letters[1] == 'a' || letters[1] == 'b');
		ck_assert(!letters[2] || letters[2] == '0' || letters[2] == 'c');
		size[letters[2] != 0]++;
		block[letters[1] == 'b']++;
		apart += (letters[2] != 0) != (letters[1] == 'b');
		hole += letters[2] == '0';
		full += letters[2] == 'c';
		disk_delete(&d);
	}
	ck_assert(size[0] && size[1] && block[0] && block[1] && apart && hole && full);
}

CASE(a_hole_is_filled_apart_from_the_size, "",
     "What is in the file and where it ends are two things")
{
	unsigned seen[2][2] = { 0 };

	for (uint64_t seed = 0; seed < 4 * SEEDS; seed++) {
		char letters[8] = "";
		struct disk d;
		int fd;

		disk_new(&d, "consumer", seed, 64);
		fd = disk_create(&d, "a");
		disk_fill(&d, fd, 'a', 1, 1);
		ck_assert_int_eq(iomap_sim_file_sync(d.sim, fd), 0);
		ck_assert_int_eq(iomap_sim_dir_sync(d.sim, "disk"), 0);
		disk_fill(&d, fd, 'c', 2, 1);
		disk_fill(&d, fd, 'b', 0, 1);
		disk_cut(&d);
		disk_letters(&d, "a", letters);
		ck_assert(letters[1] == 'a' && (letters[0] == '0' || letters[0] == 'b'));
		seen[letters[0] == 'b'][letters[2] != 0]++;
		disk_delete(&d);
	}
	ck_assert(seen[0][0] && seen[0][1] && seen[1][0] && seen[1][1]);
}

CASE(synced_data_stay, "", "Data and size survive once they are synced, whatever other files do")
{
	for (unsigned p = 0; p < NR_PRESETS; p++)
		for (uint64_t seed = 0; seed < SEEDS / 2; seed++) {
			char letters[8] = "";
			struct disk d;
			int fd, other;

			disk_new(&d, presets[p], seed, 64);
			fd = disk_create(&d, "a");
			disk_fill(&d, fd, 'a', 0, 3);
			disk_fill(&d, fd, 'b', 1, 1);
			ck_assert_int_eq(iomap_sim_dir_sync(d.sim, "disk"), 0);
			ck_assert_int_eq(iomap_sim_file_sync(d.sim, fd), 0);
			other = disk_create(&d, "b");
			disk_fill(&d, other, 'x', 0, 4);
			disk_cut(&d);
			disk_letters(&d, "a", letters);
			ck_assert_str_eq(letters, "aba");
			disk_delete(&d);
		}
}

CASE(a_name_waits_for_the_directory, "", "Synced data do not make a name durable; dir_sync does")
{
	unsigned there[2] = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		char letters[8] = "";
		struct disk d;
		int fd;

		disk_new(&d, seed % 2 ? "consumer" : "plp", seed, 64);
		fd = disk_create(&d, "a");
		disk_fill(&d, fd, 'a', 0, 2);
		ck_assert_int_eq(iomap_sim_file_sync(d.sim, fd), 0);
		if (seed % 3 == 0)
			ck_assert_int_eq(iomap_sim_dir_sync(d.sim, "disk"), 0);
		disk_cut(&d);
		if (disk_letters(&d, "a", letters))
			ck_assert_str_eq(letters, "aa");
		if (seed % 3 == 0)
			ck_assert_str_eq(letters, "aa");
		else
			there[letters[0] == 'a']++;
		disk_delete(&d);
	}
	ck_assert(there[0] && there[1]);
}

CASE(data_do_not_come_with_the_name, "", "A durable name whose file was not synced: empty, or not")
{
	unsigned seen[3] = { 0 };

	for (uint64_t seed = 0; seed < 4 * SEEDS; seed++) {
		char letters[8] = "";
		struct disk d;

		disk_new(&d, "consumer", seed, 64);
		disk_fill(&d, disk_create(&d, "a"), 'a', 0, 1);
		ck_assert_int_eq(iomap_sim_dir_sync(d.sim, "disk"), 0);
		disk_cut(&d);
		ck_assert(disk_letters(&d, "a", letters));
		seen[letters[0] == 'a' ? 2 : letters[0] == '0']++;
		disk_delete(&d);
	}
	ck_assert(seen[0] && seen[1] && seen[2]);
}

CASE(a_rename_over_keeps_one_of_the_two, "", "The name is one file or the other, with all of it")
{
	unsigned seen[2][2] = { 0 };

	for (uint64_t seed = 0; seed < 4 * SEEDS; seed++) {
		char new[8] = "", old[8] = "";
		bool from, to, synced = seed % 5 == 0;
		struct disk d;
		int fd;

		disk_new(&d, presets[seed % NR_PRESETS], seed, 64);
		fd = disk_create(&d, "db");
		disk_fill(&d, fd, 'o', 0, 3);
		ck_assert_int_eq(iomap_sim_file_sync(d.sim, fd), 0);
		ck_assert_int_eq(iomap_sim_dir_sync(d.sim, "disk"), 0);
		fd = disk_create(&d, "tmp");
		disk_fill(&d, fd, 'n', 0, 2);
		ck_assert_int_eq(iomap_sim_file_sync(d.sim, fd), 0);
		ck_assert_int_eq(iomap_sim_dir_sync(d.sim, "disk"), 0);
		ck_assert_int_eq(iomap_sim_file_rename(d.sim, "disk", "tmp", "db"), 0);
		if (synced)
			ck_assert_int_eq(iomap_sim_dir_sync(d.sim, "disk"), 0);
		disk_cut(&d);
		from = disk_letters(&d, "tmp", old);
		ck_assert(disk_letters(&d, "db", new));
		to = !strcmp(new, "nn");
		ck_assert(to || !strcmp(new, "ooo"));
		ck_assert(!from || !strcmp(old, "nn"));
		ck_assert(!synced || (to && !from));
		if (!synced)
			seen[from][to]++;
		disk_delete(&d);
	}
	ck_assert(seen[0][0] && seen[0][1] && seen[1][0] && seen[1][1]);
}

CASE(removed_is_not_durable, "", "A removed file may be back, whole, until the directory is synced")
{
	unsigned there[2] = { 0 };

	for (uint64_t seed = 0; seed < 4 * SEEDS; seed++) {
		bool synced = seed % 3 == 0;
		char letters[8] = "";
		struct disk d;
		int fd;

		disk_new(&d, presets[seed % NR_PRESETS], seed, 64);
		fd = disk_create(&d, "a");
		disk_fill(&d, fd, 'a', 0, 2);
		ck_assert_int_eq(iomap_sim_file_sync(d.sim, fd), 0);
		ck_assert_int_eq(iomap_sim_dir_sync(d.sim, "disk"), 0);
		ck_assert_int_eq(iomap_sim_file_unlink(d.sim, "disk", "a"), 0);
		iomap_sim_file_close(d.sim, fd);
		fd = disk_create(&d, "b");
		disk_fill(&d, fd, 'b', 0, 4);	/* not in the blocks of the other */
		if (seed % 2)
			ck_assert_int_eq(iomap_sim_file_sync(d.sim, fd), 0);
		if (synced)
			ck_assert_int_eq(iomap_sim_dir_sync(d.sim, "disk"), 0);
		disk_cut(&d);
		if (disk_letters(&d, "a", letters))
			ck_assert_str_eq(letters, "aa");
		ck_assert(!synced || !letters[0]);
		if (!synced)
			there[letters[0] == 'a']++;
		disk_delete(&d);
	}
	ck_assert(there[0] && there[1]);
}

CASE(what_was_cut_off_does_not_come_back, "O4", "A file grown again has zeros there")
{
	for (uint64_t seed = 0; seed < 2 * SEEDS; seed++) {
		uint8_t mem[3 * BLOCK];
		struct disk d;
		int64_t size;
		int fd;

		disk_new(&d, presets[seed % NR_PRESETS], seed, 64);
		fd = disk_create(&d, "a");
		disk_fill(&d, fd, 'a', 0, 3);
		ck_assert_int_eq(iomap_sim_file_sync(d.sim, fd), 0);
		ck_assert_int_eq(iomap_sim_dir_sync(d.sim, "disk"), 0);
		ck_assert_int_eq(iomap_sim_file_truncate(d.sim, fd, 100), 0);
		if (seed % 2)
			ck_assert_int_eq(iomap_sim_file_sync(d.sim, fd), 0);
		else
			disk_cut(&d);
		fd = iomap_sim_file_open(d.sim, "disk", "a", false);
		size = iomap_sim_file_size(d.sim, fd);
		ck_assert(size == 100 || (!(seed % 2) && size == 3 * BLOCK));
		ck_assert_int_eq(iomap_sim_file_truncate(d.sim, fd, 3 * BLOCK), 0);
		disk_cut(&d);
		fd = iomap_sim_file_open(d.sim, "disk", "a", false);
		ck_assert_int_ge(iomap_sim_file_pread(d.sim, fd, mem, sizeof(mem), 0), 100);
		if (size == 100 && iomap_sim_file_size(d.sim, fd) == 3 * BLOCK)
			ck_assert(is_filled(mem + 100, sizeof(mem) - 100, 0));
		disk_delete(&d);
	}
}

/* ---- faults ---- */

CASE(a_failed_sync_loses_nothing, "",
     "It says so, all is read, and the next sync makes it durable")
{
	static const char *const kinds[] = {
		"eio_write", "landed", "torn", "enospc", "lost", "flush_error", "flush_error_drops",
	};
	unsigned failed = 0;

	for (unsigned k = 0; k < 7; k++)
		for (unsigned op = 1; op < 14; op++) {
			char script[64], letters[8] = "";
			int fd, rc, rc_dir;
			struct disk d;

			disk_new(&d, op % 2 ? "consumer" : "cruel", op, 64);
			fd = disk_create(&d, "a");
			snprintf(script, sizeof(script), "at op=%u kind=%s", op, kinds[k]);
			ck_assert_int_eq(iomap_sim_fault(d.sim, script), 0);
			disk_fill(&d, fd, 'a', 0, 3);
			disk_fill(&d, fd, 'b', 1, 3);
			rc = iomap_sim_file_sync(d.sim, fd);
			rc_dir = iomap_sim_dir_sync(d.sim, "disk");
			failed += rc || rc_dir;
			ck_assert_int_eq(iomap_sim_fault(d.sim, NULL), 0);
			ck_assert(!rc || !rc_dir);
			ck_assert(disk_letters(&d, "a", letters));
			ck_assert_str_eq(letters, "abbb");
			if (rc)
				ck_assert_int_eq(iomap_sim_file_sync(d.sim, fd), 0);
			if (rc_dir)
				ck_assert_int_eq(iomap_sim_dir_sync(d.sim, "disk"), 0);
			disk_cut(&d);
			ck_assert(disk_letters(&d, "a", letters));
			ck_assert_str_eq(letters, "abbb");
			disk_delete(&d);
		}
	ck_assert_uint_gt(failed, 20);
}

CASE(errors_of_a_device_come_through, "", "Reads that fail, a device that is read-only or gone")
{
	struct disk d;
	char byte;
	int fd;

	disk_new(&d, "consumer", 1, 64);
	fd = disk_create(&d, "a");
	disk_fill(&d, fd, 'a', 0, 2);
	ck_assert_int_eq(iomap_sim_file_sync(d.sim, fd), 0);
	ck_assert_int_eq(iomap_sim_fault(d.sim, "at read kind=eio_read"), 0);
	ck_assert_int_eq(iomap_sim_file_pread(d.sim, fd, &byte, 1, 0), -EIO);
	ck_assert_int_eq(iomap_sim_file_pread(d.sim, fd, &byte, 1, 0), 1);
	ck_assert_int_eq(iomap_sim_fault(d.sim, "at read kind=eio_read"), 0);
	ck_assert_int_eq(iomap_sim_file_pwrite(d.sim, fd, "x", 1, 9), -EIO);
	ck_assert_int_eq(iomap_sim_file_pwrite(d.sim, fd, "a", 1, 9), 1);
	ck_assert_int_eq(iomap_sim_fault(d.sim, "at write kind=read_only"), 0);
	disk_fill(&d, fd, 'b', 1, 1);
	ck_assert_int_eq(iomap_sim_file_sync(d.sim, fd), -EROFS);
	ck_assert_int_eq(iomap_sim_fault(d.sim, NULL), 0);
	ck_assert_int_eq(iomap_sim_file_sync(d.sim, fd), 0);
	ck_assert_int_eq(iomap_sim_fault(d.sim, "at flush kind=removed"), 0);
	ck_assert_int_eq(iomap_sim_dir_sync(d.sim, "disk"), -ENODEV);
	disk_delete(&d);
}

CASE(short_transfers_go_on, "", "A read or write that did less than was asked is not the end of it")
{
	static const char *const scripts[] = {
		"at read kind=short_read", "at read kind=zero_length", "at write kind=short_write",
		"at write kind=zero_length",
	};

	for (unsigned i = 0; i < 4; i++) {
		struct iomap_sim_counter counter = { .struct_size = sizeof(counter) };
		char letters[8] = "";
		struct disk d;
		int fd;

		disk_new(&d, "cruel", 1, 64);
		fd = disk_create(&d, "a");
		disk_fill(&d, fd, 'a', 0, 2);
		if (i >= 2)
			ck_assert_int_eq(iomap_sim_fault(d.sim, scripts[i]), 0);
		ck_assert_int_eq(iomap_sim_file_sync(d.sim, fd), 0);
		ck_assert_int_eq(iomap_sim_dir_sync(d.sim, "disk"), 0);
		if (i < 2)
			ck_assert_int_eq(iomap_sim_fault(d.sim, scripts[i]), 0);
		disk_letters(&d, "a", letters);
		ck_assert_str_eq(letters, "aa");
		disk_cut(&d);
		disk_letters(&d, "a", letters);
		ck_assert_str_eq(letters, "aa");
		ck_assert_int_eq(iomap_sim_fault_counters(d.sim, strchr(scripts[i], '=') + 1,
							  &counter), 0);
		ck_assert_uint_eq(counter.fired, 1);
		disk_delete(&d);
	}
}

CASE(an_engines_own_writes_keep_their_error, "",
     "Files do not swallow what start_write is to report")
{
	static const uint8_t block[BLOCK];
	const struct iomap_sim_dev devs[] = {
		{ .name = "disk", .preset = "consumer", .size = 64 * BLOCK },
		{ .name = "log", .preset = "consumer", .size = 64 * BLOCK },
	};
	const struct iomap_sim_opts opts = {
		.struct_size = sizeof(opts), .devs = devs, .nr_devs = 2,
	};
	struct iomap_sim *sim;
	int fd;

	ck_assert_int_eq(iomap_sim_new(&opts, &sim), 0);
	ck_assert_int_eq(iomap_sim_file_format(sim, "disk"), 0);
	fd = iomap_sim_file_open(sim, "disk", "a", true);
	ck_assert_int_eq(iomap_sim_fault(sim, "at write dev=log kind=eio_write"), 0);
	ck_assert_int_eq(iomap_sim_start_write(sim, "log", block, BLOCK, 0, 0), 0);
	ck_assert_int_eq(iomap_sim_file_pwrite(sim, fd, "x", 1, 0), 1);
	ck_assert_int_eq(iomap_sim_file_sync(sim, fd), 0);
	ck_assert_int_eq(iomap_sim_wait_writes(sim), -EIO);
	ck_assert_int_eq(iomap_sim_wait_writes(sim), 0);
	iomap_sim_delete(&sim);
}

CASE(off_is_off, "", "After a cut each call fails, though it could be answered from memory")
{
	char byte = 'x';
	struct disk d;
	int fd;

	disk_new(&d, "consumer", 1, 64);
	fd = disk_create(&d, "a");
	disk_fill(&d, fd, 'a', 0, 1);
	ck_assert_int_eq(iomap_sim_cut_at(d.sim, 1), 0);
	ck_assert_int_eq(iomap_sim_file_sync(d.sim, fd), -ENODEV);
	ck_assert_int_eq(iomap_sim_file_size(d.sim, fd), -ENODEV);
	ck_assert_int_eq(iomap_sim_file_pread(d.sim, fd, &byte, 1, 0), -ENODEV);
	ck_assert_int_eq(iomap_sim_file_pwrite(d.sim, fd, &byte, 1, 0), -ENODEV);
	ck_assert_int_eq(iomap_sim_file_truncate(d.sim, fd, 0), -ENODEV);
	ck_assert_int_eq(iomap_sim_file_open(d.sim, "disk", "b", true), -ENODEV);
	ck_assert_int_eq(iomap_sim_file_unlink(d.sim, "disk", "a"), -ENODEV);
	ck_assert_int_eq(iomap_sim_file_rename(d.sim, "disk", "a", "b"), -ENODEV);
	ck_assert_int_eq(iomap_sim_dir_sync(d.sim, "disk"), -ENODEV);
	iomap_sim_file_close(d.sim, fd);
	ck_assert_int_eq(iomap_sim_file_size(d.sim, fd), -EBADF);
	disk_delete(&d);
}

MAIN()
