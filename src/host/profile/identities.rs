//! The identities of a factory: operator, agent, trusted CI, builds, applications and, with Podman, the untrusted runner.

use super::Wishes;
use crate::factory::{RunnerKind, Sudo};
use crate::host::accounts::{AGENT, BUILD, CI, DEPLOY, LOGIN_GROUP, RUNNER, WORKERS};
use crate::host::resources::{
    AuthorizedKey, Directory, File, Group, PasswordWish, Resource, SubordinateIds, Then, User, key_parts,
};
use crate::host::word::HostPath;

/// Groups that are root by another name, or read what only root should: no identity but the operator may be in one.
const POWERFUL: [&str; 10] = ["root", "sudo", "adm", "docker", "lxd", "incus", "libvirt", "disk", "shadow", "kvm"];

/// Limits for all that the agent runs, for all builds, and for all applications: `systemd.resource-control(5)`. The rest of the host stays
/// usable when their programs do not know where to stop. Without a limit for swap, the one for memory would bound nothing.
const LIMITS: &str = "\
[Slice]
MemoryHigh=70%
MemoryMax=80%
MemorySwapMax=1G
TasksMax=4096
CPUWeight=50
";

/// How the operator becomes root.
pub(crate) const SUDOERS: &str = "/etc/sudoers.d/90-factoryup-operator";

/// What no identity may have by another file's rule.
pub(crate) const LAST_SUDOERS: &str = "/etc/sudoers.d/zz-factoryup";

/// `sudo -u agent COMMAND` hands the operator's terminal to what the agent may have put there: `sudoers(5)`, `use_pty`. Debian's
/// own file says so since 12, Ubuntu's since 22.04, and neither if somebody took it out.
const OWN_TERMINAL: &str = "\
# Written by factoryup. What sudo runs gets a terminal of its own: on the caller's, it could type commands (TIOCSTI), and stay
# behind to read what is typed.
Defaults use_pty
";

pub(super) fn add(resources: &mut Vec<Box<dyn Resource>>, wishes: &Wishes<'_>) {
    add_operator(resources, wishes);
    add_worker(resources, AGENT, "coding agent", SubordinateIds::None);
    add_workspace(resources);
    add_worker(resources, CI, "trusted CI", SubordinateIds::None);
    add_worker(resources, BUILD, "builds of applications", SubordinateIds::None);
    // No build is at work most of the time, and then nothing of the slice stays either.
    let slice = format!("[Unit]\nStopWhenUnneeded=yes\n\n{LIMITS}");
    resources.push(Box::new(File::system("/etc/systemd/system/factory-builds.slice", slice).then(Then::DaemonReload)));
    // What visitors wait for comes before what compiles, and is never on the disk: nor are the settings of applications.
    let slice = File::system("/etc/systemd/system/factory-apps.slice", limits_of_applications());
    resources.push(Box::new(slice.then(Then::DaemonReload)));
    add_worker(resources, DEPLOY, "applications", SubordinateIds::None);
    if wishes.factory.runner.kind == RunnerKind::Podman {
        add_worker(resources, RUNNER, "untrusted runner", SubordinateIds::Needed);
    }
    let (workers, operator) = (WORKERS.join("|"), &wishes.factory.host.operator);
    let profile = format!(
        "# Written by factoryup. What these users write is not for others to read. A prompt of the operator's, which may become root,\n\
         # closes after an hour without input.\n\
         case $USER in\n    {workers}) umask 027 ;;\n    {operator})\n        TMOUT=3600\n        readonly TMOUT\n        ;;\nesac\n"
    );
    resources.push(Box::new(File::system("/etc/profile.d/factoryup.sh", profile)));
}

fn limits_of_applications() -> String {
    let limits = LIMITS.replace("CPUWeight=50", "CPUWeight=100").replace("SwapMax=1G", "SwapMax=0");
    format!("# Written by factoryup.\n{limits}")
}

