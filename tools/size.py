#!/usr/bin/env python3
"""Gate on size: functions and files of src/ and bench/ against the limits of CONTRIBUTING.md, by Universal Ctags."""
import json
import statistics
import subprocess
import sys

MEDIAN_LINES, MAX_LINES, MAX_FILE_LINES = 12, 60, 600


def functions(files):
    tags = subprocess.run(["ctags", "--output-format=json", "--fields=+ne", "--kinds-C=f", "-o", "-", *files],
                          capture_output=True, text=True, check=True).stdout
    for line in tags.splitlines():
        tag = json.loads(line)
        if "end" in tag:
            yield tag["end"] - tag["line"] + 1, tag["name"], tag["path"]


def main():
    files = subprocess.run(["git", "ls-files", "src/*.c", "bench/*.c"], capture_output=True, text=True, check=True).stdout.split()
    found = sorted(functions(files), reverse=True)
    lengths = [length for length, _, _ in found]
    p95 = lengths[len(lengths) // 20]
    median = statistics.median(lengths)
    lines = {path: sum(1 for _ in open(path)) for path in files}
    print(f"{len(found)} functions: median {median:g} lines, 95 % up to {p95}, longest {lengths[0]}; "
          f"{len(files)} files, median {statistics.median(lines.values()):g} lines, longest {max(lines.values())}")
    wrong = [f"{path}: function {name} has {length} lines, the limit is {MAX_LINES}" for length, name, path in found if length > MAX_LINES]
    wrong += [f"{path}: {n} lines, the limit is {MAX_FILE_LINES}" for path, n in lines.items() if n > MAX_FILE_LINES]
    if median > MEDIAN_LINES:
        wrong.append(f"the median function has {median:g} lines, the limit is {MEDIAN_LINES}")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
