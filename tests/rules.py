# SPDX-License-Identifier: MIT
#
# Which numbers there are (invariants I, mistakes R, oracles O, our own decisions H, map checks V),
# which test case names which, and which planted mistakes are known to be noticed.
import hashlib
import os
import re

TOTALS = {"I": 167, "R": 53, "O": 47, "H": 14, "V": 15}
# The last invariant of each section; each section wants at least one planted mistake noticed.
SECTION_ENDS = [13, 26, 33, 49, 58, 70, 73, 90, 109, 137, 142, 162, 167]
LABELS = ["unit", "conform", "sim", "regress", "stress", "abi"]
CASE = re.compile(r'^CASE(?:_TIMEOUT)?\(\s*(\w+)\s*,\s*((?:"[^"]*"\s*)+),', re.M)
NUMBER = re.compile(r"^([A-Z])(\d+)$")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def known(number):
    m = NUMBER.match(number)
    return bool(m) and m[1] in TOTALS and 1 <= int(m[2]) <= TOTALS[m[1]]


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


class Case:
    """One CASE of tests/<label>/test_<stem>.c, and the numbers that it names."""

    def __init__(self, label, stem, name, proves, source):
        self.label, self.stem, self.name = label, stem, name
        self.proves, self.source = proves, source
        self.id = f"{label}.{stem}.{name}"


def cases(root=ROOT):
    found = []
    for label in LABELS:
        folder = os.path.join(root, "tests", label)
        for entry in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            if not (entry.startswith("test_") and entry.endswith(".c")):
                continue
            source = f"tests/{label}/{entry}"
            for m in CASE.finditer(read(os.path.join(root, source))):
                proves = "".join(re.findall(r'"([^"]*)"', m[2])).replace(",", " ").split()
                found.append(Case(label, entry[5:-2], m[1], proves, source))
    return found


class Patch:
    """tests/planted/<NUMBER>[-what].patch: a mistake put back."""

    def __init__(self, root, name):
        self.root, self.name = root, name
        self.path = os.path.join(root, "tests", "planted", name)
        self.number = re.split(r"[-.]", name)[0]
        self.text = read(self.path)
        header = self.text.split("\n--- ")[0]
        m = re.search(r"^sanitizer: (\w+)$", header, re.M)
        self.sanitizer = m[1] if m else ""
        self.touched = sorted(set(re.findall(r"^\+\+\+ b/(\S+)", self.text, re.M)))

    def naming(self, all_cases):
        return [c for c in all_cases if self.number in c.proves]

    def digest(self, all_cases):
        """Of the patch, the tests that name its number and the sources it touches."""
        h = hashlib.sha256(self.text.encode())
        for path in sorted({c.source for c in self.naming(all_cases)} | set(self.touched)):
            full = os.path.join(self.root, path)
            h.update(f"\0{path}\0".encode())
            h.update(read(full).encode() if os.path.exists(full) else b"")
        return h.hexdigest()[:16]


def patches(root=ROOT):
    folder = os.path.join(root, "tests", "planted")
    return [Patch(root, n) for n in sorted(os.listdir(folder)) if n.endswith(".patch")]


def killed(root=ROOT):
    """patch name -> (digest, case that noticed)"""
    path = os.path.join(root, "tests", "planted", "killed")
    if not os.path.exists(path):
        return {}
    rows = [line.split() for line in read(path).splitlines() if not line.startswith("#")]
    return {row[0]: (row[1], row[2]) for row in rows if len(row) == 3}
