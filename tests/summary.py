#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# The last words of a test run, from ctest's report: each failure with its output, each skip with
# its reason, the counts.  With CI=true a skip that tests/skips.txt does not list is a failure.
# usage: summary.py JUNIT_XML
import fnmatch
import os
import re
import sys
import xml.etree.ElementTree as ET


def allowed_skips():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "skips.txt")
    with open(path, encoding="utf-8") as f:
        return [line.split()[0] for line in f if line.strip() and not line.startswith("#")]


def main(path):
    nr = {"passed": 0, "failed": 0, "skipped": 0}
    in_ci, allowed = os.environ.get("CI") == "true", allowed_skips()
    if not os.path.exists(path):
        print(f"no report of a test run ({path})")
        return 1
    for case in ET.parse(path).getroot().iter("testcase"):
        name, output = case.get("name"), (case.findtext("system-out") or "").strip()
        if case.get("status") == "run":
            nr["passed"] += 1
        elif case.find("skipped") is not None and case.find("skipped").get(
                "message", "").startswith("SKIP"):
            nr["skipped"] += 1
            reason = re.findall(r"^skipped: (?:\w+: )?(.*)$", output, re.M)
            print(f"skipped: {name}: {'; '.join(reason) or 'no reason given'}")
            if in_ci and not any(fnmatch.fnmatch(name, a) for a in allowed):
                print(f"failed: {name}: this skip is not listed in tests/skips.txt")
                nr["failed"] += 1
        else:
            nr["failed"] += 1
            print(f"failed: {name}")
            print("\t" + output[-3000:].replace("\n", "\n\t"))
    print("tests: " + " ".join(f"{k}={v}" for k, v in nr.items()))
    print(f"{nr['passed']} passed, {nr['failed']} failed, {nr['skipped']} skipped")
    return 1 if nr["failed"] or not nr["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
