/* SPDX-License-Identifier: MIT */
/*
 * file.c - files on a device, with the weakest crash semantics that POSIX allows: the calls.
 *
 * A device is loaded by the first call that names it, and forgotten when power comes back.  All of
 * it hangs off sim->files.
 *
 * A call of one task is over before another's begins, on whatever device: see the end.
 */
#include <errno.h>
#include <string.h>

#include "file.h"
#include "task.h"

void iomapi_sim_files_drop(struct iomap_sim *sim)
{
	if (!sim->files)
		return;
	for (unsigned i = 0; i < sim->nr_devs; i++)
		if (sim->files->fs[i])
			iomapi_sim_fs_delete(sim->files->fs[i]);
	iomapi_sim_level_free(sim, sim->files);
	sim->files = NULL;
}

/* ---- what the arguments mean ---- */

static int load(struct iomap_sim *sim, struct iomapi_sim_dev *dev, struct iomapi_sim_fs **fs)
{
	int rc;

	*fs = iomapi_sim_fs_alloc(sim, sizeof(**fs));
	if (!*fs)
		return -ENOMEM;
	(*fs)->sim = sim;
	(*fs)->dev = dev;
	rc = iomapi_sim_fs_layout(dev, &(*fs)->layout) ? -EINVAL : iomapi_sim_fs_load(*fs);
	if (rc) {
		iomapi_sim_fs_delete(*fs);
		*fs = NULL;
	}
	return rc;
}

static int make_files(struct iomap_sim *sim)
{
	size_t size = sizeof(*sim->files) + sim->nr_devs * sizeof(sim->files->fs[0]);

	if (!sim->files)
		sim->files = iomapi_sim_fs_alloc(sim, size);
	return sim->files ? 0 : -ENOMEM;
}

static int fs_of(struct iomap_sim *sim, const char *call, const char *name,
		 struct iomapi_sim_fs **fs)
{
	struct iomapi_sim_dev *dev = iomapi_sim_find(sim, name);
	int rc;

	if (!dev) {
		iomapi_sim_refuse(sim, -ENOENT, "%s of %s: there is no such device", call, name);
		return -ENOENT;
	}
	if (sim->off)
		iomapi_sim_idle(sim);
	if (sim->off)
		return -ENODEV;
	rc = make_files(sim);
	if (!rc && !sim->files->fs[dev->index])
		rc = load(sim, dev, &sim->files->fs[dev->index]);
	if (rc == -EINVAL)
		iomapi_sim_refuse(sim, rc, "%s of %s: it is not formatted", call, name);
	*fs = rc ? NULL : sim->files->fs[dev->index];
	return rc;
}

static int fd_of(struct iomap_sim *sim, const char *call, int number, struct iomapi_sim_fd *fd)
{
	memset(fd, 0, sizeof(*fd));
	if (number < 0 || (unsigned)number >= IOMAPI_SIM_FDS || !sim->files ||
	    !sim->files->fds[number].fs) {
		iomapi_sim_refuse(sim, -EBADF, "%s: %d is no open file", call, number);
		return -EBADF;
	}
	*fd = sim->files->fds[number];
	if (sim->off)
		iomapi_sim_idle(sim);
	return sim->off ? -ENODEV : 0;
}

static bool is_name(struct iomap_sim *sim, const char *call, const char *name)
{
	if (name && *name && memchr(name, '\0', IOMAPI_SIM_NAME_BYTES))
		return true;
	iomapi_sim_refuse(sim, -EINVAL, "%s: names have 1 to %u bytes", call,
			  IOMAPI_SIM_NAME_BYTES - 1);
	return false;
}

static uint64_t max_size(const struct iomapi_sim_fs *fs)
{
	return (uint64_t)fs->layout.max_file_blocks * fs->layout.block;
}

static int no_place(struct iomap_sim *sim, const char *call, int number, size_t len, int64_t pos)
{
	return iomapi_sim_refuse(sim, -EINVAL, "%s of file %d, %zu bytes at %lld: a negative place",
				 call, number, len, (long long)pos);
}

