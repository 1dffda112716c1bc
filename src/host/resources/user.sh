# shellcheck shell=sh

# ensure_user NAME PASSWORD COMMENT: PASSWORD is ! or *, which no password opens. The home is in /home whatever useradd's default is,
# so that a plan can name it. One that an earlier account of that name left is taken over, with what is in it.
ensure_user() {
    getent group "$1" >/dev/null || groupadd -- "$1"
    ! getent passwd "$1" >/dev/null || return 0
    left=$(find "/home/$1" -maxdepth 0 2>/dev/null) || :
    if [ -n "$left" ] && [ -z "$(find "$left" -maxdepth 0 \( -nouser -o -user root \))" ]; then
        fail "$left belongs to $(stat -c %U "$left"); move it away, or give the account $1 back"
    fi
    useradd --create-home --home-dir "/home/$1" --shell /bin/bash --gid "$1" --password "$2" --comment "$3" -- "$1"
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

# drop_ranges USER: takes subordinate ids away.
drop_ranges() {
    number=$(id -u "$1")
    for file in /etc/subuid /etc/subgid; do
        [ -e "$file" ] || continue
        (umask 022; awk -F: -v name="$1" -v uid="$number" '$1 != name && $1 != uid' "$file" >"$file.factoryup-new")
        sync "$file.factoryup-new"
        mv -fT -- "$file.factoryup-new" "$file"
    done
}

# keep_ranges USER: for an account that factoryup changed before, the way back is on record already; this adds the ranges to it.
keep_ranges() {
    number=$(id -u "$1")
    lines=$(for kind in uid gid; do
        [ ! -e "/etc/sub$kind" ] || awk -F: -v name="$1" -v uid="$number" -v kind="$kind" '($1 == name || $1 == uid) && $3 > 0 {
            printf "\\nsubordinate %ss %.0f-%.0f", kind, $2, $2 + $3 - 1
        }' "/etc/sub$kind"
    done)
    ID="{\"id\":\"user:$1\"," LINES=$lines awk '
        index($0, ENVIRON["ID"]) && /"how":"restore","before":".*"}}$/ && !/subordinate [ug]ids [0-9]/ {
            $0 = substr($0, 1, length($0) - 3) ENVIRON["LINES"] "\"}}"
        }
        { print }' "$STATE/receipt.json" >"$STATE/receipt.new"
    put_receipt
}

# no_subordinate_ids USER: they go, and what USER made with them: processes that have such a number or could take one, and programs
# that would run as one, since the next user may be given these numbers.
no_subordinate_ids() {
    ranges=$(ranges_of "$1" "$(id -u "$1")")
    keep_ranges "$1"
    drop_ranges "$1"
    for range in $ranges; do
        # From the folder that it was found in, which USER may have moved since.
        find / '(' -path /proc -o -path /sys -o -fstype nfs -o -fstype nfs4 -o -fstype cifs ')' -prune -o -type f -perm /6000 \
            -uid +$((${range%-*} - 1)) -uid -$((${range#*-} + 1)) -execdir rm -f -- '{}' + || :
    done
    # shellcheck disable=SC2086 # one word for each range
    end_holders $ranges ||
        echo "processes under former subordinate ids of $1 restart faster than they can be killed; reboot the host" >>"$WORK/left"
}

# to_root HOME FROM-TO...: files of these numbers belong to root from now on, not to the next user who gets the number. A file of another
# number stays as it is: it can be a hard link to another user's file.
to_root() {
    place=$1
    shift
    case $place in /home/*) ;; *) return 0 ;; esac
    [ -d "$place" ] || return 0
    for range; do
        find "$place" -xdev -uid +$((${range%-*} - 1)) -uid -$((${range#*-} + 1)) -exec chown -h root:root -- '{}' +
    done
}

# undo_user NAME: the account goes; its home stays, and belongs to root. A group that the system brought, and the user only shared,
# stays too.
undo_user() {
    getent passwd "$1" >/dev/null || return 0
    quell "$1"
    number=$(id -u "$1")
    ranges="$number-$number $(ranges_of "$1" "$number")"
    place=$(getent passwd "$1" | cut -d: -f6)
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
    # shellcheck disable=SC2086 # one word for each range
    to_root "$place" $ranges
    # Its services were killed, which systemd takes for a failure.
    systemctl reset-failed "user@$number.service" "user-runtime-dir@$number.service" || :
}
