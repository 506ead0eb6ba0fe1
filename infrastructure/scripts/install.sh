#!/usr/bin/env bash
# Installs Bakery on a server: Debian 12 or 13, Ubuntu 22.04 or 24.04, as root. See --help, or the README.
#
# This half, in bash, needs nothing that a bare system lacks: it looks at the machine, installs packages, fetches the
# code and makes its Python environment. Everything after that is infrastructure/server, in the code that it fetched.
# shellcheck disable=SC2317  # "step" calls what shellcheck takes for unreachable
set -uo pipefail
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 GIT_TERMINAL_PROMPT=0 HOME="${HOME:-/root}"
PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

USAGE='install.sh --repo URL --certbot-email MAIL [options]     installs, or repairs what is installed
install.sh --check [options]                             says what is wrong or in the way, and changes nothing

  --repo URL            where Bakery'\''s code comes from; not needed in a checkout of it
  --branch NAME         its branch that updates follow (the repository'\''s own default)
  --ref REF             another branch, tag or commit to install
  --certbot-email MAIL  Let'\''s Encrypt writes here when a certificate is about to run out
  --domain NAME         host name of the panel, which gets a certificate as soon as its DNS is right; until then, and
                        without one, the panel answers at the public address
  --admin-email MAIL    the first admin (the address given with --certbot-email)
  --public-ip ADDRESS   what A records of your domains point to (found out)
  --public-ipv6 ADDRESS what AAAA records point to (found out, where the machine has one)
  --port N              loopback port of the pages, behind Nginx (4100)
  --install-dir DIR     programs and .env (/opt/bakery)
  --data-dir DIR        data, logs, builds (/var/lib/bakery)
  --no-docker           do without Docker: repositories with a Dockerfile cannot be deployed then
  --yes                 do not ask
  --check               look, and stop'

REPO='' BRANCH='' REF='' CERTBOT_EMAIL='' DOMAIN='' NEW_DOMAIN='' ADMIN_EMAIL='' PUBLIC_IP='' PUBLIC_IPV6='' PORT=''
INSTALL_DIR=/opt/bakery DATA_DIR='' DOCKER=yes YES='' CHECK=''
CHECKOUT=''   # the checkout that this file stands in, when no --repo is given
INSTALLED=''  # the version that is installed already
FINDINGS=() MISSING=() blocking=0
LOG=/dev/null

BASE_PACKAGES=(python3 python3-venv git ca-certificates iproute2 procps)
NEEDED_RAM_MB=900 COMFORTABLE_RAM_MB=1900 NEEDED_DISK_MB=4000 COMFORTABLE_DISK_MB=15000 NEEDED_INODES=100000
LONGEST_DATA_DIR=64 # a unix socket's path has at most 107 characters, and Nginx's stand four levels down
LARGEST_SKEW=300    # seconds; beyond that, certificates are taken for invalid

# --- What was found ---------------------------------------------------------------------------------------------------

ok() { FINDINGS+=("$(printf '✓ %-12s %s' "$1" "$2")"); }
warn() { FINDINGS+=("$(printf '! %-12s %s\n  %-12s → %s' "$1" "$2" '' "$3")"); }
bad() {
    FINDINGS+=("$(printf '✗ %-12s %s\n  %-12s → %s' "$1" "$2" '' "$3")")
    blocking=$((blocking + 1))
}

has() { command -v "$1" >/dev/null 2>&1; }
is_installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }
setting() { sed -n "s/^$1=//p" "$INSTALL_DIR/.env" 2>/dev/null | tail -n 1; }

# --- Options ----------------------------------------------------------------------------------------------------------

parse_options() {
    local name
    while [ $# -gt 0 ]; do
        name=$1
        shift
        case $name in
        --help | -h)
            printf '%s\n' "$USAGE"
            exit 0
            ;;
        --no-docker) DOCKER='' ;;
        --yes) YES=yes ;;
        --check) CHECK=yes ;;
        --repo | --branch | --ref | --certbot-email | --domain | --admin-email | --public-ip | --public-ipv6 | --port | --install-dir | --data-dir)
            if [ $# -eq 0 ] || [[ $1 == --* ]]; then
                bad Options "$name needs a value" "See --help."
                continue
            fi
            take "$name" "$1"
            shift
            ;;
        *) bad Options "there is no option $name" "See --help." ;;
        esac
    done
}

