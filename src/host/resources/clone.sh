# shellcheck shell=sh

# clone_repo USER PATH BELOW URL BRANCH: as USER, whose home PATH is in as BELOW. A path that exists stays as it is. Others see no clone or
# a whole one. The remote decides how long it takes, and has 5 minutes; a connection that is stuck, 30 seconds.
clone_repo() {
    if as "$1" test -e "$2" || as "$1" test -L "$2"; then
        return 0
    fi
    new=${2%/*}/.${2##*/}.factoryup-new
    as "$1" rm -rf -- "$new"
    as "$1" mkdir -- "$new"
    code=0
    (
        umask 027
        timeout -k 1 300 runuser -u "$1" -- env HOME="${2%"/$3"}" GIT_TERMINAL_PROMPT=0 GIT_HTTP_LOW_SPEED_LIMIT=1 \
            GIT_HTTP_LOW_SPEED_TIME=30 git clone --quiet --branch "$5" -- "$4" "$new"
    ) >"$WORK/clone" 2>&1 || code=$?
    cat "$WORK/clone"
    if [ "$code" -ne 0 ]; then
        as "$1" rm -rf -- "$new"
        [ "$code" -ne 124 ] || echo "timed out after 5 minutes" >"$WORK/clone"
        echo "$4 cannot be cloned: $(tail -n 1 "$WORK/clone")"
        exit 69
    fi
    as "$1" chmod 750 "$new"
    as "$1" sync -f -- "$new"
    as "$1" mv -nT -- "$new" "$2"
}
