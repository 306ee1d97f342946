# The front door. Everything below is CMake (CMakePresets.json) and scripts of tools/, which also run alone.

PREFIX ?= /usr/local

.PHONY: help build install clean demo bench bench-pull

help:
	@echo 'make build    the release build, in build/release'
	@echo 'make demo     one pod from nothing to nothing, with its timeline; installs what it needs (as root)'
	@echo 'make test     all tests, with sanitizers; installs what they need (as root)'
	@echo 'make test-vm  the tests of the runtime in virtual machines, on other kernels; installs what they need (as root)'
	@echo 'make test-mutants  the attack tests without the defences that they try, to see them fail (as root)'
	@echo 'make bench    latencies of a pod, and the distance to what the kernel alone needs (as root)'
	@echo 'make bench-pull  pulls of images, side by side with containerd and podman (as root)'
	@echo 'make lint     format, static analysis, sizes'
	@echo 'make install  to $$(DESTDIR)$(PREFIX)'
	@echo 'make clean    removes build/'

build:
	@tools/deps.sh build
	@cmake --preset release >/dev/null
	@cmake --build --preset release

install: build
	DESTDIR='$(DESTDIR)' cmake --install build/release --prefix '$(PREFIX)'

# All packages before the build, so that the demo itself takes no longer than it has to.
demo:
	@tools/deps.sh build demo
	@$(MAKE) --no-print-directory build
	@tools/demo.sh build/release/monopod

bench:
	@tools/deps.sh build bench
	@$(MAKE) --no-print-directory build
	@tools/bench.sh build/release

bench-pull:
	@tools/deps.sh build bench-pull
	@$(MAKE) --no-print-directory build
	@tools/bench-pull.sh build/release

clean:
	rm -rf build

-include tools/test.mk
