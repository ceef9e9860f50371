/* SPDX-License-Identifier: MIT */
/*
 * base/copy.c - the user's memory.
 *
 * iomapi_copy_plain trusts it.  iomap_copy_vm lets the kernel do the copy, as between two processes
 * that happen to be the same: where plain stores would be killed by a signal the system call comes
 * back with less.  The kernel promises whole segments only, so each segment is one page, and memory
 * is bad by the page.  Threads: any, no state.
 */
#include "base/copy.h"

#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define COPY_PAGE 4096u		/* no machine has smaller ones */
#define COPY_BATCH 64

static size_t plain_in(void *arg, void *dst, const void *user, size_t len)
{
	(void)arg;
	memcpy(dst, user, len);
	return len;
}

static size_t plain_out(void *arg, void *user, const void *src, size_t len)
{
	(void)arg;
	memcpy(user, src, len);
	return len;
}

const struct iomap_copy_ops iomapi_copy_plain = {
	.struct_size = sizeof(iomapi_copy_plain),
	.copy_in = plain_in,
	.copy_out = plain_out,
};

/* Cut what user memory there is into segments of a page; how many bytes they hold. */
static size_t vm_segments(struct iovec *segs, unsigned *nr_segs, uintptr_t user, size_t len)
{
	size_t bytes = 0;

	for (*nr_segs = 0; bytes < len && *nr_segs < COPY_BATCH; ++*nr_segs) {
		size_t n = iomapi_min(len - bytes, COPY_PAGE - (user + bytes) % COPY_PAGE);

		/* Addresses beyond the end of memory are the kernel's to refuse. */
		segs[*nr_segs] = (struct iovec){ (void *)(user + bytes), n };
		bytes += n;
	}
	return bytes;
}

static size_t vm_copy(void *mem, uintptr_t user, size_t len, bool out)
{
	struct iovec remote[COPY_BATCH], local;
	size_t done = 0;
	pid_t pid = getpid();

	while (done < len) {
		unsigned nr_segs;
		ssize_t n;

		local.iov_base = (char *)mem + done;
		local.iov_len = vm_segments(remote, &nr_segs, user + done, len - done);
		n = out ? process_vm_writev(pid, &local, 1, remote, nr_segs, 0)
			: process_vm_readv(pid, &local, 1, remote, nr_segs, 0);
		if (n < 0 && (errno == ENOSYS || errno == EPERM)) {
			void *rest = (void *)(user + done);

			memcpy(out ? rest : local.iov_base, out ? local.iov_base : rest,
			       len - done);
			return len;
		}
		if (n <= 0)
			break;
		done += (size_t)n;
		if ((size_t)n < local.iov_len)
			break;
	}
	return done;
}

static size_t vm_in(void *arg, void *dst, const void *user, size_t len)
{
	int saved = errno;
	size_t done = vm_copy(dst, (uintptr_t)user, len, false);

	(void)arg;
	errno = saved;
	return done;
}

static size_t vm_out(void *arg, void *user, const void *src, size_t len)
{
	int saved = errno;
	size_t done = vm_copy((void *)(uintptr_t)src, (uintptr_t)user, len, true);

	(void)arg;
	errno = saved;
	return done;
}

IOMAP_API const struct iomap_copy_ops *iomap_copy_vm(void)
{
	static const struct iomap_copy_ops vm = {
		.struct_size = sizeof(vm),
		.copy_in = vm_in,
		.copy_out = vm_out,
	};

	return &vm;
}
