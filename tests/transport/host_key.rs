//! Whether the host is the right one.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use factoryup::Kind;
use factoryup::dialog::Silent;
use factoryup::transport::{Fingerprint, Ssh, SshOptions, Transport};

use crate::support::dialog::Scripted;
use crate::support::lab::stdout;
use crate::{connect, error, lab};

#[test]
fn an_unknown_host_is_refused_pinned_or_asked_about() {
    let Some(lab) = lab() else { return };
    let fingerprint = lab.host.host_key_fingerprint();

    // Nobody to ask: the error names the flag.
    let (options, folder) = lab.unknown(lab.direct());
    let refused = error(options.clone());
    assert_eq!(refused.kind(), Kind::NotPermitted);
    assert!(refused.to_string().contains(&format!("ssh-ed25519 {fingerprint}")), "{refused}");
    assert!(refused.hints()[0].ends_with(&format!("--host-key {fingerprint}")), "{refused:?}");
    assert!(!options.known_hosts.exists());

    // The person says no, then yes; the answer is on record.
    let no = Scripted::new().answers(&[false]);
    let declined = Ssh::new(options.clone(), &no).unwrap().connect().map(|_| ()).unwrap_err();
    assert_eq!(declined.kind(), Kind::Interrupted);
    assert!(no.asked()[0].contains(&format!("ssh-ed25519 {fingerprint}")), "{:?}", no.asked());
    assert!(!options.known_hosts.exists());
    let yes = Scripted::new().answers(&[true]);
    Ssh::new(options.clone(), &yes).unwrap().connect().unwrap();
    connect(options.clone()).unwrap();
    let line = fs::read_to_string(&options.known_hosts).unwrap();
    assert_eq!(line.trim_end(), format!("{} {}", lab.host.address(), lab.host.host_key().rsplit_once(' ').unwrap().0));
    drop(folder);

    // A pin does without a question, also when it is that of another of the host's keys.
    for kind in ["ed25519", "rsa"] {
        let shown = lab.host.run_inside(&["ssh-keygen", "-lf", &format!("/etc/ssh/ssh_host_{kind}_key.pub")]).unwrap();
        let pin = stdout(&shown).split(' ').nth(1).unwrap().to_owned();
        let (mut options, _folder) = lab.unknown(lab.direct());
        options.host_key = Some(pin.parse().unwrap());
        connect(options.clone()).unwrap();
        options.host_key = None;
        connect(options).unwrap();
    }
    let (mut options, _folder) = lab.unknown(lab.direct());
    options.host_key = Some("SHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE".parse().unwrap());
    let refused = error(options.clone());
    assert_eq!(refused.kind(), Kind::NotPermitted);
    assert!(refused.to_string().contains("does not have the host key SHA256:T7Sv"), "{refused}");
    assert!(!options.known_hosts.exists());
}

#[test]
fn a_changed_or_revoked_host_key_is_always_refused() {
    let Some(lab) = lab() else { return };
    let (mut options, _folder) = lab.unknown(lab.direct());
    let other = lab.keys.make("other_host", "ed25519", "");
    let public = fs::read_to_string(other.with_extension("pub")).unwrap();
    let words: Vec<_> = public.split(' ').take(2).collect();
    fs::write(&options.known_hosts, format!("# mine\n{} {}\n", lab.host.address(), words.join(" "))).unwrap();
    // Not even with a pin, nor with the person's consent.
    options.host_key = Some(lab.host.host_key_fingerprint().parse().unwrap());
    let yes = Scripted::new().answers(&[true]);
    let refused = Ssh::new(options.clone(), &yes).unwrap().connect().map(|_| ()).unwrap_err();
    assert_eq!((refused.kind(), yes.asked().len()), (Kind::NotPermitted, 0));
    let file = options.known_hosts.display();
    assert!(
        refused.to_string().contains(&format!("has changed: {file} has another ssh-ed25519 key on line 2")),
        "{refused}"
    );
    assert!(
        refused.hints()[1].ends_with(&format!("ssh-keygen -R '{}' -f '{file}'", lab.host.address())),
        "{refused:?}"
    );

    let (options, _folder) = lab.known(lab.direct());
    let known = fs::read_to_string(&options.known_hosts).unwrap();
    fs::write(&options.known_hosts, format!("{known}@revoked * {}\n", lab.host.host_key())).unwrap();
    let refused = error(options);
    assert_eq!(refused.kind(), Kind::NotPermitted);
    assert!(refused.to_string().contains("is revoked") && refused.to_string().ends_with("on line 2"), "{refused}");
}

#[test]
fn a_key_that_root_vouches_for_is_on_record_where_the_host_is_known_by_others() {
    let Some(lab) = lab() else { return };
    let public = |kind: &str| {
        let path = format!("/etc/ssh/ssh_host_{kind}_key.pub");
        stdout(&lab.host.run_inside(&["cut", "-d", " ", "-f", "1,2", &path]).unwrap()).trim().to_owned()
    };
    let blob = |line: &str| STANDARD.decode(line.split(' ').nth(1).unwrap()).unwrap();
    let (rsa, ed25519) = (public("rsa"), public("ed25519"));
    let name = lab.host.address();
    let known = format!("{name} {rsa}\n");
    let (options, _folder) = lab.unknown(lab.direct());
    let vouch = |options: &SshOptions, key: &[u8]| {
        Ssh::new(options.clone(), &Silent).unwrap().vouch(key).unwrap();
        fs::read_to_string(&options.known_hosts).unwrap_or_default()
    };

    // A host that nobody has accepted stays unknown.
    assert_eq!(vouch(&options, &blob(&ed25519)), "");
    fs::write(&options.known_hosts, &known).unwrap();
    // A key that the host does not show, and a type that would add a line of its own.
    let other = fs::read_to_string(lab.keys.make("not_shown", "ed25519", "").with_extension("pub")).unwrap();
    assert_eq!(vouch(&options, &blob(&other)), known);
    let kind = format!("x\n* {}", ed25519.split(' ').next().unwrap());
    let made_up = [&u32::try_from(kind.len()).unwrap().to_be_bytes()[..], kind.as_bytes(), b"\0\0\0\x01x"].concat();
    assert_eq!(vouch(&options, &made_up), known);
    // A pin decides alone.
    let pinned = SshOptions { host_key: Some(Fingerprint::of(&blob(&rsa))), ..options.clone() };
    assert_eq!(vouch(&pinned, &blob(&ed25519)), known);

    let both = format!("{known}{name} {ed25519}\n");
    assert_eq!(vouch(&options, &blob(&ed25519)), both);
    assert_eq!(vouch(&options, &blob(&ed25519)), both);
    fs::write(&options.known_hosts, &both[known.len()..]).unwrap();
    connect(options.clone()).unwrap();
    // Another one of that type is a changed key, whoever vouches for it.
    assert_eq!(vouch(&options, &blob(&other)), both[known.len()..]);
}
