#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# What others build against: headers that stand alone, symbols, an installed tree, client programs.
#
# usage: abi.py headers | clients | symbols BUILD_DIR | consumers BUILD_DIR
#        abi.py probes BUILD_DIR ON|OFF
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
README_LINES = 25
WARN = ["-Wall", "-Wextra", "-Werror"]
COMPILERS = [("gcc", "g++"), ("clang", "clang++"), ("cc", "c++")]


def run(command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False, **more)


def compilers():
    there = [pair for pair in COMPILERS if all(map(shutil.which, pair))]
    return [pair for pair in there if pair[0] != "cc"] or there


def try_all(what, commands):
    """Run all, two at a time; print what fails."""
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for command, out in zip(commands, pool.map(lambda c: run(c, cwd=ROOT), commands)):
            if out.returncode:
                print("failed:", " ".join(command), "\n" + out.stdout)
                failed += 1
    print(f"{what}: {len(commands)} compilations, {failed} failed")
    return 1 if failed or not commands else 0


def headers():
    """Each alone, as it stands; and twice by its installed name."""
    commands = []
    for cc, cxx in compilers():
        c11 = [cc, "-x", "c", "-std=c11", "-Wpedantic", "-fsyntax-only"] + WARN
        cxx17 = [cxx, "-x", "c++", "-std=c++17", "-Wpedantic", "-fsyntax-only"] + WARN
        for path in sorted(glob.glob(os.path.join(ROOT, "include/iomap/*.h"))):
            twice = ["-Iinclude"] + ["-include", "iomap/" + os.path.basename(path)] * 2
            for compiler in (c11, cxx17):
                commands += [compiler + [path], compiler + twice + ["/dev/null"]]
    return try_all("headers", commands)


def clients():
    paths = sorted(glob.glob(os.path.join(HERE, "clients", "*.c")))
    return try_all("clients", [[cc, "-std=gnu11", "-fsyntax-only", "-Iinclude"] + WARN + [path]
                               for cc, _ in compilers() for path in paths])


# ---- symbols ----

def exported(library):
    """Defined dynamic symbols, without those that name the version nodes."""
    out = run(["nm", "-D", "--defined-only", library]).stdout
    rows = [line.split() for line in out.splitlines()]
    return {row[2].split("@")[0] for row in rows if len(row) == 3 and row[1] != "A"}


def mapped(path):
    with open(path, encoding="utf-8") as f:
        text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    names = re.findall(r"[^\s;{}:]+(?=;)", text)
    return {name for name in names if name != "*"}


def declared(only=(), but=()):
    """Names behind IOMAP_API in the public headers."""
    names = set()
    for path in glob.glob(os.path.join(ROOT, "include/iomap/*.h")):
        header = os.path.basename(path)
        if (only and header not in only) or header in but:
            continue
        with open(path, encoding="utf-8") as f:
            text = re.sub(r"/\*.*?\*/|^\s*#.*?$", "", f.read(), flags=re.S | re.M)
        for declaration in re.findall(r"\bIOMAP_API\b([^;]*);", text):
            name = re.search(r"(\w+)\s*(\(|\[|$)", declaration)
            names.add(name[1])
    return names


def not_yet():
    with open(os.path.join(HERE, "not_yet"), encoding="utf-8") as f:
        return {line.split()[0] for line in f if line.strip() and not line.startswith("#")}


def differ(what, names):
    for name in sorted(names):
        print(f"{name}: {what}")
    return len(names)


def compare(build, library, map_file, names, missing):
    found = exported(os.path.join(build, f"lib{library}.so"))
    listed = mapped(os.path.join(ROOT, map_file))
    wrong = differ(f"exported, not in {map_file}", found - listed)
    wrong += differ(f"in {map_file}, not exported", listed - found)
    wrong += differ("declared, neither exported nor in tests/abi/not_yet", names - found - missing)
    wrong += differ("exported, not declared", found - names)
    wrong += differ("built, so tests/abi/not_yet must let go of it", found & missing)
    print(f"lib{library}: {len(found)} symbols, {len(names)} declared")
    return wrong


def reach(build, library):
    """The name shows the reach: what crosses files is iomap_ or iomapi_."""
    out = run(["nm", "-g", "--defined-only", os.path.join(build, f"lib{library}.a")]).stdout
    names = {line.split()[2] for line in out.splitlines() if len(line.split()) == 3}
    return differ("crosses files without iomap_ or iomapi_",
                  {n for n in names if not re.match(r"iomapi?_|_\.stapsdt\.base$", n)})


