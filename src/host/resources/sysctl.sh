# shellcheck shell=sh

# adjust NAME VALUE: sets a kernel setting where it can be set. What it was before the first time is on record.
adjust() {
    setting=/proc/sys/$(printf '%s' "$1" | tr . /)
    [ -w "$setting" ] || return 0
    grep -qsF -- "$1 " "$STATE/settings" || add_to_record settings "$1 $(cat "$setting")"
    printf '%s\n' "$2" >"$setting"
}

# undo_settings: the values on record are in force again. The kernel can refuse one: unprivileged BPF that was turned off for good stays
# off.
undo_settings() {
    if [ ! -e "$STATE/settings" ]; then
        echo "kernel settings keep their values until the next boot: they were set by a factoryup that did not record them" >>"$WORK/left"
        return 0
    fi
    while read -r name value; do
        setting=/proc/sys/$(printf '%s' "$name" | tr . /)
        [ ! -w "$setting" ] || printf '%s\n' "$value" >"$setting" ||
            echo "$name keeps its value until the next boot: the kernel refuses its former value, $value" >>"$WORK/left"
    done <"$STATE/settings"
    rm -f "$STATE/settings"
}
