# shellcheck shell=sh

# folder USER PATH MODE OWNER:GROUP
folder() {
    if [ -L "$2" ]; then
        fail "$2 is a link where a folder must be"
    fi
    parents "$1" "$2"
    as "$1" mkdir -p -- "$2"
    if [ "$1" = root ]; then
        chown -- "$4" "$2"
    fi
    as "$1" chmod -- "$3" "$2"
}

# undo_folder USER PATH [MODE OWNER:GROUP]: a folder with something in it stays.
undo_folder() {
    [ -d "$2" ] && [ ! -L "$2" ] || return 0
    if [ $# -lt 3 ]; then
        as "$1" rmdir --ignore-fail-on-non-empty -- "$2"
        unmake "${2%/*}"
        return
    fi
    if [ "$1" = root ]; then
        chown -- "$4" "$2"
    fi
    as "$1" chmod -- "$3" "$2"
}
