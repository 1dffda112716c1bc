# shellcheck shell=sh

# undo_unit NAME STATE ACTIVE
undo_unit() {
    case $2 in
        disabled | none) systemctl disable "$1" ;;
        masked) systemctl mask "$1" ;;
    esac
    [ "$3" = active ] || systemctl stop "$1"
}
