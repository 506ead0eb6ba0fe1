#!/usr/bin/env bash
# Everything that is checked without running the product. Ends with 1 when anything was found; each check runs anyway.
#   infrastructure/scripts/lint.sh          all checks
#   infrastructure/scripts/lint.sh --fix    first let ruff and djade write what they can
set -u
cd "$(dirname "$0")/../.." || exit 2
PATH="$PWD/.venv/bin:$PATH"
failed=()

check() {
    local name=$1 began=$SECONDS
    shift
    if output=$("$@" 2>&1); then
        printf '  ok      %-28s %3d s\n' "$name" $((SECONDS - began))
    else
        printf '  FAILED  %-28s %3d s\n%s\n' "$name" $((SECONDS - began)) "$output"
        failed+=("$name")
    fi
}

# Django needs an environment to load its settings; nothing is contacted with this one.
export BAKERY_ENV_FILE=/dev/null
export DATABASE_URL=postgres://nobody@127.0.0.1:1/nothing REDIS_URL=redis://127.0.0.1:1/0
SESSION_SECRET=$(python -c 'import secrets; print(secrets.token_urlsafe(48))')
ENCRYPTION_KEY=$(python -c 'import base64, secrets; print(base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())')
export SESSION_SECRET ENCRYPTION_KEY BAKERY_BASE_URL=https://bakery.example BAKERY_LINT=1

mapfile -t templates < <(git ls-files --cached --others --exclude-standard '*.html')
mapfile -t scripts < <(git ls-files --cached --others --exclude-standard '*.sh' '.ci/run')

if [ "${1:-}" = --fix ]; then
    ruff check --quiet --fix .
    ruff format --quiet .
    [ ${#templates[@]} -eq 0 ] || djade --target-version 5.2 "${templates[@]}"
fi

check "ruff" ruff check --quiet --output-format concise .
check "ruff format" ruff format --quiet --check .
check "mypy --strict" mypy
check "import contracts" lint-imports --no-cache
[ ${#templates[@]} -eq 0 ] || check "djade" djade --check --target-version 5.2 "${templates[@]}"
if command -v shellcheck >/dev/null; then
    [ ${#scripts[@]} -eq 0 ] || check "shellcheck" shellcheck "${scripts[@]}"
elif [ "${CI:-}" = true ]; then
    check "shellcheck" sh -n "is not installed: apt-get install shellcheck"
else
    echo "  skipped shellcheck: it is not installed (apt-get install shellcheck)"
fi
check "no migration is missing" python manage.py makemigrations --check --dry-run
check "manage.py check --deploy" python manage.py check --deploy --fail-level WARNING

[ ${#failed[@]} -eq 0 ] || { printf '%d of the checks failed: %s\n' ${#failed[@]} "${failed[*]}"; exit 1; }
