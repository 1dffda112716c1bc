# shellcheck shell=sh

# install_tool USER PATH CLONE NAME: what toolchain.lock of USER's CLONE says of NAME, into PATH, by the clone's own script.
install_tool() {
    if as "$1" test -x "$2"; then
        return 0
    fi
    clone=${2%"/.local/bin/$4"}/$3
    if ! as "$1" test -d "$clone"; then
        echo "$clone was not found"
        exit 69
    fi
    if ! as "$1" grep -qs "^$4 " "$clone/toolchain.lock"; then
        echo "toolchain.lock in $clone has no line for $4"
        exit 69
    fi
    code=0
    worker "$1" "$clone/scripts/tools" install "$4" || code=$?
    if [ "$code" -ne 0 ]; then
        echo "scripts/tools in $clone said: $(tail -n 1 "$WORK/said")"
        exit "$code"
    fi
    if ! as "$1" test -x "$2"; then
        echo "scripts/tools in $clone did not install it"
        exit 73
    fi
    worker "$1" sync -f -- "$2"
}
