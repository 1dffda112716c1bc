# shellcheck shell=sh

# load_audit FILE: replaces factoryup's rules in the kernel, and no others. Rules that are locked can only change at the next boot.
load_audit() {
    ! auditctl -s | grep -q '^enabled 2' || return 0
    auditctl -D -k factoryup-
    auditctl -R "$1"
    auditctl -l | grep factoryup- >"$STATE/audit.new" || fail "the kernel took none of the rules in $1"
    wanted=$(grep -c '^-.*factoryup-' "$1")
    loaded=$(wc -l <"$STATE/audit.new")
    [ "$loaded" -ge "$wanted" ] || echo "the kernel took $loaded of the $wanted audit rules in $1" >>"$WORK/left"
    sync "$STATE/audit.new"
    mv -f "$STATE/audit.new" "$STATE/audit.loaded"
}

# undo_audit: their file is gone already. auditd reads a file that augenrules joins of all.
undo_audit() {
    rm -f "$STATE/audit.loaded"
    command -v auditctl >/dev/null || return 0
    auditctl -D -k factoryup- || echo "audit rules stay loaded until the next boot: they are locked" >>"$WORK/left"
    ! grep -qs factoryup- /etc/audit/audit.rules || augenrules || :
}
