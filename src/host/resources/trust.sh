# shellcheck shell=sh

# put_new USER PATH MODE OWNER:GROUP SHA256: as put, unless something is there by now.
put_new() {
    if as "$1" test -e "$2" || as "$1" test -L "$2"; then
        # So that it counts as edited, and no way back replaces it.
        wrote "$2" 0000000000000000000000000000000000000000000000000000000000000000
        return 0
    fi
    put "$@"
}
