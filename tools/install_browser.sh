#!/bin/sh
# Makes sure that there is a Chromium for tests/browser; installs Debian's if there is none.
# As root, or with a sudo that asks for no password; otherwise it says what to do.
set -eu

for name in chromium chromium-browser google-chrome; do
	if command -v "$name" >/dev/null; then
		exit 0
	fi
done

packages="chromium fonts-dejavu-core"
if ! command -v apt-get >/dev/null; then
	echo "tests/browser needs Chromium: install it so that 'chromium' is on the PATH" >&2
	exit 1
fi
as_root=
if [ "$(id -u)" -ne 0 ]; then
	if ! sudo -n true 2>/dev/null; then
		echo "tests/browser needs Chromium; run: sudo apt-get install --no-install-recommends $packages" >&2
		exit 1
	fi
	as_root="sudo -n"
fi

echo "Installing $packages ..."
$as_root apt-get update -qq
# RUNLEVEL=1: no daemon that comes along is started.
$as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
	apt-get install -y -qq --no-install-recommends $packages >/dev/null
