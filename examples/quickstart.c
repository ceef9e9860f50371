/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <iomap/iomap.h>
static int request(struct iomap_bdev *bdev, enum iomap_bio_op op, void *mem)
{
	struct iomap_bvec seg;
	struct iomap_bio bio;
	iomap_bio_init(&bio, bdev, op, 0, &seg, 1);	/* from byte 0 of the device */
	iomap_bio_add(&bio, mem, 4096, NULL);
	iomap_bio_submit(&bio);				/* never blocks, never calls back */
	return iomap_bio_wait(&bio);			/* whoever waits, drives the device */
}
int main(void)
{
	static _Alignas(4096) char out[4096] = "written, read back, the same", in[4096];
	struct iomap_env *env; struct iomap_ioq *ioq; struct iomap_bdev *bdev;
	if (iomap_env_new(NULL, &env) || iomap_ioq_new(env, NULL, &ioq) ||
	    iomap_bdev_open(ioq, "file:quickstart.img,size=4096,create", NULL, &bdev) ||
	    request(bdev, IOMAP_BIO_WRITE, out) || request(bdev, IOMAP_BIO_READ, in))
		return 1;
	puts(in);
	iomap_bdev_close(&bdev);
	iomap_ioq_delete(&ioq);
	iomap_env_delete(&env);
}