static int too_big(struct iomap_sim *sim, const char *call, const struct iomapi_sim_fd *fd,
		   size_t len, int64_t pos)
{
	return iomapi_sim_refuse(sim, -EFBIG, "%s of a file of %s, %zu bytes at %lld: a file has at"
				 " most %llu", call, fd->fs->dev->name, len, (long long)pos,
				 (unsigned long long)max_size(fd->fs));
}

/* A change in the cache is lost when power goes on the way. */
static int64_t unless_off(const struct iomap_sim *sim, int64_t rc)
{
	return sim->off ? -ENODEV : rc;
}

static int format_dev(struct iomap_sim *sim, const char *name)
{
	struct iomapi_sim_dev *dev = iomapi_sim_find(sim, name);
	struct iomapi_sim_layout layout;
	int rc = dev ? iomapi_sim_fs_layout(dev, &layout) : -ENOENT;

	if (!rc)
		rc = make_files(sim);
	for (unsigned i = 0; !rc && i < IOMAPI_SIM_FDS; i++)
		if (sim->files->fds[i].fs && sim->files->fds[i].fs->dev == dev)
			rc = -EBUSY;
	if (rc)
		return rc;
	if (sim->files->fs[dev->index])
		iomapi_sim_fs_delete(sim->files->fs[dev->index]);
	sim->files->fs[dev->index] = NULL;
	return iomapi_sim_fs_format(sim, dev, &layout);
}

/* ---- names ---- */

/* NULL: there is none, not even one that was removed and could come back. */
static struct iomapi_sim_name *find(const struct iomapi_sim_fs *fs, const char *text)
{
	for (uint32_t i = 0; i < fs->layout.nr_files; i++)
		if (!strcmp(fs->names[i].text, text))
			return &fs->names[i];
	return NULL;
}

static struct iomapi_sim_inode *lookup(const struct iomapi_sim_fs *fs, const char *text)
{
	const struct iomapi_sim_name *name = find(fs, text);

	return name ? name->inode : NULL;
}

static struct iomapi_sim_inode *free_inode(const struct iomapi_sim_fs *fs)
{
	for (uint32_t i = 0; i < fs->layout.nr_files; i++)
		if (!fs->inodes[i].gen)
			return &fs->inodes[i];
	return NULL;
}

/* A removed one keeps its place until that is durable. */
static struct iomapi_sim_name *find_or_free(const struct iomapi_sim_fs *fs, const char *text)
{
	struct iomapi_sim_name *name = find(fs, text);

	return name ? name : find(fs, "");
}

/* Room for a name, and for a file if there is to be one. */
static int make_room(struct iomapi_sim_fs *fs, const char *text, bool file)
{
	int rc = 0;

	if (!find_or_free(fs, text) || (file && !free_inode(fs)))
		rc = iomapi_sim_fs_reclaim(fs);
	if (!rc && (!find_or_free(fs, text) || (file && !free_inode(fs))))
		rc = -ENOSPC;
	return rc;
}

static void set_name(struct iomapi_sim_name *name, const char *text, struct iomapi_sim_inode *inode)
{
	if (name->inode)
		name->inode->nr_names--;
	if (inode)
		inode->nr_names++;
	name->inode = inode;
	name->slot.item.dirty = true;
	if (name->text[0])
		return;
	memset(name->text, 0, sizeof(name->text));
	memcpy(name->text, text, strlen(text));
}

static int create(struct iomapi_sim_fs *fs, const char *text, struct iomapi_sim_inode **inode)
{
	struct iomapi_sim_name *name;
	int rc = make_room(fs, text, true);

	if (rc)
		return rc;
	name = find_or_free(fs, text);
	*inode = free_inode(fs);
	(*inode)->gen = fs->next_gen++;
	set_name(name, text, *inode);
	iomapi_sim_fs_early_name(fs, name);
	return 0;
}

