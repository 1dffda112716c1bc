# shellcheck shell=sh

# ensure_group NAME
ensure_group() {
    getent group "$1" >/dev/null || groupadd -- "$1"
}

undo_group() {
    ! getent group "$1" >/dev/null || groupdel "$1"
}
