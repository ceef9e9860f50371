#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# What the compiler does not check: arrows between rooms, calls a library must not make, size, form.
# Each rule is a generator of (line, text) over one file; selfcheck.py shows that each can fail.
# usage: tidy.py [ROOT]; prints path:line: rule: text, and how much was looked at.
import concurrent.futures
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import arrows  # noqa: E402
import rules  # noqa: E402

MAX_FILE, MAX_FUNCTION, MAX_COLUMNS, MAX_EXCEPTIONS = 600, 70, 100, 10
C_FILE = (".c", ".h")
SCRIPTS = ("bootstrap", ".ci/run", "bench/instructions", "bench/ratios")
SKIPPED = ("build/", ".git/", "tests/planted/")

# call -> places in lib/ and sim/ that may make it; a folder ends in a slash
CLOCK = ("lib/base/env.c", "lib/base/sync.c")
MEMORY = ("lib/base/env.c", "sim/memory.c", "sim/memory_sanity.c")
FILES = ("lib/backend/", "lib/block/event.c", "sim/dump.c", "sim/watchdog.c")
THREADS = CLOCK + ("sim/watchdog.c",)
ENDS = ("sim/watchdog.c",)    # a process that would hang for ever
FORBIDDEN = [
    (("printf", "fprintf", "vprintf", "vfprintf", "puts", "fputs", "putchar", "fputc", "perror",
      "syslog"), (), "the library prints nothing"),
    (("exit", "_exit", "_Exit", "quick_exit", "abort", "atexit"), ENDS, "the library never exits"),
    (("malloc", "calloc", "realloc", "reallocarray", "free", "posix_memalign", "aligned_alloc",
      "memalign", "strdup", "strndup", "asprintf"), MEMORY, "memory comes from the environment"),
    (("signal", "sigaction", "sigprocmask", "raise", "kill", "alarm"), (),
     "the library installs no signal handler"),
    (("clock_gettime", "gettimeofday", "time", "nanosleep", "usleep", "sleep", "sched_yield"),
     CLOCK, "time comes from the environment"),
    (("rand", "random", "srand", "srandom", "drand48", "getrandom", "getenv", "setenv"), (),
     "what happens depends on arguments only"),
    (("open", "openat", "close", "read", "write", "pread", "pwrite", "readv", "writev", "preadv",
      "pwritev", "preadv2", "pwritev2", "fsync", "fdatasync", "sync_file_range", "fallocate",
      "ftruncate", "ioctl", "stat", "fstat", "lseek", "flock", "fopen"), FILES,
     "only backends and dumps touch files"),
]
PTHREAD = re.compile(r"\b(pthread_\w+|thrd_\w+|mtx_\w+)\s*\(")
# Giving back the caller's own is what a library must do after a system call.
SET_ERRNO = re.compile(r"\berrno\s*(=(?!=)|[-+|&^]=)(?!\s*saved;)")
FLOATS = re.compile(r"\b(float|double)\b")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def blank(text):
    """The same lines without comments, strings and characters."""
    def keep_lines(m):
        return re.sub(r"[^\n]", " ", m[0])
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', keep_lines,
                  text, flags=re.S)


def lines_of(pattern, text):
    for m in pattern.finditer(text):
        yield text.count("\n", 0, m.start()) + 1, m


def rule_spdx(path, text, _):
    if "SPDX-License-Identifier: MIT" not in "\n".join(text.split("\n")[:2]):
        yield 1, "no SPDX line"


def rule_form(path, text, _):
    for i, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip():
            yield i, "space at the end of the line"
        if len(line.expandtabs(8)) > MAX_COLUMNS and not path.endswith(("CMakeLists.txt", ".sh")):
            yield i, f"longer than {MAX_COLUMNS} columns"
        if path.endswith(C_FILE) and line.startswith("        "):
            yield i, "indented with spaces"
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "no newline at the end"


def rule_unfinished(path, text, _):
    if not path.startswith("tests/tidy/"):
        for i, m in lines_of(UNFINISHED, text):
            yield i, f"unfinished: {m[1]}"


def rule_calls(path, text, _):
    if not path.startswith(("lib/", "sim/")) or not path.endswith(C_FILE):
        return
    code = blank(text)
    for names, places, why in FORBIDDEN:
        if path.startswith(places) if places else False:
            continue
        calls = re.compile(r"(?<![\w.>])(?:" + "|".join(names) + r")\s*\(")
        for i, m in lines_of(calls, code):
            yield i, f"{m[0].rstrip('( ')}: {why}"
    if not path.startswith(THREADS):
        for i, m in lines_of(PTHREAD, code):
            yield i, f"{m[1]}: threads and locks are the environment's"
    for i, m in lines_of(SET_ERRNO, code):
        yield i, "errno is never set"
    for i, m in lines_of(FLOATS, code):
        if path.startswith("sim/"):
            yield i, f"{m[1]}: the simulator has integers only"


def functions(text):
    """(name, first line, number of lines) of each function in kernel style"""
    start, name = 0, ""
    lines = blank(text).split("\n")
    for i, line in enumerate(lines, 1):
        if line.startswith("{"):
            head = " ".join(lines[max(0, i - 6):i - 1])
            names = re.findall(r"(\w+)\s*\(", head.split(";")[-1].split("}")[-1])
            start, name = i, names[0] if names else ""
        elif line.startswith("}") and start:
            if name:
                yield name, start, i - start + 1
            start = 0


