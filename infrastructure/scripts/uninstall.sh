#!/usr/bin/env bash
# Takes away what install.sh has installed. Data stay unless they are asked for. See --help.
#
# In bash alone: it works on an installation whose Python half is broken, and while it removes the directory it lies in.
# shellcheck disable=SC2317  # "attempt" calls what shellcheck takes for unreachable
set -uo pipefail
export LC_ALL=C.UTF-8
PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

USAGE='uninstall.sh [options]     as root

  --install-dir DIR   where Bakery was installed (/opt/bakery)
  --delete-data       also delete the data: database, secrets, certificates, persistent directories, logs, backups,
                      and the databases of applications that Bakery made in this machine'\''s PostgreSQL
  --yes               do not ask; data stay unless --delete-data is given

Applications stop. Debian packages and everything that is not Bakery'\''s stay.'

INSTALL_DIR=/opt/bakery DATA_DIR='' YES='' DELETE='' PORT='' ADMIN_FILE='' APP_DATABASES=0
UNITS=/etc/systemd/system
WRAPPER=/usr/local/bin/bakery
REDIS_CONFIGURATION=/etc/redis/redis-bakery.conf
failures=0

has() { command -v "$1" >/dev/null 2>&1; }
setting() { sed -n "s/^$1=//p" "$INSTALL_DIR/.env" 2>/dev/null | tail -n 1; }

stop() {
    printf '%s\n' "$1" >&2
    exit "${2:-1}"
}

parse_options() {
    while [ $# -gt 0 ]; do
        case $1 in
        --help | -h)
            printf '%s\n' "$USAGE"
            exit 0
            ;;
        --yes) YES=yes ;;
        --delete-data) DELETE=yes ;;
        --install-dir)
            [ $# -gt 1 ] || stop "--install-dir needs a value. See --help." 2
            INSTALL_DIR=${2%/}
            shift
            ;;
        *) stop "There is no option $1. See --help." 2 ;;
        esac
        shift
    done
}

# Everything below is removed by name; a wrong directory must not be.
check() {
    [ "$(id -u)" -eq 0 ] || stop "Only root can uninstall Bakery: start it with sudo."
    [[ $INSTALL_DIR =~ ^/[^/]+/[A-Za-z0-9._/+-]+$|^/[A-Za-z0-9._+-]+$ ]] || stop "$INSTALL_DIR is no directory of Bakery's."
    [ -d "$INSTALL_DIR/releases" ] || stop "There is no Bakery in $INSTALL_DIR. Name its directory with --install-dir."
    DATA_DIR=$(setting BAKERY_DATA_DIR)
    DATA_DIR=${DATA_DIR:-/var/lib/bakery}
    [ -d "$DATA_DIR/logs" ] || [ -d "$DATA_DIR/nginx" ] ||
        stop "There is no Bakery in $DATA_DIR, which $INSTALL_DIR/.env calls its data directory. Nothing was removed."
    PORT=$(setting DATABASE_URL | sed -nE 's#.*@(127\.0\.0\.1|localhost):([0-9]+)/.*#\2#p')
    # Where a person has named another role or server, its databases are theirs to drop.
    [ "$(setting BAKERY_POSTGRES_ADMIN_URL_FILE)" != "$INSTALL_DIR/postgres-admin-url" ] || ADMIN_FILE=$INSTALL_DIR/postgres-admin-url
    [ -z "$PORT" ] || [ -z "$ADMIN_FILE" ] || APP_DATABASES=$(of_applications database | grep -c .)
}

ask() {
    local answer count
    [ -z "$YES" ] || return 0
    [ -t 0 ] || stop "Nobody can be asked here. Add --yes to go on."
    count=$(find "$UNITS" -maxdepth 1 -name 'bakery-deployment-*.service' | wc -l)
    [ ! -S /var/run/docker.sock ] || count=$((count + $(containers | wc -l)))
    read -r -p "Remove Bakery from this machine? $count running parts of applications stop. [y/N] " answer
    [[ $answer == [yY]* ]] || exit 1
    [ -z "$DELETE" ] || return 0
    printf 'Data: %s, Bakery'\''s own database, and %s databases of applications.\n' "$DATA_DIR" "$APP_DATABASES"
    read -r -p "Delete all of these as well? They cannot be brought back. Type delete to do so: " answer
    [ "$answer" != delete ] || DELETE=yes
}

# attempt TITLE COMMAND…: what fails is said, and the rest is removed all the same.
attempt() {
    local title=$1 said
    shift
    if said=$("$@" 2>&1); then
        printf '✓ %s\n' "$title"
    else
        printf '✗ %s\n' "$title"
        printf '%s\n' "$said" | tail -n 5 | sed 's/^/  /'
        failures=$((failures + 1))
    fi
}

