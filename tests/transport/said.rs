//! What the host says when it refuses a login, and ways in that only the system's client knows.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use disposable_host::delay_proxy;
use factoryup::Kind;
use factoryup::dialog::Silent;
use factoryup::transport::{Attempt, ConfigFile, Session, Ssh, SshOptions, Status, Transport};

use crate::support::dialog::Scripted;
use crate::support::lab::{Keys, stdout};
use crate::support::{PATIENCE, wait_until};
use crate::{Lab, connect, error, exec, lab, works};

fn inside(lab: &Lab, script: &str) {
    stdout(&lab.host.run_inside(&["sh", "-c", script]).unwrap());
}

#[test]
fn what_the_host_says_reaches_the_user_without_control_characters() {
    let Some(lab) = lab() else { return };
    inside(lab, "printf 'Ask \\033[31mops\\033[0m first.\\n' >/etc/ssh/banner");
    let at = lab.sshd(2240, &["Banner=/etc/ssh/banner", "DenyUsers=root"]);
    let refused = error(lab.known(at).0);
    assert_eq!(refused.kind(), Kind::NotPermitted);
    let text = refused.to_string();
    assert!(text.contains("the host says: ") && text.contains("ops") && !text.contains('\u{1b}'), "{text:?}");
    assert_eq!(text.matches("first.").count(), 1, "{text}");

    // An account that has expired: sshd takes the key, and says why it closes the connection.
    inside(
        lab,
        "useradd -m -s /bin/bash gone; mkdir -m 700 /home/gone/.ssh; cp /root/.ssh/authorized_keys /home/gone/.ssh/; chown -R gone: /home/gone/.ssh; chage -E 1 gone",
    );
    let (mut options, _folder) = lab.known(lab.direct());
    options.users = vec!["gone".into()];
    let refused = error(options);
    assert_eq!(refused.kind(), Kind::NotPermitted);
    assert!(refused.to_string().contains("the host says: Your account has expired"), "{refused}");
    assert!(refused.hints()[0].contains("what the host says"), "{refused:?}");
}

#[test]
fn a_certificate_beside_a_named_key_logs_in() {
    let Some(lab) = lab() else { return };
    let folder = tempfile::tempdir().unwrap();
    let keygen = |args: &[&str]| {
        let output = Command::new("ssh-keygen").current_dir(folder.path()).arg("-q").args(args).output();
        stdout(&output.unwrap());
    };
    for name in ["ca", "user"] {
        keygen(&["-t", "ed25519", "-N", "", "-f", name]);
    }
    keygen(&["-s", "ca", "-I", "me", "-n", "root", "user.pub"]);
    fs::copy(folder.path().join("ca.pub"), lab.host.rootfs().join("etc/ssh/said_ca.pub")).unwrap();
    let at = lab.sshd(2241, &["TrustedUserCAKeys=/etc/ssh/said_ca.pub", "AuthorizedKeysFile=none"]);
    let (mut options, _folder) = lab.known(at);
    options.identity = Some(folder.path().join("user"));
    let mut ssh = Ssh::new(options.clone(), &Silent).unwrap();
    works(&mut *ssh.connect().unwrap());
    assert!(ssh.uses_client_because().unwrap().ends_with("user-cert.pub"));
    // A login that must be refused is tried with it, too.
    assert_eq!(ssh.attempt().unwrap(), Attempt::LoggedIn);
}

/// What libssh2 is refused and ssh is not, as with a key on a card: here ssh has a key that libssh2 is not told of.
#[test]
fn a_refused_login_is_tried_by_the_client() {
    let Some(lab) = lab() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (key, program) = (lab.keys.path("id"), folder.path().join("ssh"));
    let ask = r#"case " $* " in *" -G "*) exec /usr/bin/ssh "$@" ;; esac"#;
    fs::write(&program, format!("#!/bin/sh\n{ask}\nexec /usr/bin/ssh -i {} \"$@\"\n", key.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "said::login_by_the_client"])
        .env("PATH", format!("{}:{path}", folder.path().display()))
        .env("AT", lab.direct().to_string())
        .env("HOST_KEY", lab.host.host_key_fingerprint())
        .env_remove("SSH_AUTH_SOCK")
        .output()
        .unwrap();
    assert!(stdout(&child).contains("1 passed"), "{child:?}");
}

