# shellcheck shell=sh

# swap_is_on PATH: the kernel lists a file by its path without links.
swap_is_on() {
    awk -v path="$(readlink -f -- "$1")" '$1 == path { found = 1 } END { exit !found }' /proc/swaps
}

# make_swap PATH MIB: a swap file of this size that only root reads. One that is on stays; what is in one that is off is of no use.
make_swap() {
    if ! swap_is_on "$1"; then
        rm -f -- "$1" "$1.factoryup-new"
        # All of it, since swap must have no holes.
        if ! fallocate -l "$2MiB" -- "$1.factoryup-new" || ! mkswap -- "$1.factoryup-new"; then
            rm -f -- "$1.factoryup-new"
            fail "$1 cannot be made"
        fi
        sync "$1.factoryup-new"
        mv -fT -- "$1.factoryup-new" "$1"
    fi
    chown root:root -- "$1"
    chmod 0600 -- "$1"
}

# undo_swap PATH UNIT: with too little memory for what is in it, it stays on, and the kernel does not let it be deleted.
undo_swap() {
    systemctl disable "$2" || :
    if swap_is_on "$1" && ! swapoff -- "$1"; then
        echo "$1 stays on until the next boot, since memory cannot take what is in it; delete it then" >>"$WORK/left"
        return 0
    fi
    rm -f -- "$1" "$1.factoryup-new"
}
