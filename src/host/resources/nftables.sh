# shellcheck shell=sh
# The firewall: what the guard checks, and what is left to undo once it has put the rules back.

check_firewall() {
    nft -c -f "$GUARD/stage/etc/factory/firewall.nft"
}

# undo_firewall BACKUPS
undo_firewall() {
    if [ -e "$1/etc/factory/firewall.nft" ]; then
        undo_path root /etc/factory/firewall.nft "$1/etc/factory/firewall.nft"
        nft -f /etc/factory/firewall.nft
        return
    fi
    systemctl disable --now factory-firewall.service || :
    nft delete table inet factoryup || :
    undo_path root /etc/factory/firewall.nft
    undo_path root /etc/systemd/system/factory-firewall.service
    # It could not delete the table, which the guard has deleted already.
    systemctl reset-failed factory-firewall.service || :
    rm -f "$STATE/firewall.loaded" "$STATE/firewall.good"
}