take() {
    case $1 in
    --repo) REPO=$2 ;;
    --branch) BRANCH=$2 ;;
    --ref) REF=$2 ;;
    --certbot-email) CERTBOT_EMAIL=$2 ;;
    --domain) NEW_DOMAIN=${2,,} ;;
    --admin-email) ADMIN_EMAIL=$2 ;;
    --public-ip) PUBLIC_IP=$2 ;;
    --public-ipv6) PUBLIC_IPV6=${2,,} ;;
    --port) PORT=$2 ;;
    --install-dir) INSTALL_DIR=${2%/} ;;
    --data-dir) DATA_DIR=${2%/} ;;
    esac
}

# What an installation that is there already says; an option that is given again wins.
fill_in() {
    local before
    before=$(setting BAKERY_DATA_DIR)
    [ -z "$before" ] || [ -z "$DATA_DIR" ] || [ "$DATA_DIR" = "$before" ] ||
        bad Options "the installation in $INSTALL_DIR keeps its data in $before" "Leave --data-dir out; data is not moved."
    DATA_DIR=${DATA_DIR:-${before:-/var/lib/bakery}}
    PORT=${PORT:-$(setting BAKERY_PORT)}
    PORT=${PORT:-4100}
    CERTBOT_EMAIL=${CERTBOT_EMAIL:-$(setting CERTBOT_EMAIL)}
    ADMIN_EMAIL=${ADMIN_EMAIL:-$CERTBOT_EMAIL}
    DOMAIN=${NEW_DOMAIN:-$(panel_domain)}
    PUBLIC_IP=${PUBLIC_IP:-$(setting BAKERY_PUBLIC_IP)}
    PUBLIC_IPV6=${PUBLIC_IPV6:-$(setting BAKERY_PUBLIC_IPV6)}
    if [ -s "$INSTALL_DIR/current/VERSION" ]; then
        INSTALLED=$(head -n 1 "$INSTALL_DIR/current/VERSION")
    fi
}

# The host of BAKERY_BASE_URL, where it is a domain.
panel_domain() {
    local name
    name=$(setting BAKERY_BASE_URL | sed -E 's#^https?://([^/:]*).*#\1#')
    [[ $name != *.* || $name =~ ^[0-9.]+$ || $name == "$(hostname)" ]] || printf '%s\n' "$name"
}

