#!/usr/bin/env python3
"""Takes the defences out, one by one, and expects the attack tests to fail.

    tools/test-mutants.py --on-a-machine-to-lose [PATTERN...]    as root; patterns are of the names in test/mutants, all without one

An attack whose defence is out succeeds: it has set attributes of / and given /dev/null away. So it wants to be told that the machine may
be lost, which is best a virtual one.

Each test/mutants/NAME.patch says in its head what it takes out, for which incidents, and which tests must fail then; a second defence
that would hold by itself goes with the first. The tree is copied to build/mutants/tree and patched, built and tested there, so nothing
here is touched. The tests are run without a patch first: what fails or is skipped there proves nothing. A line per patch and test:

    killed      the test fails, as it must
    SURVIVED    it passes without its defence: it is no test of it
    skipped     this machine cannot run it
    STALE       the patch does not apply, or what it makes does not build

A patch with "Machine: vm" would change this machine: its tests run in a virtual machine (test/vm), on a kernel that id-maps tmpfs. The
exit status is 0 when nothing survived and nothing is stale.
"""
import fnmatch
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PATCHES = ROOT / "test" / "mutants"
WORK = ROOT / "build" / "mutants"
TREE = WORK / "tree"
BUILD = TREE / "build" / "debug"
LIMIT_S = 300
CONSENT = "--on-a-machine-to-lose"
DAEMON = ["monopod", "monopod-daemon", "monopod-oci"]


class Mutant:
    def __init__(self, path):
        self.name, self.path = path.stem, path
        head = path.read_text().split("\n\n", 1)[0].splitlines()
        values = [line.split(": ", 1) for line in head]
        self.out = dict(values)["Out"]
        self.tests = [value for key, value in values if key == "Fails"]
        self.in_vm = ["Machine", "vm"] in values


def run(*command, cwd=TREE, **options):
    return subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False, **options)


def refresh_tree():
    """Files that have not changed keep their times, or everything would be built again."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    wanted = {name for name in listed if name and (ROOT / name).is_file()}
    for old in [path for path in TREE.rglob("*") if path.is_file() and path.relative_to(TREE).parts[0] != "build"]:
        if str(old.relative_to(TREE)) not in wanted:
            old.unlink()
    for name in wanted:
        copy_if_changed(ROOT / name, TREE / name)


def copy_if_changed(source, target):
    if not target.exists() or target.read_bytes() != source.read_bytes():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def program(test):
    """The executable of a test in C: unit/runtime/test_x.c is runtime.x."""
    module, file = re.fullmatch(r"unit/(\w+)/test_(\w+)\.c::\w+", test).groups()
    return f"{module}.{file}"


def build(tests):
    targets = {program(test) for test in tests if test.startswith("unit/")}
    if any(test.startswith("integration/") for test in tests):
        targets.update(DAEMON)
    return run("ninja", "-C", str(BUILD), *sorted(targets))


def outcome_of_unit(test, done):
    name = test.split("::")[1]
    said = re.findall(rf"^\[ +(OK|FAILED|SKIPPED) +\] {name}$", done.stdout, re.M)
    if "FAILED" in said:
        return "failed"
    # a program that ended at once needs what is not here
    return "skipped" if "SKIPPED" in said or done.returncode == 77 else "passed" if "OK" in said else "failed"


def run_unit(test):
    try:
        return outcome_of_unit(test, run(str(BUILD / "test" / program(test)), timeout=LIMIT_S))
    except subprocess.TimeoutExpired:
        return "failed"


def run_in_vm(test):
    here = Path(os.path.relpath(BUILD / "test" / program(test), ROOT))
    kernel, initrd, payload, out = (ROOT / "build" / "vm" / name for name in
                                    ("kernel-trixie", "initrd-trixie.cpio", "in-mutant.tar", "mutant"))
    for command in ([ROOT / "test/vm/kernel.sh", "trixie", kernel], [ROOT / "test/vm/initrd.sh", kernel, initrd],
                    [ROOT / "test/vm/payload.sh", payload, f"test/vm/guest/units {here}", here]):
        if run(*map(str, command), cwd=ROOT).returncode != 0:
            return "skipped"
    run(str(ROOT / "test/vm/boot.sh"), str(kernel), str(initrd), str(payload), str(out), cwd=ROOT)
    if not (out / f"{here.name}.log").exists():
        return "skipped"
    text = (out / f"{here.name}.log").read_text(errors="replace")
    return outcome_of_unit(test, subprocess.CompletedProcess([], int((out / f"{here.name}.status").read_text()), text))


def run_integration(test):
    """A network namespace of its own, as in tools/test.sh. Status 1 is pytest's for tests that failed."""
    path, name = test.split("::")
    done = run("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", "/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider",
               "-q", "-rs", f"test/{path}", "-k", name, timeout=2 * LIMIT_S)
    if done.returncode == 1:
        return "failed"
    if done.returncode != 0:
        raise SystemExit(f"{test}: pytest ended with {done.returncode}\n{done.stdout}")
    return "passed" if re.search(r"\d+ passed", done.stdout) else "skipped"


