#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# Turns what a kernel did, recorded/*.json, into a table for test_oracle.c: each operation with its
# numbers, the layout of the files after it, and what is compared as text.  A difference that is
# meant takes the place of the text it differs from.
#
# usage: records.py OUTPUT		writes the table
#        records.py --show [RECORD..]	prints the same as text
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PARTS = ("result", "ioends", "bios", "done", "durable", "map")
UNITS = {"k": 1 << 10, "m": 1 << 20}
FLAGS = ("last", "unknown", "delalloc", "unwritten", "shared")
DONE = {"xfs_unwritten_convert": "convert", "xfs_setfilesize": "size", "xfs_reflink_end_cow": "cow"}


def number(text):
    return sum(int(t[:-1], 0) * UNITS[t[-1]] if t[-1] in UNITS else int(t, 0)
               for t in text.split("+"))


def place(x):
    return "%d+%d" % tuple(x["dev"]) if x.get("dev") else "-"


def extent(x):
    flags = [f for f in FLAGS if f.upper() in x["flags"].split("|")]
    return "%d+%d@%s%s" % (x["pos"], x["len"], place(x), "".join(":" + f for f in flags))


def result(r):
    text = ["%s=%s" % (k, r[k]) for k in ("bytes", "offset", "size") if k in r]
    if "errno" in r:
        text.append(r["errno"])
    if "runs" in r:
        text.append("content")
    return " ".join(text + [extent(x) for x in r.get("extents", ())])


def ioends(op):
    return "; ".join("%s %d+%d %s%s %s" % (
        x["file"], x["pos"], x["len"], x["type"].lower(), " shared" if x["shared"] else "",
        x["why"]) for x in op.get("ioends", ()))


def bios(op):
    return "; ".join("%s %d at %s" % (x["op"], x["len"], place(x))
                     for x in op.get("bios", ()) if x["len"])


def done(op):
    return "; ".join("%s %d+%d" % (DONE[x["what"]], x["pos"], x["len"])
                     for x in op.get("completions", ()))


def durable(op):
    """Something made the data durable: a flush, or a log write that flushed, after the last."""
    steps = op.get("order", [])
    data = [i for i, s in enumerate(steps) if s.startswith("data:W")]
    rest = steps[data[-1] + 1 if data else 0:]
    return "durable" if any(s.startswith(("flush", "log:F")) for s in rest) else ""


VIEWS = dict(zip(PARTS[:-1], (lambda op: result(op["result"]), ioends, bios, done, durable)))


def parse(text):
    """One line of a case as the fields of struct o_op"""
    fields = {"text": text}
    words = text.split()
    if words[0] == "clone:":
        fields["file"] = 1
        words = words[1:]
    fields["kind"] = words[0]
    numbers = []
    for w in words[1:]:
        if w[0].isdigit():
            numbers.append(number(w))
        elif w.startswith("chunk="):
            fields["chunk"] = number(w[6:])
        elif w in ("keep", "sync"):
            fields[w] = True
        else:
            fields["letter"] = w
    fields.update(zip(("a", "b", "c"), numbers))
    return fields


def load(path):
    with open(path) as f:
        rec = json.load(f)
    rec["name"] = os.path.basename(path)[:-5]
    for op in rec["ops"]:
        op["fields"] = parse(op["op"])
        op["expect"] = {part: view(op) for part, view in VIEWS.items()}
        op["expect"]["map"] = ""
    return rec


def differences():
    """{(record, number of the operation, part): (ours, line)}; a record's name may be a pattern."""
    found = []
    with open(os.path.join(HERE, "differences")) as f:
        for n, line in enumerate(f, 1):
            if line.strip() and not line.startswith("#"):
                what = [w.strip() for w in line.split("|")]
                if len(what) != 6 or what[3] not in PARTS or not what[5]:
                    sys.exit("differences:%d: not RECORD | N | OPERATION | PART | OURS | WHY" % n)
                found.append((n, what))
    return found


def apply(rec, found, used):
    for n, (name, i, text, part, ours, _) in found:
        if not re.fullmatch(name, rec["name"]):
            continue
        op = rec["ops"][int(i)]
        if op["op"] != text:
            sys.exit("differences:%d: operation %s is `%s`" % (n, i, op["op"]))
        if op["expect"][part] == ours:
            sys.exit("differences:%d: that is no difference" % n)
        op["expect"][part] = ours
        used.add(n)


