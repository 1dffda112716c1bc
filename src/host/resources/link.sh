# shellcheck shell=sh

# point USER PATH TARGET: makes PATH a link to TARGET.
point() {
    parents "$1" "$2"
    as "$1" ln -sfT -- "$3" "$2.factoryup-new"
    as "$1" mv -fT -- "$2.factoryup-new" "$2"
}
