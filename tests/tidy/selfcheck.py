#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# Each rule of tidy can fail: small bad trees, the rule that must speak, and a good tree that none
# may complain about.
import os
import sys
import tempfile

import tidy
from tidy import rules

SPDX = "/* SPDX-License-Identifier: MIT */\n"
LONG_FUNCTION = "int iomap_x(void)\n{\n" + "\treturn 0;\n" * 69 + "}\n"
GOOD = {
    "lib/base/base.h": SPDX + "int iomapi_x(void);\n",
    "lib/block/block.h": SPDX + "#include \"base/base.h\"\n",
    "lib/cache/cache.h": SPDX + "#include \"base/base.h\"\n",
    "lib/backend/file.c": SPDX + "#include <unistd.h>\n#include \"base/base.h\"\n"
                                 "int iomapi_f(int fd)\n{\n\treturn close(fd); /* free(x) */\n}\n",
    "lib/inode/sync.c": SPDX + "#include \"block/block.h\"\n#include \"cache/cache.h\"\n",
    "include/iomap/types.h": SPDX,
    "include/iomap/folio.h": SPDX + "#include \"types.h\"\n",
    "include/iomap/bio.h": SPDX + "#include \"types.h\"\n",
    "tests/unit/test_x.c": SPDX + "#include \"base/base.h\"\n",
    "tests/tidy/exceptions": "lib/base/long.c:iomap_x  one table, read from top to bottom\n",
    "lib/base/long.c": SPDX + LONG_FUNCTION,
    "doc/rules.md": "".join(f"- **{kind}{i}** one line\n" for kind, total in rules.TOTALS.items()
                            for i in range(1, total + 1)),
}


def add(path, text):
    return {path: SPDX + text}


# what -> (rule, files on top of the good tree)
BAD = {
    "no licence": ("spdx", {"lib/base/x.c": "int x;\n"}),
    "trailing space": ("form", add("lib/base/x.c", "int x; \n")),
    "spaces for tabs": ("form", add("lib/base/x.c", "        int x;\n")),
    "long line": ("form", add("lib/base/x.c", "int " + "x" * 100 + ";\n")),
    "no newline": ("form", add("lib/base/x.c", "int x;")),
    "unfinished": ("unfinished", add("lib/base/x.c", "/* TODO */\n")),
    "prints": ("calls", add("lib/cache/x.c", "int f(void)\n{\n\treturn puts(0);\n}\n")),
    "exits": ("calls", add("sim/x.c", "void f(void)\n{\n\texit(1);\n}\n")),
    "allocates": ("calls", add("lib/block/x.c", "void *f(void)\n{\n\treturn malloc(1);\n}\n")),
    "handles signals": ("calls", add("lib/base/x.c", "void f(void)\n{\n\tsignal(1, 0);\n}\n")),
    "reads a clock": ("calls", add("lib/block/x.c", "long f(void)\n{\n\treturn time(0);\n}\n")),
    "depends on chance": ("calls", add("lib/block/x.c", "int f(void)\n{\n\treturn rand();\n}\n")),
    "is not exact": ("calls", add("sim/x.c", "int f(int n)\n{\n\treturn n * (double)n;\n}\n")),
    "touches files": ("calls", add("lib/inode/x.c", "int f(void)\n{\n\treturn fsync(1);\n}\n")),
    "locks": ("calls", add("lib/cache/x.c", "void f(void)\n{\n\tpthread_yield();\n}\n")),
    "sets errno": ("calls", add("lib/backend/x.c", "void f(void)\n{\n\terrno = 0;\n}\n")),
    "long file": ("size", add("lib/base/x.c", "int x;\n" * 601)),
    "long function": ("size", add("lib/base/x.c", LONG_FUNCTION)),
    "block knows folios": ("arrows", add("lib/block/x.c", "#include <iomap/folio.h>\n")),
    "base looks up": ("arrows", add("lib/base/x.c", "#include \"block/block.h\"\n")),
    "cache knows block": ("arrows", add("lib/cache/x.c", "#include \"block/block.h\"\n")),
    "policy to policy": ("arrows", add("lib/writeback/x.c", "#include \"buffered/buffered.h\"\n")),
    "bare private": ("arrows", add("lib/cache/x.c", "#include \"cache.h\"\n")),
    "public is not alone": ("arrows", add("include/iomap/x.h", "#include <stdio.h>\n")),
    "simulator looks in": ("arrows", add("sim/x.c", "#include \"base/base.h\"\n")),
    "example looks in": ("arrows", add("examples/x.c", "#include \"base/base.h\"\n")),
    "conform looks in": ("arrows", add("tests/conform/test_x.c", "#include \"base/base.h\"\n")),
    "slips in": ("closure", {
        "lib/block/x.c": SPDX + "#include \"block/more.h\"\n",
        "lib/block/more.h": SPDX + "#include \"base/more.h\"\n",
        "lib/base/more.h": SPDX + "#include <iomap/folio.h>\n"}),
    "room slips in": ("closure", {
        "lib/cache/x.c": SPDX + "#include \"base/more.h\"\n",
        "lib/base/more.h": SPDX + "#include \"block/block.h\"\n"}),
    "a number without a line": ("rules", {
        "doc/rules.md": GOOD["doc/rules.md"].replace("- **R14**", "- R")}),
    "a number twice": ("rules", {"doc/rules.md": GOOD["doc/rules.md"] + "- **H1** again\n"}),
    "an unknown number": ("rules", {"doc/rules.md": GOOD["doc/rules.md"] + "- **R54** new\n"}),
    "no reason": ("exceptions", {"tests/tidy/exceptions": "lib/base/long.c:iomap_x\n"}),
    "needless exception": ("exceptions", {
        "tests/tidy/exceptions": GOOD["tests/tidy/exceptions"] + "lib/base/long.c  long\n"}),
    "eleven exceptions": ("exceptions", {
        "tests/tidy/exceptions": GOOD["tests/tidy/exceptions"] + "lib/base/x.c  long\n" * 10,
        "lib/base/x.c": SPDX + "int x;\n" * 601}),
}


def findings(files):
    with tempfile.TemporaryDirectory() as root:
        for path, text in {**GOOD, **files}.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as f:
                f.write(text)
        return tidy.check(root)[0]


def main():
    failed = 0
    clean = findings({})
    for finding in clean:
        print("the good tree is blamed:", *finding)
    for what, (rule, files) in BAD.items():
        if rule not in [f[2] for f in findings(files)]:
            print(f"{what}: rule {rule} says nothing")
            failed += 1
    print(f"tidy selfcheck: {len(BAD)} bad trees, {failed} unnoticed")
    return 1 if failed or clean else 0


if __name__ == "__main__":
    sys.exit(main())
