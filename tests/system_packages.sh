#!/bin/sh
# Installs the Debian packages of system_packages.txt that are missing. Tests that need one which cannot be installed are
# skipped, and say so.
set -u
list="$(dirname "$0")/system_packages.txt"
missing=""
while read -r package command; do
    case "$package" in "" | "#"*) continue ;; esac
    command -v "$command" >/dev/null 2>&1 || missing="$missing $package"
done <"$list"
[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing for the tests:$missing"
    export DEBIAN_FRONTEND=noninteractive
    get="apt-get -qq -o DPkg::Lock::Timeout=300"
    # shellcheck disable=SC2086
    { $get update && $get install -y --no-install-recommends $missing; } >/dev/null && exit 0
fi
echo "Not installed:$missing. Tests that need them are skipped (Debian: apt-get install$missing)." >&2