/// Not a test of its own: what [`a_refused_login_is_tried_by_the_client`] runs where ssh is another program.
#[test]
#[ignore = "is run by another test"]
fn login_by_the_client() {
    let at: SocketAddr = std::env::var("AT").unwrap().parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::new();
    let mut options = SshOptions::new(at.ip().to_string(), folder.path().join("known_hosts"));
    options.config = ConfigFile::Ignore;
    options.host_key = Some(std::env::var("HOST_KEY").unwrap().parse().unwrap());
    options.users = vec!["operator".into(), "root".into()];
    options.identity = Some(keys.path("id"));
    options.last_login = Some(folder.path().join("login.json"));
    let dialog = Scripted::new();
    let mut ssh = Ssh::new(options.clone(), &dialog).unwrap();
    // A login that must be refused is not tried twice.
    assert!(matches!(ssh.attempt().unwrap(), Attempt::Refused { .. }));
    let mut session = ssh.connect().unwrap();
    assert_eq!(session.user(), "root");
    works(&mut *session);
    assert_eq!(dialog.notes(), ["Using the system's ssh for this host (libssh2 could not log in)."]);
    // The next run knows.
    assert_eq!(Ssh::new(options, &dialog).unwrap().uses_client_because(), Some("libssh2 could not log in"));
}

/// A configuration that leads to the host through a program, which only the client can.
fn through_proxy(lab: &Lab, port: u16, folder: &std::path::Path) -> SshOptions {
    let path = folder.join("config");
    let known = format!("[{0}]:{port} {1}\n{0} {1}\n", lab.host.address(), lab.host.host_key());
    fs::write(folder.join("own"), format!("{known}[127.0.0.1]:{port} {}\n", lab.host.host_key())).unwrap();
    let text = format!(
        "Host inner\n  HostName 127.0.0.1\n  Port {port}\n  User root\n  ProxyJump jump\n  ControlMaster auto\n  ControlPath {0}/mine\n\
         Host jump\n  HostName {1}\n  Port {2}\n  User root\n\
         Host *\n  IdentityFile {3}\n  IdentitiesOnly yes\n  UserKnownHostsFile {0}/own\n",
        folder.display(),
        lab.direct().ip(),
        22,
        lab.keys.path("id").display()
    );
    fs::write(&path, text).unwrap();
    let mut options = SshOptions::new("inner", folder.join("own"));
    options.config = ConfigFile::Path(path);
    options
}

#[test]
fn commands_share_a_connection_and_logins_do_not() {
    let Some(lab) = lab() else { return };
    let folder = tempfile::tempdir().unwrap();
    lab.sshd(2243, &[]);
    let mut ssh = Ssh::new(through_proxy(lab, 2243, folder.path()), &Silent).unwrap();
    let port = |session: &mut dyn Session| exec(session, "echo \"$SSH_CONNECTION\"", b"").0;
    let mut first = ssh.connect().unwrap();
    let one = port(&mut *first);
    assert_eq!(port(&mut *first), one);
    let mut second = ssh.connect().unwrap();
    assert_ne!(port(&mut *second), one);
    assert!(!folder.path().join("mine").exists());
    works(&mut *first);
    // A command may end as ssh does when it fails.
    let (_, exit) = exec(&mut *first, "exit 255", b"");
    assert_eq!(exit.status, Status::Code(255));
    assert_eq!(port(&mut *first), one);
    // With the sessions, the connections end.
    drop((first, second));
    let left = || {
        stdout(&lab.host.run_inside(&["sh", "-c", "ss -tnH state established '( sport = :2243 )' | wc -l"]).unwrap())
    };
    wait_until("the connections to end", || left() == "0");
}

