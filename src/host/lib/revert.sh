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
    # At a reload, sshd drops the sockets that systemd gave it, and nobody answers on its ports. A new sshd gets them again.
    if systemctl is-active --quiet ssh.socket; then
        systemctl restart ssh.service
        return
    fi
    sshd_pid=$(systemctl show --property=MainPID --value ssh.service)
    sshd_image=$(image "$sshd_pid")
    systemctl reload ssh.service && is_another_image "$sshd_pid" "$sshd_image" && return
    # Ends when the new one listens. Sessions have processes of their own and go on.
    systemctl restart ssh.service
}

# image PID: where its stack begins, proc_pid_stat(5), which is chosen anew whenever it executes a program; nothing when it is gone.
image() {
    awk '{ sub(/.*[)] /, ""); print $26 }' "/proc/$1/stat" 2>/dev/null
}

# is_another_image PID IMAGE: waits for up to 10 seconds until it has another one. A reload only sends sshd a signal, at which it
# executes itself again. Until then it lets in by the old rules, and a login would confirm what nobody has tried.
is_another_image() {
    sshd_tries=0
    while sshd_now=$(image "$1") && [ "$sshd_now" = "$2" ]; do
        sshd_tries=$((sshd_tries + 1))
        [ "$sshd_tries" -lt 100 ] || return 1
        sleep 0.1
    done
    [ -n "$sshd_now" ]
}

load_table() {
    { printf 'table inet factoryup\ndelete table inet factoryup\n' && cat "$1"; } | nft -f -
}

forget_timer() {
    rm -f "/etc/systemd/system/$AT_BOOT" "/etc/systemd/system/multi-user.target.wants/$AT_BOOT"
}

# timer_runs: whether the changes will be taken back, or are just being.
timer_runs() {
    systemctl is-active --quiet factoryup-revert.timer factoryup-revert.service
}

# revert [at-boot | again]: brings everything back that the guard has on its list. Only one of revert and confirm can have the
# name `armed`. With a word, one that was cut begins anew. At boot nothing is loaded: what reads the files has not started yet,
# and waits for this to end.
revert() {
    mv "$GUARD/armed" "$GUARD/firing" 2>/dev/null || { [ -n "${1-}" ] && [ -e "$GUARD/firing" ]; } || return 1
    while IFS= read -r path; do
        if [ -e "$GUARD/before$path" ] || [ -L "$GUARD/before$path" ]; then
            cp -a -- "$GUARD/before$path" "$path.factoryup-new" && mv -fT -- "$path.factoryup-new" "$path"
        else
            rm -f -- "$path"
        fi
    done <"$GUARD/files"
    # Before it is on record that all is back, all is on disk.
    sync
    [ "${1-}" = at-boot ] || load_reverted
    printf '{"run":"%s","at":"%s","target":"host","event":"reverted"}\n' \
        "$(cat "$GUARD/firing")" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >>"$STATE/journal.jsonl"
    mv "$GUARD/firing" "$GUARD/reverted"
    forget_timer
    sync
}

# load_reverted: has what was brought back read.
load_reverted() {
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
}