static int open_file(struct iomap_sim *sim, const char *dev, const char *name, bool may_create)
{
	struct iomapi_sim_inode *inode;
	struct iomapi_sim_fs *fs;
	int rc = is_name(sim, "file_open", name) ? fs_of(sim, "file_open", dev, &fs) : -EINVAL;
	int fd = 0;

	if (rc)
		return rc;
	while ((unsigned)fd < IOMAPI_SIM_FDS && sim->files->fds[fd].fs)
		fd++;
	if ((unsigned)fd == IOMAPI_SIM_FDS)
		return -EMFILE;
	inode = lookup(fs, name);
	if (may_create)
		rc = inode ? -EEXIST : create(fs, name, &inode);
	else if (!inode)
		rc = -ENOENT;
	rc = (int)unless_off(sim, rc);
	if (rc)
		return rc;
	inode->nr_fds++;
	sim->files->fds[fd] = (struct iomapi_sim_fd){ fs, inode };
	return fd;
}

static void close_file(struct iomap_sim *sim, int number)
{
	struct iomapi_sim_fd fd;

	if (fd_of(sim, "file_close", number, &fd) == -EBADF)
		return;
	sim->files->fds[number].fs = NULL;
	fd.inode->nr_fds--;
	iomapi_sim_fs_reap(fd.fs);
}

static int rename_file(struct iomap_sim *sim, const char *dev, const char *from, const char *to)
{
	struct iomapi_sim_name *old, *new;
	struct iomapi_sim_fs *fs;
	int rc;

	if (!is_name(sim, "file_rename", from) || !is_name(sim, "file_rename", to))
		return -EINVAL;
	rc = fs_of(sim, "file_rename", dev, &fs);
	if (rc)
		return rc;
	if (!lookup(fs, from))
		return -ENOENT;
	if (lookup(fs, to) == lookup(fs, from))
		return 0;		/* one file under both names: both stay */
	rc = make_room(fs, to, false);
	if (rc)
		return rc;
	old = find(fs, from);
	new = find_or_free(fs, to);
	set_name(new, to, old->inode);
	set_name(old, from, NULL);
	iomapi_sim_fs_early_name(fs, new);
	iomapi_sim_fs_early_name(fs, old);
	return (int)unless_off(sim, 0);
}

static int unlink_file(struct iomap_sim *sim, const char *dev, const char *text)
{
	struct iomapi_sim_name *name;
	struct iomapi_sim_fs *fs;
	int rc = is_name(sim, "file_unlink", text) ? fs_of(sim, "file_unlink", dev, &fs) : -EINVAL;

	if (rc)
		return rc;
	name = find(fs, text);
	if (!name || !name->inode)
		return -ENOENT;
	set_name(name, text, NULL);
	iomapi_sim_fs_early_name(fs, name);
	return (int)unless_off(sim, 0);
}

static int sync_dir(struct iomap_sim *sim, const char *dev)
{
	struct iomapi_sim_fs *fs;
	int rc = fs_of(sim, "dir_sync", dev, &fs);

	return rc ? rc : iomapi_sim_fs_sync_dir(fs);
}

/* ---- what is in a file ---- */

static int64_t size_of(struct iomap_sim *sim, int number)
{
	struct iomapi_sim_fd fd;
	int rc = fd_of(sim, "file_size", number, &fd);

	return rc ? rc : (int64_t)fd.inode->size;
}

/* How much of a range is in the block that it begins in. */
static size_t piece(const struct iomapi_sim_fs *fs, uint64_t pos, size_t len)
{
	size_t left = fs->layout.block - pos % fs->layout.block;

	return left < len ? left : len;
}

