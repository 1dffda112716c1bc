//! What goes through the system's ssh client, or depends on its configuration.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use factoryup::Kind;
use factoryup::dialog::Silent;
use factoryup::transport::{ConfigFile, Ssh, SshOptions, Transport};

use crate::support::dialog::Scripted;
use crate::support::lab::stdout;
use crate::{Lab, connect, error, lab, works};

/// An ssh configuration whose `inner` is reached through the host itself, by `line`.
fn jump_config(lab: &Lab, folder: &std::path::Path, line: &str) -> ConfigFile {
    let known = folder.join("jump_known_hosts");
    fs::write(&known, format!("{} {}\n", lab.host.address(), lab.host.host_key())).unwrap();
    let path = folder.join("config");
    let (key, known, address) = (lab.keys.path("id"), known.display(), lab.host.address());
    let text = format!(
        "Host inner\n  HostName 127.0.0.1\n  User root\n  {line}\n  UserKnownHostsFile {none}\n\
         Host jump\n  HostName {address}\n  User root\n  UserKnownHostsFile {known}\n\
         Host *\n  IdentityFile {key}\n  IdentitiesOnly yes\n  GlobalKnownHostsFile none\n",
        none = folder.join("none").display(),
        key = key.display(),
    );
    fs::write(&path, text.replace("CONFIG", &path.display().to_string())).unwrap();
    ConfigFile::Path(path)
}

#[test]
fn jump_hosts_and_proxy_commands_go_through_the_system_client() {
    let Some(lab) = lab() else { return };
    for line in ["ProxyJump jump", "ProxyCommand ssh -F CONFIG -W %h:%p jump"] {
        let folder = tempfile::tempdir().unwrap();
        let mut options = SshOptions::new("inner", folder.path().join("own"));
        options.config = jump_config(lab, folder.path(), line);
        let mut ssh = Ssh::new(options.clone(), &Silent).unwrap();
        assert_eq!(ssh.uses_client_because().map(|why| &why[..5]), Some("Proxy"));

        // The host key policy is the same as without the client.
        let unknown = ssh.connect().map(|_| ()).unwrap_err();
        assert_eq!(unknown.kind(), Kind::NotPermitted);
        assert!(
            unknown.hints()[0].ends_with(&format!("--host-key {}", lab.host.host_key_fingerprint())),
            "{unknown:?}"
        );
        options.host_key = Some(lab.host.host_key_fingerprint().parse().unwrap());
        options.users = vec!["operator".into(), "root".into()];
        let mut session = connect(options.clone()).unwrap();
        assert_eq!(session.user(), "root");
        works(&mut *session);
        let cut = session.exec("kill -KILL $PPID; sleep 20", b"", None, &mut |_| ()).unwrap_err();
        assert_eq!(cut.kind(), Kind::CutShort, "{cut}");

        options.host_key = None;
        options.users = vec!["nobody".into()];
        let refused = error(options.clone());
        assert_eq!(refused.kind(), Kind::NotPermitted);
        assert!(refused.to_string().contains("as nobody; it accepts publickey"), "{refused}");
        let text = fs::read_to_string(&options.known_hosts).unwrap();
        let other = lab.keys.make(&format!("changed{}", line.len()), "ed25519", "");
        let blob = fs::read_to_string(other.with_extension("pub")).unwrap().split(' ').nth(1).unwrap().to_owned();
        let changed = format!("{} {blob}\n", text.trim_end().rsplit_once(' ').unwrap().0);
        fs::write(&options.known_hosts, changed).unwrap();
        let refused = error(options);
        assert_eq!(refused.kind(), Kind::NotPermitted);
        assert!(
            refused.to_string().contains("has changed: ") && refused.to_string().contains("on line 1"),
            "{refused}"
        );
    }
}

#[test]
fn a_key_that_root_vouches_for_is_compared_behind_a_jump_host_too() {
    let Some(lab) = lab() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut options = SshOptions::new("inner", folder.path().join("own"));
    options.config = jump_config(lab, folder.path(), "ProxyJump jump");
    let rsa = stdout(&lab.host.run_inside(&["cat", "/etc/ssh/ssh_host_rsa_key.pub"]).unwrap());
    let known = format!("127.0.0.1 {}\n", rsa.trim());
    fs::write(&options.known_hosts, &known).unwrap();
    let other = fs::read_to_string(lab.keys.make("not_shown_behind", "ed25519", "").with_extension("pub")).unwrap();
    for (public, added) in [(other.as_str(), false), (lab.host.host_key(), true)] {
        let blob = STANDARD.decode(public.split(' ').nth(1).unwrap()).unwrap();
        Ssh::new(options.clone(), &Silent).unwrap().vouch(&blob).unwrap();
        let now = fs::read_to_string(&options.known_hosts).unwrap();
        assert_eq!(now.lines().count(), 1 + usize::from(added), "{now}");
    }
    // Only the key that was added is left to know it by.
    let now = fs::read_to_string(&options.known_hosts).unwrap();
    fs::write(&options.known_hosts, &now[known.len()..]).unwrap();
    connect(options).unwrap();
}

#[test]
fn a_key_exchange_that_libssh2_lacks_goes_through_the_system_client() {
    let Some(lab) = lab() else { return };
    let at = lab.sshd(2203, &["KexAlgorithms=sntrup761x25519-sha512@openssh.com"]);
    let (options, _folder) = lab.known(at);
    let dialog = Scripted::new();
    let mut ssh = Ssh::new(options, &dialog).unwrap();
    works(&mut *ssh.connect().unwrap());
    assert!(ssh.uses_client_because().unwrap().starts_with("key exchange: "), "{:?}", ssh.uses_client_because());
    assert!(dialog.notes()[0].starts_with("Using the system's ssh for this host"), "{:?}", dialog.notes());
}

#[test]
fn an_alias_brings_its_user_port_and_key() {
    let Some(lab) = lab() else { return };
    let folder = tempfile::tempdir().unwrap();
    let known = folder.path().join("users_known_hosts");
    fs::write(&known, format!("[{}]:2204 {}\n", lab.host.address(), lab.host.host_key())).unwrap();
    lab.sshd(2204, &[]);
    let path = folder.path().join("config");
    let text = format!(
        "Host box\n  HostName {}\n  Port 2204\n  User admin\n  IdentityFile {}\n  UserKnownHostsFile {}\n",
        lab.host.address(),
        lab.keys.path("id").display(),
        known.display()
    );
    fs::write(&path, text).unwrap();
    let mut options = SshOptions::new("box", folder.path().join("own"));
    options.config = ConfigFile::Path(path);
    let mut ssh = Ssh::new(options, &Silent).unwrap();
    assert_eq!(ssh.connect().unwrap().user(), "admin");
    assert_eq!(ssh.uses_client_because(), None);
}