def c_string(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def c_runs(out, name, runs):
    out.append("static const struct o_run %s[] = {" % name)
    out.extend("\t{ %d, %d, '%s' }," % tuple(r) for r in runs)
    out.append("\t{ 0, 0, 0 } };")


def c_map(out, name, extents):
    out.append("static const struct o_extent %s[] = {" % name)
    for x in extents:
        flags = x["flags"].split("|")
        kind = "DELALLOC" if "DELALLOC" in flags else "UNWRITTEN" if "UNWRITTEN" in flags else \
            "MAPPED"
        region, off = x["dev"] or (0, 0)
        out.append("\t{ %d, %d, IOMAP_%s, %d, %d, %d }," % (
            x["pos"], x["len"], kind, region, off, "SHARED" in flags))
    out.append("\t{ 0, 0, 0, 0, 0, 0 } };")


def c_op(out, name, i, op):
    """The tables of one operation, and the line that names them"""
    f = op["fields"]
    for k, file in enumerate(("f", "clone")):
        c_map(out, "%s_map%d_%d" % (name, i, k), op.get("map_after", {}).get(file, ()))
    c_runs(out, "%s_runs%d" % (name, i), op["result"].get("runs", ()))
    fields = [".%s = %d" % (k, f[k]) for k in ("file", "a", "b", "c", "chunk") if k in f]
    fields += [".%s = true" % k for k in ("keep", "sync") if k in f]
    fields.append(".letter = '%s'" % f.get("letter", "0"))
    fields += [".kind = O_" + f["kind"].upper(), ".runs = %s_runs%d" % (name, i),
               ".map = { %s_map%d_0, %s_map%d_1 }" % (name, i, name, i)]
    lines = ["\t{ .text = %s," % c_string(op["op"])]
    lines += ["\t  " + x + "," for x in fields]
    lines.append("\t  .expect = {")
    lines += ["\t\t%s," % c_string(op["expect"][p]) for p in PARTS]
    return lines + ["\t} },"]


def c_record(out, rec):
    name = "o_" + re.sub(r"\W", "_", rec["name"])
    lines = []
    for i, op in enumerate(rec["ops"]):
        lines += c_op(out, name, i, op)
    out.append("static const struct o_op %s[] = {" % name)
    out.extend(lines + ["};"])
    for k, file in enumerate(("f", "clone")):
        c_runs(out, "%s_final%d" % (name, k), rec["final"]["content"][file]["runs"])
    return ["\t{ .name = %s, .block = %d, .ops = %s," % (
                c_string(rec["name"]), rec["fs"]["block"], name),
            "\t  .nr = %d, .final = { %s_final0, %s_final1 }," % (len(rec["ops"]), name, name),
            "\t  .size = { %d, %d } }," % tuple(
                rec["final"]["content"][f]["size"] for f in ("f", "clone"))]


def records(names):
    folder = os.path.join(HERE, "recorded")
    for name in names or sorted(n[:-5] for n in os.listdir(folder)):
        yield load(os.path.join(folder, name + ".json"))


def show(names):
    for rec in records(names):
        print("====", rec["name"])
        for i, op in enumerate(rec["ops"]):
            print("%d %s -> %s" % (i, op["op"], op["expect"]["result"]))
            for part in PARTS[1:-1]:
                if op["expect"][part]:
                    print("  %-8s%s" % (part, op["expect"][part]))
            for file, extents in op.get("map_after", {}).items():
                print("  map %s %s" % (file, " ".join(extent(x) for x in extents)))


def main():
    if sys.argv[1] == "--show":
        return show(sys.argv[2:])
    out, table, used = [], [], set()
    found = differences()
    for rec in records(()):
        apply(rec, found, used)
        table += c_record(out, rec)
    for n, what in found:
        if n not in used:
            sys.exit("differences:%d: no record is called %s" % (n, what[0]))
    out.append("static const struct o_record o_records[] = {")
    out += table + ["};"]
    with open(sys.argv[1], "w") as f:
        f.write("/* SPDX-License-Identifier: MIT */\n" + "\n".join(out) + "\n")
    return None


main()
