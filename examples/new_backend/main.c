/* SPDX-License-Identifier: MIT */
/*
 * new_backend - opens a device of the backend in ram.c, writes to it and reads back.
 *
 *	$ new_backend
 *	new_backend: ok bytes=65536 backend=ram
 *
 * ram.c is the thing to read, and to copy: each call that a backend has to bring stands there with
 * what it may do and what it can rely on.  The program shows how it is put into an environment.
 */
#include <stdio.h>
#include <string.h>

#include <iomap/iomap.h>

#include "ram.h"

#define REQUEST (64u << 10)

static int request(struct iomap_bdev *bdev, enum iomap_bio_op op, void *mem)
{
	struct iomap_bvec seg;
	struct iomap_bio bio;

	iomap_bio_init(&bio, bdev, op, 4096, &seg, 1);
	iomap_bio_add(&bio, mem, REQUEST, NULL);
	iomap_bio_submit(&bio);
	return iomap_bio_wait(&bio);
}

int main(void)
{
	static const struct iomap_backend_ops *const backends[] = { &ram_backend, NULL };
	const struct iomap_env_opts opts = { .struct_size = sizeof(opts), .backends = backends };
	static char out[REQUEST], in[REQUEST];
	struct iomap_bdev *bdev = NULL;
	struct iomap_env *env = NULL;
	struct iomap_ioq *ioq = NULL;
	int rc;

	memset(out, 'r', sizeof(out));
	rc = iomap_env_new(&opts, &env);
	if (!rc)
		rc = iomap_ioq_new(env, NULL, &ioq);
	if (!rc)
		rc = iomap_bdev_open(ioq, "ram:1m", NULL, &bdev);
	if (!rc)
		rc = request(bdev, IOMAP_BIO_WRITE, out);
	if (!rc)
		rc = request(bdev, IOMAP_BIO_READ, in);
	if (rc || memcmp(in, out, REQUEST))
		fprintf(stderr, "new_backend: %s\n", rc ? strerror(-rc) : "other bytes came back");
	else
		printf("new_backend: ok bytes=%u backend=%s\n", REQUEST, iomap_ioq_reason(ioq));
	rc |= memcmp(in, out, REQUEST);
	iomap_bdev_close(&bdev);
	iomap_ioq_delete(&ioq);
	iomap_env_delete(&env);
	return rc ? 1 : 0;
}
