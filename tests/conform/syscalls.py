#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# strace sees by which system calls iomap-demo copies: rings under uring:, io_submit under aio:, and
# vectored writes under file:, which shows that they would be seen.
# usage: syscalls.py DEMO: the program iomap-demo
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

PLAIN = ("pwrite64", "pwritev", "pwritev2", "pread64", "preadv", "preadv2", "write", "read")
RINGS = ("io_uring_enter", "io_submit")


def fail(*what):
    print("syscalls:", *what)
    sys.exit(1)


def skip(*reasons):
    print("skipped:", "; ".join(reasons))
    sys.exit(77)


def run(command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False)


def does_direct(folder):
    """Only there the kernel has calls that do not block, so only there they are used."""
    path = os.path.join(folder, "direct")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o600))
    except OSError:
        return False
    return True


def calls(demo, scheme, folder):
    """call -> how often, of plain ones those on the image alone"""
    source, image = os.path.join(folder, "source"), os.path.join(folder, "image")
    log = os.path.join(folder, "log")
    out = run(["strace", "-f", "-y", "-o", log, "-e", "trace=" + ",".join(PLAIN + RINGS), demo,
               "copy", source, "--device", f"{scheme}:{image}", "--order", "random"])
    if out.returncode or "copy: ok" not in out.stdout:
        fail(f"copy to {scheme}: ended with {out.returncode}:\n{out.stdout}{out.stderr}")
    nr = dict.fromkeys(PLAIN + RINGS, 0)
    with open(log, encoding="utf-8", errors="replace") as f:
        for m in re.finditer(r"^\d+\s+(\w+)\((.*)$", f.read(), re.M):
            if m[1] in RINGS or m[1] in PLAIN and re.match(r"\d+<" + re.escape(image), m[2]):
                nr[m[1]] += 1
    return nr


def main(demo):
    if not shutil.which("strace"):
        skip("strace is not installed")
    out = run(["strace", "-o", "/dev/null", "/bin/true"])
    if out.returncode:
        skip("strace may not trace here: " + out.stderr.strip().split("\n")[0])
    here = json.loads(run([demo, "backends", "--json"]).stdout)
    missing = []
    with tempfile.TemporaryDirectory(prefix="iomap-syscalls-") as folder:
        if not does_direct(folder):
            skip(f"no direct I/O in {folder}")
        with open(os.path.join(folder, "source"), "wb") as f:
            f.write(random.Random(7).randbytes(2_000_003))
        for scheme, used in (("uring", {"io_uring_enter"}), ("aio", {"io_submit"}), ("file", None)):
            row = next(row for row in here["backends"] if row["scheme"] == scheme)
            if not row["works"]:
                missing.append(f"{scheme}: {row['reason']}")
                continue
            nr = {call: n for call, n in calls(demo, scheme, folder).items() if n}
            print(f"{scheme}: " + " ".join(f"{call}={n}" for call, n in nr.items()))
            if used is not None and set(nr) != used:
                fail(f"{scheme}: moved data by {sorted(nr)}, not by {sorted(used)} alone")
            if used is None and (not {"pwritev", "pwritev2"} & set(nr) or set(RINGS) & set(nr)):
                fail(f"{scheme}: was not seen to write by plain calls, but by {sorted(nr)}")
    if missing:
        skip(*missing)


if __name__ == "__main__":
    main(*sys.argv[1:])
