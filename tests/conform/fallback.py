#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# Where io_uring is denied, iomap-demo copies through libaio, and where that is denied too through
# threads; the copy is the same, and what was denied is told.  So it is where they can be made, and
# not be used.
# usage: fallback.py DENY DEMO: the programs deny and iomap-demo
import json
import os
import random
import subprocess
import sys
import tempfile


def fail(*what):
    print("fallback:", *what)
    sys.exit(1)


def run(command):
    out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         check=False)
    if out.returncode:
        fail(f"{command} ended with {out.returncode}:\n{out.stdout}{out.stderr}")
    return out.stdout


def words_of(output):
    """What copy says of its backend, on one line."""
    return " ".join(output.split("\n  backend", 1)[1].split("\n  pages", 1)[0].split())


def check(deny, demo, denied, source, image):
    here = [deny, *denied, "--", demo]
    found = json.loads(run([*here, "backends", "--json"]))
    schemes = {row["scheme"]: row for row in found["backends"] if row["scheme"] != "file"}
    left_out = "left out" in schemes["aio"]["reason"]
    missing = [call.split("-")[0] for call in denied]
    wanted = "aio" if "aio" not in missing and not left_out else "file"
    if found["auto"] != wanted:
        fail(f"without {denied} auto: is {found['auto']}, not {wanted}")
    output = run([*here, "copy", source, "--device", f"auto:{image}"])
    words = words_of(output)
    if not words.startswith("file: 4 threads" if wanted == "file" else wanted):
        fail(f"without {denied} the copy went through: {words}")
    for scheme in missing:
        row = schemes[scheme]
        if row["works"] or row["error"] != -95:
            fail(f"{scheme} is denied, but {row}")
        if f"not {scheme}" not in words:
            fail(f"nothing about {scheme} in: {words}")
        if "denied" not in row["reason"] and "left out" not in row["reason"]:
            fail(f"{scheme} does not say that it is denied: {row['reason']}")
    with open(source, "rb") as a, open(image, "rb") as b:
        if a.read() != b.read():
            fail(f"without {denied} source and image differ")
    print(f"without {' and '.join(denied)}: {words}")


def main(deny, demo):
    with tempfile.TemporaryDirectory(prefix="iomap-fallback-") as folder:
        source, image = os.path.join(folder, "source"), os.path.join(folder, "image")
        with open(source, "wb") as f:
            f.write(random.Random(5).randbytes(3_000_001))
        for denied in (["uring"], ["uring", "aio"], ["uring-enter", "aio-submit"]):
            check(deny, demo, denied, source, image)


if __name__ == "__main__":
    main(*sys.argv[1:])
