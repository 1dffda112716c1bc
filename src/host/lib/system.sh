# shellcheck shell=sh
# Packages, accounts, units and kernel settings.

# install_packages NAME...: waits for others who use apt, mends what a power cut left, and never asks.
install_packages() {
    for half_done in /var/lib/dpkg/updates/[0-9]*; do
        if [ -e "$half_done" ]; then
            dpkg --configure -a --force-confdef --force-confold
            break
        fi
    done
    update_package_lists
    apt-get -q -y -o DPkg::Lock::Timeout="${LOCK_WAIT:-300}" \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        --no-install-recommends install "$@"
}

# The lock of the lists is not one that apt can wait for. A source that does not answer matters only if a package is then not
# found.
update_package_lists() {
    tries=60
    until apt-get -q update >"$WORK/apt" 2>&1; do
        cat "$WORK/apt"
        grep -q 'Could not get lock' "$WORK/apt" && [ "$tries" -gt 0 ] || return 0
        tries=$((tries - 1))
        sleep 5
    done
    cat "$WORK/apt"
}

# ensure_group NAME
ensure_group() {
    getent group "$1" >/dev/null || groupadd -- "$1"
}

# ensure_user NAME PASSWORD COMMENT: PASSWORD is ! or *, which no password opens. A home that an earlier account of that name
# left is taken over, with what is in it.
ensure_user() {
    ensure_group "$1"
    ! getent passwd "$1" >/dev/null || return 0
    left=$(find "/home/$1" -maxdepth 0 2>/dev/null) || :
    if [ -n "$left" ] && [ -z "$(find "$left" -maxdepth 0 \( -nouser -o -user root \))" ]; then
        fail "$left belongs to $(stat -c %U "$left"); move it away, or give the account $1 back"
    fi
    useradd --create-home --shell /bin/bash --gid "$1" --password "$2" --comment "$3" -- "$1"
    if [ -n "$left" ]; then
        chown -R -h -- "$1:$1" "$left"
    fi
}

# linger USER: the user's services run without a login.
linger() {
    loginctl enable-linger "$1" && return
    (umask 022; mkdir -p /var/lib/systemd/linger)
    : >"/var/lib/systemd/linger/$1"
}

# next_free FILE: the first number after all ranges of a subuid(5) file.
next_free() {
    awk -F: 'BEGIN { next_one = 100000 } $2 + $3 > next_one { next_one = $2 + $3 } END { print next_one }' "$1"
}

# subordinate_ids USER: 65536 numbers for the user's containers, unless it has some.
subordinate_ids() {
    touch /etc/subuid /etc/subgid
    chmod 0644 /etc/subuid /etc/subgid
    if ! grep -q "^$1:" /etc/subuid; then
        from=$(next_free /etc/subuid)
        usermod --add-subuids "$from-$((from + 65535))" "$1"
    fi
    if ! grep -q "^$1:" /etc/subgid; then
        from=$(next_free /etc/subgid)
        usermod --add-subgids "$from-$((from + 65535))" "$1"
    fi
}

# adjust NAME VALUE: sets a kernel setting where it can be set.
adjust() {
    setting=/proc/sys/$(printf '%s' "$1" | tr . /)
    if [ -w "$setting" ]; then
        printf '%s\n' "$2" >"$setting"
    fi
}
