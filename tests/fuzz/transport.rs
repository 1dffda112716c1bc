//! What is read on the way to a host: known hosts, ssh's configuration and messages, key files, and the output of commands.

use std::path::{Path, PathBuf};

use super::key_file::{KeyFile, kind_of};
use super::known_hosts::KnownHost;
use super::messages::failure;
use super::options::SshOptions;
use super::output::{Lines, Tail};
use super::ssh_config::{Agent, SshConfig};
use crate::fuzz::{Reader, text};

fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

pub(crate) const READERS: &[Reader] = &[
    Reader {
        name: "known-hosts",
        read: |bytes| {
            let (_folder, path) = file(bytes);
            let known = KnownHost::look_up(&[path], "Host.Example", 2222).unwrap();
            let status = format!("{:?}", known.judge("ssh-ed25519", b"key"));
            let status = status.split(['(', ' ']).next().unwrap_or_default();
            format!("{} {} {status}", known.is_known(), known.authority().is_some())
        },
        seeds: &[
            b"# comment\n\n\
              host.example,10.0.0.1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ me\n",
            b"[host.example]:2222 ssh-ed25519 a2V5\n@revoked * ssh-ed25519 a2V5\n\
              @cert-authority *.example ssh-rsa a2V5\n",
            b"|1|bBVFB22n/++XL78r+dt7TfEMUfs=|D6U8XYioRK+9GfKTPnX8aCE7AOE= ssh-ed25519 a2V5\n\
              *.ex*mple,!b.example,10.0.?.* ssh-ed25519 a2V5\n",
        ],
    },
    Reader {
        name: "ssh-config",
        read: |bytes| {
            let options = SshOptions::new("alias", "/own");
            let config = SshConfig::parse(&String::from_utf8_lossy(bytes), "port 22", &options, Path::new("/home/me"));
            let because = config.needs_client.as_deref().map(|why| why.chars().take(9).collect::<String>());
            format!("{because:?} {} {}", config.agent != Agent::None, config.known_hosts.len().min(3))
        },
        seeds: &[
            b"hostname 10.0.0.1\nport 2222\nuser root\nidentityfile ~/.ssh/id\nidentityfile \"~/a b\"\n\
              userknownhostsfile ~/.ssh/known_hosts /etc/x\nidentityagent none\n",
            b"proxyjump jump\nproxycommand ssh -W %h:%p jump\nstricthostkeychecking accept-new\n\
              addressfamily inet6\nhostkeyalias x\ncertificatefile ~/x\n",
        ],
    },
    Reader {
        name: "key-file",
        read: |bytes| {
            let (_folder, path) = file(bytes);
            KeyFile::read(&path).map_or_else(text, |key| format!("{:?} {:?}", key.public.as_deref().and_then(kind_of), key.encrypted))
        },
        seeds: &[
            b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ me",
            b"-----BEGIN OPENSSH PRIVATE KEY-----\n\
              b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZWQyNTUxOQ==\n\
              -----END OPENSSH PRIVATE KEY-----\n",
            b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        ],
    },
    Reader {
        name: "ssh-messages",
        read: |bytes| {
            text(failure("alias", "alias:22", &String::from_utf8_lossy(bytes)))
        },
        seeds: &[
            b"ssh: connect to host alias port 22: Connection refused",
            b"REMOTE HOST IDENTIFICATION HAS CHANGED!\nSHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE.\n\
              Offending ED25519 key in /own:3\n",
            b"Unable to negotiate with 10.0.0.1 port 22: no matching cipher found\nkex_exchange_identification: x",
        ],
    },
    Reader {
        name: "command-output",
        read: |bytes| {
            let (mut lines, mut tail, mut count) = (Lines::default(), Tail::default(), 0);
            for piece in bytes.chunks(1 + bytes.first().map_or(0, |byte| usize::from(*byte))) {
                lines.push(piece, &mut |_| count += 1).unwrap();
                tail.push(piece);
            }
            lines.finish(&mut |_| count += 1);
            format!("{} {}", "l".repeat(count.min(4)), tail.text().len().min(9))
        },
        seeds: &[b"one\r\n\nz\xc3\xbcrich \x1b[1m\nlast", b"\xff\xfe\n"],
    },
    Reader {
        name: "fingerprint",
        read: |bytes| {
            let found = String::from_utf8_lossy(bytes).parse::<super::Fingerprint>();
            found.map_or_else(|_| "none".into(), text)
        },
        seeds: &[b"SHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE", b"256 SHA256:x me (ED25519)"],
    },
];
