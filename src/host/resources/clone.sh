# shellcheck shell=sh

# clone_repo USER PATH BELOW URL BRANCH: as USER, whose home PATH is in as BELOW. A path that exists stays as it is. Others see no clone or
# a whole one.
clone_repo() {
    if as "$1" test -e "$2" || as "$1" test -L "$2"; then
        return 0
    fi
    new=${2%/*}/.${2##*/}.factoryup-new
    as "$1" rm -rf -- "$new"
    as "$1" mkdir -- "$new"
    # A connection that is stuck has 30 seconds.
    if ! worker "$1" env GIT_TERMINAL_PROMPT=0 GIT_HTTP_LOW_SPEED_LIMIT=1 GIT_HTTP_LOW_SPEED_TIME=30 \
        git clone --quiet --branch "$5" -- "$4" "$new"; then
        as "$1" rm -rf -- "$new"
        echo "$4 cannot be cloned: $(tail -n 1 "$WORK/said")"
        exit 69
    fi
    as "$1" chmod 750 "$new"
    as "$1" sync -f -- "$new"
    as "$1" mv -nT -- "$new" "$2"
}