# A whole list of units at once; the updater first, so that nothing is started again behind us.
own_units() {
    find "$UNITS" -maxdepth 1 -type f \( -name 'bakery.*' -o -name 'bakery-*' -o -name 'system-bakery*.slice' \) -printf '%f\n' | sort -r
}

remove_units() {
    local units
    mapfile -t units < <(own_units)
    systemctl stop 'bakery-update*.service' 'bakery-update*.timer' 'bakery-build-*.service' 2>/dev/null
    if [ ${#units[@]} -gt 0 ]; then
        systemctl disable --quiet "${units[@]}" 2>/dev/null
        systemctl stop "${units[@]}" || return 1
        rm -f "${units[@]/#/$UNITS/}"
    fi
    find "$UNITS" -maxdepth 1 -type d -name 'bakery*.d' -exec rm -rf {} +
    rm -f /var/lib/systemd/timers/stamp-bakery-*.timer # when they last ran
    systemctl daemon-reload
    systemctl reset-failed 'bakery*' 2>/dev/null
    return 0
}

# The label's value is a digest of the data directory: two Bakeries may share an engine (infrastructure/confinement.py).
label() { printf 'label=bakery.instance=bakery-%s\n' "$(printf '%s' "$DATA_DIR" | sha256sum | cut -c 1-8)"; }
containers() { docker ps --quiet --all --filter "$(label)" 2>/dev/null; }

remove_containers() {
    local found
    mapfile -t found < <(containers)
    [ ${#found[@]} -eq 0 ] || docker rm --force "${found[@]}" || return 1
    mapfile -t found < <(docker network ls --quiet --filter "$(label)")
    [ ${#found[@]} -eq 0 ] || docker network rm "${found[@]}" || return 1
    mapfile -t found < <(docker image ls --quiet --filter "$(label)" | sort -u)
    [ ${#found[@]} -eq 0 ] || docker image rm --force "${found[@]}" || return 1
    [ -n "$DELETE" ] || return 0
    mapfile -t found < <(docker volume ls --quiet --filter "$(label)")
    [ ${#found[@]} -eq 0 ] || docker volume rm "${found[@]}"
}

# Its own code knows best what it has put into Nginx. Where that does not run any more, its files go by name.
remove_from_nginx() {
    local python=$INSTALL_DIR/current/.venv/bin/python
    if [ -x "$python" ] && (cd "$INSTALL_DIR/current/." && "$python" -m infrastructure.server leave-nginx "$DATA_DIR"); then
        return 0
    fi
    rm -f /etc/nginx/conf.d/bakery.conf /etc/nginx/modules-enabled/99-bakery.conf /etc/nginx/bakery-candidate.conf
    rm -rf "$UNITS/nginx.service.d/bakery.conf"
    rmdir "$UNITS/nginx.service.d" 2>/dev/null
    systemctl daemon-reload
    ! has nginx || ! systemctl is-active --quiet nginx.service || { nginx -t -q && systemctl reload nginx.service; }
}

remove_redis() {
    systemctl disable --quiet --now redis-server@bakery.service 2>/dev/null
    rm -f "$REDIS_CONFIGURATION" /var/log/redis/redis-server-bakery.log
    systemctl reset-failed redis-server@bakery.service 2>/dev/null
    return 0
}

psql_as_postgres() {
    (cd / && runuser -u postgres -- psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 --port="$PORT" "$@")
}

# of_applications database|drop-databases|drop-roles: what bears a comment with the token of a database that this Bakery knows, or
# belongs to such a role (one beside, from a restore); or the statements that drop them.
of_applications() {
    local tokens
    tokens=$(psql_as_postgres --dbname=bakery -c "SELECT 'bakery:' || token FROM databases_database WHERE kind = 'managed'" 2>/dev/null | paste -sd ,)
    [ -n "$tokens" ] || return 0
    psql_as_postgres --dbname=postgres --set=tokens="$tokens" --set=what="$1" <<'SQL'
WITH marks AS (SELECT string_to_array(:'tokens', ',') AS known),
     roles AS (SELECT oid, rolname FROM pg_roles, marks WHERE shobj_description(oid, 'pg_authid') = ANY (known)),
     found AS (SELECT datname FROM pg_database AS d, marks
               WHERE shobj_description(d.oid, 'pg_database') = ANY (known) OR datdba IN (SELECT oid FROM roles))
SELECT datname FROM found WHERE :'what' = 'database'
UNION ALL SELECT format('DROP DATABASE %I WITH (FORCE);', datname) FROM found WHERE :'what' = 'drop-databases'
UNION ALL SELECT format('DROP ROLE %I;', rolname) FROM roles WHERE :'what' = 'drop-roles';
SQL
}

# Each in a transaction of its own: dropping a database takes that.
drop_databases_of_applications() {
    local statements
    statements=$(of_applications drop-databases && of_applications drop-roles) || return 1
    [ -z "$statements" ] || psql_as_postgres --dbname=postgres <<<"$statements" || return 1
    psql_as_postgres --dbname=postgres <<<"SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database
        WHERE pg_get_userbyid(datdba) = 'bakery_admin' \gexec
        SELECT 'DROP ROLE bakery_admin_heir' FROM pg_roles WHERE rolname = 'bakery_admin_heir' AND NOT EXISTS
        (SELECT FROM pg_shdepend WHERE deptype = 'o' AND refobjid = pg_roles.oid) \gexec
        DROP ROLE IF EXISTS bakery_admin;"
}

drop_databases() {
    local name names
    names=$(psql_as_postgres -c "SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = 'bakery'") || return 1
    for name in $names; do
        psql_as_postgres -c "DROP DATABASE \"$name\" WITH (FORCE)" || return 1
    done
    psql_as_postgres -c 'DROP ROLE IF EXISTS bakery'
}

# Without its keys nobody could read the data that stay.
keep_environment() {
    [ -e "$INSTALL_DIR/.env" ] || return 0
    install -m 600 -o root -g root "$INSTALL_DIR/.env" "$DATA_DIR/environment.kept"
}

remove_account() {
    local name
    for name in bakery-logs bakery; do
        ! id "$name" >/dev/null 2>&1 || userdel "$name" || return 1
    done
}

what_is_left() {
    local backups
    backups=$(setting BAKERY_BACKUPS_DIR)
    [ -z "$backups" ] || [[ $backups/ == "$DATA_DIR"/* ]] || printf '  backups of databases, in %s\n' "$backups"
    [ ! -s "$DATA_DIR/packages" ] || printf '  packages that Bakery brought: %s\n' "$(paste -sd ' ' "$DATA_DIR/packages")"
    [ ! -d /etc/letsencrypt/live ] || printf '  certificates of other sites, in /etc/letsencrypt\n'
    if [ -z "$DELETE" ]; then
        printf '  data, in %s, with its secrets in environment.kept there, and its certificates, which nobody renews now\n' "$DATA_DIR"
        [ -z "$PORT" ] || printf '  the database bakery, %s databases of applications, and their roles, in PostgreSQL on port %s\n' "$APP_DATABASES" "$PORT"
        printf '  install.sh with the same --data-dir goes on with them; applications are then deployed again.\n'
    elif [ -z "$PORT" ]; then
        printf '  the database that DATABASE_URL names: it is not on this machine\n'
    fi
    if [ -n "$DELETE" ] && [ -z "$ADMIN_FILE" ] && grep -q '^BAKERY_POSTGRES_ADMIN_URL' "$INSTALL_DIR/.env" 2>/dev/null; then
        printf '  databases of applications on the server that BAKERY_POSTGRES_ADMIN_URL names, if there are any\n'
    fi
}

main() {
    local left
    parse_options "$@"
    check
    ask
    attempt "units of Bakery and of its applications" remove_units
    if has docker && docker version >/dev/null 2>&1; then
        attempt "containers, images and the network of its applications" remove_containers
    fi
    attempt "its part of Nginx" remove_from_nginx
    attempt "its Redis" remove_redis
    rm -f "$WRAPPER"
    if [ -n "$DELETE" ]; then
        [ -z "$PORT" ] || [ -z "$ADMIN_FILE" ] || attempt "databases of applications, with their roles" drop_databases_of_applications
        [ -z "$PORT" ] || attempt "the database and its role" drop_databases
    else
        attempt "the environment is kept with the data" keep_environment
        [ "$failures" -eq 0 ] || [ -e "$DATA_DIR/environment.kept" ] || stop "Nothing more is removed: the keys of the data would be lost."
    fi
    attempt "the user bakery" remove_account
    left=$(what_is_left)
    [ -z "$DELETE" ] || attempt "the data in $DATA_DIR" rm -rf "$DATA_DIR"
    cd / || exit
    attempt "programs in $INSTALL_DIR" rm -rf "$INSTALL_DIR"
    [ "$failures" -eq 0 ] || stop "$failures of these failed; the lines below each say why."
    printf 'Bakery is removed.\n'
    [ -z "$left" ] || printf 'Left on this machine:\n%s\n' "$left"
}

main "$@"
exit
