//! What the wizard finds in a home folder.

use super::{Surroundings, ssh};
use crate::fuzz::Reader;

fn home(name: &str, bytes: &[u8]) -> (tempfile::TempDir, Surroundings) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
    let home = folder.path().to_owned();
    let around = Surroundings { folder: home.clone(), clock: home.join("clock"), variable: |_| None, home };
    (folder, around)
}

pub(crate) const READERS: &[Reader] = &[
    Reader {
        name: "ssh-aliases",
        read: |bytes| {
            let (_folder, around) = home(".ssh/config", bytes);
            format!("{:?}", ssh::aliases(&around)).chars().take(40).collect()
        },
        seeds: &[
            b"Host a b *.x !y\n  HostName 10.0.0.1\n  User root\n  Port 2222\n\
              Include config.d/* config ~/.ssh/config\nMatch host x\n",
            b"host=\"a\"\nhostname=x\nInclude *\n",
        ],
    },
    Reader {
        name: "public-keys",
        read: |bytes| {
            let (_folder, around) = home(".ssh/id_ed25519.pub", bytes);
            ssh::keys(&around).len().to_string()
        },
        seeds: &[
            b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ me\n",
            b"-----BEGIN OPENSSH PRIVATE KEY-----",
        ],
    },
    Reader {
        name: "glab-config",
        read: |bytes| {
            let (_folder, around) = home(".config/glab-cli/config.yml", bytes);
            let token = super::gitlab::gitlab_token(&around, "https://gitlab.com");
            token
                .map_or_else(crate::fuzz::text, |token| token.map_or_else(|| "none".into(), |(_, place)| place))
                .replace(&around.home.display().to_string(), "")
        },
        seeds: &[
            b"git_protocol: ssh\nhost: gitlab.com\nhosts:\n    gitlab.com:\n        token: glpat-x\n\
          \x20       api_host: gitlab.com\n",
            b"hosts:\n  a:\n    token: !!null x\n",
        ],
    },
];