static int read_piece(struct iomapi_sim_fs *fs, const struct iomapi_sim_inode *inode, uint64_t pos,
		      uint8_t *mem, size_t len, uint8_t *bounce)
{
	const struct iomapi_sim_block hole = { 0 }, *b = &hole;
	size_t off = pos % fs->layout.block;
	int rc = 0;

	if (pos / fs->layout.block < inode->nr_blocks)
		b = &inode->blocks[pos / fs->layout.block];
	if (!b->mem && b->at)
		rc = iomapi_sim_fs_read(fs, b->at, 1, bounce);
	if (rc)
		return rc;
	if (b->at)
		memcpy(mem, (b->mem ? b->mem : bounce) + off, len);
	else
		memset(mem, 0, len);
	return 0;
}

static int64_t read_file(struct iomap_sim *sim, int number, void *mem, size_t len, int64_t pos)
{
	struct iomapi_sim_fd fd;
	int rc = fd_of(sim, "file_pread", number, &fd);
	uint8_t *bounce;
	uint64_t at = (uint64_t)pos;
	size_t done = 0;

	if (rc || pos < 0)
		return rc ? rc : no_place(sim, "file_pread", number, len, pos);
	if (at >= fd.inode->size)
		return 0;
	if (len > fd.inode->size - at)
		len = (size_t)(fd.inode->size - at);
	bounce = iomapi_sim_level_alloc(sim, fd.fs->layout.block);
	if (!bounce)
		return -ENOMEM;
	while (!rc && done < len) {
		size_t n = piece(fd.fs, at + done, len - done);

		rc = read_piece(fd.fs, fd.inode, at + done, (uint8_t *)mem + done, n, bounce);
		if (!rc)
			done += n;
	}
	iomapi_sim_level_free(sim, bounce);
	return unless_off(sim, done ? (int64_t)done : rc);
}

static int write_piece(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode, uint64_t pos,
		       const uint8_t *mem, size_t len)
{
	uint32_t index = (uint32_t)(pos / fs->layout.block);
	int rc = iomapi_sim_fs_cache(fs, inode, index);

	if (rc)
		return rc;
	memcpy(inode->blocks[index].mem + pos % fs->layout.block, mem, len);
	inode->blocks[index].item.dirty = true;
	if (pos + len > inode->size) {
		inode->size = pos + len;
		inode->slot.item.dirty = true;
	}
	return 0;
}

static int64_t write_file(struct iomap_sim *sim, int number, const void *mem, size_t len,
			  int64_t pos)
{
	struct iomapi_sim_fd fd;
	int rc = fd_of(sim, "file_pwrite", number, &fd);
	uint64_t at = (uint64_t)pos, first;
	size_t done = 0;

	if (rc || pos < 0)
		return rc ? rc : no_place(sim, "file_pwrite", number, len, pos);
	if (at > max_size(fd.fs) || len > max_size(fd.fs) - at)
		return too_big(sim, "file_pwrite", &fd, len, pos);
	first = fd.inode->size < at ? fd.inode->size : at;
	if (len && at + len > fd.inode->size)
		rc = iomapi_sim_fs_clear_tail(fd.fs, fd.inode, fd.inode->size);
	while (!rc && done < len) {
		size_t n = piece(fd.fs, at + done, len - done);

		rc = write_piece(fd.fs, fd.inode, at + done, (const uint8_t *)mem + done, n);
		if (!rc)
			done += n;
	}
	if (done)
		iomapi_sim_fs_early(fd.fs, fd.inode, first, at + done);
	return unless_off(sim, done ? (int64_t)done : rc);
}

static int truncate_file(struct iomap_sim *sim, int number, int64_t size)
{
	struct iomapi_sim_fd fd;
	int rc = fd_of(sim, "file_truncate", number, &fd);
	uint64_t new = (uint64_t)size, less;

	if (rc || size < 0)
		return rc ? rc : no_place(sim, "file_truncate", number, 0, size);
	if (new > max_size(fd.fs))
		return too_big(sim, "file_truncate", &fd, 0, size);
	if (new == fd.inode->size)
		return 0;
	less = new < fd.inode->size ? new : fd.inode->size;
	rc = iomapi_sim_fs_clear_tail(fd.fs, fd.inode, less);
	if (rc)
		return (int)unless_off(sim, rc);
	iomapi_sim_fs_trim(fd.fs, fd.inode,
			   (uint32_t)((less + fd.fs->layout.block - 1) / fd.fs->layout.block));
	fd.inode->size = new;
	fd.inode->slot.item.dirty = true;
	iomapi_sim_fs_early(fd.fs, fd.inode, less, less + 1);
	return (int)unless_off(sim, 0);
}

