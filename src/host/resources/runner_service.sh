# shellcheck shell=sh

# undo_runner NAME: stops the service, waits for its job as long as systemd lets it, and removes all that holds its token.
undo_runner() {
    unit=factory-runner-$1.service
    systemctl disable --now --quiet "$unit" || :
    rm -rf -- "/etc/systemd/system/$unit" "/etc/factory/runner-$1" "/etc/factory/runner-$1-token"
    systemctl daemon-reload
    systemctl reset-failed --quiet "$unit" 2>/dev/null || :
}
