# Tests and gates. Included by the Makefile.

.PHONY: test test-vm test-mutants lint

# Installs what the tests need, builds with sanitizers, runs everything; the last line counts passed, failed and skipped.
test:
	tools/test.sh

# The runtime's tests in virtual machines, on other kernels than this machine's; tools/test-vm.sh says how to run a part of them.
test-vm:
	tools/test-vm.sh

# Takes the defences out one by one: the attack tests must fail (docs/security.md). Not a part of CI: some fifty builds.
test-mutants:
	@tools/deps.sh build test vm
	tools/test-mutants.py $(MUTANTS)

# Format, headers, size and static analysis: style.md of CONTRIBUTING.md as commands.
lint:
	tools/lint.sh