check_options() {
    local data_mark mail='^[^[:space:]@]+@[^[:space:]@]+$' name='^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]$'
    if [ -z "$CERTBOT_EMAIL" ]; then
        bad Options "--certbot-email is missing" "Let's Encrypt needs an address that somebody reads."
    elif ! [[ $CERTBOT_EMAIL =~ $mail ]]; then
        bad Options "--certbot-email $CERTBOT_EMAIL is no e-mail address" "It looks like you@example.com."
    elif ! [[ $ADMIN_EMAIL =~ $mail ]]; then
        bad Options "--admin-email $ADMIN_EMAIL is no e-mail address" "It looks like you@example.com."
    fi
    [ -z "$DOMAIN" ] || [[ $DOMAIN =~ $name ]] ||
        bad Options "--domain $DOMAIN is no host name" "It looks like panel.example.com."
    if ! [[ $PORT =~ ^[0-9]+$ ]] || [ "$PORT" -lt 1024 ] || [ "$PORT" -gt 65535 ]; then
        bad Options "--port $PORT is no port between 1024 and 65535" "Leave it out for 4100."
    fi
    [ -z "$PUBLIC_IP" ] || [[ $PUBLIC_IP =~ ^[0-9]{1,3}(\.[0-9]{1,3}){3}$ ]] ||
        bad Options "--public-ip $PUBLIC_IP is no IPv4 address" "It looks like 203.0.113.7."
    [ -z "$PUBLIC_IPV6" ] || [[ $PUBLIC_IPV6 =~ ^[0-9a-f:]*:[0-9a-f:]*(\.[0-9.]+)?$ ]] ||
        bad Options "--public-ipv6 $PUBLIC_IPV6 is no IPv6 address" "It looks like 2001:db8::7."
    check_directory --install-dir "$INSTALL_DIR" releases
    data_mark=logs/install.log
    [ ! -e "$DATA_DIR/environment.kept" ] || data_mark=environment.kept
    [ "$(setting BAKERY_DATA_DIR)" != "$DATA_DIR" ] || data_mark=.
    check_directory --data-dir "$DATA_DIR" "$data_mark"
    [ "${#DATA_DIR}" -le $LONGEST_DATA_DIR ] ||
        bad Options "--data-dir has more than $LONGEST_DATA_DIR characters; a socket below it would not fit" "Choose a shorter path."
    case $DATA_DIR/ in
    "$INSTALL_DIR"/*) bad Options "--data-dir lies in --install-dir, which uninstalling removes" "Keep them apart." ;;
    esac
}

# OPTION DIRECTORY MARK: uninstall.sh removes the whole directory, so it has to be Bakery's (then it has MARK) or empty.
check_directory() {
    [ -e "$2/$3" ] || [ -z "$(find "$2" -mindepth 1 -maxdepth 1 ! -name lost+found 2>/dev/null | head -n 1)" ] ||
        bad Options "$1 $2 has something else in it" "Name a directory of Bakery's own, such as $2/bakery."
    [[ $2 =~ ^/[A-Za-z0-9._/+-]+$ ]] ||
        bad Options "$1 $2 is no absolute path of letters, digits and . _ + - /" "It looks like /opt/bakery."
    case $2/ in
    /root/* | /home/* | /tmp/* | /run/*) bad Options "$1 $2 lies where other accounts may not pass or nothing stays" "Choose one in /opt, /srv or /var." ;;
    esac
}

check_source() {
    local here
    if [ -n "$REPO" ]; then
        [[ $REPO =~ ^((https?|ssh|git|file)://|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:)[^[:space:]]+$ ]] ||
            bad Options "--repo $REPO is no address of a git repository" "It looks like https://github.com/owner/bakery.git."
        return
    fi
    here=$(cd "$(dirname "${BASH_SOURCE[0]:-.}")/../.." 2>/dev/null && pwd)
    if [ -n "$INSTALLED" ] && [ -d "$INSTALL_DIR/repository.git" ]; then
        REPO=$(git -C "$INSTALL_DIR/repository.git" config --get remote.origin.url 2>/dev/null)
    fi
    if [ -n "$here" ] && [ -e "$here/.git" ] && [ -f "$here/manage.py" ]; then
        CHECKOUT=$here
    elif [ -z "$REPO" ]; then
        bad Options "--repo is missing, and this file stands in no checkout" "Say where the code comes from: --repo https://…"
    fi
}

# --- The machine ------------------------------------------------------------------------------------------------------

check_root() {
    if [ "$(id -u)" -eq 0 ]; then ok User root; else bad User "not root" "Start it with sudo."; fi
}

os_release() { sed -n "s/^$1=//p" /etc/os-release 2>/dev/null | tr -d '"'; }

check_distribution() {
    local id version name machine
    id=$(os_release ID) version=$(os_release VERSION_ID) name=$(os_release PRETTY_NAME)
    case $id-$version in
    debian-12* | debian-13* | ubuntu-22.04* | ubuntu-24.04*) ok System "$name" ;;
    *) bad System "${name:-unknown}" "Bakery is installed on Debian 12 or 13, or Ubuntu 22.04 or 24.04." ;;
    esac
    machine=$(uname -m)
    case $machine in
    x86_64 | aarch64) ;;
    *) bad System "the processor is $machine" "Bun exists for x86_64 and aarch64." ;;
    esac
}

check_systemd() {
    if [ "$(cat /proc/1/comm 2>/dev/null)" = systemd ] && [ -d /run/systemd/system ]; then
        ok systemd "is the first process"
    else
        bad systemd "is not the first process" "Use a machine that boots with systemd, or quickstart.sh."
    fi
}

check_memory() {
    local total swap
    total=$(($(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo) / 1024))
    swap=$(($(sed -n 's/^SwapTotal: *\([0-9]*\).*/\1/p' /proc/meminfo) / 1024))
    if [ "$total" -lt $NEEDED_RAM_MB ]; then
        bad Memory "$total MB" "Bakery with its servers takes 600 MB before the first application: use a machine with 1 GB or more."
    elif [ "$total" -lt $COMFORTABLE_RAM_MB ] && [ "$swap" -lt 512 ]; then
        warn Memory "$total MB, $swap MB of swap" "Builds may run out of it. Make swap: fallocate -l 2G /swapfile; chmod 600 /swapfile; mkswap /swapfile; swapon /swapfile"
    else
        ok Memory "$total MB, $swap MB of swap"
    fi
}

