# shellcheck shell=sh

# include_config USER FILE INCLUDED: has git's configuration FILE include another one, and keeps all else it says.
include_config() {
    as "$1" env HOME="${2%/*}" git config --file "$2" --add include.path "$3" && return
    code=$?
    if as "$1" test -e "$2.lock"; then
        echo "$2.lock is in the way: a git of $1's is at work, or was killed; remove it if none is at work" >&2
    fi
    return "$code"
}

# undo_include USER FILE INCLUDED: the line goes, and the file with it when it holds nothing else and was not there before.
undo_include() {
    [ -f "$2" ] || return 0
    pattern=$(printf '%s' "$3" | sed 's/[.]/\\./g')
    as "$1" env HOME="${2%/*}" git config --file "$2" --unset-all include.path "^$pattern\$" || [ $? -eq 5 ]
    if [ "$#" -gt 3 ] && [ ! -s "$2" ]; then
        as "$1" rm -f -- "$2"
    fi
}
