# SPDX-License-Identifier: GPL-2.0-or-later
# Unpacks and installs a package as apt would have dpkg do it. Arguments: the package. In an empty directory.
set -eu
mkdir -p root/var/lib/dpkg/info root/var/lib/dpkg/updates
: >root/var/lib/dpkg/status
dpkg --root="$PWD/root" --force-not-root --force-bad-path --log=/dev/null -i "$1" | grep -v 'Reading database'
dpkg-query --admindir=root/var/lib/dpkg -W
(cd root && find usr -type f | sort | xargs sha256sum) | sha256sum
(cd root && find usr | wc -l)
dpkg --root="$PWD/root" --force-not-root --force-bad-path --log=/dev/null -r "${2}" | grep -v 'Reading database'
find root/usr -type f 2>/dev/null | wc -l
