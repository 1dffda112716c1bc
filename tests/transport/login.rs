//! Logging in with keys: files, encrypted files, the agent's.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use disposable_host::delay_proxy;
use factoryup::Kind;
use factoryup::dialog::Silent;
use factoryup::transport::{ConfigFile, Passphrases, Ssh, SshOptions, Transport};

use crate::support::dialog::Scripted;
use crate::support::lab::{Keys, stdout};
use crate::support::wait_until;
use crate::{connect, error, lab, works};

#[test]
fn every_type_of_key_logs_in() {
    let Some(lab) = lab() else { return };
    let keys = Keys::new();
    let host_file = lab.host.rootfs().join("root/.ssh/authorized_keys2");
    let kinds: Vec<_> = ["ed25519", "ecdsa", "rsa"].map(|kind| (kind, keys.make(kind, kind, ""))).into();
    fs::write(&host_file, kinds.iter().map(|(kind, _)| keys.public(kind)).collect::<String>()).unwrap();
    for (kind, path) in kinds {
        let (mut options, _folder) = lab.known(lab.direct());
        options.identity = Some(path);
        connect(options).unwrap_or_else(|e| panic!("{kind}: {e}"));
    }
}

#[test]
fn an_encrypted_key_asks_for_its_passphrase_once() {
    let Some(lab) = lab() else { return };
    let keys = Keys::new();
    let locked = keys.make("locked", "ed25519", "open sesame");
    fs::write(lab.host.rootfs().join("root/.ssh/authorized_keys_locked"), keys.public("locked")).unwrap();
    let at = lab.sshd(2201, &["AuthorizedKeysFile=.ssh/authorized_keys_locked"]);
    let options = || {
        let (mut options, folder) = lab.known(at);
        options.identity = Some(locked.clone());
        (options, folder)
    };

    let dialog = Scripted::new().secrets(&["wrong", "open sesame"]);
    let (known, _folder) = options();
    let mut ssh = Ssh::new(known, &dialog).unwrap();
    works(&mut *ssh.connect().unwrap());
    ssh.connect().unwrap();
    assert_eq!(dialog.asked().len(), 2, "{:?}", dialog.asked());

    // Nor is it asked for again by the next login of the same run.
    let (dialog, passphrases) = (Scripted::new().secrets(&["open sesame"]), Passphrases::default());
    for _ in 0..2 {
        let (known, _folder) = options();
        Ssh::new(known, &dialog).unwrap().knowing(&passphrases).connect().unwrap();
    }
    assert_eq!(dialog.asked().len(), 1, "{:?}", dialog.asked());

    // Nobody to ask.
    let (known, _folder) = options();
    let refused = error(known);
    assert_eq!(refused.kind(), Kind::NotPermitted);
    assert!(refused.hints()[0].ends_with(&format!(": `ssh-add {}`", locked.display())), "{refused:?}");

    // A server that would not take the key anyway: no question.
    let (mut elsewhere, _folder) = lab.known(lab.direct());
    elsewhere.identity = Some(locked.clone());
    let dialog = Scripted::new().secrets(&["open sesame"]);
    assert!(Ssh::new(elsewhere, &dialog).unwrap().connect().is_err());
    assert_eq!(dialog.asked(), [""; 0]);
}

#[test]
fn an_agent_logs_in() {
    let Some(lab) = lab() else { return };
    let socket = lab.keys.path("agent.sock");
    let mut agent = Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    // The socket is there before anybody listens on it.
    wait_until("the agent", || UnixStream::connect(&socket).is_ok());
    lab.keys.make("stranger", "ed25519", "");
    let add =
        |name: &str| Command::new("ssh-add").arg("-q").arg(lab.keys.path(name)).env("SSH_AUTH_SOCK", &socket).status();
    assert!(add("stranger").unwrap().success() && add("id").unwrap().success());
    // A process of its own, because the agent is named by an environment variable.
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "login::login_with_an_agent"])
        .env("SSH_AUTH_SOCK", &socket)
        .env("AT", lab.direct().to_string())
        .env("HOST_KEY", lab.host.host_key_fingerprint())
        .output()
        .unwrap();
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert!(stdout(&child).contains("1 passed"), "{child:?}");
}

/// Not a test of its own: what [`an_agent_logs_in`] runs where the environment names an agent.
#[test]
#[ignore = "is run by another test"]
fn login_with_an_agent() {
    let at: SocketAddr = std::env::var("AT").unwrap().parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut options = SshOptions::new(at.ip().to_string(), folder.path().join("known_hosts"));
    options.config = ConfigFile::Ignore;
    options.host_key = Some(std::env::var("HOST_KEY").unwrap().parse().unwrap());
    options.users = vec!["root".into()];
    works(&mut *connect(options.clone()).unwrap());

    options.users = vec!["nobody".into()];
    let refused = error(options);
    assert_eq!(refused.kind(), Kind::NotPermitted);
    assert_eq!(refused.to_string().matches("the agent's key SHA256:").count(), 2, "{refused}");
}

#[test]
fn users_are_tried_in_order_on_connections_of_their_own() {
    let Some(lab) = lab() else { return };
    let proxy = delay_proxy::start(lab.direct(), Duration::ZERO).unwrap();
    let (mut options, _folder) = lab.known(proxy.address());
    options.users = vec!["operator".into(), "root".into()];
    let mut ssh = Ssh::new(options.clone(), &Silent).unwrap();
    assert_eq!(ssh.connect().unwrap().user(), "root");
    assert_eq!(proxy.connections(), 2);
    // What has worked comes first from now on.
    assert_eq!(ssh.connect().unwrap().user(), "root");
    assert_eq!(proxy.connections(), 3);

    lab.keys.make("other", "ed25519", "");
    options.identity = Some(lab.keys.path("other"));
    let refused = error(options);
    assert_eq!(refused.kind(), Kind::NotPermitted);
    let text = refused.to_string();
    assert!(text.contains("as operator and as root; it accepts publickey, password; tried "), "{text}");
    assert!(text.contains("/other: refused") && refused.hints()[0].contains("--identity"), "{refused:?}");
    assert!(refused.hints()[1].contains("authorized_keys of operator or root"), "{refused:?}");
}

#[test]
fn a_public_key_that_was_named_by_mistake_is_told() {
    let Some(lab) = lab() else { return };
    let (mut options, _folder) = lab.known(lab.direct());
    options.identity = Some(lab.keys.path("id.pub"));
    let refused = error(options);
    assert!(refused.to_string().contains("id.pub: it is a public key"), "{refused}");
}

#[test]
fn a_server_without_keys_says_what_it_takes() {
    let Some(lab) = lab() else { return };
    let at = lab.sshd(2202, &["PubkeyAuthentication=no"]);
    let refused = error(lab.known(at).0);
    assert_eq!(refused.kind(), Kind::NotPermitted);
    assert!(refused.to_string().contains("it accepts password"), "{refused}");
    assert!(refused.hints()[0].contains("`publickey`"), "{refused:?}");
}