#[test]
fn a_host_that_allows_one_session_or_another_program_is_served() {
    let Some(lab) = lab() else { return };
    let folder = tempfile::tempdir().unwrap();
    lab.sshd(2244, &["MaxSessions=1"]);
    works(&mut *connect(through_proxy(lab, 2244, folder.path())).unwrap());
    lab.sshd(2245, &["ForceCommand=echo use the other account; exit 1"]);
    let folder = tempfile::tempdir().unwrap();
    let mut session = connect(through_proxy(lab, 2245, folder.path())).unwrap();
    let (lines, exit) = exec(&mut *session, "sh -s", b"echo hello");
    assert_eq!((lines, exit.status), (vec!["use the other account".to_owned()], Status::Code(1)));
}

#[test]
fn a_login_through_the_client_has_a_limit() {
    let Some(lab) = lab() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    fs::write(&config, "Host silent\n  ProxyCommand sleep 600\n").unwrap();
    let (mut options, _folder) = lab.known(lab.direct());
    options.host = "silent".into();
    options.port = None;
    options.config = ConfigFile::Path(config);
    options.timeouts.connect = Duration::from_secs(1);
    options.timeouts.handshake = Duration::from_secs(1);
    fs::write(&options.known_hosts, format!("silent {}\n", lab.host.host_key())).unwrap();
    let begun = Instant::now();
    let refused = error(options);
    assert_eq!(refused.kind(), Kind::Unreachable, "{refused}");
    // It only tells a hang.
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

/// A proxy can start what is in no process group of factoryup's, and holds the client's standard error: a master of a shared connection.
#[test]
fn a_login_ends_though_a_process_holds_its_messages() {
    let Some(lab) = lab() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (config, left) = (folder.path().join("config"), folder.path().join("left"));
    let (mut options, _folder) = lab.known(lab.direct());
    options.port = None;
    options.config = ConfigFile::Path(config.clone());
    options.timeouts.connect = Duration::from_secs(1);
    options.timeouts.handshake = Duration::from_secs(1);
    fs::write(&options.known_hosts, format!("ends {0}\nsilent {0}\n", lab.host.host_key())).unwrap();
    // The process is there before its proxy ends or is ended.
    let leave = format!(
        "setsid sh -c 'echo $$ >{0}.%n; exec sleep 90' </dev/null >/dev/null & while [ ! -s {0}.%n ]; do sleep 0.01; done; ",
        left.display()
    );
    fs::write(
        &config,
        format!("Host ends\n ProxyCommand {leave} exit 1\nHost silent\n ProxyCommand {leave} exec sleep 300\n"),
    )
    .unwrap();
    for host in ["ends", "silent"] {
        options.host = host.into();
        let begun = Instant::now();
        let refused = error(options.clone());
        // It only tells a hang.
        assert!(begun.elapsed() < Duration::from_secs(30), "{host}: {:?}", begun.elapsed());
        assert_eq!(refused.kind(), Kind::Unreachable, "{host}: {refused}");
    }
    for host in ["ends", "silent"] {
        let pid = fs::read_to_string(left.with_extension(host)).unwrap();
        assert!(Command::new("kill").arg(pid.trim()).status().unwrap().success(), "{host}: {pid}");
    }
}

/// A plan is a login, and a command or two.
#[test]
fn a_session_through_a_jump_host_is_one_connection() {
    let Some(lab) = lab() else { return };
    let folder = tempfile::tempdir().unwrap();
    lab.sshd(2246, &[]);
    let options = through_proxy(lab, 2246, folder.path());
    let proxy = delay_proxy::start(lab.direct(), Duration::from_millis(60)).unwrap();
    let config = folder.path().join("config");
    let text = fs::read_to_string(&config).unwrap().replace(
        &format!("HostName {}\n  Port 22\n", lab.direct().ip()),
        &format!("HostName {}\n  Port {}\n", proxy.address().ip(), proxy.address().port()),
    );
    fs::write(&config, text).unwrap();
    let known = format!("[{}]:{} {}\n", proxy.address().ip(), proxy.address().port(), lab.host.host_key());
    fs::write(folder.path().join("own"), fs::read_to_string(folder.path().join("own")).unwrap() + &known).unwrap();
    let mut session = connect(options).unwrap();
    for _ in 0..3 {
        assert!(exec(&mut *session, "sh -s", b"echo hello").1.success());
    }
    assert_eq!(proxy.connections(), 1);
}
