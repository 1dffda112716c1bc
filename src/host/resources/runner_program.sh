# shellcheck shell=sh

# undo_runner_program: what `factory-runner install` installed, and from where it took it. A program that came another way is no package
# of its repository, and stays.
undo_runner_program() {
    if [ -e /etc/apt/sources.list.d/gitlab-runner.sources ]; then
        for package in gitlab-runner gitlab-runner-helper-images; do
            case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
                '' | not-installed) ;;
                *) DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 purge "$package" ;;
            esac
        done
    fi
    rm -f /etc/apt/sources.list.d/gitlab-runner.sources /etc/apt/preferences.d/gitlab-runner /etc/apt/keyrings/gitlab-runner.asc
}
