#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# Puts known mistakes back, one by one, and sees whether a test that names the number notices.
#
# One scratch copy of the tree and one scratch build of it, with internal sanity checks off, so that
# the tests must notice by themselves.  A mistake counts as noticed when, with it, everything still
# compiles and at least one case that names its number (and passes without it) fails by its own
# assertion; a crash or a time-out is not enough.  A patch with a line "sanitizer: address" or
# "sanitizer: thread" is built with that sanitizer, whose report counts too.
#
# Header lines before the diff say what the mistake is.  tests/planted/killed remembers what was
# noticed, by a hash of the patch, the tests that name the number and the sources touched.
#
# usage: planted.py [--all] [NUMBER | PATCH ...]	without names: what is not remembered
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.dirname(HERE))
import rules  # noqa: E402

SCRATCH = os.path.join(ROOT, "build", "planted")
SOURCE = os.path.join(SCRATCH, "src")
COPIED = ("CMakeLists.txt", "libiomap.pc.in", "libiomap-sim.pc.in", "cmake", "examples", "include",
          "lib", "sim", "tests")
CASE_SECONDS = 120
REPORTS = {"address": re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:"),
           "thread": re.compile(r"ThreadSanitizer")}
KILLED_HEAD = """\
# Planted mistakes that a test noticed: patch, hash of the patch with the tests that name its number
# and the sources it touches, the case.  Written by ./bootstrap planted.
"""


def same(a, b):
    if not os.path.exists(b) or os.path.getsize(a) != os.path.getsize(b):
        return False
    with open(a, "rb") as f, open(b, "rb") as g:
        return f.read() == g.read()


def files_of(root):
    for top in COPIED:
        path = os.path.join(root, top)
        if os.path.isfile(path):
            yield top
        for folder, _, files in os.walk(path):
            if "__pycache__" not in folder:
                yield from (os.path.relpath(os.path.join(folder, f), root) for f in files)


def copy_tree():
    """Bring the scratch copy up to date, touching only what differs: the build stays incremental."""
    wanted = set(files_of(ROOT))
    for path in set(files_of(SOURCE)) - wanted:
        os.unlink(os.path.join(SOURCE, path))
    for path in wanted:
        there = os.path.join(SOURCE, path)
        if not same(os.path.join(ROOT, path), there):
            os.makedirs(os.path.dirname(there), exist_ok=True)
            shutil.copyfile(os.path.join(ROOT, path), there)
            shutil.copymode(os.path.join(ROOT, path), there)


def run(command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False, **more)


class Build:
    """The scratch build, plain or with one sanitizer."""

    def __init__(self, sanitizer):
        self.sanitizer = sanitizer
        self.sound = {}         # by case: what it says without a mistake
        self.dir = os.path.join(SCRATCH, sanitizer or "plain")
        sanitize = {"": "", "address": "address,undefined", "thread": "thread"}[sanitizer]
        out = run(["cmake", "-S", SOURCE, "-B", self.dir, "-G", "Ninja",
                   "-DCMAKE_BUILD_TYPE=None", "-DCMAKE_C_FLAGS=-O1 -g1", "-DIOMAP_WERROR=ON",
                   "-DIOMAP_SANITY=OFF", "-DIOMAP_BUILD_EXAMPLES=OFF", "-DIOMAP_BUILD_BENCH=OFF",
                   f"-DIOMAP_SANITIZE={sanitize}"])
        if out.returncode:
            sys.exit(out.stdout + "planted: the scratch build cannot be configured")

    def make(self, cases):
        targets = sorted({f"test-{c.label}-{c.stem}" for c in cases})
        return run(["cmake", "--build", self.dir, "--target", *targets])

    def run_case(self, case):
        """'' passed, 'F' its own assertion, 'S' the sanitizer, 'E' anything else; the output"""
        program = os.path.join(self.dir, "tests", case.label, "test_" + case.stem)
        env = dict(os.environ, T_LEDGER_DIR="")
        try:
            out = run([program, "--case", case.name], env=env, timeout=CASE_SECONDS)
        except subprocess.TimeoutExpired:
            return "E", "time-out"
        if out.returncode == 0:
            return "", out.stdout
        if out.returncode == 77:
            return "", out.stdout       # skipped: noticed nothing
        if re.search(r"^\S+:\d+:F:", out.stdout, re.M):
            return "F", out.stdout
        if self.sanitizer and REPORTS[self.sanitizer].search(out.stdout):
            return "S", out.stdout
        return "E", out.stdout