def run_test(test, in_vm=False):
    if test.startswith("integration/"):
        return run_integration(test)
    return run_in_vm(test) if in_vm else run_unit(test)


def say(verdict, mutant, rest):
    print(f"{verdict:9} {mutant.name}: {rest}", flush=True)
    return verdict


def try_mutant(mutant, without):
    """The verdicts, one for each test."""
    patched = run("patch", "-p1", "--fuzz=1", "--no-backup-if-mismatch", "-i", str(mutant.path))
    if patched.returncode != 0:
        return [say("STALE", mutant, "the patch does not apply")]
    built = build(mutant.tests)
    if built.returncode != 0:
        (WORK / "stale.log").write_text(built.stdout)
        return [say("STALE", mutant, f"it does not build, see {WORK / 'stale.log'}")]
    verdicts = []
    for test in mutant.tests:
        if without[test] != "passed":
            verdicts.append(say("skipped", mutant, f"{test} does not run here"))
        else:
            verdict = {"failed": "killed", "passed": "SURVIVED", "skipped": "skipped"}[run_test(test, mutant.in_vm)]
            verdicts.append(say(verdict, mutant, f"{test} ({mutant.out})"))
    return verdicts


def main(arguments):
    if arguments[:1] != [CONSENT]:
        sys.exit(f"without their defences attacks reach this machine: run in one that may be lost, with {CONSENT} first")
    patterns = arguments[1:]
    mutants = [Mutant(path) for path in sorted(PATCHES.glob("*.patch"))]
    mutants = [m for m in mutants if not patterns or any(fnmatch.fnmatch(m.name, p) for p in patterns)]
    TREE.mkdir(parents=True, exist_ok=True)
    refresh_tree()
    prepared = run("cmake", "--preset", "debug")
    (TREE / "build" / "asan").unlink(missing_ok=True)
    (TREE / "build" / "asan").symlink_to("debug")  # where the tests look for the daemon
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    built = build(tests) if prepared.returncode == 0 else prepared
    if built.returncode != 0:
        sys.exit(f"the tree does not build:\n{built.stdout}")
    print(f"{len(tests)} tests with all defences", flush=True)
    without = {test: run_test(test) for test in tests}
    broken = [test for test in tests if without[test] == "failed"]
    for test in broken:
        print(f"BROKEN    {test} fails with all defences in place", flush=True)
    verdicts = []
    for mutant in mutants:
        verdicts += try_mutant(mutant, without)
        refresh_tree()
    print(", ".join(f"{verdicts.count(word)} {word}" for word in ("killed", "SURVIVED", "STALE", "skipped")))
    return 1 if broken or {"SURVIVED", "STALE"} & set(verdicts) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
