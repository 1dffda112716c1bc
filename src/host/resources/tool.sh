# shellcheck shell=sh

# install_tool USER PATH CLONE NAME: what toolchain.lock of USER's CLONE says of NAME, into PATH, by the clone's own script and so as USER.
# An archive of 100 MB has 10 minutes.
install_tool() {
    if as "$1" test -e "$2"; then
        return 0
    fi
    home=${2%"/.local/bin/$4"}
    script=$home/$3/scripts/tools
    if ! as "$1" test -d "$home/$3"; then
        echo "$home/$3 is not there"
        exit 69
    fi
    if ! as "$1" test -x "$script"; then
        echo "$script is not there: merge the branch with the factory's files, and pull it in that clone"
        exit 69
    fi
    code=0
    timeout -k 1 600 runuser -u "$1" -- env HOME="$home" "$script" install "$4" >"$WORK/tool" 2>&1 || code=$?
    cat "$WORK/tool"
    if [ "$code" -eq 124 ]; then
        echo "timed out after 10 minutes"
        exit 69
    fi
    [ "$code" -eq 0 ] || exit "$code"
    if ! as "$1" test -e "$2"; then
        echo "$script did not install it"
        exit 73
    fi
}
