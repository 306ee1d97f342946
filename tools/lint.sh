#!/bin/sh
# The gates of CONTRIBUTING.md: format, headers that compile alone, size of functions and files, static analysis.
set -eu
cd "$(dirname "$0")/.."
status=0

echo "format"
git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror || status=1

echo "size"
/usr/bin/python3 tools/size.py || status=1

cmake --preset debug >/dev/null
cmake --build --preset debug --target proto >/dev/null
flags="-std=gnu17 -D_GNU_SOURCE -Ulinux -Ibuild/debug/proto $(pkg-config --cflags libuv libnghttp2 libprotobuf-c)"

echo "headers compile alone"
for header in $(git ls-files 'src/*.h'); do
	# shellcheck disable=SC2086
	gcc $flags -Isrc -Wall -Wextra -Werror -fsyntax-only -x c "$header" || status=1
done

echo "static analysis"
git ls-files 'src/*.c' | xargs -P "$(nproc)" -n 6 clang-tidy -p build/debug --quiet --warnings-as-errors='*' --extra-arg=-Wno-unknown-warning-option 2>/dev/null || status=1

[ $status -eq 0 ] && echo "lint: clean"
exit $status
