# SPDX-License-Identifier: MIT
#
# Who may include whom.  One table; a file's place decides its row.
import os
import re

DEVICE_PUBLIC = {"bio", "bdev", "backend", "env", "sync", "types", "trace"}
ALL = None                      # any public header
# room -> (private rooms it may include besides itself, public headers)
ROOMS = {
    "base": (set(), {"env", "sync", "types", "trace", "backend", "bdev", "bio"}),
    "backend": ({"base"}, DEVICE_PUBLIC),
    "block": ({"base"}, DEVICE_PUBLIC),
    "map": ({"base"}, ALL),
    "cache": ({"base"}, ALL),
    "inode": ({"map", "cache", "block", "base"}, ALL),
    "mmu": ({"base"}, ALL),
}
for policy in ("buffered", "writeback", "direct", "dax", "report", "remap"):
    ROOMS[policy] = ({"map", "cache", "inode", "block", "base"}, ALL)
ROOT_FILES = {"lib/rooms.c"}    # the one place that knows every room
CLIENTS = ("examples", "bench", "tests")
STANDARD = ("stdbool.h", "stddef.h", "stdint.h", "errno.h", "sys/uio.h")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^">]+)[">]', re.M)
PUBLIC_BY_MM = re.compile(r"include/iomap/(\w+)\.h$")


def judge_private(path, room, header):
    """May a file of this room see lib/<header>?  None, or why not."""
    other = header.split("/")[0]
    if path in ROOT_FILES or other == room:
        return None
    if room not in ROOMS:
        return f"lib/{header} from outside the rooms"
    if other not in ROOMS[room][0]:
        return f"{room} may not include {header}"
    return None


def judge_public(path, room, name):
    if room in ROOMS and ROOMS[room][1] is not ALL and name not in ROOMS[room][1]:
        return f"{room} may not know <iomap/{name}.h>"
    return None


def judge_lib(path, kind, header):
    room = path.split("/")[1] if path.count("/") > 1 else ""
    if kind == "<" and header.startswith("iomap/"):
        return judge_public(path, room, header[6:-2])
    if kind == '"':
        if "/" not in header:
            return f'private headers are included as "room/{header}"'
        return judge_private(path, room, header)
    return None


def judge_outside(path, kind, header, root):
    """The simulator, and clients of the public interface."""
    if kind == "<":
        return None
    top = path.split("/")[0]
    folder = os.path.dirname(path)
    place = os.path.normpath(os.path.join(folder, header))
    if place.startswith(top + "/") and os.path.exists(os.path.join(root, place)):
        return None             # a neighbour
    if top == "tests" and header.split("/")[0] in ("harness", "model"):
        return None
    if path.startswith("tests/harness/") and header.startswith("new_backend/"):
        return None             # the backend to copy, which the stories of devices run over
    if path.startswith("tests/sim/") and os.path.exists(os.path.join(root, "tests", header)):
        return None
    if path.startswith(("tests/sim/", "examples/iomap-sim/")) and \
            header.startswith(("sim_unit_test/", "sim_pages/", "two_files/",
                               "unit/legal_cases.h")):
        return None             # the examples that the explorer is tested with
    if path.startswith("examples/sim_pages/") and header.startswith("page_writer/"):
        return None             # a database around the same parts
    if path.startswith(("tests/unit/", "tests/fuzz/")):
        return None             # they look inside
    return f'{header} is not public'


def judge_header(path, kind, header):
    if kind == '"' and "/" in header:
        return "public headers include their neighbours by bare name"
    if kind == "<" and header not in STANDARD:
        return f"<{header}> in a public header"
    return None


def judge(path, text, root):
    """(line number, why) of each include that points the wrong way"""
    for m in INCLUDE.finditer(text):
        kind, header = m[1], m[2]
        if path.startswith("lib/"):
            why = judge_lib(path, kind, header)
        elif path.startswith("include/"):
            why = judge_header(path, kind, header)
        elif path.split("/")[0] in CLIENTS + ("sim",):
            why = judge_outside(path, kind, header, root)
        else:
            why = None
        if why:
            yield text.count("\n", 0, m.start()) + 1, why


def judge_closure(path, headers):
    """What comes in through other headers, as the compiler lists it: the same arrows."""
    room = path.split("/")[1]
    for header in headers:
        public = PUBLIC_BY_MM.search(header)
        if public:
            why = judge_public(path, room, public[1])
        elif header.startswith("lib/"):
            why = judge_private(path, room, header[4:])
        else:
            why = None
        if why:
            yield why + " (through another header)"
