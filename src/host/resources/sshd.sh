# shellcheck shell=sh
# sshd's configuration: what the guard stages and checks, and what is left to undo once it has put sshd's back.

# stage_include: an sshd_config that never mentions the folder of the drop-in gets to know it, before all else it says.
stage_include() {
    staged /etc/ssh/sshd_config
    { echo 'Include /etc/ssh/sshd_config.d/*.conf' && cat /etc/ssh/sshd_config; } >"$GUARD/stage/etc/ssh/sshd_config"
    chmod 0644 "$GUARD/stage/etc/ssh/sshd_config"
}

# as_staged: a copy of sshd's configuration as it would be, at the path that it prints.
as_staged() {
    trial=$GUARD/trial
    rm -rf "$trial"
    mkdir -p "$trial/sshd_config.d" /run/sshd
    chmod 0755 /run/sshd
    cp /etc/ssh/sshd_config "$trial/"
    for file in /etc/ssh/sshd_config.d/*.conf; do
        [ ! -e "$file" ] || cp "$file" "$trial/sshd_config.d/"
    done
    [ ! -d "$GUARD/stage/etc/ssh" ] || cp -R "$GUARD/stage/etc/ssh/." "$trial/"
    while IFS= read -r path; do
        case $path in
            /etc/ssh/*) [ -e "$GUARD/stage$path" ] || rm -f -- "$trial/${path#/etc/ssh/}" ;;
        esac
    done <"$GUARD/files"
    sed -i -E "s#^([[:space:]]*include[[:space:]]+\"?)(/etc/ssh/)?([^/\"])#\\1$trial/\\3#I" \
        "$trial/sshd_config" "$trial"/sshd_config.d/*.conf
    echo "$trial/sshd_config"
}

# matches NAME LIST: whether one of sshd's patterns in LIST, one a line, is for NAME.
matches() {
    while IFS= read -r pattern; do
        # The host of USER@HOST is the login's to show.
        # shellcheck disable=SC2254 # a pattern is what it is
        case $1 in
            ${pattern%%@*}) return 0 ;;
        esac
    done <<LIST
$2
LIST
    return 1
}

# values KEYWORD: what sshd will take for it, one a line.
values() {
    sed -n "s/^$1 //p" "$GUARD/effective"
}

# check_sshd OPERATOR PORT...: whether sshd takes the staged configuration, nothing else in it wins over the lines on standard input,
# and the operator can log in under it; on each port, since a Match block can be for one.
check_sshd() {
    operator=$1
    shift
    config=$(as_staged)
    cat >"$GUARD/wanted"
    sshd -t -f "$config"
    for port; do
        sshd -T -f "$config" -C "user=$operator,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=$port,rdomain=" >"$GUARD/effective"
        while IFS= read -r line; do
            grep -qxF -- "$line" "$GUARD/effective" ||
                fail "on port $port, sshd would not have \"$line\" but \"$(grep "^${line%% *} " "$GUARD/effective" | head -n 1)\": another line in /etc/ssh wins over it"
        done <"$GUARD/wanted"
        check_operator "$operator"
    done
}

check_operator() {
    groups=$(values allowgroups)
    if [ -n "$groups" ]; then
        found=
        for group in $(id -nG "$1"); do
            ! matches "$group" "$groups" || found=yes
        done
        [ -n "$found" ] || fail "$1 is in none of the groups that AllowGroups would let in: $groups"
    fi
    users=$(values allowusers)
    [ -z "$users" ] || matches "$1" "$users" || fail "AllowUsers would not let $1 in: $users"
    ! matches "$1" "$(values denyusers)" || fail "DenyUsers would keep $1 out"
    for group in $(id -nG "$1"); do
        ! matches "$group" "$(values denygroups)" || fail "DenyGroups would keep $1 out"
    done
    [ "$(values pubkeyauthentication)" = yes ] || fail "sshd would take no keys"
    case $(values authenticationmethods) in
        any | publickey) ;;
        *) fail "sshd would want more than a key: $(values authenticationmethods)" ;;
    esac
    home=$(getent passwd "$1" | cut -d: -f6)
    grep -qE '^[^#]*(ssh|ecdsa)-' "$home/.ssh/authorized_keys" || fail "$1 has no key in $home/.ssh/authorized_keys"
    for path in "$home" "$home/.ssh" "$home/.ssh/authorized_keys"; do
        [ -z "$(find "$path" -maxdepth 0 -perm /022)" ] || fail "others can write $path, so sshd would not trust it"
        [ -n "$(find "$path" -maxdepth 0 \( -user "$1" -o -user root \))" ] || fail "$path does not belong to $1"
    done
}

# check_sshd_back: whether sshd takes what it had before.
check_sshd_back() {
    config=$(as_staged)
    sshd -t -f "$config"
}

# undo_sshd BACKUPS: sshd checks what it had before it gets it back.
undo_sshd() {
    for path in /etc/ssh/sshd_config.d/00-factoryup.conf /etc/ssh/sshd_config; do
        if [ -e "$1$path" ]; then
            undo_path root "$path" "$1$path"
        elif [ "$path" != /etc/ssh/sshd_config ]; then
            undo_path root "$path"
        fi
    done
    mkdir -p /run/sshd
    chmod 0755 /run/sshd
    sshd -t
    reload_sshd
}
