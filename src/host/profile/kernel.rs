//! Kernel settings that cost a workstation-like host nothing: the values of Lynis' default profile, without those that break
//! containers, sandboxes or IPv6.

use crate::host::resources::{Resource, Sysctl};

/// Left out on purpose: `kernel.yama.ptrace_scope = 2` (debuggers), `net.ipv4.ip_forward = 0` (containers),
/// `net.ipv6.conf.*.accept_ra = 0` (hosts that get their address that way vanish), `user.max_user_namespaces = 0` (sandboxes),
/// `kernel.modules_disabled = 1`.
pub(crate) const VALUES: [(&str, &str); 29] = [
    ("dev.tty.ldisc_autoload", "0"),
    ("fs.protected_fifos", "2"),
    ("fs.protected_hardlinks", "1"),
    ("fs.protected_regular", "2"),
    ("fs.protected_symlinks", "1"),
    ("fs.suid_dumpable", "0"),
    ("kernel.dmesg_restrict", "1"),
    ("kernel.kptr_restrict", "2"),
    ("kernel.perf_event_paranoid", "3"),
    ("kernel.sysrq", "0"),
    ("kernel.unprivileged_bpf_disabled", "1"),
    ("kernel.yama.ptrace_scope", "1"),
    ("net.core.bpf_jit_harden", "2"),
    ("net.ipv4.conf.all.accept_redirects", "0"),
    ("net.ipv4.conf.all.accept_source_route", "0"),
    ("net.ipv4.conf.all.log_martians", "1"),
    ("net.ipv4.conf.all.rp_filter", "1"),
    ("net.ipv4.conf.all.secure_redirects", "0"),
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.accept_redirects", "0"),
    ("net.ipv4.conf.default.accept_source_route", "0"),
    ("net.ipv4.conf.default.log_martians", "1"),
    ("net.ipv4.conf.default.rp_filter", "1"),
    ("net.ipv4.conf.default.send_redirects", "0"),
    ("net.ipv4.tcp_syncookies", "1"),
    ("net.ipv6.conf.all.accept_redirects", "0"),
    ("net.ipv6.conf.all.accept_source_route", "0"),
    ("net.ipv6.conf.default.accept_redirects", "0"),
    ("net.ipv6.conf.default.accept_source_route", "0"),
];

pub(super) fn add(resources: &mut Vec<Box<dyn Resource>>) {
    // The name is read after all that begin with a number: Debian's own 99-protect-links.conf sets some of these, too.
    resources.push(Box::new(Sysctl { name: "zz-factoryup", values: VALUES.to_vec() }));
}
