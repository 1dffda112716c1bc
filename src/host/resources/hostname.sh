# shellcheck shell=sh

# name_in_hosts NAME: factoryup's line in /etc/hosts is one for NAME, if no other line has NAME; with an empty NAME, it is removed.
name_in_hosts() {
    if [ -e /etc/hosts ]; then
        back_up /etc/hosts
        cp -a -- /etc/hosts /etc/hosts.factoryup-new
        sed '/[[:blank:]]# factoryup$/d' /etc/hosts >/etc/hosts.factoryup-new
    else
        (umask 022; : >/etc/hosts.factoryup-new)
    fi
    if [ -n "$1" ] && ! awk -v name="$1" '
        { sub(/#.*/, ""); for (i = 2; i <= NF; i++) if ($i == name) found = 1 }
        END { exit !found }' /etc/hosts.factoryup-new; then
        # A last line that does not end is another one's.
        [ -z "$(tail -c 1 /etc/hosts.factoryup-new)" ] || echo >>/etc/hosts.factoryup-new
        printf '127.0.1.1\t%s # factoryup\n' "$1" >>/etc/hosts.factoryup-new
    fi
    sync /etc/hosts.factoryup-new
    mv -fT -- /etc/hosts.factoryup-new /etc/hosts
}

# undo_hostname: has the name in /etc/hostname, which is restored already, take effect. Without one, the name in force stays until the
# next boot, and so must its line.
undo_hostname() {
    [ -s /etc/hostname ] || return 0
    hostname -F /etc/hostname
    name_in_hosts ''
}
