#!/usr/bin/env bash
# Starts a whole Bakery out of this checkout. See --help, or the README.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

NEEDED=(python3 python3-venv git ca-certificates)

python_is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

# A version manager's python3 may be newer than the system's, or older: the first one that will do is taken.
find_python() {
    local candidate
    for candidate in python3 /usr/bin/python3 python3.13 python3.12 python3.11 python3.10; do
        if command -v "$candidate" >/dev/null && python_is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

has_venv() {
    [ -x .venv/bin/python ] || "$1" -c 'import ensurepip, venv' 2>/dev/null
}

may_install() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null
}

give_up() {
    printf 'Bakery needs Python 3.10 or newer with venv, git and certificates. Install these packages and start again:\n' >&2
    printf '  sudo apt-get install %s\n' "${NEEDED[*]}" >&2
    exit 1
}

install_packages() {
    may_install || give_up
    printf 'Installing %s …\n' "${NEEDED[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update >/dev/null
    apt-get -qq install --no-install-recommends -y "${NEEDED[@]}" >/dev/null || give_up
}

# Of all obstacles this one is for bash: without venv no start gets as far as Python.
check_without_venv() {
    local python=$1 code=0
    shift
    if may_install; then
        printf '✓ venv         would be installed with apt-get: %s\n' "${NEEDED[*]}"
        return
    fi
    printf '✗ venv         Python has no venv\n               → sudo apt-get install %s\n' "${NEEDED[*]}"
    PYTHONDONTWRITEBYTECODE=1 "$python" -m infrastructure.quickstart "$@" | sed '/^The quickstart can start/d' || code=$?
    printf 'The quickstart cannot start without venv. Nothing was changed.\n'
    exit "$((code ? code : 1))"
}

make_environment() {
    local python=$1 wanted stamp=.venv/.requirements
    wanted=$(sha256sum requirements.txt | cut -d ' ' -f 1)
    if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    local begun=$SECONDS
    if [ ! -x .venv/bin/python ]; then
        printf 'Making a virtual environment in .venv …\n'
        "$python" -m venv .venv
    fi
    printf 'Installing Python packages …\n'
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
    printf '%s\n' "$wanted" >"$stamp"
    printf '✓ Python packages are installed (%d s)\n' "$((SECONDS - begun))"
}

main() {
    local python argument
    python=$(find_python) || python=
    for argument in "$@"; do
        case $argument in
        --check | --help | -h | --stop)
            # These change nothing in the checkout, so they do without a virtual environment.
            [ -n "$python" ] || give_up
            if [ "$argument" = --check ] && ! has_venv "$python"; then
                check_without_venv "$python" "$@"
            fi
            if [ "$argument" = --stop ] && [ -x .venv/bin/python ]; then
                python=.venv/bin/python # it can reach Docker as well
            fi
            exec env PYTHONDONTWRITEBYTECODE=1 "$python" -m infrastructure.quickstart "$@"
            ;;
        esac
    done
    if [ -z "$python" ] || ! has_venv "$python" || ! command -v git >/dev/null; then
        install_packages
        python=$(find_python) || give_up
    fi
    make_environment "$python"
    exec .venv/bin/python -m infrastructure.quickstart "$@"
}

main "$@"