static int sync_file(struct iomap_sim *sim, int number)
{
	struct iomapi_sim_fd fd;
	int rc = fd_of(sim, "file_sync", number, &fd);

	return rc ? rc : iomapi_sim_fs_sync_inode(fd.fs, fd.inode);
}

/* ---- one task at a time ---- */

static void lock(struct iomap_sim *sim)
{
	iomapi_sim_point(sim, "file");
	while (sim->files_busy)
		iomapi_sim_park(sim, &sim->files_busy, "a call of files", INT64_MAX);
	sim->files_busy = true;
}

static void unlock(struct iomap_sim *sim)
{
	sim->files_busy = false;
	iomapi_sim_wake(sim, &sim->files_busy, 1);
}

IOMAP_API int iomap_sim_file_format(struct iomap_sim *sim, const char *name)
{
	int rc;

	lock(sim);
	rc = format_dev(sim, name);
	unlock(sim);
	return rc;
}

IOMAP_API int iomap_sim_file_open(struct iomap_sim *sim, const char *dev, const char *name,
				  bool may_create)
{
	int rc;

	lock(sim);
	rc = open_file(sim, dev, name, may_create);
	unlock(sim);
	return rc;
}

IOMAP_API void iomap_sim_file_close(struct iomap_sim *sim, int number)
{
	lock(sim);
	close_file(sim, number);
	unlock(sim);
}

IOMAP_API int iomap_sim_file_rename(struct iomap_sim *sim, const char *dev, const char *from,
				    const char *to)
{
	int rc;

	lock(sim);
	rc = rename_file(sim, dev, from, to);
	unlock(sim);
	return rc;
}

IOMAP_API int iomap_sim_file_unlink(struct iomap_sim *sim, const char *dev, const char *text)
{
	int rc;

	lock(sim);
	rc = unlink_file(sim, dev, text);
	unlock(sim);
	return rc;
}

IOMAP_API int iomap_sim_dir_sync(struct iomap_sim *sim, const char *dev)
{
	int rc;

	lock(sim);
	rc = sync_dir(sim, dev);
	unlock(sim);
	return rc;
}

IOMAP_API int64_t iomap_sim_file_size(struct iomap_sim *sim, int number)
{
	int64_t rc;

	lock(sim);
	rc = size_of(sim, number);
	unlock(sim);
	return rc;
}

IOMAP_API int64_t iomap_sim_file_pread(struct iomap_sim *sim, int number, void *mem, size_t len,
				       int64_t pos)
{
	int64_t rc;

	lock(sim);
	rc = read_file(sim, number, mem, len, pos);
	unlock(sim);
	return rc;
}

IOMAP_API int64_t iomap_sim_file_pwrite(struct iomap_sim *sim, int number, const void *mem,
					size_t len, int64_t pos)
{
	int64_t rc;

	lock(sim);
	rc = write_file(sim, number, mem, len, pos);
	unlock(sim);
	return rc;
}

IOMAP_API int iomap_sim_file_truncate(struct iomap_sim *sim, int number, int64_t size)
{
	int rc;

	lock(sim);
	rc = truncate_file(sim, number, size);
	unlock(sim);
	return rc;
}

IOMAP_API int iomap_sim_file_sync(struct iomap_sim *sim, int number)
{
	int rc;

	lock(sim);
	rc = sync_file(sim, number);
	unlock(sim);
	return rc;
}
