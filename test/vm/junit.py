#!/usr/bin/env python3
"""What guest/units left in a folder as a JUnit file in the manner of ctest, and the output of each program that failed."""
import sys
import xml.etree.ElementTree as xml
from pathlib import Path


def printable(text):
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def main(folder, out):
    suite = xml.Element("testsuite")
    for file in sorted(Path(folder).glob("*.status")):
        status, output = file.read_text().strip(), printable(file.with_suffix(".log").read_text(errors="replace"))
        case = xml.SubElement(suite, "testcase", name=file.stem, status="fail" if status != "0" else "run")
        xml.SubElement(case, "system-out").text = output
        if status != "0":
            print(f"---- {Path(out).stem}: {file.stem} ended with {status}\n{output}")
    xml.ElementTree(suite).write(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