existing_part() {
    local path=$1
    while [ ! -e "$path" ]; do path=$(dirname "$path"); done
    printf '%s\n' "$path"
}

check_disk() {
    local directory place free inodes seen=''
    for directory in "$INSTALL_DIR" "$DATA_DIR"; do
        [[ $directory == /* ]] || continue
        place=$(existing_part "$directory")
        case $seen in *"|$(stat -c %d "$place")|"*) continue ;; esac
        seen="$seen|$(stat -c %d "$place")|"
        free=$(df -Pm "$place" | awk 'NR == 2 { print $4 }')
        inodes=$(df -Pi "$place" | awk 'NR == 2 { print $4 }')
        if [ "$free" -lt $NEEDED_DISK_MB ]; then
            bad Disk "$free MB free for $directory" "Make room for at least $NEEDED_DISK_MB MB."
        elif [ "$free" -lt $COMFORTABLE_DISK_MB ]; then
            warn Disk "$free MB free for $directory" "Enough to begin with; builds and images soon take more."
        else
            ok Disk "$free MB free for $directory"
        fi
        # Some file systems (btrfs) make inodes as they need them, and say 0 or -.
        if [[ $inodes =~ ^[1-9][0-9]*$ ]] && [ "$inodes" -lt $NEEDED_INODES ]; then
            bad Inodes "$inodes free for $directory" "node_modules has a hundred thousand small files: use a file system with more inodes."
        fi
    done
}

# Who listens on a TCP port: "nginx", "unknown", or nothing. ss is not on every minimal system.
holder() {
    local line hex
    if has ss; then
        line=$(ss -Hltnp "sport = :$1" 2>/dev/null | head -n 1)
        [ -n "$line" ] || return 0
        if [[ $line =~ \(\(\"([^\"]+)\" ]]; then printf '%s\n' "${BASH_REMATCH[1]}"; else echo unknown; fi
        return 0
    fi
    hex=$(printf '%04X' "$1")
    if awk -v port=":$hex" '$4 == "0A" && index($2, port) { found = 1 } END { exit !found }' /proc/net/tcp /proc/net/tcp6 2>/dev/null; then
        echo unknown
    fi
}

check_ports() {
    local port who
    for port in 80 443; do
        who=$(holder $port)
        case $who in
        '') ok "Port $port" "free" ;;
        nginx) ok "Port $port" "held by the Nginx that is here already: its sites stay" ;;
        *) bad "Port $port" "held by $who" "Nginx needs it: stop $who and keep it from starting again (systemctl disable --now …)." ;;
        esac
    done
    [[ $PORT =~ ^[0-9]+$ ]] || return 0
    who=$(holder "$PORT")
    if [ -z "$who" ]; then
        ok "Port $PORT" "free"
    elif grep -qsE -- "-p $PORT( |\$)" /etc/systemd/system/bakery.service && systemctl is-active --quiet bakery.service; then
        ok "Port $PORT" "held by the Bakery that is here already"
    else
        bad "Port $PORT" "held by $who" "Choose another with --port."
    fi
}

# Seconds since 1970 as the package mirror's HTTP server has them; nothing where it cannot be asked.
foreign_time() {
    local host date
    host=$(grep -rhoE 'http://[^/ ]+' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -n 1)
    host=${host#http://}
    [ -n "$host" ] || return 0
    # shellcheck disable=SC2016  # expanded by the inner bash, which timeout can end
    date=$(timeout 5 bash -c 'exec 3<>"/dev/tcp/${1%%:*}/80" && printf "HEAD / HTTP/1.0\r\nHost: %s\r\n\r\n" "$1" >&3 && cat <&3' time "$host" 2>/dev/null |
        tr -d '\r' | sed -n 's/^[Dd]ate: //p' | head -n 1)
    [ -z "$date" ] || date -d "$date" +%s 2>/dev/null
}

check_clock() {
    local theirs skew
    theirs=$(foreign_time)
    if [ -n "$theirs" ]; then
        skew=$(($(date +%s) - theirs))
        if [ "${skew#-}" -gt $LARGEST_SKEW ]; then
            bad Clock "$(date -u '+%F %T') UTC is $skew s away from what the package mirror says" "Set it: timedatectl set-ntp true (package systemd-timesyncd)."
            return
        fi
    fi
    if [ "$(timedatectl show -p NTPSynchronized --value 2>/dev/null)" = yes ] || [ -n "$theirs" ]; then
        ok Clock "$(date -u '+%F %T') UTC"
    else
        warn Clock "$(date -u '+%F %T') UTC, and nothing keeps it right" "apt-get install systemd-timesyncd; timedatectl set-ntp true"
    fi
}

check_existing() {
    local engine
    if has nginx; then
        ok Nginx "$(nginx -v 2>&1 | sed 's/.*: //') is here and is used; its sites stay as they are"
        # Where its own configuration is broken already, Bakery's part could never be loaded.
        [ "$(id -u)" -ne 0 ] || nginx -t -q >/dev/null 2>&1 ||
            bad Nginx "its configuration does not pass its own test" "Mend what nginx -t complains about."
    else
        ok Nginx "will be installed"
    fi
    if has pg_lsclusters && [ -n "$(pg_lsclusters -h 2>/dev/null)" ]; then
        if pg_lsclusters -h | awk '$1 + 0 >= 14 { found = 1 } END { exit !found }'; then
            ok PostgreSQL "$(pg_lsclusters -h | awk '$1 + 0 >= 14 { print $1; exit }') is here and gets a role and a database more"
        else
            warn PostgreSQL "$(pg_lsclusters -h | awk '{ print $1; exit }') is here; Bakery needs 14 or newer" "The distribution's version is installed beside it, on another port."
        fi
    else
        ok PostgreSQL "will be installed"
    fi
    if has redis-server; then
        ok Redis "is here; Bakery gets an instance of its own beside it"
    else
        ok Redis "will be installed"
    fi
    if [ -z "$DOCKER" ]; then
        ok Docker "left out, as --no-docker says: repositories with a Dockerfile cannot be deployed"
    elif has dockerd || has docker; then
        engine=$(docker version -f '{{.Server.Version}}' 2>/dev/null | grep .)
        ok Docker "${engine:-an engine that does not answer now} is here and is used"
    else
        ok Docker "will be installed"
    fi
}

is_private() { [[ $1 =~ ^(10\.|127\.|169\.254\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.|100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.) ]]; }

# The address of the interface that leads out, where it is a public one; else what a server outside sees (behind a
# provider's address translation an interface has a private one).
find_public_ip() {
    local own
    if [ -n "$PUBLIC_IP" ]; then
        ok Address "$PUBLIC_IP"
        return
    fi
    own=$(ip -4 route get 192.0.2.1 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p')
    if [ -n "$own" ] && ! is_private "$own"; then
        PUBLIC_IP=$own
        ok Address "$PUBLIC_IP"
        return
    fi
    # shellcheck disable=SC2016
    PUBLIC_IP=$(timeout 5 bash -c 'exec 3<>/dev/tcp/checkip.amazonaws.com/80 && printf "GET / HTTP/1.0\r\nHost: checkip.amazonaws.com\r\n\r\n" >&3 && cat <&3' 2>/dev/null |
        tail -n 1 | grep -oE '^[0-9]{1,3}(\.[0-9]{1,3}){3}')
    if [ -n "$PUBLIC_IP" ]; then
        ok Address "$PUBLIC_IP, as seen from outside"
    elif [ -n "$own" ]; then
        PUBLIC_IP=$own
        warn Address "no public one was found; the machine's own, $own, is used" "Where visitors reach it by another, name that with --public-ip."
    else
        bad Address "none was found" "Name it with --public-ip."
    fi
}

# The address with which the machine would go out; one of a private range is nobody's.
find_public_ipv6() {
    local own
    if [ -z "$PUBLIC_IPV6" ]; then
        own=$(ip -6 route get 2001:db8:: 2>/dev/null | sed -n 's/.* src \([0-9a-f:]*\).*/\1/p')
        [[ ! $own =~ ^[23] ]] || PUBLIC_IPV6=$own
    fi
    [ -z "$PUBLIC_IPV6" ] || ok IPv6 "$PUBLIC_IPV6"
}

check_dns() {
    local found
    [ -n "$DOMAIN" ] || return 0
    found=$(getent ahostsv4 "$DOMAIN" 2>/dev/null | awk '{ print $1 }' | sort -u | paste -sd ' ')
    if [ -z "$found" ]; then
        warn DNS "$DOMAIN has no address" "Make an A record for it${PUBLIC_IP:+ that points to $PUBLIC_IP}. Bakery looks again by itself; until then the panel answers at its address."
    elif [ -n "$PUBLIC_IP" ] && [[ " $found " != *" $PUBLIC_IP "* ]]; then
        warn DNS "$DOMAIN leads to $found, not to $PUBLIC_IP" "Correct its A record. With a proxy such as Cloudflare in front this is as it should be."
    else
        ok DNS "$DOMAIN leads to $found"
    fi
}

check_repository() {
    local said wanted
    [ -n "$REPO" ] && [ -z "$CHECKOUT" ] && has git || return 0
    wanted=${BRANCH:-HEAD}
    if said=$(timeout 30 git ls-remote "$REPO" 2>&1); then
        if grep -qE "[[:space:]](refs/heads/$wanted|$wanted)\$" <<<"$said"; then
            ok Code "$REPO"
        else
            bad Code "$REPO has no branch $wanted" "Name another with --branch."
        fi
    else
        bad Code "$REPO cannot be read: $(tail -n 1 <<<"$said")" "Look at the address; a private repository needs root's key or token."
    fi
}

find_missing_packages() {
    local package wanted=("${BASE_PACKAGES[@]}" redis-server certbot python3-certbot-nginx)
    has nginx || wanted+=(nginx)
    has pg_lsclusters && pg_lsclusters -h 2>/dev/null | awk '$1 + 0 >= 14 { found = 1 } END { exit !found }' || wanted+=(postgresql)
    [ -z "$DOCKER" ] || has dockerd || has docker || wanted+=(docker.io)
    for package in "${wanted[@]}"; do
        is_installed "$package" || MISSING+=("$package")
    done
    has apt-get || return 0
    if [ ${#MISSING[@]} -gt 0 ]; then
        ok Packages "would be installed: ${MISSING[*]}"
    else
        ok Packages "all are here"
    fi
}

preflight() {
    check_root
    check_distribution
    check_systemd
    check_memory
    check_disk
    check_clock
    check_ports
    check_existing
    find_public_ip
    find_public_ipv6
    check_dns
    check_repository
    find_missing_packages
    [ -z "$INSTALLED" ] || ok Bakery "${INSTALLED:0:12} is installed in $INSTALL_DIR: it is repaired, its data and secrets stay"
    printf '%s\n' "${FINDINGS[@]}"
}

# --- Steps ------------------------------------------------------------------------------------------------------------

say() {
    printf '%s\n' "$*"
    printf '%s\n' "$*" >>"$LOG"
}

# step TITLE HINT COMMAND…: its output goes to the log; when it fails, the end of that is shown and nothing goes on.
step() {
    local title=$1 hint=$2 begun=$EPOCHREALTIME from seconds code
    shift 2
    from=$(wc -l <"$LOG")
    printf '── %s\n' "$title" >>"$LOG"
    [ ! -t 1 ] || printf '  %s …\r' "$title"
    (
        set -e
        "$@"
    ) >>"$LOG" 2>&1 </dev/null
    code=$?
    seconds=$(awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
    if [ "$code" -eq 0 ]; then
        say "$(printf '✓ %-58s %6s s' "$title" "$seconds")"
        return
    fi
    say "$(printf '✗ %-58s %6s s' "$title" "$seconds")"
    printf '\n%s failed (exit code %s). The last lines of %s:\n' "$title" "$code" "$LOG"
    tail -n "+$((from + 2))" "$LOG" | head -n -1 | tail -n 15 | sed 's/^/  /'
    printf '\n%s\nThen start this again: it goes on where it is needed, and keeps data and secrets.\n' "$hint"
    exit 1
}

apt() { apt-get -q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold "$@"; }

install_packages() {
    local extra wanted=("${MISSING[@]}")
    [ -z "$(dpkg --audit)" ] || dpkg --configure -a
    apt update
    # Since Debian 13 the client is a package of its own; BuildKit's plugin is one where the distribution has it.
    if [[ " ${wanted[*]} " == *" docker.io "* ]]; then
        for extra in docker-cli docker-buildx; do
            ! apt-cache show "$extra" >/dev/null 2>&1 || wanted+=("$extra")
        done
    fi
    # Embeddings, for databases that ask for them; a package where the distribution has it.
    if [[ " ${wanted[*]} " == *" postgresql "* ]]; then
        extra=postgresql-$(apt-cache policy postgresql | sed -n 's/^ *Candidate: \([0-9]*\).*/\1/p')-pgvector
        ! apt-cache show "$extra" >/dev/null 2>&1 || wanted+=("$extra")
    fi
    apt install --no-install-recommends "${wanted[@]}"
    # What was not here before: Bakery's uninstaller names it.
    printf '%s\n' "${wanted[@]}" >>"$DATA_DIR/packages"
    sort -u -o "$DATA_DIR/packages" "$DATA_DIR/packages"
    if has update-ca-certificates; then update-ca-certificates; fi
}

make_directories() {
    mkdir -p "$INSTALL_DIR/releases" "$DATA_DIR/logs"
    chmod 755 "$INSTALL_DIR" "$INSTALL_DIR/releases"
    chmod 711 "$DATA_DIR"
}

mirror() { git --git-dir="$INSTALL_DIR/repository.git" "$@"; }

# A bare mirror, which updates fetch into. Its HEAD is the branch that they follow.
fetch_code() {
    local url=$REPO branch=$BRANCH fetch_from heads
    if [ -n "$CHECKOUT" ]; then
        trust_checkout
        url=${REPO:-$(git -C "$CHECKOUT" config --get remote.origin.url || echo "$CHECKOUT")}
        branch=${branch:-$(git -C "$CHECKOUT" symbolic-ref --quiet --short HEAD || true)}
        [ -z "$(git -C "$CHECKOUT" status --porcelain --untracked-files=no)" ] ||
            echo "What is changed in $CHECKOUT and not committed is left out."
    fi
    [ -f "$INSTALL_DIR/repository.git/HEAD" ] || git init --quiet --bare "$INSTALL_DIR/repository.git"
    mirror config remote.origin.url "$url"
    mirror config --replace-all remote.origin.fetch '+refs/heads/*:refs/heads/*'
    fetch_from=${CHECKOUT:-origin}
    if [ -z "$branch" ]; then
        branch=$(mirror ls-remote --symref "$fetch_from" HEAD | sed -n 's/^ref: refs\/heads\/\(.*\)\tHEAD$/\1/p')
    fi
    mirror fetch --prune --force --no-write-fetch-head "$fetch_from" '+refs/heads/*:refs/heads/*' '+refs/tags/*:refs/tags/*'
    [ -z "$CHECKOUT" ] || mirror fetch --force --no-write-fetch-head "$CHECKOUT" '+HEAD:refs/bakery/checkout'
    heads=$(mirror for-each-ref --format='%(refname:short)' refs/heads)
    grep -qxF -- "${branch:=main}" <<<"$heads" || {
        echo "The repository has no branch $branch; it has: $heads"
        return 1
    }
    mirror symbolic-ref HEAD "refs/heads/$branch"
}

# git refuses a checkout that belongs to somebody else, which root may well install from.
trust_checkout() {
    GIT_CONFIG_GLOBAL=$(mktemp)
    export GIT_CONFIG_GLOBAL
    printf '[safe]\n\tdirectory = *\n[include]\n\tpath = %s/.gitconfig\n' "$HOME" >"$GIT_CONFIG_GLOBAL"
}

# An installation keeps its version: changing it is for "bakery update", which can go back.
wanted_commit() {
    local name names=("refs/heads/$REF" "refs/tags/$REF" "$REF")
    if [ -n "$INSTALLED" ]; then
        printf '%s\n' "$INSTALLED"
        return
    fi
    [ -n "$REF" ] || names=("${CHECKOUT:+refs/bakery/checkout}" HEAD)
    for name in "${names[@]}"; do
        [ -z "$name" ] || ! mirror rev-parse --verify --quiet "$name^{commit}" || return 0
    done
    return 1
}

check_out() {
    local sha=$1 release=$2
    mkdir -p "$release"
    # Brings back what was changed or lost as well; what a version makes for itself (.venv, VERSION) is not touched.
    GIT_INDEX_FILE="$release/.index" mirror --work-tree="$release" read-tree --reset -u "$sha"
    GIT_INDEX_FILE="$release/.index" mirror --work-tree="$release" checkout-index --all --force
    rm -f "$release/.index"
    ln -sfn ../../.env "$release/.env"
}

make_environment() {
    local release=$1 sha=$2
    "$release/.venv/bin/python" -m pip --version || python3 -m venv --clear "$release/.venv"
    "$release/.venv/bin/python" -m pip install --no-input --progress-bar off --disable-pip-version-check -r "$release/requirements.txt"
    # Nobody but root may write here, so nobody else can leave the compiled files for the next start.
    "$release/.venv/bin/python" -m compileall -q -x '\.venv' "$release"
    # Written last: a directory that has it is whole.
    printf '%s\n%s\n' "$sha" "$(mirror log -1 --format=%cI "$sha")" >"$release/VERSION"
}

confirm() {
    local answer
    [ -z "$YES" ] || return 0
    if [ ! -t 0 ]; then
        printf '\nNobody can be asked here. Add --yes to go on.\n'
        exit 1
    fi
    read -r -p $'\nInstall Bakery like this? [y/N] ' answer
    [[ $answer == [yY]* ]] || exit 1
}

hand_over() {
    local release=$1 argv
    argv=(install --install-dir "$INSTALL_DIR" --data-dir "$DATA_DIR" --release "$release" --port "$PORT" --log "$LOG"
        --certbot-email "$CERTBOT_EMAIL" --admin-email "$ADMIN_EMAIL" --domain "$DOMAIN"
        --new-domain "$NEW_DOMAIN" --public-ip "$PUBLIC_IP" --public-ipv6 "$PUBLIC_IPV6")
    [ -n "$DOCKER" ] || argv+=(--no-docker)
    cd "$release" || return
    PYTHONDONTWRITEBYTECODE=1 .venv/bin/python -m infrastructure.server "${argv[@]}"
}

main() {
    local sha release begun=$SECONDS
    parse_options "$@"
    fill_in
    check_source
    check_options
    preflight
    if [ "$blocking" -gt 0 ]; then
        printf '\n%s to mend before Bakery can be installed. Nothing was changed.\n' "$blocking"
        exit 1
    fi
    if [ -n "$CHECK" ]; then
        printf '\nBakery can be installed here. Nothing was changed.\n'
        exit 0
    fi
    confirm
    exec 9>/run/bakery-install.lock
    flock --nonblock 9 || {
        echo "Another install.sh is at work on this machine. Wait for it to finish."
        exit 1
    }
    make_directories || exit 1
    LOG=$DATA_DIR/logs/install.log
    touch "$LOG" && chmod 640 "$LOG"
    printf '\n=== %s install.sh\n' "$(date -u '+%F %T')" >>"$LOG"
    printf '%s\n' "${FINDINGS[@]}" >>"$LOG"
    say ""
    if [ ${#MISSING[@]} -gt 0 ]; then
        step "Installing packages" "Look whether apt-get update and apt-get install work on this machine." install_packages
    fi
    step "Fetching Bakery's code" "Look at --repo and --branch; a private repository needs root's key or token." fetch_code
    sha=$(wanted_commit) || {
        say "The repository has no branch, tag or commit $REF. Name another with --ref."
        exit 1
    }
    release=$INSTALL_DIR/releases/${sha:0:12}
    step "Laying out version ${sha:0:12}" "Look at the disk: df -h $INSTALL_DIR." check_out "$sha" "$release"
    step "Installing Python packages" "Look whether this machine reaches its Python package index (pip config list)." make_environment "$release" "$sha"
    hand_over "$release" 9>&- || exit 1
    say "$(printf '\nDone in %d:%02d min. The log is %s.' $(((SECONDS - begun) / 60)) $(((SECONDS - begun) % 60)) "$LOG")"
}

main "$@"
exit