# All that the simulator may need besides libiomap: nothing that knows the time, chance or threads.
SIM_NEEDS = set("""
    memcpy memmove memset memcmp memchr strlen strcmp strncmp strspn strcspn strchr strpbrk strstr
    strcpy snprintf vsnprintf malloc calloc realloc free posix_memalign open write close
    __errno_location __snprintf_chk __vsnprintf_chk __strcpy_chk __memcpy_chk __stack_chk_fail
    _GLOBAL_OFFSET_TABLE_
    makecontext getcontext setcontext _setjmp longjmp _longjmp __longjmp_chk __read_chk
    mmap mprotect munmap
    pthread_create pthread_join pthread_sigmask sigfillset eventfd eventfd_write poll
    syscall getpid read abort
""".split())


def strangers(library):
    """What an archive needs that is neither its own nor libiomap's."""
    def names(what):
        out = run(["nm", "-g", what, library]).stdout
        return {line.split()[-1] for line in out.splitlines() if len(line.split()) > 1}
    needs = names("--undefined-only") - names("--defined-only")
    return {name for name in needs if not re.match(r"iomap_", name)} - SIM_NEEDS


def simulator_needs(build):
    wrong = differ("needed by the simulator, whose runs would not be the same everywhere",
                   strangers(os.path.join(build, "libiomap-sim.a")))
    if "clock_gettime" not in strangers(os.path.join(build, "libiomap.a")):
        print("no clock found where there is one: this check cannot fail")
        wrong += 1
    return wrong


def symbols(build):
    headers = ("sim.h", "sim_file.h")
    missing, sim, names = not_yet(), declared(only=headers), declared(but=headers)
    wrong = compare(build, "iomap", "lib/libiomap.map", names, missing)
    wrong += compare(build, "iomap-sim", "sim/libiomap-sim.map", sim, missing)
    wrong += differ("in tests/abi/not_yet, but not declared", missing - names - sim)
    wrong += reach(build, "iomap") + reach(build, "iomap-sim") + simulator_needs(build)
    production = run(["nm", "-a", os.path.join(build, "libiomap.so")]).stdout
    wrong += differ("a simulator's symbol in the production library",
                    set(re.findall(r"\biomapi?_sim\w*", production)))
    if not names or not sim:
        print("no declarations found")
        wrong += 1
    return 1 if wrong else 0


# ---- probes ----

SKIP = 77


def documented_probes():
    """Name -> number of arguments, from the table in doc/trace.md."""
    with open(os.path.join(ROOT, "doc", "trace.md"), encoding="utf-8") as f:
        found = re.findall(r"^\|.*\| `(iomap_\w+)\(([^)]*)\)` \|", f.read(), re.M)
    return {name: len(args.split(",")) for name, args in found}


def built_probes(library):
    """(provider, name, number of arguments, semaphore) of each note."""
    out = run(["readelf", "-n", library]).stdout
    return [(provider, name, len(args.split()), int(semaphore, 16))
            for provider, name, semaphore, args in re.findall(
                r"Provider: (\S+)\n\s*Name: (\S+)\n.*Semaphore: (\S+)\n\s*Arguments: (.*)", out)]


def probes(build, built):
    """The notes of the library are those of the table, and all share one semaphore."""
    if built != "ON":
        print("skipped: built without probes, sys/sdt.h (systemtap-sdt-dev) was not there")
        return SKIP
    found, table = built_probes(os.path.join(build, "libiomap.so")), documented_probes()
    names = {name for _, name, _, _ in found}
    wrong = differ("a provider of probes that is not ours", {p for p, *_ in found} - {"iomap"})
    wrong += differ("a probe that doc/trace.md does not name", names - set(table))
    wrong += differ("in doc/trace.md, but no probe", set(table) - names)
    wrong += differ("a probe with other arguments than in doc/trace.md",
                    {name for _, name, nr, _ in found if name in table and table[name] != nr})
    wrong += differ("a probe without the semaphore of the others",
                    {name for _, name, _, at in found if not at or at != found[0][3]})
    print(f"probes: {len(found)} notes, {len(table)} in doc/trace.md")
    return 1 if wrong or not table else 0


# ---- consumers ----

def must(command, **more):
    out = run(command, **more)
    if out.returncode:
        print("failed:", " ".join(command), "\n" + out.stdout)
        raise SystemExit(1)
    return out.stdout.strip()


def knows_nothing_else(env, work):
    """Of all packages only ours: what the shared libraries need is no concern of who uses them."""
    return dict(env, PKG_CONFIG_LIBDIR=os.path.join(work, "nothing"))


