#!/bin/sh
# Everything that `make test` does: dependencies, sanitizer and release builds, unit tests, integration tests, one closing line.
# TESTS=unit or TESTS=integration runs one half; PYTEST_ARGS goes to pytest.
set -eu
cd "$(dirname "$0")/.."

tools/deps.sh build test
results=build/results
rm -rf "$results"
mkdir -p "$results"
status=0

build() {
	cmake --preset "$1" >"$results/cmake-$1.log" || { cat "$results/cmake-$1.log"; exit 1; }
	cmake --build --preset "$1" -- -j "$(nproc)"
}

build asan
if [ "${TESTS:-unit}" = unit ]; then
	ctest --preset asan --output-junit "$PWD/$results/unit.xml" || status=1
fi
if [ "${TESTS:-integration}" = integration ]; then
	build release
	npm ci --prefix test/integration --silent --no-audit --no-fund
	# A network namespace of its own: bridges, nft tables and the registry's port never meet the machine's.
	# shellcheck disable=SC2086
	unshare --net sh -c 'ip link set lo up && exec "$@"' sh \
		/usr/bin/python3 -m pytest -p no:cacheprovider test/integration --junitxml "$results/integration.xml" ${PYTEST_ARGS:-} || status=1
fi
/usr/bin/python3 tools/summary.py "$results" || status=1
exit $status
