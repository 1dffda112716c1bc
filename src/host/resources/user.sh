# shellcheck shell=sh

# ensure_user NAME PASSWORD COMMENT: PASSWORD is ! or *, which no password opens. A home that an earlier account of that name
# left is taken over, with what is in it.
ensure_user() {
    getent group "$1" >/dev/null || groupadd -- "$1"
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

# undo_user NAME: the account goes, its home stays. A group that the system brought, and the user only shared, stays too.
undo_user() {
    getent passwd "$1" >/dev/null || return 0
    quell "$1"
    gid=$(getent group "$1" | cut -d: -f3)
    # userdel leaves a group that has another member.
    gpasswd --add root "$1"
    code=0
    userdel "$1" || code=$?
    gpasswd --delete root "$1"
    [ "$code" -eq 0 ] || return "$code"
    if [ "${gid:-0}" -ge 1000 ]; then
        groupdel "$1"
    fi
}