fn add_operator(resources: &mut Vec<Box<dyn Resource>>, wishes: &Wishes<'_>) {
    let host = &wishes.factory.host;
    let name = host.operator.clone();
    resources.push(Box::new(Group { name: LOGIN_GROUP.into(), members: vec![name.clone()] }));
    let (groups, password) = match host.sudo {
        Sudo::Key => (vec![LOGIN_GROUP.into()], PasswordWish::Any),
        Sudo::Password => (vec![LOGIN_GROUP.into(), "sudo".into()], PasswordWish::Needed(wishes.new_password.clone())),
    };
    resources.push(Box::new(User {
        name: name.clone(),
        comment: "factory operator",
        groups,
        not_in: Vec::new(),
        password,
        linger: false,
        subordinate: SubordinateIds::Any,
    }));
    let mut text = OWN_TERMINAL.to_owned();
    if host.sudo == Sudo::Key {
        text += &format!("# The key that logs {name} in is the credential.\n{name} ALL=(ALL:ALL) NOPASSWD: ALL\n");
    }
    resources.push(Box::new(File::system(SUDOERS, text).mode("440").checked_by(&["visudo", "-cqf"])));
    // sudo takes the last rule that it reads, and reads this file after what others put beside it: cloud-init, an earlier setup.
    let mut rules =
        String::from("# Written by factoryup. sudo takes the last rule that it reads, so this file comes last here.\n");
    if host.sudo == Sudo::Password {
        rules += &format!("{name} ALL=(ALL:ALL) PASSWD: ALL\n");
    }
    for worker in WORKERS {
        rules += &format!("{worker} ALL=(ALL:ALL) !ALL\n");
    }
    resources.push(Box::new(File::system(LAST_SUDOERS, rules).mode("440").checked_by(&["visudo", "-cqf"])));
    resources.push(Box::new(home(&name, "", "700")));
    let keys: Vec<_> = host.authorized_keys.iter().filter(|key| key_parts(key).is_some()).collect();
    if !keys.is_empty() {
        resources.push(Box::new(Directory {
            path: HostPath::home(&name, ".ssh"),
            mode: "700",
            owner: name.clone(),
            group: name.clone(),
        }));
    }
    for key in keys {
        resources.push(Box::new(AuthorizedKey { user: name.clone(), key: key.trim().to_owned() }));
    }
}

/// A user that works here and never logs in from elsewhere.
fn add_worker(resources: &mut Vec<Box<dyn Resource>>, name: &str, comment: &'static str, subordinate: SubordinateIds) {
    resources.push(Box::new(User {
        name: name.into(),
        comment,
        groups: Vec::new(),
        not_in: [&POWERFUL[..], &[LOGIN_GROUP]].concat(),
        password: PasswordWish::Locked,
        // Jobs are started by the runner, and nothing of theirs goes on.
        linger: ![CI, BUILD].contains(&name),
        subordinate,
    }));
    resources.push(Box::new(home(name, "", "700")));
}

fn add_workspace(resources: &mut Vec<Box<dyn Resource>>) {
    resources.push(Box::new(home(AGENT, "work", "750")));
    let slice = format!("/etc/systemd/system/user-{{uid:{AGENT}}}.slice.d/50-factoryup.conf");
    resources.push(Box::new(File::system(slice, LIMITS).then(Then::DaemonReload)));
}

fn home(user: &str, below: &str, mode: &'static str) -> Directory {
    Directory { path: HostPath::home(user, below), mode, owner: user.into(), group: user.into() }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_limit_of_memory_is_one_with_swap_too() {
        assert!(super::LIMITS.contains("MemoryMax=80%\nMemorySwapMax=1G\n"));
        let of_applications = super::limits_of_applications();
        assert!(of_applications.contains("MemoryMax=80%\nMemorySwapMax=0\n") && of_applications.contains("=100\n"));
    }
}
