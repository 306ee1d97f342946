# Tests and gates. Included by the Makefile.

.PHONY: test lint

# Installs what the tests need, builds with sanitizers, runs everything; the last line counts passed, failed and skipped.
test:
	tools/test.sh

# Format, headers, size and static analysis: style.md of CONTRIBUTING.md as commands.
lint:
	tools/lint.sh
