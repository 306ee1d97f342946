"""The tables of docs/ say what is true: every field of the contract has its row, every test that a row names exists and is run, and each test of
an incident has a patch that takes its defence out."""
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = (ROOT / "proto" / "cri.proto").read_text()
SUPPORT = (ROOT / "docs" / "cri-support.md").read_text()
SECURITY = (ROOT / "docs" / "security.md").read_text()
IMAGES = (ROOT / "docs" / "images.md").read_text()
NETWORK = (ROOT / "docs" / "network.md").read_text()

# What RunPodSandbox and CreateContainer take. Boxes of a number and what is for another operating system are no rows of their own.
ROOTS = ["RunPodSandboxRequest", "ContainerConfig"]
STREAMS = "Streams"  # its rows are RPCs
NO_ROWS = re.compile(r"Windows\w+|Int64Value")

SECTIONS_OF_NETWORK = ["CNI by the book"]
SECTIONS_OF_IMAGES = ["References", "Registries", "Formats", "Store", "Unpacking", "Without a registry", "Speed"]


def messages(text):
    """{message: [(field, type)]} of a .proto file; a nested type goes by its own name."""
    found, stack = {}, []
    for line in re.sub(r"//.*", "", text).splitlines():
        if opening := re.match(r"\s*(message|enum|service) (\w+)\s*\{(\s*\})?", line):
            if opening[1] == "message":
                found[opening[2]] = []
            if not opening[3]:
                stack.append(opening[2] if opening[1] == "message" else None)
        elif line.strip() == "}":
            stack.pop()
        elif stack and stack[-1] and (field := re.match(r"\s*(?:repeated )?(map<[^>]+>|\w+) (\w+) = \d+", line)):
            found[stack[-1]].append((field[2], field[1]))
    return found


def fields_of_contract(text=CONTRACT):
    """Every "Message.field" that a pod or a container can be asked for with."""
    known, wanted, rest = messages(text), set(), list(ROOTS)
    seen = set()
    while rest:
        message = rest.pop()
        if message in seen or NO_ROWS.fullmatch(message):
            continue
        seen.add(message)
        for name, kind in known[message]:
            wanted.add(f"{message}.{name}")
            if kind in known:
                rest.append(kind)
    return wanted


def rows(text):
    """(section, cells) of each row of each table; the heading and the line below it are none."""
    section, previous = None, ""
    for line in text.splitlines():
        if line.startswith("## "):
            section = line[3:].strip()
        if line.startswith("|") and not line.startswith("|---") and previous.startswith("|"):
            yield section, [cell.strip() for cell in line.strip("|").split("|")]
        previous = line


def names_of_tests(cell):
    return re.findall(r"`([\w/.-]+::\w+)`", cell)


def exists(name):
    """A Python test is a function; one in C also stands in its file's list, so it has its name there twice."""
    path, function = name.split("::")
    file = ROOT / "test" / path
    if not file.is_file():
        return False
    text = file.read_text()
    if path.endswith(".py"):
        return function.startswith("test_") and re.search(rf"^def {function}\(", text, re.M) is not None
    return (re.search(rf"^static void {function}\(void \*\*\w+\)", text, re.M) is not None
            and re.search(rf"^\s.*\b\w+\({function}[,)]", text, re.M) is not None)


def mistakes_of_support(text, contract=CONTRACT):
    wanted, found, mistakes = fields_of_contract(contract), [], []
    for section, cells in rows(text):
        if section == STREAMS:
            continue
        field = f"{section}.{cells[0].strip('`')}"
        found.append(field)
        if len(cells) != 5 or not all(cells):
            mistakes.append(f"{field}: has an empty cell")
        elif not names_of_tests(cells[4]):
            mistakes.append(f"{field}: names no test")
        mistakes += [f"{field}: there is no test {name}" for name in names_of_tests(cells[-1]) if not exists(name)]
    mistakes += [f"{field}: has no row" for field in sorted(wanted - set(found))]
    mistakes += [f"{field}: no such field" for field in sorted(set(found) - wanted)]
    mistakes += [f"{field}: has two rows" for field in sorted({field for field in found if found.count(field) > 1})]
    return mistakes


def mistakes_of_streams(text, contract=CONTRACT):
    wanted, found, mistakes = set(re.findall(r"rpc (\w+)\(\w+\) returns \(stream ", contract)), [], []
    for section, cells in rows(text):
        if section != STREAMS:
            continue
        found.append(cells[0].strip("`"))
        if len(cells) != 3 or not all(cells) or not names_of_tests(cells[2]):
            mistakes.append(f"{found[-1]}: has an empty cell or names no test")
        mistakes += [f"{found[-1]}: there is no test {name}" for name in names_of_tests(cells[-1]) if not exists(name)]
    return mistakes + [f"{name}: has no row, or more than one" for name in sorted(wanted | set(found)) if found.count(name) != 1]


def mistakes_of_security(text):
    mistakes, told = [], set()
    for _, cells in rows(text):
        tests = names_of_tests(cells[-1])
        told.update(tests)
        if len(cells) != 3 or not all(cells):
            mistakes.append(f"{cells[0]}: has an empty cell")
        elif not tests and not cells[2].startswith("Cannot arise: "):
            mistakes.append(f"{cells[0]}: neither names a test nor says why it cannot arise")
        mistakes += [f"{cells[0]}: there is no test {name}" for name in tests if not exists(name)]
    return mistakes


