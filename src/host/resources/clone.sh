# shellcheck shell=sh

# clone_repo USER PATH BELOW URL BRANCH: as USER, whose home PATH is in as BELOW. A path that exists stays as it is. Others see no clone or
# a whole one.
clone_repo() {
    if as "$1" test -e "$2" || as "$1" test -L "$2"; then
        return 0
    fi
    new=${2%/*}/.${2##*/}.factoryup-new
    code=0
    # A connection that is stuck has 30 seconds. All else takes as long as the repo is large.
    # shellcheck disable=SC2016 # the inner shell expands it
    worker "$1" env GIT_TERMINAL_PROMPT=0 GIT_HTTP_LOW_SPEED_LIMIT=1 GIT_HTTP_LOW_SPEED_TIME=30 sh -euc '
        rm -rf -- "$1"
        mkdir -- "$1"
        git clone --quiet --branch "$3" -- "$4" "$1" || exit 69
        chmod 750 "$1"
        sync -f -- "$1"
        mv -nT -- "$1" "$2"' sh "$new" "$2" "$5" "$4" || code=$?
    [ "$code" -ne 0 ] || return 0
    as "$1" rm -rf -- "$new" || :
    [ "$code" -ne 69 ] || echo "$4 cannot be cloned: $(tail -n 1 "$WORK/said")"
    exit "$code"
}
