# shellcheck shell=sh

# put_new USER PATH MODE OWNER:GROUP SHA256: as put, unless something is there by now.
put_new() {
    if as "$1" test -e "$2" || as "$1" test -L "$2"; then
        return 0
    fi
    put "$@"
}
