# shellcheck shell=sh
# The way back from a change to sshd or the firewall. It runs by itself, from a timer, unless a new login has confirmed the
# change in time; so it relies on nothing but the notes in GUARD.

GUARD=$STATE/guard
AT_BOOT=factoryup-revert-at-boot.service

# sshd reads its configuration at a reload. Where a socket starts it, it may not run now and reads it then.
reload_sshd() {
    mkdir -p /run/sshd
    chmod 0755 /run/sshd
    systemctl is-active --quiet ssh.service || return 0
    systemctl reload ssh.service || systemctl restart ssh.service
}

load_table() {
    { printf 'table inet factoryup\ndelete table inet factoryup\n' && cat "$1"; } | nft -f -
}

forget_timer() {
    rm -f "/etc/systemd/system/$AT_BOOT" "/etc/systemd/system/multi-user.target.wants/$AT_BOOT"
}

# revert: brings everything back that the guard has on its list. Only one of revert and confirm can have the name `armed`.
revert() {
    mv "$GUARD/armed" "$GUARD/firing" 2>/dev/null || return 1
    read -r backups <"$GUARD/backups"
    while IFS= read -r path; do
        if [ -e "$backups$path" ] || [ -L "$backups$path" ]; then
            cp -a -- "$backups$path" "$path.factoryup-new" && mv -fT -- "$path.factoryup-new" "$path"
        else
            rm -f -- "$path"
        fi
    done <"$GUARD/files"
    if [ -e "$GUARD/firewall" ]; then
        if [ -s "$GUARD/table" ]; then
            load_table "$GUARD/table"
        else
            nft delete table inet factoryup
        fi
    fi
    if [ -e "$GUARD/sshd" ]; then
        systemctl reset-failed ssh.service
        reload_sshd
        # A reload that goes wrong can leave no sshd at all.
        [ ! -e "$GUARD/sshd-ran" ] || systemctl is-active --quiet ssh.service || systemctl start ssh.service
    fi
    forget_timer
    printf '{"run":"%s","at":"%s","target":"host","event":"reverted"}\n' \
        "$(cat "$GUARD/firing")" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >>"$STATE/journal.jsonl"
    mv "$GUARD/firing" "$GUARD/reverted"
    sync
}
