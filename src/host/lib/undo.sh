# shellcheck shell=sh
# What all kinds need to undo a change. What is taken away or replaced is backed up first, like everything else.

# forget ID: the receipt's line about a change that is undone.
forget() {
    awk -v id="{\"id\":$1," '
        { line = $0; sub(/^,/, "", line) }
        index(line, id) == 1 { next }
        /^,?\{"id":/ { print (seen++ ? "," : "") line; next }
        { print }
    ' "$STATE/receipt.json" >"$STATE/receipt.new"
    put_receipt
}

# undo_path USER PATH [BACKUP]: as USER, brings the backup back, or removes the path where there was nothing.
undo_path() {
    if is_kept "$2"; then
        back_up "$2" "$1"
    fi
    if [ $# -lt 3 ]; then
        as "$1" rm -f -- "$2"
    elif [ "$1" = root ]; then
        cp -a -- "$3" "$2.factoryup-new"
        # One of an older factoryup may have more.
        [ -L "$3" ] || chmod -- "$(mode_of root "$3")" "$2.factoryup-new"
        mv -fT -- "$2.factoryup-new" "$2"
    elif is_kept "$3"; then
        bring_back "$@"
    else
        as "$1" rm -f -- "$2"
    fi
    wrote "$2"
    unmake "${2%/*}"
    case $2 in
        /etc/systemd/journald.conf.d/*) systemctl try-restart systemd-journald.service ;;
        /etc/systemd/*) systemctl daemon-reload ;;
    esac
}

# unmake FOLDER: removes it and those above it, as far as factoryup made them and nothing is in them.
unmake() {
    folder=$1
    while [ -e "$STATE/made" ] && grep -qxF -- "$folder" "$STATE/made" && rmdir -- "$folder"; do
        awk -v folder="$folder" '$0 != folder' "$STATE/made" >"$STATE/made.new"
        mv -f "$STATE/made.new" "$STATE/made"
        folder=${folder%/*}
    done
}

# bring_back USER PATH BACKUP: the same in a home folder, by its user, who cannot read backups.
bring_back() {
    if [ -L "$3" ]; then
        as "$1" ln -sfT -- "$(readlink "$3")" "$2.factoryup-new"
    else
        as "$1" sh -c "$NEW_FILE" sh "$2.factoryup-new" <"$3"
        as "$1" chmod -- "$(mode_of root "$3")" "$2.factoryup-new"
    fi
    as "$1" mv -fT -- "$2.factoryup-new" "$2"
}

# quell USER: takes a worker out of action, so that it cannot stand in the way of what follows: no login and no job of cron's, no
# service without a login, and no process.
quell() {
    getent passwd "$1" >/dev/null || return 0
    number=$(id -u "$1")
    # A day in 1970 that nobody else takes: from it, an apply knows the account that only a way back ended. One that its owner ended
    # stays as it is.
    usermod --lock "$1" || return
    [ -n "$(getent shadow "$1" | cut -d: -f8)" ] || usermod --expiredate 2 "$1" || return
    loginctl disable-linger "$1" || rm -f "/var/lib/systemd/linger/$1"
    # What the user runs under its subordinate ids is the user's too.
    # shellcheck disable=SC2046 # one word for each range
    set -- "$1" "$number" "$number-$number" $(ranges_of "$1" "$number")
    kill_all "$@" || fail "processes of $1 start faster than they can be ended" || return
    loginctl terminate-user "$1" || :
    systemctl stop "user@$number.service" "user-runtime-dir@$number.service" || :
    # What empties the folder runs in the user's slice, and kill_all can have ended it.
    [ ! -e "/run/user/$number" ] || systemctl start "user-runtime-dir@$number.service" || :
    systemctl stop "user-runtime-dir@$number.service" || :
    kill_all "$@"
}

# kill_all USER UID FROM-TO...: until none is left of these numbers, for some 10 seconds. First the control groups of UID's slice,
# at once and with all that they start meanwhile; then what runs elsewhere, as by sudo in the session of whoever called it. What has one number
# gets one signal all at once, so that none can start another in time.
kill_all() {
    slice=/sys/fs/cgroup/user.slice/user-$2.slice
    shift 2
    tries=100
    while owners=$(processes "$@" | awk '!seen[$2]++ { print $2 }') && [ -n "$owners" ]; do
        [ "$tries" -gt 0 ] || return 1
        tries=$((tries - 1))
        [ ! -e "$slice/cgroup.kill" ] || echo 1 >"$slice/cgroup.kill"
        for owner in $owners; do
            setpriv --reuid="$owner" --clear-groups sh -c 'kill -s KILL -- -1' || :
        done
        sleep 0.1
    done
}

# best_effort COMMAND...: in a worker's home it can fail, and all else goes on.
best_effort() {
    set +e
    (
        set -e
        "$@"
    )
    code=$?
    set -e
    [ "$code" -eq 0 ] || echo "$3 stays as it is (exit code $code)" >>"$WORK/left"
}

# runners: the names of all runners that `factory-runner` set up, and of those that it only has a token for.
runners() {
    for path in /etc/systemd/system/factory-runner-*.service /etc/factory/runner-*; do
        name=${path##*/}
        if [ -f "$path" ] && [ "${name%.service}" != "$name" ]; then
            name=${name#factory-runner-}
            echo "service ${name%.service}"
        elif [ -d "$path" ]; then
            echo "service ${name#runner-}"
        elif [ -f "$path" ] && [ "${name%-token}" != "$name" ]; then
            name=${name#runner-}
            echo "token ${name%-token}"
        fi
    done
}

# edited: the files that are not any more what factoryup wrote, by its record. A file that is gone is none of them.
# What lies in the home of one of USERS is read as that user.
# edited USERS...
edited() {
    while IFS= read -r line; do
        file=${line#*  }
        [ -f "$file" ] || continue
        digest=$(digest_as_owner "$file" "$@" | timeout -k 1 12 head -c 64)
        [ "$digest" = "${line%%  *}" ] || printf '%s\n' "$file"
    done <"$STATE/written"
}

# digest_as_owner FILE USERS...
digest_as_owner() {
    file=$1
    shift
    for user; do
        account "$user"
        # shellcheck disable=SC2154 # account sets it
        [ "$uid" != none ] || continue
        # shellcheck disable=SC2154
        case $file in
            "$home"/*)
                # shellcheck disable=SC2016 # the inner shell expands it
                as_self sh -c 'head -c 1048576 -- "$1" | sha256sum' sh "$file"
                return
                ;;
        esac
    done
    sha256sum <"$file"
}