def rule_size(path, text, exceptions):
    if not path.endswith(C_FILE):
        return
    nr = text.count("\n")
    if nr > MAX_FILE and path not in exceptions:
        yield 1, f"{nr} lines, more than {MAX_FILE}"
    for name, line, length in functions(text):
        if length > MAX_FUNCTION and f"{path}:{name}" not in exceptions:
            yield line, f"{name} has {length} lines, more than {MAX_FUNCTION}"


def rule_arrows(path, text, root):
    if path.endswith(C_FILE):
        yield from arrows.judge(path, text, root)


def closure(root, path):
    """The headers of ours that the compiler reads for one file of lib/."""
    cc = os.environ.get("CC", "cc")
    command = [cc, "-MM", "-D_GNU_SOURCE", "-DIOMAPI_SANITY", "-Iinclude", "-Ilib", path]
    out = subprocess.run(command,
                         cwd=root, capture_output=True, text=True, check=False)
    if out.returncode:
        return [(1, "does not preprocess: " + out.stderr.strip().split("\n")[0])]
    return [(1, why) for why in arrows.judge_closure(path, out.stdout.replace("\\\n", " ").split())]


def read_exceptions(root):
    """name -> reason, and what is wrong with the list itself"""
    path = os.path.join(root, "tests/tidy/exceptions")
    if not os.path.exists(path):
        return {}, []
    with open(path, encoding="utf-8") as f:
        rows = [line.split(None, 1) for line in f if line.strip() and not line.startswith("#")]
    wrong = [f"{row[0]}: no reason" for row in rows if len(row) < 2]
    if len(rows) > MAX_EXCEPTIONS:
        wrong.append(f"{len(rows)} exceptions, more than {MAX_EXCEPTIONS}")
    return {row[0]: row[-1] for row in rows}, wrong


def exceptions_needed(root, exceptions):
    for name in exceptions:
        path, _, function = name.partition(":")
        full = os.path.join(root, path)
        if not os.path.exists(full):
            yield f"{name}: there is no such file"
            continue
        with open(full, encoding="utf-8") as f:
            text = f.read()
        sizes = {fn: length for fn, _, length in functions(text)}
        if sizes.get(function, 0) <= MAX_FUNCTION if function else text.count("\n") <= MAX_FILE:
            yield f"{name}: needs no exception any more"


def read_rules(root):
    """What is wrong with doc/rules.md: it has one line per number, and no other numbers."""
    path = os.path.join(root, "doc/rules.md")
    if not os.path.exists(path):
        yield 1, "is not there"
        return
    seen = {}
    with open(path, encoding="utf-8") as f:
        for i, line in enumerate(f, 1):
            m = re.match(r"[-*|\s]*([IROHV]\d+)\b", line)
            if m and m[1] in seen:
                yield i, f"{m[1]} stands in line {seen[m[1]]} already"
            if m:
                seen[m[1]] = i
    wanted = {f"{kind}{i}" for kind, total in rules.TOTALS.items() for i in range(1, total + 1)}
    for number in sorted(set(seen) - wanted):
        yield seen[number], f"{number} is no number of ours"
    for number in sorted(wanted - set(seen)):
        yield 1, f"no line for {number}"


def sources(root):
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in (".git", "build", "__pycache__"))
        for name in sorted(files):
            path = os.path.relpath(os.path.join(folder, name), root)
            if path.startswith(SKIPPED) or name.startswith("."):
                continue
            if name.endswith((".c", ".h", ".py", ".sh", ".map", ".cmake", ".cpp")) or (
                    name == "CMakeLists.txt" or path in SCRIPTS):
                yield path


RULES = {"spdx": rule_spdx, "form": rule_form, "unfinished": rule_unfinished, "calls": rule_calls,
         "size": rule_size, "arrows": rule_arrows}


def check(root):
    """All findings of a tree: (path, line, rule, text); and the number of files."""
    exceptions, wrong = read_exceptions(root)
    wrong += exceptions_needed(root, exceptions)
    found = [("tests/tidy/exceptions", 1, "exceptions", text) for text in wrong]
    found += [("doc/rules.md", line, "rules", text) for line, text in read_rules(root)]
    paths = list(sources(root))
    for path in paths:
        with open(os.path.join(root, path), encoding="utf-8") as f:
            text = f.read()
        for rule, fn in RULES.items():
            extra = exceptions if rule == "size" else root
            found += [(path, line, rule, what) for line, what in fn(path, text, extra)]
    in_lib = [p for p in paths if p.startswith("lib/") and p.endswith(".c")]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for path, findings in zip(in_lib, pool.map(lambda p: closure(root, p), in_lib)):
            found += [(path, line, "closure", what) for line, what in findings]
    return found, len(paths)


def main(root):
    found, nr = check(root)
    for path, line, rule, text in found:
        print(f"{path}:{line}: {rule}: {text}")
    print(f"tidy: {nr} files, {len(found)} findings")
    return 1 if found or not nr else 0


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(here))))
