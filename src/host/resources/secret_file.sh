# shellcheck shell=sh

# put_secret USER PATH OWNER: as USER, makes standard input the content of a file that nobody else reads. What was there is not
# kept, and how to undo it is on record already.
put_secret() {
    if [ -d "$2" ] && [ ! -L "$2" ]; then
        fail "$2 is a folder where a file must be"
    fi
    parents "$1" "$2"
    as "$1" sh -c "$NEW_FILE" sh "$2.factoryup-new"
    if [ "$1" = root ]; then
        chown -- "$3:$3" "$2.factoryup-new"
    fi
    as "$1" sync "$2.factoryup-new"
    as "$1" mv -fT -- "$2.factoryup-new" "$2"
    as "$1" sync "${2%/*}"
}

# drop_secret USER PATH: nothing of it is kept, nor of its renewals.
drop_secret() {
    as "$1" rm -f -- "$2"
    [ "$1" = root ] || as "$1" rm -rf -- "${2%/*}/renewal"
}
