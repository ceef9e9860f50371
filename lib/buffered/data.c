/* SPDX-License-Identifier: MIT */
/*
 * buffered/data.c - the user's memory: a cursor over a vector.
 *
 * Bytes move through the environment's copy functions or those of the request, never otherwise
 * (H11).  A short copy means that memory could not be reached; the cursor stands where it ended.
 * Threads: a request belongs to one thread at a time.
 */
#include "buffered/buffered.h"

#include <string.h>

IOMAP_API void iomap_data_init(struct iomap_data *data, const struct iovec *iov, unsigned nr_iov)
{
	memset(data, 0, sizeof(*data));
	data->iov = iov;
	data->nr_iov = nr_iov;
	for (unsigned i = 0; i < nr_iov; i++) {
		if (iov[i].iov_len > SIZE_MAX - data->total) {	/* more than a request can be */
			data->nr_iov = i;
			break;
		}
		data->total += iov[i].iov_len;
	}
	data->left = data->total;
}

/* The rest of the segment that the cursor stands in; empty ones are stepped over. */
static size_t segment_left(struct iomap_data *data)
{
	while (data->cur_iov < data->nr_iov && data->off == data->iov[data->cur_iov].iov_len) {
		data->cur_iov++;
		data->off = 0;
	}
	return data->cur_iov < data->nr_iov ? data->iov[data->cur_iov].iov_len - data->off : 0;
}

IOMAP_API void iomap_data_advance(struct iomap_data *data, size_t len)
{
	len = iomapi_min(len, data->left);
	data->left -= len;
	while (len && data->iov) {
		size_t n = iomapi_min(len, segment_left(data));

		if (!n)
			break;
		data->off += n;
		len -= n;
	}
}

IOMAP_API void iomap_data_rewind(struct iomap_data *data, size_t len)
{
	len = iomapi_min(len, data->total - data->left);
	data->left += len;
	while (len && data->iov) {
		size_t n = iomapi_min(len, data->off);

		data->off -= n;
		len -= n;
		if (!len || !data->cur_iov)
			break;
		data->cur_iov--;
		data->off = data->iov[data->cur_iov].iov_len;
	}
}

static size_t copy_segment(struct iomap_env *env, const struct iomap_data *data, void *mem,
			   size_t len, bool to_user)
{
	const struct iomap_env_opts *o = iomapi_env_opts(env);
	char *user = (char *)data->iov[data->cur_iov].iov_base + data->off;

	return to_user ? o->copy->copy_out(o->copy_arg, user, mem, len)
		       : o->copy->copy_in(o->copy_arg, mem, user, len);
}

IOMAP_API size_t iomap_data_copy(struct iomap_env *env, struct iomap_data *data, void *mem,
				 size_t len, bool to_user)
{
	size_t done = 0;

	len = iomapi_min(len, data->left);
	if (data->ops && data->ops->copy) {
		done = data->ops->copy(data, mem, len, to_user);
		done = iomapi_min(done, len);
		iomap_data_advance(data, done);
		return done;
	}
	while (done < len && data->iov) {
		size_t n = iomapi_min(len - done, segment_left(data)), got;

		if (!n)
			break;
		got = copy_segment(env, data, (char *)mem + done, n, to_user);
		got = iomapi_min(got, n);
		iomap_data_advance(data, got);
		done += got;
		if (got < n)
			break;
	}
	return done;
}

bool iomapi_data_can_prefault(struct iomap_env *env, const struct iomap_data *data)
{
	if (data->ops && data->ops->copy)
		return data->ops->prefault;
	return iomapi_env_opts(env)->copy->prefault;
}

size_t iomapi_data_prefault(struct iomap_env *env, struct iomap_data *data, size_t len, bool write)
{
	const struct iomap_env_opts *o = iomapi_env_opts(env);
	struct iomap_data at = *data;	/* a cursor to walk with */
	size_t done = 0;

	len = iomapi_min(len, data->left);
	if (!iomapi_data_can_prefault(env, data))
		return len;
	if (data->ops && data->ops->copy) {
		done = data->ops->prefault(data, len, write);
		return iomapi_min(done, len);
	}
	while (done < len && at.iov) {
		size_t n = iomapi_min(len - done, segment_left(&at)), got;

		if (!n)
			break;
		got = o->copy->prefault(o->copy_arg,
					(char *)at.iov[at.cur_iov].iov_base + at.off, n, write);
		got = iomapi_min(got, n);
		iomap_data_advance(&at, got);
		done += got;
		if (got < n)
			break;
	}
	return done;
}