def by_pkg_config(moved, work, env):
    for package, extra in (("libiomap", []), ("libiomap-sim", ["-DWITH_SIM"])):
        for kind in ([], ["--static"]):
            known = env if kind else knows_nothing_else(env, work)
            flags = must(["pkg-config", "--cflags", "--libs", *kind, package], env=known).split()
            program = os.path.join(work, package + "".join(kind))
            source = os.path.join(HERE, "consumer", "consumer.c")
            must([os.environ.get("CC", "cc"), source, "-o", program, *extra,
                  *(["-static"] if kind else []), *flags], env=env)
            libdir = must(["pkg-config", "--variable=libdir", package], env=env)
            must([program], env=dict(env, LD_LIBRARY_PATH=libdir))
            if not os.path.realpath(libdir).startswith(os.path.realpath(moved)):
                print(f"{package}: {libdir} is not where the tree was moved to")
                raise SystemExit(1)
            if kind and "libiomap" in run(["ldd", program]).stdout:
                print(f"{package}: the static program asks for a shared library")
                raise SystemExit(1)
            print("consumer:", package, *kind, "ok")


def by_unit_test(work, env):
    """The store of examples/sim_unit_test and its test, in a project that knows the simulator by
    pkg-config alone."""
    source, project = os.path.join(ROOT, "examples", "sim_unit_test"), os.path.join(work, "store")
    shutil.copytree(source, project, ignore=shutil.ignore_patterns("CMakeLists.txt"))
    flags = must(["pkg-config", "--cflags", "--libs", "libiomap-sim", "check"], env=env).split()
    files = sorted(glob.glob(os.path.join(project, "*.c")))
    program = os.path.join(project, "test_kv")
    must([os.environ.get("CC", "cc"), "-std=gnu11", "-O1", *WARN, *files, "-o", program, *flags],
         env=env)
    libdir = must(["pkg-config", "--variable=libdir", "libiomap-sim"], env=env)
    out = must([program], env=dict(env, LD_LIBRARY_PATH=libdir))
    if not re.search(r"100%: Checks: [1-9]", out):
        print("consumer: the unit test of the store says", out)
        raise SystemExit(1)
    print("consumer: the unit test of the store ok,", len(files), "files")


def by_cmake(moved, work, env):
    source = os.path.join(HERE, "consumer")
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    alone = knows_nothing_else(env, work)
    for name, static, known in (("all", "ON", env), ("shared", "OFF", alone)):
        build = os.path.join(work, name)
        must(["cmake", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={moved}",
              f"-DWITH_STATIC={static}", *generator], env=known)
        must(["cmake", "--build", build], env=known)
        for target in ("iomap", "sim", *(("iomap_static", "sim_static") if static == "ON" else ())):
            must([os.path.join(build, "with-" + target)])
            print(f"consumer: find_package iomap::{target} ok, {name}")


def by_readme(work, env):
    """The first program of the README, built by the line that the README gives."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
        text = f.read()
    program = re.search(r"^```c\n(.*?)^```", text, re.S | re.M)
    command = re.search(r"^(?:\$ )?(cc .*\.c\b.*)$", text, re.M)
    if not program or not command:
        print("README.md: no ```c block, or no cc line that builds it")
        raise SystemExit(1)
    if program[1].count("\n") > README_LINES:
        print(f"README.md: the first program is longer than {README_LINES} lines")
        raise SystemExit(1)
    with open(os.path.join(ROOT, "examples", "quickstart.c"), encoding="utf-8") as f:
        if f.read() != program[1]:
            print("README.md: examples/quickstart.c is not its first program")
            raise SystemExit(1)
    source = re.search(r"[\w.-]+\.c\b", command[1])[0]
    output = re.search(r"-o\s*(\S+)", command[1])
    with open(os.path.join(work, source), "w", encoding="utf-8") as f:
        f.write(program[1])
    must(["sh", "-c", command[1]], cwd=work, env=env)
    libdir = must(["pkg-config", "--variable=libdir", "libiomap"], env=env)
    must([os.path.join(work, output[1] if output else "a.out")], cwd=work,
         env=dict(env, LD_LIBRARY_PATH=libdir))
    print("consumer: the first program of the README ok")


def consumers(build):
    with tempfile.TemporaryDirectory() as work:
        first, moved = os.path.join(work, "installed"), os.path.join(work, "moved", "elsewhere")
        must(["cmake", "--install", build, "--prefix", first])
        os.makedirs(os.path.dirname(moved))
        os.rename(first, moved)
        pc = glob.glob(os.path.join(moved, "**", "pkgconfig"), recursive=True)
        env = dict(os.environ, PKG_CONFIG_PATH=":".join(pc))
        by_pkg_config(moved, work, env)
        by_unit_test(work, env)
        by_cmake(moved, work, env)
        by_readme(work, env)
    return 0


if __name__ == "__main__":
    sys.exit(globals()[sys.argv[1]](*sys.argv[2:]))
