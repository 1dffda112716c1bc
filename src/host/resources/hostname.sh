# shellcheck shell=sh

# name_in_hosts NAME: factoryup's line in /etc/hosts is one for NAME, if no other line has NAME; with an empty NAME, it is removed. A line
# that somebody else wrote, or has changed, stays. Where /etc/hosts is a link, what it leads to is written.
name_in_hosts() {
    hosts=$(readlink -f /etc/hosts) || hosts=/etc/hosts
    if [ -e "$hosts" ]; then
        back_up "$hosts"
        cp -a -- "$hosts" "$hosts.factoryup-new"
        sed '/^127\.0\.1\.1[[:blank:]][^[:blank:]#]* # factoryup$/d' "$hosts" >"$hosts.factoryup-new"
    else
        (umask 022; : >"$hosts.factoryup-new")
    fi
    if [ -n "$1" ] && ! awk -v name="$1" '
        { sub(/#.*/, ""); for (i = 2; i <= NF; i++) if ($i == name) found = 1 }
        END { exit !found }' "$hosts.factoryup-new"; then
        # A last line that does not end is another one's.
        [ -z "$(tail -c 1 "$hosts.factoryup-new")" ] || echo >>"$hosts.factoryup-new"
        printf '127.0.1.1\t%s # factoryup\n' "$1" >>"$hosts.factoryup-new"
    fi
    sync "$hosts.factoryup-new"
    mv -fT -- "$hosts.factoryup-new" "$hosts"
}

# undo_hostname: has the name in /etc/hostname, which is restored already, take effect. Without one, the name in force stays until the
# next boot, and so must its line.
undo_hostname() {
    [ -s /etc/hostname ] || return 0
    hostname -F /etc/hostname
    name_in_hosts ''
}
