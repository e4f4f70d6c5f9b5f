# SPDX-License-Identifier: GPL-2.0-or-later
# Compiles C and runs the result. Arguments: the sources' directory. In an empty directory.
set -eu
for source in "$1"/*.c; do
    gcc -O2 -std=gnu11 -ffp-contract=off -pthread -c "$source"
done
gcc -pthread -o program ./*.o
sha256sum ./*.o program
./program --check | grep -v '^#'
gcc -O1 -S -o - "$1/main.c" | sha256sum
