#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# The ledger: which numbers are proven here and now.
#
# A number is proven when a case that names it has passed since the library was built, its own
# planted mistakes (if any) are noticed, and, for an R or O, there is one; for an I, its section
# has at least one.  usage: ledger.py [--show] BUILD_DIR
import functools
import os
import re
import sys

import rules as n

FRESH = "ledger.new"        # counted in a ctest run that has not ended yet


def passed(build, all_cases):
    built = os.path.getmtime(os.path.join(build, "libiomap.a"))
    numbers = set()
    for case in all_cases:
        path = os.path.join(build, "ledger", case.id)
        if os.path.exists(path) and os.path.getmtime(path) >= built:
            numbers.update(case.proves)
    return numbers


@functools.cache
def known_to_ctest(build):
    return set(re.findall(r"[\w.]+", n.read(os.path.join(build, "tests", "CTestTestfile.cmake"))))


def planted(all_cases):
    """number -> True when each of its planted mistakes is known to be noticed"""
    kills, result = n.killed(), {}
    for patch in n.patches():
        ok = kills.get(patch.name, ("", ""))[0] == patch.digest(all_cases)
        result[patch.number] = result.get(patch.number, True) and ok
    return result


def section(number):
    return next(i for i, end in enumerate(n.SECTION_ENDS) if number <= end)


def ranges(numbers):
    out, numbers = [], sorted(numbers)
    for x in numbers:
        if out and out[-1][1] == x - 1:
            out[-1][1] = x
        else:
            out.append([x, x])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in out) or "none"


def main(build):
    all_cases = n.cases()
    wrong = [f"{c.source}: {c.name} names {p}, which is no number of ours"
             for c in all_cases for p in c.proves if not n.known(p)]
    wrong += [f"{p.name}: {p.number} is no number of ours"
              for p in n.patches() if not n.known(p.number)]
    wrong += [f"{c.source}: ctest does not know {c.name}"
              for c in all_cases if c.id not in known_to_ctest(build)]
    tested, noticed = passed(build, all_cases), planted(all_cases)
    sections = {section(int(p[1:])) for p, ok in noticed.items() if ok and p[0] == "I"}
    kinds = list(n.TOTALS)
    proven = dict.fromkeys(kinds, 0)
    untested, unnoticed, bare = ({k: [] for k in kinds} for _ in range(3))
    for kind, i in ((k, i) for k in kinds for i in range(1, n.TOTALS[k] + 1)):
        name = f"{kind}{i}"
        if name not in tested:
            untested[kind].append(i)
        elif not noticed.get(name, kind not in "RO"):
            unnoticed[kind].append(i)
        elif kind == "I" and section(i) not in sections:
            bare[kind].append(i)
        else:
            proven[kind] += 1
    lines = [" ".join(f"{k} {proven[k]}/{n.TOTALS[k]}" for k in row) for row in ("IRO", "HV")]
    for what, numbers in (("no test of it passed", untested),
                          ("tested, no mistake planted for it is known to be noticed", unnoticed),
                          ("tested, none planted in its section is known to be noticed", bare)):
        lines += [f"not proven, {what}: {k} {ranges(numbers[k])}" for k in kinds if numbers[k]]
    lines += [f"wrong: {line}" for line in wrong]
    text = "".join(line + "\n" for line in lines)
    sys.stdout.write(text)
    with open(os.path.join(build, FRESH), "w", encoding="utf-8") as f:
        f.write(text)
    return 1 if wrong else 0


def show(build):
    """Once, what a run that ends now has counted."""
    path = os.path.join(build, FRESH)
    if os.path.exists(path):
        sys.stdout.write(n.read(path))
        os.rename(path, os.path.join(build, "ledger.txt"))
    return 0


if __name__ == "__main__":
    sys.exit(show(sys.argv[2]) if sys.argv[1] == "--show" else main(sys.argv[1]))
