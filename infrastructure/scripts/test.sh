#!/usr/bin/env bash
# Runs the tests and the linters, after installing what they need.
#   test.sh         all four rings (unit, integration, browser, host) and lint
#   test.sh fast    unit and integration, without the tests that are marked slow
#   test.sh unit|integration|browser|host|lint [pytest arguments]    one of them
# A ring that this machine cannot run is skipped and says why. With CI=true a skip is a failure.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2

PYTHON=.venv/bin/python
PACKAGES=(git nginx redis-server postgresql certbot pebble bind9 python3-certbot-dns-rfc2136)
BROWSER_PACKAGES=(chromium)
HOST_PACKAGES=(docker.io containerd iptables busybox-static debootstrap)
failed=()
skipped=()
beside=

say() { printf '\n=== %s\n' "$*"; }

# Installing a server must not start one: the tests bring up their own.
install_packages() {
    local package missing=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        printf 'Not installed, and only root may: apt-get install %s\n' "${missing[*]}"
        return 1
    fi
    printf 'Installing %s …\n' "${missing[*]}"
    local policy=/usr/sbin/policy-rc.d made=
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && made=yes
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update >/dev/null && apt-get -qq install --no-install-recommends -y "${missing[@]}" >/dev/null
    local outcome=$?
    [ -z "$made" ] || rm -f "$policy"
    return "$outcome"
}

make_environment() {
    local wanted stamp=.venv/.requirements-dev python
    wanted=$(cat requirements.txt requirements-dev.txt | sha256sum | cut -d ' ' -f 1)
    [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || return 0
    say "Installing Python packages"
    if [ ! -x "$PYTHON" ]; then
        for python in python3 /usr/bin/python3 python3.13 python3.12 python3.11 python3.10; do
            "$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && break
        done
        "$python" -m venv .venv || return 1
    fi
    "$PYTHON" -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt || return 1
    printf '%s\n' "$wanted" >"$stamp"
}

# Once for all rings, where deployments' own accounts reach it as well.
install_bun() {
    local tools=/opt
    [ "$(id -u)" -eq 0 ] || tools="$PWD/.venv"
    command -v bun >/dev/null && return
    if [ ! -x "$tools/bun/node_modules/.bin/bun" ]; then
        say "Installing Bun"
        "$PYTHON" - "$tools" <<'PYTHON' || return
import sys
from pathlib import Path

from infrastructure.bun_install import install_bun
from infrastructure.runner import Runner

install_bun(Path(sys.argv[1]), Runner())
PYTHON
    fi
    PATH="$tools/bun/node_modules/.bin:$PATH"
}

skip() {
    skipped+=("$1: $2")
    printf 'Skipped: %s\n' "$2"
}

has_docker() {
    command -v dockerd >/dev/null || command -v docker >/dev/null
}

# Why a ring cannot be run here; nothing when it can.
why_not() {
    case $1 in
    browser)
        command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
            echo "there is no Chromium (apt-get install chromium)"
        ;;
    host)
        if ! has_docker; then
            echo "there is no Docker (apt-get install docker.io)"
        elif [ "$(id -u)" -ne 0 ] && ! docker info >/dev/null 2>&1; then
            echo "no Docker engine answers, and only root may start one"
        fi
        ;;
    esac
}

ring() {
    local name=$1 reason begun=$SECONDS
    shift
    say "$name"
    if [ -z "$(find "tests/$name" -name 'test_*.py' -print -quit)" ]; then
        skip "$name" "it has no tests yet"
        return
    fi
    reason=$(why_not "$name")
    if [ -n "$reason" ]; then
        skip "$name" "$reason"
        return
    fi
    "$PYTHON" -m pytest "tests/$name" "$@"
    local outcome=$?
    [ "$outcome" -eq 0 ] || failed+=("$name")
    printf '%s: %d s\n' "$name" "$((SECONDS - begun))"
}

# The longest ring mostly waits, and so do the browser's and the host's: they run beside each other.
begin_integration() {
    beside_log=$(mktemp -t bakery-integration.XXXXXX)
    infrastructure/scripts/test.sh integration >"$beside_log" 2>&1 &
    beside=$!
    say "integration runs beside what follows; it is printed when it has ended"
}

end_integration() {
    [ -n "$beside" ] || return 0
    wait "$beside" || failed+=(integration)
    cat "$beside_log"
    rm -f "$beside_log"
}

lint() {
    say lint
    infrastructure/scripts/lint.sh || failed+=(lint)
}

prepare() {
    install_packages "${PACKAGES[@]}"
    local part
    for part in "$@"; do
        case $part in
        browser) install_packages "${BROWSER_PACKAGES[@]}" ;;
        host) install_packages "${HOST_PACKAGES[@]}" ;;
        lint) install_packages shellcheck ;;
        esac
    done
    make_environment || {
        echo "The Python packages could not be installed." >&2
        exit 2
    }
    install_bun || {
        echo "Bun could not be installed." >&2
        exit 2
    }
}

main() {
    local parts part chosen=()
    case ${1:-all} in
    all) parts=(lint unit integration browser host) ;;
    fast) parts=(unit integration) chosen=(-m "not slow") ;;
    unit | integration | browser | host | lint) parts=("$1") ;;
    *)
        sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit 2
        ;;
    esac
    [ $# -eq 0 ] || shift
    prepare "${parts[@]}"
    for part in "${parts[@]}"; do
        case $part in
        lint) lint ;;
        integration) if [ ${#parts[@]} -eq 5 ]; then begin_integration; else ring "$part" "${chosen[@]}" "$@"; fi ;;
        *) ring "$part" "${chosen[@]}" "$@" ;;
        esac
    done
    end_integration
    say "Result after $SECONDS s"
    local line
    for line in "${skipped[@]}"; do printf 'skipped  %s\n' "$line"; done
    for line in "${failed[@]}"; do printf 'FAILED   %s\n' "$line"; done
    if [ ${#failed[@]} -gt 0 ] || { [ "${CI:-}" = true ] && [ ${#skipped[@]} -gt 0 ]; }; then
        exit 1
    fi
    echo "Everything that could be run passed."
}

main "$@"
