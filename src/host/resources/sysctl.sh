# shellcheck shell=sh

# adjust NAME VALUE: sets a kernel setting where it can be set.
adjust() {
    setting=/proc/sys/$(printf '%s' "$1" | tr . /)
    if [ -w "$setting" ]; then
        printf '%s\n' "$2" >"$setting"
    fi
}