def mistakes_of_features(text, sections):
    mistakes, found = [], []
    for section, cells in rows(text):
        feature = f"{section}: {cells[0]}"
        found.append(feature)
        if len(cells) != 3 or not all(cells):
            mistakes.append(f"{feature}: has an empty cell")
        elif not names_of_tests(cells[2]):
            mistakes.append(f"{feature}: names no test")
        mistakes += [f"{feature}: there is no test {name}" for name in names_of_tests(cells[-1]) if not exists(name)]
    mistakes += [f"{feature}: has two rows" for feature in sorted({feature for feature in found if found.count(feature) > 1})]
    filled = {feature.split(":")[0] for feature in found}
    mistakes += [f"{section}: has no row" for section in sections if section not in filled]
    return mistakes


def test_every_field_has_a_true_row():
    assert mistakes_of_support(SUPPORT) == []


def test_every_stream_has_a_true_row():
    assert mistakes_of_streams(SUPPORT) == []
    assert mistakes_of_streams(SUPPORT.replace(one_row(SUPPORT, "| `StreamImages`"), "")) == [
        "StreamImages: has no row, or more than one"]


def test_every_incident_has_a_test_or_a_reason():
    assert mistakes_of_security(SECURITY) == []


def test_every_feature_of_images_has_a_test():
    assert mistakes_of_features(IMAGES, SECTIONS_OF_IMAGES) == []


def test_every_feature_of_the_network_has_a_test():
    assert mistakes_of_features(NETWORK, SECTIONS_OF_NETWORK) == []


def incidents_of_tests():
    """Every test of the runtime's own incidents: its name begins with an identifier."""
    for path in sorted([*ROOT.glob("test/unit/runtime/*.c"), *ROOT.glob("test/integration/*.py")]):
        for name in re.findall(r"^(?:static void|def) (\w*cve_\d{4}_\d+\w*)\(", path.read_text(), re.M):
            yield name


def heads_of_mutants(key):
    """What the patches of test/mutants say in their heads: of tools/test-mutants.py."""
    for path in sorted((ROOT / "test" / "mutants").glob("*.patch")):
        for line in path.read_text().split("\n\n", 1)[0].splitlines():
            if line.startswith(f"{key}: "):
                yield line.removeprefix(f"{key}: ")


def test_every_test_of_an_incident_has_a_defence_to_take_out():
    named = {name for _, cells in rows(SECURITY) for name in names_of_tests(cells[-1])}
    assert sorted(named ^ set(heads_of_mutants("Fails"))) == []


def test_every_incident_has_a_defence_to_take_out():
    wanted = {word for _, cells in rows(SECURITY) if names_of_tests(cells[-1]) for word in re.findall(r"(?:CVE|GHSA)-[\w-]+", cells[0])}
    assert sorted(wanted ^ {word for line in heads_of_mutants("Incidents") for word in line.split()}) == []


@pytest.mark.parametrize("name", sorted(set(incidents_of_tests())))
def test_an_attack_test_stands_in_the_table(name):
    """Its identifier does, so that nobody looks for it in vain."""
    year, number = re.search(r"cve_(\d{4})_(\d+)", name).groups()
    assert f"{year}-{number}" in SECURITY


# ---- the tests themselves notice ----

def one_row(text, start):
    return next(line for line in text.splitlines(True) if line.startswith(start))


@pytest.mark.parametrize("change, mistake", [
    (lambda text: text.replace(one_row(text, "| `tty` |"), ""), "ContainerConfig.tty: has no row"),
    (lambda text: text.replace("| `tty` |", "| `teletype` |"), "ContainerConfig.teletype: no such field"),
    (lambda text: text.replace("test_terminal`", "test_of_nobody`"),
     "ContainerConfig.tty: there is no test integration/test_process.py::test_of_nobody"),
    (lambda text: text.replace("integration/test_process.py::test_terminal`", "integration/test_nothing.py::test_terminal`"),
     "ContainerConfig.tty: there is no test integration/test_nothing.py::test_terminal"),
    (lambda text: text.replace(one_row(text, "| `add_ambient_capabilities` |"), 2 * one_row(text, "| `add_ambient_capabilities` |")),
     "Capability.add_ambient_capabilities: has two rows"),
    (lambda text: text.replace("| 4.3 |", "| |"), "Capability.add_ambient_capabilities: has an empty cell"),
])
def test_a_wrong_table_is_noticed(change, mistake):
    assert mistake in mistakes_of_support(change(SUPPORT))


def test_a_new_field_is_noticed():
    contract = CONTRACT.replace("message Device {", "message Device {\n  string colour = 99;")
    assert mistakes_of_support(SUPPORT, contract) == ["Device.colour: has no row"]


def test_a_test_that_is_not_run_is_noticed():
    assert exists("unit/runtime/test_caps.c::lists_are_applied")
    assert not exists("unit/runtime/test_caps.c::adjust") and not exists("integration/test_pod.py::pod")


def test_an_incident_without_defence_is_noticed():
    line = "| CVE-1999-0001 | none | |\n"
    heading = "| incident | defence | test |\n|---|---|---|\n"
    assert mistakes_of_security(heading + line) == ["CVE-1999-0001: has an empty cell"]
    assert mistakes_of_security(heading + line.replace("| |", "| later |")) == ["CVE-1999-0001: neither names a test nor says why it cannot arise"]


@pytest.mark.parametrize("change, mistake", [
    (lambda text: text.replace("::all_compressions`", "::no_compression`"),
     "Formats: compression: there is no test unit/image/test_unpack.c::no_compression"),
    (lambda text: text + "| a new one | told | nowhere |\n", "Speed: a new one: names no test"),
    (lambda text: text + one_row(text, "| layers at once"), "Speed: layers at once: has two rows"),
    (lambda text: text.replace("| restart | Everything is as it was. |", "| restart | |"), "Store: restart: has an empty cell"),
    (lambda text: text.split("## Speed")[0], "Speed: has no row"),
])
def test_a_wrong_row_of_images_is_noticed(change, mistake):
    assert mistake in mistakes_of_features(change(IMAGES), SECTIONS_OF_IMAGES)