def apply(patch, reverse):
    more = ["-R"] if reverse else []
    return run(["patch", "-p1", "-s", "-f", "-F0", "--no-backup-if-mismatch", "-r", "-", "-i",
                patch.path] + more, cwd=SOURCE)


def noticed(patch, build, cases, before):
    """(case that noticed or None, why not); before: the one that did the last time is asked first"""
    if not cases:
        return None, "no case names " + patch.number
    first = [case for case in cases if case.id == before]
    case = tried(patch, build, first)[0] if first else None
    return (case, "") if case else tried(patch, build, cases)


def tried(patch, build, cases):
    out = build.make(cases)
    if out.returncode:
        return None, "the tree does not build without it:\n" + out.stdout[-2000:]
    sound = []
    for case in cases:
        if case.id not in build.sound:
            build.sound[case.id] = build.run_case(case)
        verdict, text = build.sound[case.id]
        if verdict:
            return None, f"{case.id} fails without it:\n{text[-2000:]}"
        sound.append(case)
    out = apply(patch, False)
    if out.returncode:
        copy_tree()
        return None, "does not apply:\n" + out.stdout
    try:
        out = build.make(cases)
        if out.returncode:
            return None, "does not build:\n" + out.stdout[-2000:]
        told = []
        for case in sound:
            verdict, text = build.run_case(case)
            if verdict in ("F", "S"):
                return case, ""
            told.append(f"{case.id}: {text.strip()[-600:] or 'passed'}")
        return None, "nobody noticed:\n" + "\n".join(told)
    finally:
        apply(patch, True)
        copy_tree()


def write_killed(kills):
    with open(os.path.join(HERE, "killed"), "w", encoding="utf-8") as f:
        f.write(KILLED_HEAD)
        f.writelines(f"{name} {digest} {case}\n" for name, (digest, case) in sorted(kills.items()))


def chosen(args, all_patches):
    names = [a for a in args if a != "--all"]
    picked = [p for p in all_patches
              if not names or p.number in names or p.name in names or p.name[:-6] in names]
    for name in names:
        if not any(name in (p.number, p.name, p.name[:-6]) for p in all_patches):
            sys.exit(f"planted: there is no patch for {name}")
    return picked, bool(names) or "--all" in args


def main(args):
    all_patches, cases = rules.patches(), rules.cases()
    picked, again = chosen(args, all_patches)
    names = {p.name for p in all_patches}
    kills = {name: k for name, k in rules.killed().items() if name in names}
    builds, failed, done = {}, [], 0
    os.makedirs(SCRATCH, exist_ok=True)
    copy_tree()
    for patch in picked:
        digest = patch.digest(cases)
        if not again and kills.get(patch.name, ("", ""))[0] == digest:
            continue
        start, done = time.monotonic(), done + 1
        if patch.sanitizer not in builds:
            builds[patch.sanitizer] = Build(patch.sanitizer)
        case, why = noticed(patch, builds[patch.sanitizer], patch.naming(cases),
                            kills.get(patch.name, ("", ""))[1])
        seconds = time.monotonic() - start
        if case:
            kills[patch.name] = (digest, case.id)
            print(f"{patch.name}: noticed by {case.id} ({seconds:.1f} s)", flush=True)
        else:
            kills.pop(patch.name, None)
            failed.append(patch.name)
            print(f"{patch.name}: NOT noticed: {why} ({seconds:.1f} s)", flush=True)
        write_killed(kills)
    print(f"planted: {len(all_patches)} mistakes, {done} tried now, {len(kills)} noticed, "
          f"{len(failed)} unnoticed{': ' if failed else ''}{' '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
