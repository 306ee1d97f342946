#!/usr/bin/env python3
"""Adds up the JUnit files of a test run: each skip with its reason, each failure by name, and one closing line.

    tools/summary.py FOLDER [PREFIX]        of the files whose names begin so
"""
import re
import sys
import xml.etree.ElementTree as xml
from pathlib import Path


def printed_reasons(case):
    return re.findall(r"(?:SKIP|^skipped): *(.*)", case.findtext("system-out") or "", re.MULTILINE)


def skip_reason(case, skipped):
    """ctest keeps a cmocka skip's reason in the output, pytest in the message."""
    return "; ".join(printed_reasons(case)) or (skipped.get("message") if skipped is not None else "") or "no reason given"


def main(folder, prefix=""):
    passed, failed, skipped = 0, [], []
    for file in sorted(Path(folder).glob(f"{prefix}*.xml")):
        for case in xml.parse(file).getroot().iter("testcase"):
            name = f"{file.stem}: {case.get('name')}"
            skip = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
                failed.append(name)
            elif skip is not None or case.get("status") in ("notrun", "disabled"):
                skipped.append(f"{name}: {skip_reason(case, skip)}")
            else:
                passed += 1
                # A unit test program passes as a whole and may hold single skipped checks.
                if printed_reasons(case):
                    skipped.append(f"{name} (in part): {skip_reason(case, None)}")
    for line in skipped:
        print("skipped", line)
    for line in failed:
        print("FAILED", line)
    print(f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed or not (passed or skipped) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
